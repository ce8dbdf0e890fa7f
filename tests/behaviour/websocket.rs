//! What is particular to WebSocket: who may open one, what may be said on it, and its close codes.

use postrider_protocol::{Reason, Sender, SenderKind, packet::Packet};

use crate::harness::{Client, Server, Via, connect_packet, frame, handshake};

const SOCKETS: [Via; 2] = [Via::Ws, Via::Wss];

fn open(server: &Server, via: Via, path: &str, headers: &[(&str, &str)]) -> u16 {
    handshake(&mut server.socket(via), server.addr(via), path, headers).unwrap().0
}

/// Says raw bytes on an open WebSocket; the code it is closed with.
fn close_code(server: &Server, via: Via, bytes: &[u8]) -> Option<u16> {
    let mut client = Client::new(server, via);
    client.wire.say_raw(bytes).unwrap();
    while client.next().is_some() {}
    client.wire.close_code()
}

#[test]
fn a_page_of_a_foreign_origin_is_kept_out() {
    let server = Server::start(&[]);
    for via in SOCKETS {
        let own = format!("{}://{}", if via.is_tls() { "https" } else { "http" }, server.addr(via));
        assert_eq!(open(&server, via, "/ws", &[("Origin", &own)]), 101);
        let foreign = [
            "https://evil.example",
            "null",
            "http://127.0.0.1",
            &format!("{own}.evil.example"),
            "http://localhost:1",
            "",
        ];
        for origin in foreign {
            assert_eq!(open(&server, via, "/ws", &[("Origin", origin)]), 403, "{origin}");
        }
        assert_eq!(open(&server, via, "/ws", &[]), 101, "who is no browser sends no origin");
    }
}

#[test]
fn configured_origins_are_let_in_and_no_others() {
    let server = Server::start(&["listeners.ws.origins=https://chat.example.org,https://other.example.org"]);
    for via in SOCKETS {
        for (origin, status) in [
            ("https://chat.example.org", 101),
            ("https://other.example.org", 101),
            ("http://chat.example.org", 403),
            ("https://chat.example.org.evil.example", 403),
            ("https://chat.example.org:444", 403),
        ] {
            assert_eq!(open(&server, via, "/ws", &[("Origin", origin)]), status, "{origin}");
        }
        let own = format!("http://{}", server.addr(via));
        assert_eq!(open(&server, via, "/ws", &[("Origin", &own)]), 403);
    }
}

#[test]
fn another_path_and_a_token_in_it_are_refused() {
    let server = Server::start(&[]);
    for via in SOCKETS {
        for path in ["/", "/ws/", "/WS", "/ws/../ws"] {
            assert_eq!(open(&server, via, path, &[]), 404, "{path}");
        }
        assert_eq!(open(&server, via, "/ws?token=abc", &[]), 400);
        assert_eq!(open(&server, via, "/ws", &[("X-Long", &"x".repeat(20_000))]), 431);
    }
}

#[test]
fn offences_are_closed_with_their_codes() {
    let server = Server::start(&[]);
    for via in SOCKETS {
        assert_eq!(close_code(&server, via, &frame(1, b"text")), Some(1_003));
        assert_eq!(close_code(&server, via, &frame(2, &vec![0; 300_000])[..200]), Some(1_009), "on the header");
        let endless = [&[0x82, 0xff][..], &(1_u64 << 62).to_be_bytes(), &[0; 4]].concat();
        assert_eq!(close_code(&server, via, &endless), Some(1_009), "on the header");
        assert_eq!(close_code(&server, via, &[0x82, 0x03, 1, 2, 3]), Some(1_002), "unmasked");
        let mut reserved = frame(2, b"x");
        reserved[0] |= 0x40;
        assert_eq!(close_code(&server, via, &reserved), Some(1_002), "a reserved bit");
        assert_eq!(close_code(&server, via, &frame(3, b"x")), Some(1_002), "a reserved opcode");
        assert_eq!(close_code(&server, via, &frame(9, &[0; 126])), Some(1_002), "a long ping");
    }
}

#[test]
fn a_session_survives_fragments_pings_and_empty_messages() {
    let server = Server::start(&[]);
    for via in SOCKETS {
        let mut client = Client::new(&server, via);
        let mut bytes = Vec::new();
        Packet::Connect(connect_packet("alice", "phone", Sender::request(SenderKind::Kept))).encode(&mut bytes);
        let mut said = Vec::new();
        for (n, piece) in bytes.chunks(7).enumerate() {
            let last = (n + 1) * 7 >= bytes.len();
            let mut fragment = frame(if n == 0 { 2 } else { 0 }, piece);
            if !last {
                fragment[0] &= 0x7f;
            }
            said.extend(fragment);
            said.extend(frame(9, b"ping"));
        }
        said.extend(frame(2, b""));
        client.wire.say_raw(&said).unwrap();
        assert!(matches!(client.next(), Some(Packet::Connack(connack)) if connack.reason == Reason::Ok));
        client.ping();
    }
}

#[test]
fn a_refusal_is_in_the_close_code_too_for_clients_that_see_only_that() {
    let server = Server::start(&[]);
    for via in SOCKETS {
        let mut client = Client::new(&server, via);
        let mut connect = connect_packet("alice", "phone", Sender::request(SenderKind::Kept));
        connect.token = "a.b.c".into();
        assert_eq!(client.ask_in(&connect).reason, Reason::Unauthenticated);
        assert_eq!(client.next(), None);
        assert_eq!(client.wire.close_code(), Some(4_007));
        let mut client = Client::connect(&server, via, "alice", "phone");
        client.say(&Packet::Disconnect(postrider_protocol::packet::DisconnectPacket {
            reason: Reason::Ok,
            tlvs: Default::default(),
        }));
        assert_eq!(client.next(), None);
        assert_eq!(client.wire.close_code(), Some(1_000));
    }
}
