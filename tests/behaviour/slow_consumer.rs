//! Who does not read what waits for them loses no message and holds up nobody.

use postrider_protocol::{Reason, packet::Packet};

use crate::harness::{Server, World, channel_of, everywhere, on_all, until};

/// What fits into no socket buffer of this machine.
const MANY: u64 = 160;

/// Sends `count` messages of 60,000 bytes to the channel.
fn flood(world: World<'_>, count: u64) -> (crate::harness::Client, postrider_protocol::Channel) {
    let mut alice = world.connect_as("alice", "");
    let channel = channel_of(&alice.user, &world.name("bob"));
    for round in 0..count / 40 {
        let sends: Vec<_> =
            (0..40).map(|_| Packet::Send(alice.next_send(&channel, vec![round as u8; 60_000]))).collect();
        sends.iter().for_each(|send| alice.say(send));
        for _ in 0..40 {
            let ack = alice.wait("SENDACK", |packet| match packet {
                Packet::Sendack(ack) => Some(ack.clone()),
                _ => None,
            });
            assert_eq!(ack.reason, Reason::Ok, "the sender is not held up");
        }
    }
    (alice, channel)
}

#[test]
fn f21_what_does_not_fit_is_dropped_told_by_lag_and_fetched() {
    everywhere(&["session.queue_bytes=160KiB"], |world| {
        let mut bob = world.connect("bob");
        let (mut alice, channel) = flood(world, MANY);
        // Now Bob reads: ascending, and before each hole a LAG that tells its length.
        let (mut last, mut missed, mut dropped) = (0, 0, 0);
        while last + missed < MANY {
            match bob.next() {
                Some(Packet::Recv(image)) => {
                    assert_eq!(image.seq, last + missed + 1);
                    (last, missed) = (image.seq, 0);
                }
                Some(Packet::Lag(lag)) => {
                    missed += u64::from(lag.dropped);
                    dropped += u64::from(lag.dropped);
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(dropped > 0, "nothing was dropped: the test sends too little");
        let seen = bob.sync_from(&channel, 1);
        assert!(seen.gaps.is_empty() && seen.images.len() as u64 == MANY);
        assert!(seen.images.iter().all(|image| image.body.len() == 60_000));
        alice.send(&channel, "live again");
        assert_eq!(bob.recv().seq, MANY + 1);
        assert_eq!(bob.recvs_heard(), 0);
    });
}

#[test]
fn f21_who_takes_nothing_for_too_long_is_closed_and_syncs_later() {
    let server = Server::start(&["session.slow_after=1s"]);
    on_all(&server, |world| {
        let bob = world.connect("bob");
        let (mut alice, channel) = flood(world, MANY);
        // Sockets take more and more of it; only what they do not take is waiting.
        let mut count = MANY;
        until("the end of who is slow", || {
            count += 1;
            assert_eq!(alice.send(&channel, vec![0; 60_000]), count);
            (server.metric("postrider_slow_consumer_disconnects_total") >= 4.0).then_some(())
        });
        drop(bob);
        let mut bob = world.connect("bob");
        assert_eq!(bob.sync_from(&channel, 1).images.len() as u64, count);
        assert_eq!(alice.send(&channel, "next"), count + 1);
        assert_eq!(bob.recv().seq, count + 1);
    });
}

#[test]
fn a_client_that_asks_and_does_not_read_is_not_read_either() {
    let server = Server::start(&["session.slow_after=2s"]);
    on_all(&server, |world| {
        let mut alice = world.connect("alice");
        let notes = channel_of(&alice.user, &alice.user);
        alice.send(&notes, vec![7; 65_536]);
        let mut greedy = world.connect_as("alice", "greedy");
        let mut asked = Vec::new();
        for request in 1..=2_000 {
            let (channel, tlvs) = (notes.clone(), Default::default());
            let sync =
                postrider_protocol::packet::SyncPacket { request, channel, epoch: 1, from: 1, to: 1, limit: 0, tlvs };
            Packet::Sync(sync).encode(&mut asked);
        }
        greedy.wire.say(&asked).unwrap();
        // Answers of 130 MB are not made ahead: others go on, and the greedy one is closed.
        until("the end of who is greedy", || {
            alice.ping();
            (server.metric("postrider_slow_consumer_disconnects_total") >= 4.0).then_some(())
        });
        let made = server.metric("postrider_read_duration_seconds_count");
        assert!(made < 4.0 * 200.0, "{made} answers for nobody");
    });
}
