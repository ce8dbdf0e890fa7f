//! How much a user may send, and that being refused for now changes no order.

use postrider_protocol::{
    Reason,
    packet::{Packet, SendPacket, SendackPacket},
    tag,
};

use crate::harness::{Client, World, channel_of, everywhere, until};

const SLOW: [&str; 2] = ["limits.user_rate=1", "limits.user_burst=5"];

fn retry_after(ack: &SendackPacket) -> u32 {
    assert_eq!((ack.reason, ack.seq, ack.time_ms), (Reason::RateLimited, 0, 0), "{ack:?}");
    ack.tlvs.get_u32(tag::RETRY_AFTER_MS).unwrap()
}

fn burst(world: World<'_>, count: usize) -> (Client, Vec<SendPacket>, Vec<SendackPacket>) {
    let mut alice = world.connect("alice");
    let channel = channel_of(&alice.user, &world.name("bob"));
    let sends: Vec<_> =
        (1..=count as u64).map(|n| SendPacket { oldest: 1, ..alice.next_send(&channel, n.to_be_bytes()) }).collect();
    let packets: Vec<_> = sends.iter().cloned().map(Packet::Send).collect();
    alice.say_all(&packets);
    let acks = sends.iter().map(|send| alice.sendack(send.number)).collect();
    (alice, sends, acks)
}

#[test]
fn beyond_a_burst_the_user_is_told_when_to_come_back() {
    everywhere(&SLOW, |world| {
        let (mut alice, sends, acks) = burst(world, 6);
        assert!(acks[..5].iter().all(|ack| ack.reason == Reason::Ok), "{acks:?}");
        let wait = retry_after(&acks[5]);
        assert!((1..=1_000).contains(&wait), "{wait}");
        // What is stored already costs nothing.
        for (send, ack) in sends.iter().zip(&acks).take(5).cycle().take(50) {
            assert_eq!(alice.resend(send), *ack);
        }
        // The limit is the user's, not the connection's.
        let mut tablet = world.connect_as("alice", "tablet");
        let other = tablet.next_send(&sends[0].channel, "from the tablet");
        let ack = tablet.resend(&other);
        assert!(ack.reason == Reason::RateLimited || ack.reason == Reason::Ok);
        let mut bob = world.connect("bob");
        assert!(bob.send(&sends[0].channel, "another user") > 5);
        until("its turn", || (alice.resend(&sends[5]).reason == Reason::Ok).then_some(()));
    });
}

#[test]
fn after_a_refusal_for_now_no_higher_number_overtakes() {
    everywhere(&SLOW, |world| {
        let (mut alice, sends, acks) = burst(world, 10);
        assert_eq!(acks.iter().filter(|ack| ack.reason == Reason::Ok).count(), 5);
        // The seventh alone, for so long that it could be afforded: the sixth has not come again.
        let start = std::time::Instant::now();
        while start.elapsed() < std::time::Duration::from_millis(2_500) {
            retry_after(&alice.resend(&sends[6]));
        }
        until("the sixth", || (alice.resend(&sends[5]).reason == Reason::Ok).then_some(()));
        until("the others, in order", || {
            sends.iter().map(|send| alice.resend(send)).all(|ack| ack.reason == Reason::Ok).then_some(())
        });
        let bodies = alice.bodies(&sends[0].channel);
        let expected: Vec<_> = sends.iter().map(|send| send.body.clone()).collect();
        assert_eq!(bodies, expected, "lines of a user never change places");
    });
}

#[test]
fn who_does_not_wait_is_answered_no_faster_for_it() {
    everywhere(&SLOW, |world| {
        let (mut alice, sends, acks) = burst(world, 6);
        retry_after(&acks[5]);
        let start = std::time::Instant::now();
        for _ in 0..5 {
            let ack = alice.resend(&sends[5]);
            assert!(ack.reason == Reason::RateLimited || ack.reason == Reason::Ok);
            if ack.reason == Reason::Ok {
                return;
            }
        }
        let took = start.elapsed();
        assert!(took >= std::time::Duration::from_millis(400), "five refusals in {took:?}");
    });
}

#[test]
fn a_refused_number_that_is_given_up_holds_nobody_back() {
    everywhere(&SLOW, |world| {
        let (mut alice, sends, acks) = burst(world, 7);
        retry_after(&acks[5]);
        let next = SendPacket { oldest: 7, ..sends[6].clone() };
        until("the seventh", || (alice.resend(&next).reason == Reason::Ok).then_some(()));
        assert_eq!(alice.resend(&sends[5]).reason, Reason::Stale);
        assert_eq!(alice.bodies(&sends[0].channel).len(), 6);
    });
}
