//! Who is online: told to who shares a channel, quietly, and alike by several servers over one Redis.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use postrider_protocol::{
    Id, Method, NoticeKind, Reason, Sender, SenderKind, Tlvs,
    packet::{
        Packet, groups,
        notice::Told,
        presence::{self, Presence, PresenceState},
    },
    tag,
};
use tempfile::TempDir;

use crate::harness::{
    Client, Place, Server, Via, channel_of, claims, connect_packet, ends, everywhere, id, sign, until,
};

const OFFLINE: PresenceState = PresenceState::Offline;
const ONLINE: PresenceState = PresenceState::Online;
const UNKNOWN: PresenceState = PresenceState::Unknown;

/// Connects from a platform.
fn from_platform(server: &Server, via: Via, user: &str, device: &str, platform: &str) -> Client {
    let mut client = Client::new(server, via);
    let tlvs = Tlvs::from_pairs([(tag::PLATFORM, platform.as_bytes())]);
    let connect = connect_packet(user, device, Sender::request(SenderKind::Kept));
    let connack = client.ask_in(&postrider_protocol::packet::ConnectPacket { tlvs, ..connect });
    assert_eq!(connack.reason, Reason::Ok);
    client.user = user.to_owned();
    client
}

/// Asks for users, who are told in this order.
pub fn ask(client: &mut Client, users: &[&str]) -> Vec<Presence> {
    let users: Vec<Id> = users.iter().map(|user| id(user)).collect();
    let mut fields = Vec::new();
    groups::write_users(&mut fields, &users);
    let reply = client.call(Method::Presence, fields.into());
    assert_eq!(reply.reason, Reason::Ok, "{reply:?}");
    presence::read_answer(reply.fields).unwrap()
}

pub fn state(client: &mut Client, user: &str) -> PresenceState {
    ask(client, &[user])[0].state
}

/// The next notice of presence.
fn told(client: &mut Client) -> Vec<Presence> {
    client.wait("PRESENCE", |packet| match packet {
        Packet::Notice(notice) if notice.what == NoticeKind::Presence.number() => {
            match Told::decode(NoticeKind::Presence, notice.fields.clone()).unwrap() {
                Told::Presence(list) => Some(list),
                _ => None,
            }
        }
        _ => None,
    })
}

/// Waits until it is told that the user is so; what else was told until then.
pub fn told_that(client: &mut Client, user: &str, state: PresenceState) -> Vec<(String, PresenceState)> {
    let mut others = Vec::new();
    loop {
        for one in told(client) {
            if (one.user.as_str(), one.state) == (user, state) {
                return others;
            }
            others.push((one.user.to_string(), one.state));
        }
    }
}

/// Says goodbye, and waits until the server has taken it.
fn leave(mut client: Client) {
    client.say(&Packet::Disconnect(postrider_protocol::packet::DisconnectPacket {
        reason: Reason::Ok,
        tlvs: Tlvs::new(),
    }));
    while client.next().is_some() {}
}

/// Asks until the user is so: after its start a server does not know who is on their way.
pub fn settled(client: &mut Client, user: &str, wanted: PresenceState) {
    until("the state", || (state(client, user) == wanted).then_some(()));
}

#[test]
fn who_shares_a_channel_is_told_who_comes_and_goes() {
    everywhere(&["presence.grace=300ms"], |world| {
        let (mut alice, bob) = (world.connect("alice"), world.name("bob"));
        let mut phone = from_platform(world.server, world.via, &bob, "phone", "android");
        assert_eq!(state(&mut alice, &bob), UNKNOWN, "a stranger");
        alice.send(&channel_of(&alice.user, &bob), "hello");
        phone.recv();
        let tablet = from_platform(world.server, world.via, &bob, "tablet", "web");
        let answer = ask(&mut alice, &[&bob, &world.name("nobody")]);
        assert_eq!((answer[0].state, answer[0].last_seen_ms), (ONLINE, 0));
        assert_eq!(answer[0].platforms, [&b"android"[..], b"web"]);
        assert_eq!((answer[1].user.clone(), answer[1].state), (id(&world.name("nobody")), UNKNOWN));
        leave(tablet);
        let now = told(&mut alice);
        assert_eq!((now[0].state, &now[0].platforms[..]), (ONLINE, &[Bytes::from_static(b"android")][..]));
        leave(phone);
        let gone = until("offline", || {
            let last = told(&mut alice).pop().unwrap();
            (last.state == OFFLINE).then_some(last)
        });
        assert!(gone.last_seen_ms > 0 && gone.platforms.is_empty());
        let _phone = world.connect("bob");
        told_that(&mut alice, &bob, ONLINE);
        let me = alice.user.clone();
        assert_eq!(state(&mut alice, &me), ONLINE, "everybody may know of themselves");
    });
}

#[test]
fn strangers_of_a_group_and_users_of_another_tenant_are_unknown() {
    everywhere(&["presence.grace=0ms"], |world| {
        let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
        let name = world.name("g");
        alice.create(&name, &[&bob.user]);
        assert_eq!(state(&mut alice, &world.name("bob")), ONLINE, "a common group");
        let mut stranger = world.connect("stranger");
        assert_eq!(state(&mut stranger, &world.name("bob")), UNKNOWN);
        let mut other = Client::new(world.server, world.via);
        let token = sign(&postrider::auth::Claims { ten: Some(7), ..claims(&world.name("alice"), "") });
        let connect = connect_packet(&world.name("alice"), "phone", Sender::request(SenderKind::Kept));
        other.ask_in(&postrider_protocol::packet::ConnectPacket { token: token.into(), ..connect });
        other.send(&channel_of(&world.name("alice"), &world.name("bob")), "in my tenant");
        settled(&mut other, &world.name("bob"), OFFLINE);
        assert_eq!(alice.change(Method::GroupRemove, &name, &[&bob.user]).reason, Reason::Ok);
        assert_eq!(state(&mut bob, &world.name("alice")), UNKNOWN, "no common group any more");
        assert_eq!(bob.call(Method::Presence, Bytes::from_static(b"\0")).reason, Reason::Malformed);
    });
}

#[test]
fn flapping_is_not_told() {
    everywhere(&["presence.grace=60s"], |world| {
        let (mut alice, bob, carol) = (world.connect("alice"), world.connect("bob"), world.name("carol"));
        alice.send(&channel_of(&alice.user, &bob.user), "hello");
        alice.send(&channel_of(&alice.user, &carol), "hello");
        let users = [bob.user.clone(), carol.clone()];
        ask(&mut alice, &[&users[0], &users[1]]);
        leave(bob);
        for _ in 0..20 {
            leave(world.connect("bob"));
        }
        let _carol = world.connect("carol");
        assert_eq!(told_that(&mut alice, &carol, ONLINE), [], "bob was never away for long");
    });
}

#[test]
fn the_end_of_a_replaced_connection_leaves_the_user_online() {
    everywhere(&["presence.grace=0ms"], |world| {
        let (mut alice, mut old, carol) = (world.connect("alice"), world.connect("bob"), world.name("carol"));
        alice.send(&channel_of(&alice.user, &old.user), "hello");
        alice.send(&channel_of(&alice.user, &carol), "hello");
        let bob = old.user.clone();
        ask(&mut alice, &[&bob, &carol]);
        let _new = world.connect("bob");
        old.ends_with(Reason::Replaced);
        let _carol = world.connect("carol");
        let others = told_that(&mut alice, &carol, ONLINE);
        assert!(others.iter().all(|(user, state)| *user != bob || *state != OFFLINE), "{others:?}");
        assert_eq!(state(&mut alice, &bob), ONLINE);
    });
}

#[test]
fn a_connection_watches_at_most_a_thousand_until_it_ends_that() {
    everywhere(&["presence.grace=0ms", "groups.max_members=2000"], |world| {
        let mut alice = world.connect("alice");
        let name = world.name("g");
        alice.create(&name, &[]);
        let members: Vec<String> = (0..1_100).map(|number| world.name(&format!("m{number}"))).collect();
        for some in members.chunks(100) {
            let some: Vec<&str> = some.iter().map(String::as_str).collect();
            assert_eq!(alice.change(Method::GroupAdd, &name, &some).reason, Reason::Ok);
        }
        let some = |from: usize| -> Vec<&str> { members[from..from + 100].iter().map(String::as_str).collect() };
        for from in (0..1_000).step_by(100) {
            ask(&mut alice, &some(from));
        }
        let mut fields = Vec::new();
        groups::write_users(&mut fields, &some(1_000).into_iter().map(id).collect::<Vec<_>>());
        assert_eq!(alice.call(Method::Presence, fields.into()).reason, Reason::TooMany);
        assert!(ask(&mut alice, &[]).is_empty(), "an empty list ends it");
        ask(&mut alice, &some(1_000));
        let _first = Client::connect(world.server, world.via, &members[0], "phone");
        let _last = Client::connect(world.server, world.via, &members[1_099], "phone");
        assert_eq!(told_that(&mut alice, &members[1_099], ONLINE), []);
    });
}

#[test]
fn after_a_restart_nobody_is_told_to_be_offline_while_they_are_on_their_way() {
    let mut server = Server::start(&["presence.grace=60s"]);
    let via = Via::ALL[0];
    {
        let (mut alice, _bob) =
            (Client::connect(&server, via, "alice", "phone"), Client::connect(&server, via, "bob", "phone"));
        alice.send(&channel_of("alice", "bob"), "hello");
        assert_eq!(state(&mut alice, "bob"), ONLINE);
    }
    server.crash_and_restart();
    let mut alice = Client::connect(&server, via, "alice", "phone");
    assert_eq!(state(&mut alice, "bob"), UNKNOWN, "offline would be a guess");
    let _bob = Client::connect(&server, via, "bob", "phone");
    assert_eq!(told_that(&mut alice, "bob", ONLINE), []);
}

/// A Redis of its own, at a socket in a directory of its own.
struct Redis {
    dir: TempDir,
    child: Child,
}

impl Redis {
    fn start() -> Self {
        Self::start_with(&[])
    }

    /// With these arguments beside.
    fn start_with(more: &[String]) -> Self {
        let dir = TempDir::with_prefix("postrider-redis-").unwrap();
        let child = Self::spawn(dir.path(), more);
        Self { dir, child }
    }

    fn socket(dir: &Path) -> PathBuf {
        dir.join("redis.sock")
    }

    fn spawn(dir: &Path, more: &[String]) -> Child {
        let socket = Self::socket(dir);
        // A socket that a killed server left behind is no sign of a new one.
        let _ = std::fs::remove_file(&socket);
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"]).arg(&socket);
        let child = command.args(more).current_dir(dir).stdout(Stdio::null()).spawn();
        let child = child.expect("redis-server is needed: apt-get install redis-server");
        until("Redis", || std::os::unix::net::UnixStream::connect(&socket).ok());
        child
    }

    fn setting(&self) -> String {
        format!("redis.url=unix://{}", Self::socket(self.dir.path()).display())
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn start_again(&mut self) {
        self.child = Self::spawn(self.dir.path(), &[]);
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may be killed already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Two servers over one Redis. Both have a channel of Alice and Bob: what they share is presence alone.
struct Pair {
    redis: Redis,
    servers: [Server; 2],
    /// Of Alice at the first, of Bob at the second.
    clients: [Client; 2],
}

const NAMES: [&str; 2] = ["alice", "bob"];

impl Pair {
    fn start() -> Self {
        let redis = Redis::start();
        let setting = redis.setting();
        let settings = [setting.as_str(), "presence.grace=500ms"];
        let mut servers = [Server::start(&settings), Server::start(&settings)];
        for server in &mut servers {
            server.announce("presence is unknown: Redis is out of reach");
        }
        let clients = [0, 1].map(|at| {
            let mut client = Client::connect(&servers[at], Via::ALL[0], NAMES[at], "phone");
            client.send(&channel_of("alice", "bob"), "hello");
            client
        });
        Self { redis, servers, clients }
    }
}

/// Waits until each server knows that the other's user is online.
fn each_sees_the_other(clients: &mut [Client; 2]) {
    for (at, client) in clients.iter_mut().enumerate() {
        settled(client, NAMES[1 - at], ONLINE);
    }
}

/// Ends threads, also those of a test that fails.
struct StopsAtTheEnd<'a>(&'a AtomicBool);

impl Drop for StopsAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn two_servers_over_one_redis_see_each_others_users_come_and_go() {
    let mut pair = Pair::start();
    each_sees_the_other(&mut pair.clients);
    let mut bob = from_platform(&pair.servers[1], Via::ALL[0], "bob", "tablet", "web");
    until("the tablet", || {
        let answer = ask(&mut pair.clients[0], &["bob"]);
        (answer[0].platforms == [&b"web"[..]]).then_some(())
    });
    // The old connection of the tablet ends only after the new one is there, and ends only itself.
    let new = from_platform(&pair.servers[1], Via::ALL[0], "bob", "tablet", "ios");
    bob.ends_with(Reason::Replaced);
    until("the new tablet", || {
        let answer = ask(&mut pair.clients[0], &["bob"]);
        assert_eq!(answer[0].state, ONLINE);
        (answer[0].platforms == [&b"ios"[..]]).then_some(())
    });
    leave(new);
    let [mut alice, bob] = pair.clients;
    leave(bob);
    told_that(&mut alice, "bob", OFFLINE);
    assert!(ask(&mut alice, &["bob"])[0].last_seen_ms > 0);
    let _bob = Client::connect(&pair.servers[1], Via::ALL[0], "bob", "phone");
    told_that(&mut alice, "bob", ONLINE);
    assert!(pair.servers[0].get("/readyz?verbose").1.contains("[+] presence ready"));
    assert!(pair.servers[0].get("/metrics").1.contains("postrider_presence_redis_up 1"));
}

#[test]
fn without_redis_presence_is_unknown_no_send_fails_and_it_is_right_again() {
    let mut pair = Pair::start();
    each_sees_the_other(&mut pair.clients);
    let (stop, sent) = (AtomicBool::new(false), std::sync::atomic::AtomicU64::new(0));
    std::thread::scope(|scope| {
        let _stop = StopsAtTheEnd(&stop);
        for server in &pair.servers {
            let (stop, sent) = (&stop, &sent);
            scope.spawn(move || {
                let mut sender = Client::connect(server, Via::ALL[0], "sender", "");
                while !stop.load(Ordering::Relaxed) {
                    sender.send(&channel_of("sender", "alice"), "load");
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let sends_go_on = || {
            let before = sent.load(Ordering::Relaxed);
            until("sends", || (sent.load(Ordering::Relaxed) > before + 100).then_some(()));
        };
        sends_go_on();
        let [alice, _] = &mut pair.clients;
        pair.redis.kill();
        told_that(alice, "bob", UNKNOWN);
        let report = pair.servers[0].get("/readyz?verbose");
        assert_eq!(report.0, 200, "the server goes on");
        assert!(report.1.contains("presence degraded"), "{}", report.1);
        assert!(pair.servers[0].get("/metrics").1.contains("postrider_presence_redis_up 0"));
        sends_go_on();
        // It comes back empty: nobody is told to be offline before all have written again.
        pair.redis.start_again();
        assert_eq!(told_that(alice, "bob", ONLINE), []);
        each_sees_the_other(&mut pair.clients);
        sends_go_on();
        // It answers no more, without an end of its connections.
        pair.redis.signal("-STOP");
        let [alice, _] = &mut pair.clients;
        told_that(alice, "bob", UNKNOWN);
        sends_go_on();
        pair.redis.signal("-CONT");
        assert_eq!(told_that(alice, "bob", ONLINE), []);
    });
}

#[test]
fn who_was_on_a_server_that_crashed_is_seen_again_when_they_come_back() {
    let mut pair = Pair::start();
    each_sees_the_other(&mut pair.clients);
    pair.servers[1].kill();
    let state_now = state(&mut pair.clients[0], "bob");
    assert_eq!(state_now, ONLINE, "its keys live for 90 s");
    pair.servers[1].start_again();
    pair.clients[1] = Client::connect(&pair.servers[1], Via::ALL[0], "bob", "phone");
    each_sees_the_other(&mut pair.clients);
}

#[test]
fn redis_is_reached_over_tls_with_a_password_from_a_file() {
    let place = Place::new();
    let name = |file: &str| place.path(file).display().to_string();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let password = place.write("password", "correct horse battery staple\n");
    let wrong = place.write("wrong", "incorrect horse");
    let more = [
        ["--tls-port".to_owned(), port.to_string()],
        ["--tls-cert-file".to_owned(), name("cert.pem")],
        ["--tls-key-file".to_owned(), name("key.pem")],
        ["--tls-auth-clients".to_owned(), "no".to_owned()],
        ["--requirepass".to_owned(), "correct horse battery staple".to_owned()],
    ];
    let _redis = Redis::start_with(&more.concat());
    let url = format!("redis.url=rediss://localhost:{port}");
    let file = |key: &str, path: &Path| format!("{key}={}", path.display());
    let (secret, ca) = (file("redis.password_file", &password), file("redis.ca_file", &place.path("cert.pem")));
    let good = Server::start(&[&url, &secret, &ca]);
    until("Redis", || good.get("/metrics").1.contains("postrider_presence_redis_up 1").then_some(()));
    // Who trusts another certificate, or has another password, is not served, and goes on without.
    let other = Place::new();
    let wrongs = [
        [secret.clone(), file("redis.ca_file", &other.path("cert.pem"))],
        [file("redis.password_file", &wrong), ca.clone()],
    ];
    for [secret, ca] in &wrongs {
        let mut server = Server::start(&[&url, secret, ca]);
        server.announce("presence is unknown: Redis is out of reach");
        until("the warning", || server.log().iter().any(|line| line.contains("presence is unknown")).then_some(()));
        assert!(server.get("/metrics").1.contains("postrider_presence_redis_up 0"));
    }
    let open = place.write("open", "x");
    std::fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let out = ends(place.serve(&[url.clone(), file("redis.password_file", &open)]));
    let log = String::from_utf8_lossy(&out.stderr);
    assert!(!out.status.success() && log.contains("redis.password_file"), "{log}");
}
