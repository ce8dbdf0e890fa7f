//! Every channel has one order, the same for everybody.

use postrider_protocol::{Reason, packet::Packet};

use crate::harness::{channel_of, everywhere};

#[test]
fn pipelined_sends_keep_their_order() {
    everywhere(&[], |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let channel = channel_of(&alice.user, &bob.user);
        for round in 0..4_u64 {
            let sends: Vec<_> = (0..50).map(|n| alice.next_send(&channel, format!("{round} {n}"))).collect();
            let packets: Vec<_> = sends.iter().cloned().map(Packet::Send).collect();
            alice.say_all(&packets);
            for (n, send) in (1..).zip(&sends) {
                let ack = alice.sendack(send.number);
                assert_eq!((ack.reason, ack.seq), (Reason::Ok, round * 50 + n));
                let image = bob.recv();
                assert_eq!((image.seq, &image.body), (ack.seq, &send.body));
                assert_eq!((image.sender, image.number), (alice.sender, send.number));
                assert_eq!(image.author().as_str(), alice.user);
                assert_eq!(image.time_ms, ack.time_ms);
            }
        }
        assert_eq!(alice.recvs_heard(), 0, "who sends hears of it by the answer alone");
    });
}

#[test]
fn two_senders_and_both_readers_agree_on_one_order() {
    everywhere(&[], |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let (mut phone, mut tablet) = (world.connect_as("alice", "tablet"), world.connect_as("bob", "tablet"));
        let channel = channel_of(&alice.user, &bob.user);
        for n in 0..20 {
            let (one, other) = (alice.next_send(&channel, format!("a{n}")), bob.next_send(&channel, format!("b{n}")));
            alice.say(&Packet::Send(one));
            bob.say(&Packet::Send(other));
        }
        let mut acked: Vec<u64> = (1..=20).map(|number| alice.sendack(number).seq).collect();
        assert!(acked.is_sorted(), "one sender's messages keep their order: {acked:?}");
        acked.extend((1..=20).map(|number| bob.sendack(number).seq));
        acked.sort_unstable();
        assert_eq!(acked, (1..=40).collect::<Vec<u64>>(), "seqs are dense");
        let seen: Vec<_> = (0..40).map(|_| phone.recv()).collect();
        assert!(seen.is_sorted_by_key(|image| image.seq) && seen.is_sorted_by_key(|image| image.time_ms));
        assert_eq!((0..40).map(|_| tablet.recv()).collect::<Vec<_>>(), seen);
        assert_eq!(tablet.sync_from(&channel, 1).images, seen, "what is fetched is what was live");
    });
}

#[test]
fn notes_to_self_reach_the_users_other_devices() {
    everywhere(&[], |world| {
        let (mut phone, mut tablet) = (world.connect("alice"), world.connect_as("alice", "tablet"));
        let notes = channel_of(&phone.user, &phone.user);
        assert_eq!(phone.send(&notes, "milk"), 1);
        let image = tablet.recv();
        assert_eq!((image.seq, &image.body[..]), (1, &b"milk"[..]));
        assert_eq!(image.author().as_str(), phone.user);
        assert_eq!(phone.recvs_heard(), 0);
        assert_eq!(tablet.bodies(&notes), ["milk"]);
    });
}

#[test]
fn a_refused_send_uses_no_seq() {
    everywhere(&[], |world| {
        let mut alice = world.connect("alice");
        let channel = channel_of(&alice.user, &world.name("bob"));
        let others = channel_of("carol", "dave");
        assert_eq!(alice.send(&channel, "1"), 1);
        assert_eq!(alice.try_send(&others, "2").reason, Reason::NoChannel);
        assert_eq!(alice.try_send(&channel, vec![0; 65_537]).reason, Reason::BodyTooLarge);
        assert_eq!(alice.send(&channel, "4"), 2);
    });
}
