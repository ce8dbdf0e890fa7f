//! Who may come in, as whom, and which of two connections of one device stays.

use std::sync::{
    Barrier,
    atomic::{AtomicUsize, Ordering},
};

use postrider::auth::Claims;
use postrider_protocol::{
    Reason, Sender, SenderKind, Tlvs,
    packet::{ConnackPacket, DisconnectPacket, ListPacket, Packet, RecvackPacket},
    tag,
};

use crate::harness::{
    Client, Forged, Place, SECRET, Server, Via, World, channel_of, claims, connect_packet, ends, everywhere, id, now_s,
    sign, until,
};

fn new_sender() -> Sender {
    Sender::request(SenderKind::Kept)
}

/// CONNECT with this token, over a fresh transport.
fn ask_in(world: World<'_>, token: impl AsRef<[u8]>, device: &str) -> (Client, ConnackPacket) {
    let mut client = Client::new(world.server, world.via);
    let mut connect = connect_packet("nobody", device, new_sender());
    connect.token = bytes::Bytes::copy_from_slice(token.as_ref());
    let connack = client.ask_in(&connect);
    (client, connack)
}

/// A refusing CONNACK, with nothing in it but the reason, and then the end.
#[track_caller]
fn is_turned_away(world: World<'_>, token: impl AsRef<[u8]>, reason: Reason) {
    let (mut client, connack) = ask_in(world, token.as_ref(), "phone");
    let shown = String::from_utf8_lossy(token.as_ref()).into_owned();
    assert_eq!(connack.reason, reason, "{shown}: {connack:?}");
    assert_eq!((connack.user, connack.version, connack.server_time_ms), (None, 0, 0));
    assert_eq!(connack.sender.as_bytes(), &[0; 8]);
    assert!(connack.tlvs.get_text(tag::DETAIL).is_some_and(|detail| !detail.is_empty() && !shown.contains(detail)));
    client.is_over(reason);
}

#[test]
fn f12_the_first_frame_is_connect() {
    everywhere(&[], |world| {
        let mut alice = world.connect("alice");
        let channel = channel_of(&alice.user, "bob");
        let packets = [
            Packet::Send(alice.next_send(&channel, "early")),
            Packet::Recvack(RecvackPacket { channel: channel.clone(), seq: 1, tlvs: Tlvs::new() }),
            Packet::Ping(Tlvs::new()),
            Packet::Pong(Tlvs::new()),
            Packet::List(ListPacket {
                request: 1,
                token: Default::default(),
                page: Default::default(),
                limit: 0,
                tlvs: Tlvs::new(),
            }),
            Packet::Disconnect(DisconnectPacket { reason: Reason::Ok, tlvs: Tlvs::new() }),
        ];
        for packet in packets {
            let mut stranger = Client::new(world.server, world.via);
            stranger.say_all(&[packet, Packet::Connect(connect_packet("mallory", "", new_sender()))]);
            stranger.ends_with(Reason::ProtocolViolation);
        }
        assert!(alice.listed(&channel).is_none(), "nothing was stored");
    });
}

#[test]
fn f12_what_is_said_behind_connect_counts_only_if_connack_is_good() {
    everywhere(&[], |world| {
        let (user, mut bob) = (world.name("alice"), world.connect("bob"));
        let channel = channel_of(&user, &bob.user);
        let mut client = Client::new(world.server, world.via);
        let mut packets = vec![Packet::Connect(connect_packet(&user, "phone", new_sender()))];
        packets.extend((0..100).map(|n| Packet::Send(client.next_send(&channel, format!("{n}")))));
        let mut refused = packets.clone();
        client.say_all(&packets);
        assert!(matches!(client.next(), Some(Packet::Connack(connack)) if connack.reason == Reason::Ok));
        assert_eq!((1..=100).map(|number| client.sendack(number).seq).max(), Some(100));

        let mut mallory = Client::new(world.server, world.via);
        let mut connect = connect_packet(&user, "phone", new_sender());
        connect.token = Forged { header: r#"{"alg":"HS256"}"#, claims: "{}", secret: Some(b"guess") }.token().into();
        refused[0] = Packet::Connect(connect);
        mallory.say_all(&refused);
        assert!(matches!(mallory.next(), Some(Packet::Connack(connack)) if connack.reason == Reason::Unauthenticated));
        mallory.is_over(Reason::Unauthenticated);
        assert_eq!(client.send(&channel, "next"), 101, "nothing of it was stored, and alice was not replaced");
        assert_eq!((0..101).map(|_| bob.recv().seq).max(), Some(101));
    });
}

#[test]
fn what_is_said_beyond_the_window_is_answered_as_soon_as_there_is_room() {
    everywhere(&["limits.user_rate=0"], |world| {
        let mut alice = world.connect("alice");
        let channel = channel_of(&alice.user, &world.name("bob"));
        // The server takes in 64 and keeps the rest: what goes on then is the answers' doing, for nothing more is said.
        for round in 0..1_500 {
            let sends: Vec<_> = (0..100).map(|n| Packet::Send(alice.next_send(&channel, format!("{n}")))).collect();
            let (first, second) = sends.split_at(round % 100);
            alice.say_all(first);
            alice.say_all(second);
            for send in &sends {
                let Packet::Send(send) = send else { continue };
                alice.sendack(send.number);
            }
        }
    });
}

#[test]
fn f14_no_common_version_is_told_with_the_servers_range() {
    everywhere(&[], |world| {
        for (min, max) in [(1, 1), (1, 255), (255, 255)] {
            let mut client = Client::new(world.server, world.via);
            let connack = client.ask_in(&postrider_protocol::packet::ConnectPacket {
                version_min: min,
                version_max: max,
                ..connect_packet("alice", "", new_sender())
            });
            assert_eq!(connack.reason, Reason::VersionUnsupported);
            assert_eq!((connack.version_min, connack.version_max), (0, 0));
            client.is_over(Reason::VersionUnsupported);
        }
        let mut client = Client::new(world.server, world.via);
        let connect = connect_packet("alice", "", new_sender());
        let connack = client.ask_in(&postrider_protocol::packet::ConnectPacket { version_max: 255, ..connect.clone() });
        assert_eq!((connack.reason, connack.version), (Reason::Ok, 0));
        let mut client = Client::new(world.server, world.via);
        client.say(&Packet::Connect(postrider_protocol::packet::ConnectPacket {
            version_min: 5,
            version_max: 2,
            ..connect
        }));
        client.ends_with(Reason::Malformed);
    });
}

#[test]
fn connack_tells_user_sender_clock_timers_and_limits() {
    everywhere(&["session.heartbeat=7s", "session.dead=20s", "sync.page_max=77"], |world| {
        let alice = world.connect("alice");
        let connack = alice.connack.as_ref().unwrap();
        assert_eq!(connack.user.as_ref().unwrap().as_str(), alice.user);
        assert!(connack.server_time_ms.abs_diff(now_s() * 1_000) < 60_000);
        let limits = connack.limits;
        assert_eq!((limits.heartbeat_ms, limits.dead_ms, limits.sync_page), (7_000, 20_000, 77));
        assert_eq!((limits.frame_bytes, limits.body_bytes), (131_072, 65_536));
        assert!(!alice.sender.is_request() && alice.sender.kind() == SenderKind::Kept);
        let one_shot = Sender::request(SenderKind::OneShot);
        let other = Client::connect_with(world.server, world.via, &alice.user, "", one_shot);
        assert!(other.sender.kind() == SenderKind::OneShot && other.sender.stamp() > alice.sender.stamp());
        let again = Client::connect_with(world.server, world.via, &alice.user, "phone", alice.sender);
        assert_eq!(again.sender, alice.sender, "a sender that is brought stays");
    });
}

#[test]
fn a01_only_the_servers_key_and_algorithm_count() {
    everywhere(&[], |world| {
        let secret = Some(SECRET.as_bytes());
        let good = serde_json::to_string(&claims("alice", "")).unwrap();
        let claims = good.as_str();
        for alg in ["none", "None", "NONE", "HS384", "HS512", "RS256", "ES256", "EdDSA", "", "hs256"] {
            let header = format!(r#"{{"alg":"{alg}","typ":"JWT"}}"#);
            is_turned_away(world, Forged { header: &header, claims, secret }.token(), Reason::Unauthenticated);
            is_turned_away(world, Forged { header: &header, claims, secret: None }.token(), Reason::Unauthenticated);
        }
        for kid in ["other", "../../secret", "/dev/null", "secret"] {
            let header = format!(r#"{{"alg":"HS256","kid":"{kid}"}}"#);
            is_turned_away(world, Forged { header: &header, claims, secret }.token(), Reason::Unauthenticated);
            let empty = Some(&b""[..]);
            is_turned_away(world, Forged { header: &header, claims, secret: empty }.token(), Reason::Unauthenticated);
        }
        for header in [
            r#"{"alg":"HS256","jku":"http://127.0.0.1/jwks"}"#,
            r#"{"alg":"HS256","x5u":"http://127.0.0.1/cert"}"#,
            r#"{"alg":"HS256","jwk":{"kty":"oct","k":"Z3Vlc3M"}}"#,
        ] {
            let secret = Some(&b"guess"[..]);
            is_turned_away(world, Forged { header, claims, secret }.token(), Reason::Unauthenticated);
        }
        let header = r#"{"alg":"HS256","crit":["exp2"],"exp2":1}"#;
        is_turned_away(world, Forged { header, claims, secret }.token(), Reason::Unauthenticated);
        // The signature of one token under the claims of another.
        let (mine, theirs) = (sign(&crate::harness::claims("mallory", "")), sign(&crate::harness::claims("alice", "")));
        let mut parts: Vec<&str> = mine.split('.').collect();
        parts[1] = theirs.split('.').nth(1).unwrap();
        is_turned_away(world, parts.join("."), Reason::Unauthenticated);
        for junk in ["", ".", "..", "...", "a.b.c", "\0", &theirs[..theirs.len() - 1], &format!("{theirs}.x")] {
            is_turned_away(world, junk, Reason::Unauthenticated);
        }
        assert_eq!(ask_in(world, &theirs, "phone").1.reason, Reason::Ok);
    });
}

#[test]
fn a02_a_token_is_good_for_its_time_alone() {
    everywhere(&["auth.jwt.max_ttl=2h"], |world| {
        let now = now_s();
        let base = claims("alice", "");
        is_turned_away(world, sign(&Claims { exp: now - 61, iat: now - 3_600, ..base.clone() }), Reason::TokenExpired);
        is_turned_away(world, sign(&Claims { exp: 1, iat: 0, ..base.clone() }), Reason::TokenExpired);
        is_turned_away(world, sign(&Claims { nbf: Some(now + 300), ..base.clone() }), Reason::Unauthenticated);
        is_turned_away(world, sign(&Claims { iat: now + 300, ..base.clone() }), Reason::Unauthenticated);
        for exp in [now + 3 * 3_600, u64::MAX] {
            is_turned_away(world, sign(&Claims { exp, ..base.clone() }), Reason::Unauthenticated);
        }
        let header = r#"{"alg":"HS256"}"#;
        let secret = Some(SECRET.as_bytes());
        for claims in [
            format!(r#"{{"sub":"alice","iat":{now}}}"#),
            format!(r#"{{"sub":"alice","exp":{}}}"#, now + 60),
            format!(r#"{{"iat":{now},"exp":{}}}"#, now + 60),
            format!(r#"{{"sub":"alice","iat":{now},"exp":"{}"}}"#, now + 60),
            format!(r#"{{"sub":"alice","iat":{now},"exp":-1}}"#),
            format!(r#"{{"sub":"alice","iat":{now},"exp":1e300}}"#),
            format!(r#"{{"sub":"a/b","iat":{now},"exp":{}}}"#, now + 60),
            format!(r#"{{"sub":"","iat":{now},"exp":{}}}"#, now + 60),
            format!(r#"{{"sub":"alice","ten":4294967296,"iat":{now},"exp":{}}}"#, now + 60),
            format!(r#"{{"sub":"alice","ten":-1,"iat":{now},"exp":{}}}"#, now + 60),
            "[]".to_owned(),
            "{".repeat(2_000),
        ] {
            is_turned_away(world, Forged { header, claims: &claims, secret }.token(), Reason::Unauthenticated);
        }
        let late = sign(&Claims { exp: now - 5, iat: now - 3_600, ..base });
        assert_eq!(ask_in(world, late, "phone").1.reason, Reason::Ok, "clocks may differ a little");
    });
}

#[test]
fn a03_a_long_token_is_refused_unread() {
    everywhere(&[], |world| {
        is_turned_away(world, vec![b'x'; 4_096], Reason::Unauthenticated);
        is_turned_away(world, vec![b'.'; 4_096], Reason::Unauthenticated);
        let mut client = Client::new(world.server, world.via);
        let mut connect = connect_packet("alice", "", new_sender());
        connect.token = vec![b'x'; 4_097].into();
        client.say(&Packet::Connect(connect));
        client.ends_with(Reason::Malformed);
    });
}

#[test]
fn a_token_that_names_a_device_lets_in_that_one_or_none() {
    everywhere(&[], |world| {
        let token = sign(&claims(&world.name("alice"), "phone"));
        assert_eq!(ask_in(world, &token, "phone").1.reason, Reason::Ok);
        assert_eq!(ask_in(world, &token, "").1.reason, Reason::Ok);
        let (mut client, connack) = ask_in(world, &token, "tablet");
        assert_eq!(connack.reason, Reason::Unauthenticated);
        client.is_over(Reason::Unauthenticated);
    });
}

#[test]
fn a09_of_a_hundred_connections_of_one_device_one_stays() {
    let server = Server::start(&[]);
    let (connected, live, replaced) = (Barrier::new(101), AtomicUsize::new(0), AtomicUsize::new(0));
    let channel = channel_of("alice", "bob");
    std::thread::scope(|scope| {
        for n in 0..100 {
            let (server, connected, live, replaced) = (&server, &connected, &live, &replaced);
            scope.spawn(move || {
                let mut client = Client::connect(server, Via::ALL[n % 4], "alice", "phone");
                connected.wait();
                match client.next() {
                    Some(Packet::Disconnect(told)) => {
                        assert_eq!(told.reason, Reason::Replaced);
                        client.is_over(Reason::Replaced);
                        replaced.fetch_add(1, Ordering::SeqCst);
                    }
                    Some(Packet::Recv(image)) => {
                        assert_eq!(&image.body[..], b"who is there?");
                        live.fetch_add(1, Ordering::SeqCst);
                    }
                    other => panic!("{other:?}"),
                }
            });
        }
        connected.wait();
        Client::connect(&server, Via::Tcp, "bob", "").send(&channel, "who is there?");
    });
    assert_eq!((live.into_inner(), replaced.into_inner()), (1, 99));
}

#[test]
fn a_newer_connection_replaces_only_its_own_device() {
    everywhere(&[], |world| {
        let (mut phone, mut tablet) = (world.connect("alice"), world.connect_as("alice", "tablet"));
        let mut bob = world.connect_as("bob", "phone");
        let channel = channel_of(&phone.user, &bob.user);
        let send = Packet::Send(phone.next_send(&channel, "last words"));
        phone.say(&send);
        assert_eq!(bob.recv().seq, 1);
        let mut newer = world.connect("alice");
        assert_eq!(phone.sendack(1).reason, Reason::Ok, "what was accepted is answered");
        phone.ends_with(Reason::Replaced);
        bob.send(&channel, "hello");
        assert_eq!((newer.recv().seq, tablet.recv_of(&channel).seq, tablet.recv().seq), (2, 1, 2));
        // The end of the replaced one takes nothing from the newer one.
        bob.send(&channel, "again");
        assert_eq!(newer.recv().seq, 3);
    });
}

#[test]
fn without_a_device_nothing_is_pushed_nothing_replaced_and_no_cursor_moves() {
    everywhere(&[], |world| {
        let (mut one, mut two) = (world.connect_as("alice", ""), world.connect_as("alice", ""));
        let (mut phone, mut bob) = (world.connect("alice"), world.connect("bob"));
        let channel = channel_of(&one.user, &bob.user);
        one.send(&channel, "1");
        two.send(&channel, "2");
        bob.send(&channel, "3");
        assert_eq!((0..3).map(|_| phone.recv().seq).max(), Some(3));
        for client in [&mut one, &mut two] {
            assert_eq!(client.sync_from(&channel, 1).images.len(), 3, "it reads");
            assert_eq!(client.recvs_heard(), 0);
        }
        one.recvack(&channel, 3);
        one.ends_with(Reason::ProtocolViolation);
        two.ping();
        assert_eq!(world.connect("alice").listed(&channel).unwrap().sync_from, 0);
    });
}

#[test]
fn a10_the_author_is_who_the_token_names() {
    everywhere(&[], |world| {
        let (mut mallory, mut bob) = (world.connect("mallory"), world.connect("bob"));
        let theirs = channel_of(&world.name("alice"), &bob.user);
        assert_eq!(mallory.try_send(&theirs, "from alice, really").reason, Reason::NoChannel);
        let own = channel_of(&mallory.user, &bob.user);
        mallory.send(&own, "from mallory");
        let image = bob.recv();
        assert_eq!((image.author(), image.channel), (id(&mallory.user), own));
        assert!(bob.listed(&theirs).is_none());
    });
}

#[test]
fn tenants_share_nothing() {
    everywhere(&[], |world| {
        let user = world.name("alice");
        let other = sign(&Claims { ten: Some(7), ..claims(&user, "") });
        let mut here = world.connect("alice");
        let (mut there, connack) = ask_in(world, other, "phone");
        assert_eq!(connack.reason, Reason::Ok, "the same device of another tenant's user replaces nobody");
        let notes = channel_of(&user, &user);
        assert_eq!((here.send(&notes, "here"), there.send(&notes, "there")), (1, 1));
        assert_eq!((here.bodies(&notes), there.bodies(&notes)), (vec!["here".into()], vec!["there".into()]));
    });
}

#[test]
fn a11_a_secret_that_could_be_guessed_or_read_stops_the_start() {
    let bad = [
        "",
        "short",
        "change-me-change-me-change-me-change-me",
        "your-256-bit-secret-your-256-bit-secret",
        "openIM123openIM123openIM123openIM123",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "0123456789012345678901234567890   \n\n",
    ];
    for secret in bad {
        let place = Place::new();
        place.write("secret", secret);
        let out = ends(place.serve(&[]));
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(78), "{secret:?}: {said}");
        assert!(said.contains("secret") && (secret.is_empty() || !said.contains(secret.trim_end())), "{said}");
        assert!(!place.data().exists(), "nothing was made");
    }
    let place = Place::new();
    let file = place.write("secret", SECRET);
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o640);
    std::fs::set_permissions(file, readable).unwrap();
    let out = ends(place.serve(&[]));
    assert_eq!(out.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&out.stderr).contains("chmod 600"));
}

#[test]
fn neither_tokens_nor_bodies_nor_secrets_are_logged() {
    let server = Server::start(&["log.level=trace"]);
    let canary = "canary-7d1f0a";
    let mut alice = Client::connect(&server, Via::Tcp, "alice", "phone");
    alice.send(&channel_of("alice", "alice"), canary);
    let token = sign(&claims("alice", ""));
    let mut mallory = Client::new(&server, Via::Ws);
    let mut connect = connect_packet("alice", "", new_sender());
    connect.token = format!("{token}x").into();
    assert_eq!(mallory.ask_in(&connect).reason, Reason::Unauthenticated);
    mallory.is_over(Reason::Unauthenticated);
    let metrics = server.get("/metrics").1;
    until("the log", || (!server.log().is_empty()).then_some(()));
    let all = format!("{}\n{metrics}", server.log().join("\n"));
    for secret in [canary, SECRET, token.rsplit('.').next().unwrap()] {
        assert!(!all.contains(secret), "{secret} is in\n{all}");
    }
}
