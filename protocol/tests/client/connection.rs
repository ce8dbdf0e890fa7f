//! The life of a connection, and what outlives it.

use bytes::Bytes;
use postrider_protocol::{
    Method, Reason, SenderKind, Tlvs,
    packet::{ConnackPacket, DisconnectPacket, Limits, Packet},
    session::client::{ClientEvent, ClientState, Retry},
    tag,
};

use crate::script::{Script, alice, group, id, issued, recv};

#[test]
fn silence_is_broken_by_ping_and_ends_in_timeout() {
    let mut script = Script::caught_up(&alice(), 0);
    assert_eq!(script.session.poll_timeout(), Some(30_000));
    script.wait(30_000);
    assert!(matches!(&script.said()[..], [Packet::Ping(_)]));
    script.say(&Packet::Pong(Tlvs::new()));
    script.wait(30_000);
    script.wait(30_000);
    assert!(matches!(&script.said()[..], [Packet::Ping(_), Packet::Ping(_)]));
    script.wait(30_000);
    let events = script.events();
    assert!(
        matches!(
            events.last(),
            Some(ClientEvent::Closed { reason: Some(Reason::Timeout), retry: Retry::BackOff { .. }, .. })
        ),
        "{events:?}"
    );
}

#[test]
fn a_ping_is_answered() {
    let mut script = Script::caught_up(&alice(), 0);
    script.say(&Packet::Ping(Tlvs::new()));
    assert!(matches!(&script.said()[..], [Packet::Pong(_)]));
}

#[test]
fn a_server_that_does_not_answer_connect_is_given_up_after_ten_seconds() {
    let mut script = Script::begin(ClientState::new(None, SenderKind::OneShot), 0, issued(9));
    script.wait(9_999);
    assert_eq!(script.events(), []);
    script.wait(1);
    assert!(matches!(&script.events()[..], [ClientEvent::Closed { reason: Some(Reason::Timeout), .. }]));
}

#[test]
fn what_an_end_means() {
    let ends = [
        (Reason::Replaced, Retry::Never),
        (Reason::ProtocolViolation, Retry::Never),
        (Reason::TokenExpired, Retry::NewToken),
        (Reason::Shutdown, Retry::BackOff { at_least_ms: 700 }),
        (Reason::SlowConsumer, Retry::BackOff { at_least_ms: 700 }),
    ];
    for (reason, expected) in ends {
        let mut script = Script::caught_up(&alice(), 0);
        let tlvs = Tlvs::from_pairs([(tag::RETRY_AFTER_MS, &700_u32.to_be_bytes()[..]), (tag::DETAIL, b"because")]);
        script.say(&Packet::Disconnect(DisconnectPacket { reason, tlvs }));
        let detail = "because".to_string();
        assert_eq!(script.events(), [ClientEvent::Closed { reason: Some(reason), retry: expected, detail }]);
        assert!(script.session.is_closed());
    }
}

#[test]
fn a_state_is_not_used_for_another_user() {
    let mut script = Script::caught_up(&alice(), 0);
    let mut bytes = Vec::new();
    script.state.save(&mut bytes);
    script = Script::begin(ClientState::load(bytes.into()).unwrap(), 0, issued(9));
    script.said();
    let mut connack = ConnackPacket {
        reason: Reason::Ok,
        version: 0,
        version_min: 0,
        version_max: 0,
        user: Some(id("carol")),
        sender: issued(9),
        server_time_ms: 0,
        limits: Limits::default(),
        tlvs: Tlvs::new(),
    };
    script.say(&Packet::Connack(connack.clone()));
    assert!(matches!(&script.events()[..], [ClientEvent::Closed { retry: Retry::NewToken, .. }]));
    assert!(script.session.is_closed());
    connack.user = None;
    let mut script = Script::begin(ClientState::new(None, SenderKind::OneShot), 0, issued(9));
    script.say(&Packet::Connack(connack));
    assert!(script.session.is_closed());
}

#[test]
fn a_saved_state_goes_on_where_the_app_was() {
    let mut script = Script::caught_up(&alice(), 2);
    script.say(&recv(&alice(), 3));
    script.say(&recv(&alice(), 4));
    script.state.acknowledge(script.now_ms, &alice(), 3);
    let number = script.text(&alice(), "unanswered");
    script.state.call(group(), Method::GroupCreate, Bytes::from_static(b"f")).unwrap();
    let mut bytes = Vec::new();
    script.state.save(&mut bytes);
    for cut in 0..bytes.len() {
        assert!(ClientState::load(Bytes::copy_from_slice(&bytes[..cut])).is_err(), "cut at {cut}");
    }

    let mut script = Script::start(ClientState::load(bytes.into()).unwrap());
    let said = script.said();
    let Some(Packet::Send(send)) = said.first() else { panic!("{said:?}") };
    assert_eq!((send.number, send.oldest, &send.body[..]), (number, number, &b"unanswered"[..]));
    assert!(said.iter().any(|packet| matches!(packet, Packet::List(list) if list.token == b"t1"[..])));
    assert_eq!(script.text(&alice(), "next"), number + 2);
    script.list(b"t2", &[]);
    let said = script.said();
    let Some(Packet::Sync(sync)) = said.last() else { panic!("{said:?}") };
    assert_eq!((sync.from, sync.to, sync.epoch), (4, 4, 1), "what was not acknowledged comes again");
}

#[test]
fn f05_frames_cut_anywhere_mean_the_same() {
    let mut whole = Vec::new();
    for seq in 3..=6 {
        recv(&alice(), seq).encode(&mut whole);
    }
    for step in [1, 2, 3, 7, 50, whole.len()] {
        let mut script = Script::caught_up(&alice(), 2);
        for piece in whole.chunks(step) {
            script.session.handle_bytes(Bytes::copy_from_slice(piece));
            script.state.drive(&mut script.session, 0);
        }
        assert_eq!(script.handed_out(), [3, 4, 5, 6], "{step}");
    }
}

#[test]
fn f08_a_broken_frame_ends_the_connection_and_nothing_of_it_counts() {
    let mut script = Script::caught_up(&alice(), 2);
    let mut bytes = Vec::new();
    recv(&alice(), 3).encode(&mut bytes);
    *bytes.last_mut().unwrap() ^= 1;
    script.session.handle_bytes(bytes.into());
    let said = script.said();
    assert!(matches!(&said[..], [Packet::Disconnect(bye)] if bye.reason == Reason::BadCrc), "{said:?}");
    assert!(matches!(
        &script.events()[..],
        [ClientEvent::Closed { reason: Some(Reason::BadCrc), retry: Retry::BackOff { .. }, .. }]
    ));
}
