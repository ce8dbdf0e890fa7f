//! Who is slow, silent or gone is let go of in time; who is merely quiet is not.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    thread::sleep,
    time::{Duration, Instant},
};

use postrider_protocol::{Reason, Sender, SenderKind, packet::Packet};

use crate::harness::{
    Client, PATIENCE, Server, Via, channel_of, connect_packet, everywhere, frame as ws_frame, on_all, until,
};

fn encoded(packet: &Packet) -> Vec<u8> {
    let mut out = Vec::new();
    packet.encode(&mut out);
    out
}

/// Says `bytes` one at a time for so long, never with more than 100 ms in between.
fn drip(client: &mut Client, bytes: &[u8], time: Duration) {
    let start = Instant::now();
    for byte in bytes {
        client.wire.say(&[*byte]).unwrap();
        sleep(Duration::from_millis(50));
        if start.elapsed() > time {
            return;
        }
    }
    panic!("all was said in {:?}", start.elapsed());
}

#[test]
fn f04_half_a_frame_and_then_silence_is_a_timeout() {
    everywhere(&["session.frame_timeout=1s"], |world| {
        let mut alice = world.connect("alice");
        let channel = channel_of(&alice.user, "bob");
        let send = encoded(&Packet::Send(alice.next_send(&channel, vec![0; 200])));
        let start = Instant::now();
        alice.wire.say(&send[..100]).unwrap();
        alice.ends_with(Reason::Timeout);
        assert!(start.elapsed() > Duration::from_millis(900), "{:?}", start.elapsed());
        // The deadline runs from the first byte: a byte now and then is no help.
        let mut alice = world.connect("alice");
        drip(&mut alice, &send, Duration::from_millis(1_200));
        alice.ends_with(Reason::Timeout);
        assert_eq!(world.connect("alice").send(&channel, "next"), 1, "nothing of it was stored");
    });
}

#[test]
fn f06_connect_must_be_whole_in_time_however_it_drips() {
    everywhere(&["session.connect_timeout=2s"], |world| {
        let start = Instant::now();
        let mut stranger = Client::new(world.server, world.via);
        let connect = Packet::Connect(connect_packet("alice", "", Sender::request(SenderKind::Kept)));
        drip(&mut stranger, &encoded(&connect), Duration::from_millis(2_200));
        stranger.ends_with(Reason::Timeout);
        assert!(start.elapsed() > Duration::from_millis(1_900), "{:?}", start.elapsed());
        let mut silent = Client::new(world.server, world.via);
        silent.ends_with(Reason::Timeout);
    });
}

#[test]
fn f06_the_time_for_connect_counts_from_accept_with_the_handshakes() {
    let server = Server::start(&["session.connect_timeout=3s"]);
    for via in [Via::Tls, Via::Ws, Via::Wss] {
        let start = Instant::now();
        let mut socket = TcpStream::connect(server.addr(via)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        // A handshake that takes most of the time, as far as the client's first words go.
        if via == Via::Ws {
            sleep(Duration::from_millis(2_000));
            let (status, _) = crate::harness::handshake(&mut socket, server.addr(via), "/ws", &[]).unwrap();
            assert_eq!(status, 101);
        }
        let mut rest = Vec::new();
        // However it ends.
        let _ = socket.read_to_end(&mut rest);
        let took = start.elapsed();
        assert!((Duration::from_millis(2_900)..Duration::from_millis(4_500)).contains(&took), "{via:?} {took:?}");
    }
}

#[test]
fn f19_a_peer_that_vanished_is_given_up_and_its_messages_wait() {
    let server = Server::start(&["session.heartbeat=500ms", "session.dead=1500ms"]);
    on_all(&server, |world| {
        let start = Instant::now();
        let (mut bob, mut alice) = (world.connect("bob"), world.connect("alice"));
        let channel = channel_of(&alice.user, &bob.user);
        // Any frame is life, of whatever kind.
        while start.elapsed() < Duration::from_millis(2_500) {
            alice.wire.say(&frame_of_unknown_kind()).unwrap();
            sleep(Duration::from_millis(100));
        }
        bob.ends_with(Reason::Timeout);
        assert!(start.elapsed() > Duration::from_millis(1_400));
        alice.send(&channel, "while you were away");
        assert_eq!(world.connect("bob").bodies(&channel), ["while you were away"]);
    });
    for via in Via::ALL {
        let open = format!("postrider_connections{{transport=\"{}\"}}", via.name());
        until(&open, || (server.metric(&open) == 0.0).then_some(()));
    }
}

fn frame_of_unknown_kind() -> Vec<u8> {
    let mut crc = crc32fast::Hasher::new();
    let head = [0, 0, 0, 0, 0xee, 0];
    crc.update(&head);
    [&head[..], &crc.finalize().to_be_bytes()].concat()
}

#[test]
fn f20_who_half_closes_gets_the_answers_that_are_owed() {
    everywhere(&[], |world| {
        if world.via.is_ws() {
            // A WebSocket cannot be half closed: who ends one hears no more.
            return;
        }
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let channel = channel_of(&alice.user, &bob.user);
        // More than the server takes at once, and a LIST behind them.
        let sends: Vec<_> = (0..200).map(|n| Packet::Send(alice.next_send(&channel, format!("{n}")))).collect();
        alice.say_all(&sends);
        let start = Instant::now();
        alice.wire.half_close();
        for number in 1..=200 {
            assert_eq!(alice.sendack(number).seq, number);
        }
        assert_eq!(alice.next(), None);
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        assert_eq!((0..200).map(|_| bob.recv().seq).max(), Some(200));
    });
}

#[test]
fn f20_a_half_open_socket_below_a_websocket_or_tls_ends_too() {
    let server = Server::start(&[]);
    for via in Via::ALL {
        let client = Client::connect(&server, via, "alice", via.name());
        client.wire.tcp().shutdown(Shutdown::Write).unwrap();
        let open = format!("postrider_connections{{transport=\"{}\"}}", via.name());
        until(&open, || (server.metric(&open) == 0.0).then_some(()));
    }
}

#[test]
fn f22_who_never_acknowledges_gets_everything_once_and_again_only_by_asking() {
    everywhere(&[], |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let channel = channel_of(&alice.user, &bob.user);
        for _ in 0..10 {
            let sends: Vec<_> = (0..60).map(|_| Packet::Send(alice.next_send(&channel, "x"))).collect();
            alice.say_all(&sends);
            assert_eq!(alice.sendack(alice.number).reason, Reason::Ok);
        }
        let seqs: Vec<u64> = (0..600).map(|_| bob.recv().seq).collect();
        assert_eq!(seqs, (1..=600).collect::<Vec<_>>());
        // Whatever would be repeated would have come before this.
        alice.send(&channel, "last");
        assert_eq!(bob.recv().seq, 601);
        drop(bob);
        let mut bob = world.connect("bob");
        let listed = bob.listed(&channel).unwrap();
        assert_eq!((listed.head, listed.sync_from), (601, 0));
        alice.send(&channel, "live");
        assert_eq!(bob.recv().seq, 602, "nothing old is pushed");
        assert_eq!(bob.sync_from(&channel, 1).images.len(), 602);
    });
}

#[test]
fn a_quiet_websocket_handshake_ends_in_time() {
    let server = Server::start(&["session.connect_timeout=1s"]);
    let mut socket = TcpStream::connect(server.addr(Via::Ws)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(b"GET /ws HTTP/1.1\r\nHost: x\r\n").unwrap();
    let mut answer = Vec::new();
    // However it ends.
    let _ = socket.read_to_end(&mut answer);
    assert_eq!(String::from_utf8_lossy(&answer), "", "no half-made answer");
}

#[test]
fn websocket_pings_are_no_frames_and_no_sign_of_life() {
    let server = Server::start(&["session.heartbeat=500ms", "session.dead=1500ms"]);
    for via in [Via::Ws, Via::Wss] {
        let start = Instant::now();
        let mut alice = Client::connect(&server, via, "alice", "phone");
        while start.elapsed() < Duration::from_millis(1_900) {
            alice.wire.say_raw(&ws_frame(9, b"hi")).unwrap();
            sleep(Duration::from_millis(100));
        }
        alice.ends_with(Reason::Timeout);
    }
}
