//! Most connections of a listener, and what the next one is told.

use postrider_protocol::{Reason, packet::Packet, tag};

use crate::harness::{Client, everywhere, until};

#[test]
fn beyond_the_most_connections_the_next_is_told_to_come_back() {
    everywhere(&["listeners.max_connections=2"], |world| {
        let one = world.connect_as("alice", "one");
        let mut two = world.connect_as("alice", "two");
        for _ in 0..3 {
            let mut third = Client::new(world.server, world.via);
            let told = third.ends_with(Reason::Busy);
            assert!(told.get_u32(tag::RETRY_AFTER_MS).is_some_and(|wait| wait >= 1_000));
        }
        two.ping();
        drop(one);
        until("room", || {
            let mut next = Client::new(world.server, world.via);
            let sender = postrider_protocol::Sender::request(postrider_protocol::SenderKind::Kept);
            // Refused once the server has turned it away.
            let _ = next.try_say(&Packet::Connect(crate::harness::connect_packet("bob", "phone", sender)));
            match next.next() {
                Some(Packet::Connack(connack)) => {
                    assert_eq!(connack.reason, Reason::Ok);
                    Some(())
                }
                Some(Packet::Disconnect(told)) => {
                    assert_eq!(told.reason, Reason::Busy);
                    None
                }
                _ => None,
            }
        });
    });
}
