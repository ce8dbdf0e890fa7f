//! Commands: what goes out, when it goes out again, and what an answer means.

use bytes::Bytes;
use postrider_protocol::{
    Image, Method, Reason, SEND_WINDOW, Sender, SenderKind, Tlvs,
    packet::{Packet, ReplyPacket, SyncItem, SyncedPacket},
    session::client::{ClientEvent, ClientState, Retry},
};

use crate::script::{Script, alice, conversation, group, image, issued, recv, refusal, sendack};

#[test]
fn an_answered_command_fills_its_seq() {
    let mut script = Script::caught_up(&alice(), 2);
    let number = script.text(&alice(), "hi");
    assert_eq!(script.sent(), [number]);
    script.say(&sendack(number, 3));
    let sent = ClientEvent::Sent { number, channel: alice(), seq: 3, time_ms: 2_003 };
    assert_eq!(script.events(), [sent]);
    script.say(&recv(&alice(), 4));
    assert_eq!(script.handed_out(), [4]);
}

#[test]
fn an_answer_above_messages_still_on_their_way_costs_no_sync() {
    let mut script = Script::caught_up(&alice(), 2);
    let number = script.text(&alice(), "hi");
    script.sent();
    script.say(&sendack(number, 5));
    script.say(&recv(&alice(), 3));
    script.say(&recv(&alice(), 4));
    script.say(&recv(&alice(), 6));
    assert_eq!(script.handed_out(), [3, 4, 6]);
    script.wait(10_000);
    assert!(!script.said().iter().any(|packet| matches!(packet, Packet::Sync(_))));
}

#[test]
fn no_more_than_a_window_is_in_flight_and_numbers_span_no_more() {
    let mut script = Script::caught_up(&alice(), 0);
    for _ in 0..100 {
        script.text(&alice(), "x");
    }
    let window = SEND_WINDOW as u64;
    assert_eq!(script.sent(), (1..=window).collect::<Vec<_>>());
    for number in 2..=window {
        script.say(&sendack(number, number));
    }
    assert_eq!(script.sent(), [], "number 1 is still open");
    script.say(&sendack(1, 1));
    assert_eq!(script.sent(), (window + 1..=100).collect::<Vec<_>>());
}

#[test]
fn f24_after_a_cut_unanswered_commands_go_out_again_in_order_under_the_same_numbers() {
    let mut script = Script::caught_up(&alice(), 0);
    let numbers: Vec<u64> = (0..5).map(|_| script.text(&alice(), "x")).collect();
    assert_eq!(script.sent(), numbers);
    script.say(&sendack(2, 1));
    script.reconnect();
    let said = script.said();
    let sends: Vec<(u64, u64)> = said
        .iter()
        .filter_map(|packet| if let Packet::Send(send) = packet { Some((send.number, send.oldest)) } else { None })
        .collect();
    assert_eq!(sends, [(1, 1), (3, 1), (4, 1), (5, 1)]);
}

#[test]
fn a_refusal_to_come_again_keeps_the_order() {
    let mut script = Script::caught_up(&alice(), 0);
    for _ in 0..4 {
        script.text(&alice(), "x");
    }
    assert_eq!(script.sent(), [1, 2, 3, 4]);
    script.say(&sendack(1, 1));
    script.say(&refusal(2, Reason::RateLimited, Some(300)));
    script.wait(300);
    assert_eq!(script.sent(), [], "3 and 4 are not answered");
    script.say(&refusal(3, Reason::RateLimited, Some(300)));
    script.say(&refusal(4, Reason::RateLimited, Some(300)));
    assert_eq!(script.sent(), []);
    script.wait(299);
    assert_eq!(script.sent(), []);
    let timeout = script.state.poll_timeout().unwrap();
    script.wait(timeout - script.now_ms);
    assert_eq!(script.sent(), [2], "one at first");
    script.say(&sendack(2, 2));
    assert_eq!(script.sent(), [3, 4]);
}

#[test]
fn a_refusal_for_good_is_told_and_the_rest_goes_on() {
    let mut script = Script::caught_up(&alice(), 0);
    let number = script.text(&group(), "x");
    let next = script.text(&alice(), "y");
    script.sent();
    script.say(&refusal(number, Reason::NoChannel, None));
    script.say(&sendack(next, 1));
    let events = script.events();
    assert!(
        matches!(
            &events[..],
            [ClientEvent::Refused { number: 1, reason: Reason::NoChannel, .. }, ClientEvent::Sent { .. }]
        ),
        "{events:?}"
    );
}

#[test]
fn f29_a_body_over_the_limit_is_refused_before_it_is_sent() {
    let mut state = ClientState::new(None, SenderKind::OneShot);
    let body = |len| Bytes::from(vec![0; len]);
    assert_eq!(state.send(alice(), 1, body(65_537), Tlvs::new()), Err(Reason::BodyTooLarge));
    assert_eq!(state.send(alice(), 1, body(65_536), Tlvs::new()), Ok(1));
}

#[test]
fn an_expired_sender_is_replaced_and_only_what_cannot_be_stored_goes_under_the_new_one() {
    let mut script = Script::caught_up(&alice(), 0);
    script.text(&alice(), "once on the wire, without an answer");
    script.sent();
    script.reconnect();
    script.text(&group(), "never on the wire before");
    assert_eq!(script.sent(), [1, 2]);
    script.say(&refusal(1, Reason::SenderExpired, None));
    script.text(&group(), "after the refusal");
    assert_eq!(script.sent(), []);
    script.say(&refusal(2, Reason::SenderExpired, None));
    assert!(matches!(script.said().last(), Some(Packet::Disconnect(_))));
    let events = script.events();
    assert!(matches!(events.last(), Some(ClientEvent::Closed { retry: Retry::Now, .. })), "{events:?}");
    assert!(events.contains(&ClientEvent::PerhapsSent { sender: issued(9), number: 1 }), "{events:?}");

    let mut script = Script::begin(script.state, script.now_ms, issued(10));
    assert!(
        matches!(&script.said()[..], [Packet::Connect(connect)] if connect.sender == Sender::request(SenderKind::Kept))
    );
    script.accept();
    assert_eq!(script.sent(), [2, 3]);
}

#[test]
fn another_sender_than_asked_for_leaves_what_was_on_the_wire_open() {
    let mut script = Script::caught_up(&alice(), 0);
    script.text(&alice(), "x");
    script.sent();
    script.sender = issued(11);
    script.reconnect();
    assert!(script.events().contains(&ClientEvent::PerhapsSent { sender: issued(9), number: 1 }));
    assert_eq!(script.sent(), []);
}

#[test]
fn an_own_image_from_a_sync_is_the_answer_to_its_command() {
    let mut script = Script::caught_up(&alice(), 2);
    let number = script.text(&alice(), "x");
    script.sent();
    script.reconnect();
    script.said();
    script.list(b"t2", &[conversation(&alice(), 1, 3, 2)]);
    let (request, ..) = script.expect_sync();
    let own = Image { sender: script.sender, number, ..image(&alice(), 3) };
    let mut bytes = Vec::new();
    own.write(&mut bytes);
    let (items, reason, tlvs) = (vec![SyncItem::Image(bytes.into())], Reason::Ok, Tlvs::new());
    script.say(&Packet::Synced(SyncedPacket { request, reason, epoch: 1, head: 3, from: 3, to: 3, items, tlvs }));
    script.say(&sendack(number, 3));
    let events = script.events();
    let sent = events.iter().filter(|event| matches!(event, ClientEvent::Sent { seq: 3, .. })).count();
    assert_eq!(sent, 1, "{events:?}");
    assert!(!events.iter().any(|event| matches!(event, ClientEvent::Message { .. })), "{events:?}");
}

#[test]
fn calls_share_the_numbers_and_questions_are_asked_again() {
    let mut script = Script::caught_up(&alice(), 0);
    let create = script.state.call(group(), Method::GroupCreate, Bytes::from_static(b"fields")).unwrap();
    let send = script.text(&group(), "first");
    let question = script.state.ask(Method::GroupMembers, Bytes::from_static(b"who")).unwrap();
    assert_eq!((create, send), (1, 2));
    let said = script.said();
    let [Packet::Call(call), Packet::Send(_), Packet::Call(asked)] = &said[..] else { panic!("{said:?}") };
    assert_eq!((call.number, call.oldest, asked.number, asked.oldest), (1, 1, 0, 0));
    let reply = |request, seq| {
        let (reason, fields, tlvs) = (Reason::Ok, Bytes::new(), Tlvs::new());
        Packet::Reply(ReplyPacket { request, reason, seq, time_ms: 9, fields, tlvs })
    };
    script.say(&reply(call.request, 1));
    assert!(matches!(&script.events()[..], [ClientEvent::Sent { number: 1, seq: 1, .. }]));
    script.reconnect();
    let said = script.said();
    let again = said.iter().find_map(|packet| match packet {
        Packet::Call(call) if call.number == 0 => Some(call.request),
        _ => None,
    });
    script.say(&reply(again.unwrap(), 0));
    let events = script.events();
    assert!(events.iter().any(|e| matches!(e, ClientEvent::Reply { question: q, .. } if *q == question)), "{events:?}");
}
