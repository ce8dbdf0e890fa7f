//! Up to where a user has read: one mark for all devices, forward only.

use postrider_protocol::{MAX_INTEGER, Method, Reason, Tlvs, packet::SendPacket, tag};

use crate::harness::{Client, Server, Via, channel_of, everywhere, on_all};

fn mark(client: &mut Client, channel: &postrider_protocol::Channel) -> u64 {
    client.listed(channel).unwrap().read
}

#[test]
fn the_mark_moves_forward_only_and_for_all_devices() {
    let mut server = Server::start(&[]);
    on_all(&server, |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let channel = channel_of(&alice.user, &bob.user);
        alice.send_many(5, &channel, "x");
        assert_eq!(mark(&mut bob, &channel), 0);
        let reply = bob.read(&channel, 3);
        assert_eq!((reply.reason, reply.seq), (Reason::Ok, 0), "a mark has no seq");
        assert!(reply.time_ms > 0 && reply.fields.is_empty());
        for (seq, expected) in [(3, 3), (1, 3), (4, 4)] {
            assert_eq!(bob.read(&channel, seq).reason, Reason::Ok);
            assert_eq!(mark(&mut bob, &channel), expected);
        }
        assert_eq!(mark(&mut world.connect_as("bob", "tablet"), &channel), 4);
        assert_eq!(mark(&mut alice, &channel), 0, "everybody has their own");
        assert_eq!(alice.send(&channel, "y"), 6, "marks use no seq");
    });
    server.crash_and_restart();
    for via in Via::ALL {
        let (alice, bob) = (format!("alice.{}", via.name()), format!("bob.{}", via.name()));
        let mut client = Client::connect(&server, via, &bob, "phone");
        assert_eq!(mark(&mut client, &channel_of(&alice, &bob)), 4);
    }
}

#[test]
fn a_mark_beyond_the_head_or_of_no_conversation_is_refused() {
    everywhere(&[], |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let channel = channel_of(&alice.user, &bob.user);
        alice.send(&channel, "1");
        for seq in [2, MAX_INTEGER] {
            assert_eq!(bob.read(&channel, seq).reason, Reason::EpochMismatch);
        }
        assert_eq!(bob.read(&channel_of(&bob.user, "nobody"), 0).reason, Reason::NoChannel);
        assert_eq!(bob.read(&channel_of(&alice.user, "carol"), 1).reason, Reason::NoChannel);
        assert_eq!(bob.call(Method::Read, b"junk"[..].into()).reason, Reason::Malformed);
        assert_eq!(mark(&mut bob, &channel), 0);
    });
}

#[test]
fn a_send_can_carry_the_mark_and_does_not_pass_it_on() {
    everywhere(&[], |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let channel = channel_of(&alice.user, &bob.user);
        alice.send_many(3, &channel, "x");
        let reading = |client: &mut Client, seq: u64| {
            let text = (tag::CONTENT_TYPE, &b"text/plain"[..]);
            let tlvs = Tlvs::from_pairs([text, (tag::READ, &seq.to_be_bytes()[..])]);
            let send = SendPacket { tlvs, ..client.next_send(&channel, "reply") };
            assert_eq!(client.resend(&send).reason, Reason::Ok);
        };
        reading(&mut bob, 2);
        let image = alice.recv();
        assert_eq!((image.tlvs.get(tag::READ), image.tlvs.get_text(tag::CONTENT_TYPE)), (None, Some("text/plain")));
        assert_eq!(mark(&mut bob, &channel), 2);
        reading(&mut bob, 1);
        assert_eq!(mark(&mut bob, &channel), 2);
        reading(&mut bob, 1_000);
        let (read, head) = (mark(&mut bob, &channel), bob.listed(&channel).unwrap().head);
        assert!(read <= head, "{read} lies beyond {head}");
        assert_eq!(mark(&mut alice, &channel), 0);
    });
}

#[test]
fn the_first_message_of_a_channel_can_carry_a_mark() {
    everywhere(&[], |world| {
        let mut alice = world.connect("alice");
        let channel = channel_of(&alice.user, &world.name("bob"));
        let tlvs = Tlvs::from_pairs([(tag::READ, &9_u64.to_be_bytes()[..])]);
        let send = SendPacket { tlvs, ..alice.next_send(&channel, "first") };
        assert_eq!(alice.resend(&send).seq, 1);
        let read = mark(&mut alice, &channel);
        assert!(read <= 1, "{read} lies beyond the head");
    });
}
