//! The server's session machine against a peer played from a script, with a clock that the test turns.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use bytes::Bytes;
use postrider_protocol::{
    CONNECT_PAYLOAD_BYTES, Channel, HELD_BYTES, Id, Kind, Method, Reason, Sender, SenderKind, Tlvs, frame,
    packet::{
        CallPacket, ConnectPacket, DisconnectPacket, LagPacket, ListPacket, Packet, RecvackPacket, SendPacket,
        SyncPacket,
    },
    session::server::{ServerEvent, ServerSession, ServerTimers},
};

fn id(text: &str) -> Id {
    text.parse().unwrap()
}

fn bytes(packet: &Packet) -> Bytes {
    let mut out = Vec::new();
    packet.encode(&mut out);
    out.into()
}

fn raw(kind: u8, payload_len: usize) -> Bytes {
    let mut out = Vec::new();
    frame::append(&mut out, Kind::Pong, |out| out.resize(out.len() + payload_len, 0));
    out[4] = kind;
    let mut crc = crc32fast::Hasher::new();
    crc.update(&out[..6]);
    crc.update(&out[10..]);
    out[6..10].copy_from_slice(&crc.finalize().to_be_bytes());
    out.into()
}

fn connect() -> Packet {
    Packet::Connect(ConnectPacket {
        version_min: 0,
        version_max: 0,
        token: Bytes::from_static(b"token"),
        device: Some(id("phone")),
        sender: Sender::request(SenderKind::Kept),
        tlvs: Tlvs::new(),
    })
}

fn send(number: u64, oldest: u64) -> Packet {
    let channel = Channel::person(&id("alice"), &id("bob"));
    Packet::Send(SendPacket { number, oldest, channel, flags: 1, body: Bytes::from_static(b"hi"), tlvs: Tlvs::new() })
}

fn call(method: u16, number: u64, oldest: u64) -> Packet {
    Packet::Call(CallPacket { request: 1, method, number, oldest, fields: Bytes::new(), tlvs: Tlvs::new() })
}

fn ping() -> Packet {
    Packet::Ping(Tlvs::new())
}

fn start() -> ServerSession {
    ServerSession::new(ServerTimers::default(), 1_000)
}

/// A session that authenticated at 1,000 ms.
fn open() -> ServerSession {
    let mut session = start();
    session.handle_bytes(1_000, bytes(&connect()));
    assert!(matches!(session.poll_event(), Some(ServerEvent::Connect(_))));
    session.accepted(1_000);
    session
}

/// The reason for which these packets close an open session, if they do.
fn closes(packets: &[Packet]) -> Option<Reason> {
    let mut session = open();
    for packet in packets {
        session.handle_bytes(1_000, bytes(packet));
    }
    reason(&events(&mut session))
}

fn events(session: &mut ServerSession) -> Vec<ServerEvent> {
    std::iter::from_fn(|| session.poll_event()).collect()
}

fn reason(events: &[ServerEvent]) -> Option<Reason> {
    events.iter().find_map(|event| match event {
        ServerEvent::Close { reason, .. } => Some(*reason),
        _ => None,
    })
}

#[test]
fn connect_comes_first_and_once() {
    for first in [ping(), send(1, 1), Packet::Disconnect(DisconnectPacket { reason: Reason::Ok, tlvs: Tlvs::new() })] {
        let mut session = start();
        session.handle_bytes(1_000, bytes(&first));
        assert_eq!(reason(&events(&mut session)), Some(Reason::ProtocolViolation));
    }
    let mut session = start();
    session.handle_bytes(1_000, raw(0x90, 0));
    assert_eq!(reason(&events(&mut session)), Some(Reason::ProtocolViolation), "not even an ignorable frame");
    assert_eq!(closes(&[connect()]), Some(Reason::ProtocolViolation));
}

#[test]
fn frames_behind_connect_wait_for_authentication_in_order() {
    let mut session = start();
    let stream = [bytes(&connect()), bytes(&send(1, 1)), bytes(&ping())].concat();
    for byte in stream {
        session.handle_bytes(1_000, Bytes::copy_from_slice(&[byte]));
        if let Some(event) = session.poll_event() {
            assert!(matches!(event, ServerEvent::Connect(_)));
        }
    }
    assert!(session.has_held());
    assert_eq!(session.poll_event(), None);
    session.accepted(1_500);
    let after = events(&mut session);
    assert!(matches!(after[..], [ServerEvent::Send(_), ServerEvent::Answer(Packet::Pong(_))]), "{after:?}");
    assert!(!session.has_held());
}

#[test]
fn at_most_64_kib_wait_for_authentication() {
    let mut session = start();
    session.handle_bytes(1_000, bytes(&connect()));
    assert!(matches!(session.poll_event(), Some(ServerEvent::Connect(_))));
    session.handle_bytes(1_000, vec![0; HELD_BYTES].into());
    assert_eq!(session.poll_event(), None);
    session.handle_bytes(1_000, Bytes::from_static(b"\0"));
    assert_eq!(reason(&events(&mut session)), Some(Reason::ProtocolViolation));
}

#[test]
fn the_first_frame_is_short_and_later_ones_may_be_long() {
    let mut session = start();
    session.handle_bytes(1_000, raw(1, CONNECT_PAYLOAD_BYTES + 1).slice(..10));
    assert_eq!(reason(&events(&mut session)), Some(Reason::FrameTooLarge));
    let mut session = open();
    session.handle_bytes(1_000, raw(0x90, CONNECT_PAYLOAD_BYTES + 1));
    assert_eq!(events(&mut session), []);
}

#[test]
fn each_packet_of_a_client_is_an_event() {
    let channel = Channel::group(&id("team"));
    let mut session = open();
    let (request, tlvs) = (1, Tlvs::new());
    let (token, page) = (Bytes::new(), Bytes::new());
    let packets = [
        send(5, 2),
        call(Method::GroupMembers.number(), 0, 0),
        Packet::Recvack(RecvackPacket { channel: channel.clone(), seq: 4, tlvs: tlvs.clone() }),
        Packet::List(ListPacket { request, token, page, limit: 0, tlvs: tlvs.clone() }),
        Packet::Sync(SyncPacket { request, channel, epoch: 0, from: 1, to: 2, limit: 0, tlvs: tlvs.clone() }),
        Packet::Pong(tlvs.clone()),
        ping(),
        Packet::Disconnect(DisconnectPacket { reason: Reason::Ok, tlvs }),
        send(6, 2),
    ];
    for packet in &packets {
        session.handle_bytes(1_000, bytes(packet));
    }
    let events = events(&mut session);
    assert!(
        matches!(
            events[..],
            [
                ServerEvent::Send(_),
                ServerEvent::Call(_),
                ServerEvent::Recvack(_),
                ServerEvent::List(_),
                ServerEvent::Sync(_),
                ServerEvent::Answer(Packet::Pong(_)),
                ServerEvent::Ended,
            ]
        ),
        "nothing after DISCONNECT: {events:?}"
    );
    assert_eq!(session.poll_timeout(), None);
}

#[test]
fn numbers_stay_in_the_window() {
    for (number, oldest, closed) in
        [(1, 1, false), (64, 1, false), (65, 1, true), (65, 2, false), (1, 2, true), (0, 0, true), (1, 0, true)]
    {
        let expected = closed.then_some(Reason::ProtocolViolation);
        assert_eq!(closes(&[send(number, oldest)]), expected, "SEND {number} {oldest}");
        let change = call(Method::GroupCreate.number(), number, oldest);
        assert_eq!(closes(&[change]), expected, "CALL {number} {oldest}");
    }
    let members = Method::GroupMembers.number();
    assert_eq!(closes(&[call(members, 0, 0)]), None);
    assert_eq!(closes(&[call(members, 1, 1)]), Some(Reason::ProtocolViolation));
    assert_eq!(closes(&[call(u16::MAX, 0, 0), call(u16::MAX, 1, 1)]), None, "REPLY refuses an unknown method");
}

#[test]
fn a_long_body_is_not_this_machines_business() {
    let Packet::Send(mut packet) = send(1, 1) else { panic!() };
    packet.body = vec![0; 65_537].into();
    assert_eq!(closes(&[Packet::Send(packet)]), None);
}

#[test]
fn frames_of_servers_close() {
    let lag = Packet::Lag(LagPacket { dropped: 1, tlvs: Tlvs::new() });
    assert_eq!(closes(&[lag]), Some(Reason::ProtocolViolation));
}

#[test]
fn tlvs_of_servers_close_and_unknown_critical_ones_are_refused() {
    let with = |tag: u16| Tlvs::from_pairs([(tag, &b"1234"[..])]);
    assert_eq!(closes(&[Packet::Ping(with(0x4001))]), Some(Reason::ProtocolViolation));
    assert_eq!(closes(&[Packet::Ping(with(0x7fff))]), Some(Reason::ProtocolViolation));
    assert_eq!(closes(&[Packet::Ping(with(0x3fff))]), None);
    assert_eq!(closes(&[Packet::Ping(with(0x8000))]), Some(Reason::UnknownCritical));
    let mut session = open();
    let (token, page) = (Bytes::new(), Bytes::new());
    session.handle_bytes(
        1_000,
        bytes(&Packet::List(ListPacket { request: 7, token, page, limit: 0, tlvs: with(0x8000) })),
    );
    let events = events(&mut session);
    let [ServerEvent::Answer(Packet::Listed(listed))] = &events[..] else { panic!("{events:?}") };
    assert_eq!((listed.request, listed.reason), (7, Reason::UnknownCritical));
}

#[test]
fn what_came_before_a_broken_frame_counts() {
    let mut session = open();
    let mut broken = bytes(&send(2, 1)).to_vec();
    *broken.last_mut().unwrap() ^= 1;
    session.handle_bytes(1_000, [bytes(&send(1, 1)).to_vec(), broken, bytes(&send(3, 1)).to_vec()].concat().into());
    let events = events(&mut session);
    assert!(
        matches!(events[..], [ServerEvent::Send(_), ServerEvent::Close { reason: Reason::BadCrc, .. }]),
        "{events:?}"
    );
}

#[test]
fn other_protocols_are_turned_away_at_once() {
    for hello in [&b"GET /ws HTTP/1.1\r\n"[..], b"SSH-2.0-OpenSSH_9.6\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03"]
    {
        let mut session = start();
        session.handle_bytes(1_000, Bytes::from_static(hello));
        assert!(reason(&events(&mut session)).is_some());
    }
}

/// When the session times out by itself, and for which reason, if the clock runs on.
fn timeout(session: &mut ServerSession) -> Option<u64> {
    let at = session.poll_timeout()?;
    assert_eq!(session.handle_timeout(at - 1), None);
    assert!(matches!(session.handle_timeout(at), Some(ServerEvent::Close { reason: Reason::Timeout, .. })));
    assert_eq!((session.poll_timeout(), session.handle_timeout(at + 1)), (None, None));
    Some(at)
}

#[test]
fn connect_must_come_whole_in_time_however_it_drips() {
    assert_eq!(timeout(&mut start()), Some(11_000));
    let mut session = start();
    let connect = bytes(&connect());
    for at in 0..9 {
        session.handle_bytes(1_900 + at * 1_000, connect.slice(at as usize..at as usize + 1));
        assert_eq!(session.poll_event(), None);
    }
    assert_eq!(timeout(&mut session), Some(11_000));
}

#[test]
fn a_frame_must_come_whole_in_time_however_it_drips() {
    let mut session = open();
    let frame = bytes(&send(1, 1));
    for at in 0..5 {
        session.handle_bytes(20_000 + at * 1_500, frame.slice(at as usize..at as usize + 1));
        session.resume_reading(20_000 + at * 1_500);
        assert_eq!(session.poll_event(), None);
    }
    assert_eq!(timeout(&mut session), Some(30_000));
}

#[test]
fn the_time_of_a_frame_begins_with_its_own_first_byte() {
    let mut session = open();
    let frame = bytes(&send(1, 1));
    session.handle_bytes(20_000, frame.slice(..5));
    assert_eq!(session.poll_event(), None);
    session.handle_bytes(28_000, [&frame[5..], &bytes(&send(2, 1))[..3]].concat().into());
    assert!(matches!(session.poll_event(), Some(ServerEvent::Send(_))));
    assert_eq!(session.poll_event(), None);
    assert_eq!(timeout(&mut session), Some(38_000));
}

#[test]
fn any_frame_is_a_sign_of_life_and_silence_is_none() {
    let mut session = open();
    assert_eq!(session.poll_timeout(), Some(91_000));
    session.handle_bytes(50_000, raw(0x90, 3));
    assert_eq!(session.poll_event(), None);
    assert_eq!(timeout(&mut session), Some(140_000));
}

#[test]
fn no_deadline_runs_while_authenticating_or_while_nobody_reads() {
    let mut session = start();
    session.handle_bytes(1_000, bytes(&connect()));
    assert!(session.poll_event().is_some());
    assert_eq!(session.poll_timeout(), None);
    session.accepted(40_000);
    assert_eq!(session.poll_timeout(), Some(130_000));
    session.suspend_reading(50_000);
    assert_eq!((session.poll_timeout(), session.handle_timeout(1_000_000)), (None, None));
    session.resume_reading(200_000);
    assert_eq!(timeout(&mut session), Some(290_000));
}

#[test]
fn no_deadline_runs_while_frames_wait_for_the_driver() {
    let mut session = open();
    session.handle_bytes(2_000, [bytes(&send(1, 1)), bytes(&send(2, 1))].concat().into());
    assert!(matches!(session.poll_event(), Some(ServerEvent::Send(_))));
    assert!(session.has_held());
    assert_eq!(session.poll_timeout(), None);
}

#[test]
fn an_idle_session_is_small() {
    let size = size_of::<ServerSession>();
    assert!(size <= 176, "{size} bytes");
}
