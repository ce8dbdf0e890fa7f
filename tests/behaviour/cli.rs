//! The command line, as scripts use it: what it prints and how it exits.

use std::process::Output;

use serde_json::Value;

use crate::{
    devices::devices,
    harness::{Client, Place, Server, Via, channel_of, cli, group, id, until},
};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A token of the user in a file.
fn token(server: &Server, user: &str, more: &[&str]) -> String {
    let mut args = vec!["token", "--secret-file", "secret", "--user", user];
    args.extend(more);
    let out = server.run(&args);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let printed = text(&out.stdout);
    assert!(printed.trim_end().split('.').count() == 3 && printed.lines().count() == 1, "{printed}");
    let file = server.place.write(&format!("{user}.token"), &printed);
    file.to_string_lossy().into_owned()
}

fn send(server: &Server, via: Via, token: &str, to: &str, more: &[&str]) -> Output {
    let (addr, ca) = (server.address(via), server.place.path("cert.pem"));
    let ca = ca.to_string_lossy();
    let mut args = vec!["send", "--addr", &addr, "--token-file", token, "--to", to, "--ca", &ca];
    args.extend(more);
    server.run(&args)
}

fn listen(server: &Server, via: Via, token: &str, count: &str) -> Vec<Value> {
    let (addr, ca) = (server.address(via), server.place.path("cert.pem"));
    let ca = ca.to_string_lossy();
    let out = server.run(&["listen", "--addr", &addr, "--token-file", token, "--ca", &ca, "--count", count, "--json"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    text(&out.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn what_was_sent_offline_is_listened_to_once_and_in_order() {
    let mut server = Server::start(&[]);
    let (alice, bob) = (token(&server, "alice", &[]), token(&server, "bob", &["--ttl", "1h"]));
    for (seq, via) in (1..).zip(Via::ALL) {
        let out = send(&server, via, &alice, "user:bob", &["--text", "hi", "--json"]);
        assert!(out.status.success(), "{}", text(&out.stderr));
        let line: Value = serde_json::from_slice(&out.stdout).unwrap();
        assert_eq!((line["channel"].as_str(), line["seq"].as_u64()), (Some("user:bob"), Some(seq)));
    }
    server.crash_and_restart();
    let heard = listen(&server, Via::Wss, &bob, "4");
    for (seq, line) in (1..).zip(&heard) {
        assert_eq!((line["channel"].as_str(), line["from"].as_str()), (Some("user:alice"), Some("alice")));
        assert_eq!((line["seq"].as_u64(), line["payload"].as_str()), (Some(seq), Some("hi")));
        assert!(line["time_ms"].as_u64().is_some());
    }
    assert_eq!(heard.len(), 4);
    // What it printed it acknowledged: the next one is new.
    let out = send(&server, Via::Tcp, &alice, "user:bob", &["--text", "more"]);
    assert_eq!(text(&out.stdout), "user:bob 5\n");
    let heard = listen(&server, Via::Tcp, &bob, "1");
    assert_eq!((heard[0]["seq"].as_u64(), heard[0]["payload"].as_str()), (Some(5), Some("more")));
}

#[test]
fn an_address_without_a_scheme_is_tcp_and_groups_have_addresses() {
    let server = Server::start(&[]);
    let (alice, bob) = (token(&server, "alice", &[]), token(&server, "bob", &[]));
    let mut owner = Client::connect(&server, Via::Tcp, "alice", "phone");
    owner.create("g1", &["bob"]);
    let addr = server.addr(Via::Tcp).to_string();
    let out = server.run(&["send", "--addr", &addr, "--token-file", &alice, "--to", "group:g1", "--text", "\u{e9}"]);
    assert_eq!((text(&out.stdout), out.status.code()), ("group:g1 2\n".to_owned(), Some(0)), "{}", text(&out.stderr));
    assert_eq!(&owner.recv().body[..], "\u{e9}".as_bytes());
    owner.send(&group("g1"), [0xff, 0xfe]);
    let heard = listen(&server, Via::Tls, &bob, "3");
    let last = heard.last().unwrap();
    assert_eq!(
        (last["channel"].as_str(), last["payload_base64"].as_str()),
        (Some("group:g1"), Some("//4=")),
        "{heard:?}"
    );
}

#[test]
fn send_exits_0_only_when_acknowledged() {
    let mut server = Server::start(&[]);
    let alice = token(&server, "alice", &[]);
    let fails = |out: Output, code: i32, what: &str| {
        let said = text(&out.stderr);
        assert_eq!((out.status.code(), text(&out.stdout)), (Some(code), String::new()), "{what}: {said}");
        assert!(!said.trim().is_empty(), "{what}: says nothing");
    };
    fails(send(&server, Via::Tcp, &alice, "group:none", &["--text", "x"]), 1, "no such group");
    fails(send(&server, Via::Tcp, &alice, "bob", &["--text", "x"]), 2, "no address");
    fails(send(&server, Via::Tcp, &alice, "user:bob", &[]), 2, "nothing to send");
    let bad = server.place.write("bad.token", "a.b.c").to_string_lossy().into_owned();
    fails(send(&server, Via::Ws, &bad, "user:bob", &["--text", "x"]), 1, "a bad token");
    fails(send(&server, Via::Ws, "missing.token", "user:bob", &["--text", "x"]), 1, "no token");
    let other = Place::new();
    let ca = other.path("cert.pem").to_string_lossy().into_owned();
    let addr = server.address(Via::Tls);
    let args = ["send", "--addr", &addr, "--token-file", &alice, "--to", "user:bob", "--text", "x", "--timeout", "2s"];
    fails(server.run(&[&args[..], &["--ca", &ca]].concat()), 1, "a foreign authority");
    fails(server.run(&args), 1, "an authority that nobody knows");
    server.kill();
    fails(send(&server, Via::Tcp, &alice, "user:bob", &["--text", "x", "--timeout", "1s"]), 1, "no server");
}

#[test]
fn a_broadcast_says_how_many_have_it_and_ordinary_tokens_make_none() {
    let server = Server::start(&[]);
    let (news, alice) = (token(&server, "news", &["--system"]), token(&server, "alice", &[]));
    let mut phone = Client::connect(&server, Via::Tcp, "alice", "phone");
    until("the device", || (devices(&mut phone).len() == 1).then_some(()));
    let addr = server.address(Via::Tcp);
    let broadcast = |token: &str, more: &[&str]| {
        let mut args = vec!["broadcast", "--addr", &addr, "--token-file", token, "--text", "hi all"];
        args.extend(more);
        server.run(&args)
    };
    let out = broadcast(&news, &["--all"]);
    assert_eq!((text(&out.stdout), out.status.code()), ("1 users have it\n".into(), Some(0)), "{}", text(&out.stderr));
    assert_eq!(&phone.recv().body[..], b"hi all");
    let out = broadcast(&news, &["--tag", "paid", "--json"]);
    let line: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!((line["sent"].as_u64(), line["cancelled"].as_bool()), (Some(0), Some(false)));
    let out = broadcast(&alice, &["--all"]);
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stderr).contains("NOT_ALLOWED"), "{}", text(&out.stderr));
}

#[test]
fn a_token_is_bound_to_its_device_and_tells_nothing_else() {
    let server = Server::start(&[]);
    let printed = text(&server.run(&["token", "--secret-file", "secret", "--user", "alice", "--device", "d1"]).stdout);
    let mut client = Client::new(&server, Via::Tcp);
    let sender = postrider_protocol::Sender::request(postrider_protocol::SenderKind::Kept);
    let mut connect = crate::harness::connect_packet("x", "d1", sender);
    connect.token = printed.trim_end().to_owned().into();
    let connack = client.ask_in(&connect);
    assert_eq!((connack.reason, connack.user), (postrider_protocol::Reason::Ok, Some(id("alice"))));
    for (args, code) in [
        (&["token", "--secret-file", "missing", "--user", "alice"][..], 78),
        (&["token", "--secret-file", "secret", "--user", "a b"], 2),
        (&["token", "--secret-file", "secret", "--user", "alice", "--ttl", "soon"], 2),
        (&["token", "--secret-file", "secret"], 2),
    ] {
        let out = server.run(args);
        assert_eq!((out.status.code(), text(&out.stdout)), (Some(code), String::new()), "{args:?}");
    }
}

#[test]
fn health_asks_a_running_server() {
    let mut server = Server::start(&[]);
    let addr = server.http_addr().to_string();
    let out = server.run(&["health", "--addr", &addr]);
    assert_eq!(out.status.code(), Some(0));
    assert!(text(&out.stdout).contains("ready"));
    server.kill();
    let out = server.run(&["health", "--addr", &addr]);
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stderr).contains("is the server running"));
}

#[test]
fn store_check_tells_clean_from_damaged() {
    let mut server = Server::start(&[]);
    let mut alice = Client::connect(&server, Via::Tcp, "alice", "");
    let channel = channel_of("alice", "bob");
    alice.send_many(50, &channel, [0x5a; 1_000]);
    server.stop();
    let out = server.run(&["store", "check", "data"]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stdout));
    // One bit within a body, in the log.
    let segment = crate::harness::files(&server.place.data().join("log"))
        .into_keys()
        .find(|path| std::fs::read(path).unwrap().windows(500).any(|bytes| bytes == [0x5a; 500]))
        .unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = bytes.windows(500).position(|bytes| bytes == [0x5a; 500]).unwrap();
    bytes[at + 100] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let out = server.run(&["store", "check", "data"]);
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stdout).lines().count() >= 1);
    let out = server.run(&["store", "check", "no/such/directory"]);
    assert_eq!((out.status.code(), text(&out.stdout)), (Some(1), String::new()));
    assert!(!server.place.path("no").exists(), "a check makes nothing");
}

#[test]
fn configuration_is_checked_told_and_documented() {
    let place = Place::new();
    let set = |sets: &[&str]| {
        let mut args = vec!["config", "check"];
        sets.iter().for_each(|set| args.extend(["--set", set]));
        cli(&args).current_dir(place.path("")).output().unwrap()
    };
    let out = set(&["auth.jwt.secret_file=secret", "storage.path=data"]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    assert!(text(&out.stdout).contains("[storage]") && !text(&out.stdout).contains(crate::harness::SECRET));
    for (sets, what) in [
        (&["auth.jwt.secret_file=secret", "no.such.key=1"][..], "no.such.key"),
        (&["auth.jwt.secret_file=secret", "session.dead=never"], "session.dead"),
        (&["auth.jwt.secret_file=secret", "listeners.tcp.addr=0.0.0.0:1"], "listeners.tcp.addr"),
        (&["auth.jwt.secret_file=secret", "listeners.tls.addr=127.0.0.1:1"], "tls.cert_file"),
        (&["auth.jwt.secret_file=missing"], "missing"),
        (&[], "auth.jwt.secret_file"),
    ] {
        let out = set(sets);
        assert_eq!(out.status.code(), Some(78), "{sets:?}");
        assert!(text(&out.stderr).contains(what), "{sets:?}: {}", text(&out.stderr));
    }
    let default = text(&cli(&["config", "default"]).output().unwrap().stdout);
    let file = place.write("default.toml", &default);
    let file = file.to_string_lossy();
    let secret = format!("auth.jwt.secret_file={}", place.path("secret").display());
    let out = cli(&["config", "check", "-c", &file, "--set", &secret]).output().unwrap();
    assert_eq!(out.status.code(), Some(0), "the defaults are a configuration: {}", text(&out.stderr));
    let docs = text(&cli(&["config", "docs"]).output().unwrap().stdout);
    for key in ["listeners.tcp.addr", "storage.segment_bytes", "limits.user_rate", "auth.jwt.secret_file"] {
        assert!(docs.contains(key), "{key}");
    }
}

#[test]
fn wrong_usage_is_exit_code_2_and_the_version_is_told() {
    for args in [&[][..], &["nothing"], &["serve", "--what"], &["store"], &["send"]] {
        let out = cli(args).output().unwrap();
        assert_eq!((out.status.code(), text(&out.stdout)), (Some(2), String::new()), "{args:?}");
    }
    let out = cli(&["version"]).output().unwrap();
    assert_eq!((out.status.code(), text(&out.stdout)), (Some(0), format!("postrider {}\n", env!("CARGO_PKG_VERSION"))));
}
