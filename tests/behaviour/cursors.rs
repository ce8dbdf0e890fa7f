//! What a device holds, and what therefore waits for it.

use postrider_protocol::{MAX_INTEGER, Method, Reason};

use crate::harness::{Client, Server, Via, channel_of, everywhere, group, on_all, until};

const COMMITTED: &str = "postrider_entries_committed_total";

#[test]
fn f23_a_cursor_beyond_the_head_or_of_a_foreign_channel_is_a_violation() {
    everywhere(&[], |world| {
        let (mut alice, bob) = (world.connect("alice"), world.connect("bob"));
        let channel = channel_of(&alice.user, &bob.user);
        alice.send(&channel, "1");
        drop(bob);
        let foreign = channel_of(&world.name("carol"), &world.name("dave"));
        world.connect("carol").send(&foreign, "not for bob");
        let unknown = channel_of(&world.name("bob"), "nobody");
        let name = world.name("g");
        alice.create(&name, &[]);
        let bad = [
            (&channel, 2),
            (&channel, MAX_INTEGER),
            (&foreign, 1),
            (&foreign, 0),
            (&unknown, 0),
            (&unknown, 1),
            (&group(&name), 1),
            (&group("no.such"), 1),
        ];
        for (channel, seq) in bad {
            let mut bob = world.connect("bob");
            bob.recvack(channel, seq);
            bob.ends_with(Reason::ProtocolViolation);
        }
        // Also as a later one of the same channel.
        let mut bob = world.connect("bob");
        bob.recvack(&channel, 1);
        bob.ping();
        bob.recvack(&channel, 2);
        bob.ends_with(Reason::ProtocolViolation);
        let mut bob = world.connect_as("bob", "tablet");
        assert_eq!(bob.listed(&channel).unwrap().sync_from, 0, "none of it moved another device");
        bob.recvack(&channel, 1);
        until("the cursor", || (bob.listed(&channel).unwrap().sync_from == 1).then_some(()));
    });
}

#[test]
fn f23_who_left_cannot_move_the_cursor_past_their_going() {
    everywhere(&[], |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let name = world.name("g");
        alice.create(&name, &[&bob.user]);
        assert_eq!(alice.change(Method::GroupRemove, &name, &[&bob.user]).seq, 2);
        alice.send(&group(&name), "3");
        bob.recvack(&group(&name), 2);
        bob.ping();
        until("the cursor", || (bob.listed(&group(&name)).unwrap().sync_from == 2).then_some(()));
        drop(bob);
        let mut bob = world.connect("bob");
        bob.recvack(&group(&name), 3);
        bob.ends_with(Reason::ProtocolViolation);
    });
}

#[test]
fn f32_a_client_ahead_of_the_head_is_told_to_begin_again() {
    everywhere(&[], |world| {
        let mut alice = world.connect("alice");
        let channel = channel_of(&alice.user, &world.name("bob"));
        alice.send(&channel, "1");
        alice.send(&channel, "2");
        let epoch = alice.listed(&channel).unwrap().epoch;
        let synced = alice.sync(&channel, epoch, (3, 3), 0);
        assert_eq!((synced.reason, synced.from, synced.to, synced.items.len()), (Reason::Ok, 3, 2, 0), "{synced:?}");
        for (epoch, from) in [(epoch, 4), (epoch, MAX_INTEGER), (epoch + 1, 1), (0, 1), (u32::MAX, 3)] {
            let synced = alice.sync(&channel, epoch, (from, MAX_INTEGER), 0);
            assert_eq!((synced.reason, synced.from, synced.to), (Reason::EpochMismatch, 0, 0), "{synced:?}");
            assert!(synced.items.is_empty());
        }
    });
}

#[test]
fn what_was_sent_while_bob_was_away_waits_for_him_also_after_a_crash() {
    let mut server = Server::start(&[]);
    on_all(&server, |world| {
        let mut alice = world.connect_as("alice", "");
        let channel = channel_of(&alice.user, &world.name("bob"));
        (1..=3).for_each(|seq| assert_eq!(alice.send(&channel, format!("{seq}")), seq));
    });
    server.crash_and_restart();
    let before = server.metric(COMMITTED);
    on_all(&server, |world| {
        let mut bob = world.connect("bob");
        let channel = channel_of(&world.name("alice"), &bob.user);
        let listed = bob.listed(&channel).unwrap();
        assert_eq!((listed.head, listed.sync_from), (3, 0));
        let seen = bob.sync_from(&channel, 1);
        assert_eq!(seen.images.iter().map(|image| &image.body[..]).collect::<Vec<_>>(), [b"1", b"2", b"3"]);
        assert!(seen.gaps.is_empty());
        bob.recvack(&channel, 3);
        bob.ping();
    });
    // Over each transport, Bob's phone and its cursor.
    until("the cursors", || (server.metric(COMMITTED) >= before + 8.0).then_some(()));
    server.crash_and_restart();
    on_all(&server, |world| {
        let mut bob = world.connect("bob");
        let channel = channel_of(&world.name("alice"), &bob.user);
        assert_eq!(bob.listed(&channel).unwrap().sync_from, 3, "nothing is fetched again");
        assert_eq!(world.connect_as("bob", "tablet").listed(&channel).unwrap().sync_from, 0, "each device has its own");
    });
}

#[test]
fn a_cursor_that_moved_on_is_stored_when_the_connection_ends() {
    let mut server = Server::start(&[]);
    on_all(&server, |world| {
        let (mut alice, mut bob) = (world.connect_as("alice", ""), world.connect("bob"));
        let channel = channel_of(&alice.user, &bob.user);
        for seq in 1..=5 {
            alice.send(&channel, "x");
            assert_eq!(bob.recv().seq, seq);
            bob.recvack(&channel, seq);
        }
        // A lower one changes nothing.
        bob.recvack(&channel, 2);
        bob.ping();
        drop(bob);
        let mut tablet = world.connect_as("bob", "tablet");
        assert_eq!(tablet.listed(&channel).unwrap().sync_from, 0);
        until("the cursor", || (world.connect("bob").listed(&channel).unwrap().sync_from == 5).then_some(()));
    });
    server.crash_and_restart();
    on_all(&server, |world| {
        let channel = channel_of(&world.name("alice"), &world.name("bob"));
        assert_eq!(world.connect("bob").listed(&channel).unwrap().sync_from, 5);
    });
}

#[test]
fn a_cursor_that_moved_on_is_stored_within_ten_seconds() {
    let mut server = Server::start(&[]);
    let mut alice = Client::connect(&server, Via::Tcp, "alice", "");
    let mut bob = Client::connect(&server, Via::Wss, "bob", "phone");
    let channel = channel_of("alice", "bob");
    for seq in 1..=3 {
        alice.send(&channel, "x");
        assert_eq!(bob.recv().seq, seq);
        bob.recvack(&channel, seq);
    }
    bob.ping();
    // Bob's phone, three messages and the first cursor; then the last one, in its time.
    until("the cursor", || (server.metric(COMMITTED) >= 6.0).then_some(()));
    server.crash_and_restart();
    let mut bob = Client::connect(&server, Via::Tcp, "bob", "phone");
    assert_eq!(bob.listed(&channel).unwrap().sync_from, 3);
}

#[test]
fn the_device_longest_unused_makes_room_for_an_eleventh() {
    everywhere(&[], |world| {
        let mut alice = world.connect_as("alice", "");
        let channel = channel_of(&alice.user, &world.name("bob"));
        alice.send(&channel, "1");
        let moved = |device: &str| {
            let mut bob = world.connect_as("bob", device);
            bob.recvack(&channel, 1);
            until(device, || (bob.listed(&channel).unwrap().sync_from == 1).then_some(()));
        };
        (0..11).for_each(|n| moved(&format!("device{n}")));
        let at = |n: u8| world.connect_as("bob", &format!("device{n}")).listed(&channel).unwrap().sync_from;
        assert_eq!((at(0), at(1), at(10)), (0, 1, 1));
    });
}
