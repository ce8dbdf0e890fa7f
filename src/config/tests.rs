use std::{io::Write as _, time::Duration};

use super::*;

fn layers(files: &[&str], env: &[(&str, &str)], sets: &[&str]) -> Result<Config, Problems> {
    let mut kept = Vec::new();
    for text in files {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        kept.push(file);
    }
    Layers {
        files: kept.iter().map(|file| file.path().to_owned()).collect(),
        env: env.iter().map(|(name, value)| (name.into(), value.into())).collect(),
        sets: sets.iter().map(|&set| set.to_owned()).collect(),
    }
    .read()
}

/// The one problem of these layers.
fn problem(files: &[&str], env: &[(&str, &str)], sets: &[&str]) -> String {
    match layers(files, env, sets) {
        Err(problems) if problems.lines().len() == 1 => problems.to_string(),
        other => panic!("expected one problem, got {other:?}"),
    }
}

fn valid() -> Config {
    layers(&[], &[], &["auth.jwt.secret_file=s", "listeners.tcp.addr=127.0.0.1:8790"]).unwrap()
}

fn broken(change: impl FnOnce(&mut Config)) -> String {
    let mut config = valid();
    change(&mut config);
    config.validate().expect_err("not refused").to_string()
}

#[test]
fn defaults_are_those_of_the_specification() {
    let config = Config::default();
    assert_eq!(config.session.heartbeat, Duration::from_secs(30));
    assert_eq!(config.session.dead, Duration::from_secs(90));
    assert_eq!(config.session.connect_timeout, Duration::from_secs(10));
    assert_eq!(config.session.queue_bytes, Size::kib(256));
    assert_eq!(config.limits.user_rate, 10);
    assert_eq!(config.limits.user_burst, 20);
    assert_eq!((config.sync.page, config.sync.page_max), (50, 100));
    assert_eq!(config.groups.max_members, 500);
    assert_eq!((config.devices.max, &config.devices.connected[..]), (10, &[][..]));
    assert_eq!(config.limits.quota, Quotas::default(), "quotas are off");
    assert_eq!(config.listeners.max_connections, 20_000);
    assert_eq!(config.listeners.tcp.addr, None, "a listener runs only if its addr is set");
    assert!(config.auth.jwt.secret_file.is_none() && config.auth.jwt.keys.is_empty(), "there is no default secret");
    assert!(config.validate().is_err(), "and without one nothing starts");
}

#[test]
fn later_layers_win() {
    let low = "[limits]\nuser_rate = 1\nuser_burst = 1\n[log]\nlevel = \"warn\"\n[session]\nheartbeat = \"5s\"\n";
    let high = "[limits]\nuser_rate = 2\nuser_burst = 2\n[log]\nlevel = \"error\"\n";
    let env = [("POSTRIDER_LIMITS__USER_RATE", "3"), ("POSTRIDER_LIMITS__USER_BURST", "3"), ("PATH", "/bin")];
    let config = layers(&[low, high], &env, &["limits.user_rate=4", "limits.user_rate=5"]).unwrap();
    assert_eq!(config.limits.user_rate, 5);
    assert_eq!(config.limits.user_burst, 3);
    assert_eq!(config.log.level, LogLevel::Error);
    assert_eq!(config.session.heartbeat, Duration::from_secs(5));
}

#[test]
fn the_keys_that_scripts_use_are_there() {
    let sets = [
        "storage.path=/tmp/d",
        "listeners.tcp.addr=127.0.0.1:1",
        "listeners.tls.addr=localhost:2",
        "listeners.ws.addr=[::1]:3",
        "listeners.wss.addr=0.0.0.0:4",
        "tls.cert_file=c.pem",
        "tls.key_file=k.pem",
        "http.addr=127.0.0.1:0",
        "auth.jwt.secret_file=s",
        "limits.user_rate=0",
    ];
    let config = layers(&[], &[], &sets).unwrap();
    assert!(config.validate().is_ok());
    assert_eq!(config.listeners.tls.addr.unwrap().port(), 2);
    assert_eq!(config.limits.user_rate, 0);
}

#[test]
fn an_unknown_key_names_itself_its_source_and_the_nearest_key() {
    let set = problem(&[], &[], &["listeners.tcp.adr=127.0.0.1:1"]);
    assert!(set.starts_with("--set: unknown key \"listeners.tcp.adr\""), "{set}");
    assert!(set.contains("\"listeners.tcp.addr\""), "{set}");
    let env = problem(&[], &[("POSTRIDER_HTTP_ADDR", "x")], &[]);
    assert!(env.contains("POSTRIDER_HTTP_ADDR") && env.contains("\"http.addr\""), "{env}");
    let file = problem(&["[session]\nheart_beat = \"1s\"\n"], &[], &[]);
    assert!(file.contains("/") && file.contains("\"session.heartbeat\""), "{file}");
    assert!(problem(&["[dev]\ndev = true\n"], &[], &[]).contains("unknown key"), "no key switches dev on");
}

#[test]
fn every_problem_is_told_at_once() {
    let problems = layers(&["nonsense = 1\n", "= no toml"], &[("POSTRIDER_A__B", "1")], &["x", "y=1"]).unwrap_err();
    assert_eq!(problems.lines().len(), 5, "{problems}");
}

#[test]
fn platforms_are_a_table_in_a_file_and_pairs_in_text() {
    let ios = Platform { name: "ios".into(), most: 1 };
    let web = Platform { name: "web".into(), most: 3 };
    for file in ["[devices.connected]\nweb = 3\nios = 1\n", "[devices]\nconnected = { ios = 1, web = 3 }\n"] {
        assert_eq!(layers(&[file], &[], &[]).unwrap().devices.connected, [ios.clone(), web.clone()]);
    }
    let config = layers(&["[devices]\nconnected = { tv = 1 }\n"], &[], &["devices.connected=web=3, ios=1"]).unwrap();
    assert_eq!(config.devices.connected, [ios, web], "a later layer is the whole table");
}

#[test]
fn a_missing_file_is_told_by_name() {
    let layers = Layers { files: vec!["/nowhere/p.toml".into()], ..Layers::default() };
    assert!(layers.read().unwrap_err().to_string().contains("/nowhere/p.toml"));
}

#[test]
fn variables_that_kubernetes_sets_for_a_service_are_not_ours() {
    let env = [
        ("POSTRIDER_SERVICE_HOST", "10.0.0.1"),
        ("POSTRIDER_SERVICE_PORT_TCP", "8790"),
        ("POSTRIDER_PORT", "tcp://10.0.0.1:8790"),
        ("POSTRIDER_PORT_8790_TCP_ADDR", "10.0.0.1"),
    ];
    assert_eq!(layers(&[], &env, &[]).unwrap(), Config::default());
}

#[test]
fn values_of_a_wrong_kind_say_what_is_expected() {
    for (set, expected) in [
        ("session.heartbeat=30", "duration"),
        ("session.heartbeat=30 parsecs", "duration"),
        ("session.queue_bytes=64", "KiB"),
        ("session.queue_bytes=64KB", "KiB"),
        ("session.queue_bytes=99999999999GiB", "KiB"),
        ("limits.user_rate=-1", "number"),
        ("limits.user_rate=4294967296", "number"),
        ("sync.page=65536", "65535"),
        ("listeners.tcp.addr=8790", "HOST:PORT"),
        ("listeners.allow_plaintext=yes", "true or false"),
        ("log.level=loud", "error, warn, info"),
        ("auth.jwt.keys=k1", "KID=FILE"),
        ("devices.connected=ios", "PLATFORM=NUMBER"),
        ("limits.quota.user.bytes_per_day=10", "KiB"),
    ] {
        let problem = problem(&[], &[], &[set]);
        assert!(problem.contains(set.split('=').next().unwrap()) && problem.contains(expected), "{problem}");
    }
    for file in [
        "[limits]\nuser_rate = \"10\"\n",
        "[session]\nheartbeat = 30\n",
        "[listeners]\nallow_plaintext = \"true\"\n",
        "[listeners.ws]\norigins = \"https://a\"\n",
        "[auth.jwt]\nkeys = [{ kid = \"a\" }]\n",
        "[devices.connected]\nios = \"1\"\n",
        "[devices]\nconnected = 1\n",
        "[auth.jwt]\nkeys = [{ kid = \"a\", secret_file = \"b\", alg = \"none\" }]\n",
    ] {
        problem(&[file], &[], &[]);
    }
}

#[test]
fn sizes_and_durations_come_back_as_they_were_written() {
    for text in ["0B", "1B", "1023B", "1KiB", "64KiB", "1MiB", "3GiB", "1025B"] {
        assert_eq!(Size::from_text(text).unwrap().to_string(), text);
    }
    for text in ["250ms", "1s", "90s", "2m", "36h", "7d", "1500ms"] {
        assert_eq!(Setting::show(&Duration::from_text(text).unwrap()), format!("\"{text}\""));
    }
    assert_eq!(Size::from_text("64 KiB").unwrap(), Size::kib(64));
}

#[test]
fn the_default_file_reads_back_as_the_defaults() {
    assert_eq!(layers(&[&default_toml()], &[], &[]).unwrap(), Config::default());
    let mut config = valid();
    config.auth.jwt.keys = vec![NamedKey { kid: "k\"1".into(), secret_file: "a b".into() }];
    config.listeners.ws.origins = vec!["https://chat.example.org".into()];
    config.session.slow_after = Duration::from_millis(1_500);
    config.devices.connected = [("a b", 3), ("ios", 1)].map(|(name, most)| Platform { name: name.into(), most }).into();
    assert_eq!(layers(&[&config.to_toml()], &[], &[]).unwrap(), config);
}

#[test]
fn every_key_has_a_document() {
    let page = docs();
    Config::default().walk("", &[], &mut |name, doc, _| {
        assert!(doc.concat().trim().len() > 10, "{name} says nothing");
        assert!(page.contains(&format!("\n{name}\n")), "{name} is not in the documents");
    });
}

#[test]
fn plaintext_beyond_loopback_needs_consent() {
    for addr in ["0.0.0.0:1", "192.168.0.1:1", "[::]:1", "[::ffff:10.0.0.1]:1"] {
        let why = broken(|config| config.listeners.tcp.addr = addr.parse().ok());
        assert!(why.contains("listeners.allow_plaintext"), "{why}");
        let why = broken(|config| config.listeners.ws.addr = addr.parse().ok());
        assert!(why.contains("listeners.ws.addr"), "{why}");
    }
    for addr in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        let mut config = valid();
        config.listeners.ws.addr = addr.parse().ok();
        assert_eq!(config.validate(), Ok(Vec::new()), "{addr}");
    }
    let mut config = valid();
    config.listeners.tcp.addr = "0.0.0.0:1".parse().ok();
    config.listeners.allow_plaintext = true;
    assert_eq!(config.validate().unwrap().len(), 1, "allowed, with a warning");
}

#[test]
fn an_open_http_address_is_a_warning() {
    let mut config = valid();
    config.http.addr = "0.0.0.0:8793".parse().ok();
    assert!(config.validate().unwrap().iter().any(|warning| warning.contains("http.addr")));
}

#[test]
fn values_that_do_not_fit_together_are_refused() {
    type Change = fn(&mut Config);
    let cases: [(Change, &str); 14] = [
        (|c| c.devices.max = 0, "devices.max"),
        (|c| c.devices.connected = Setting::from_text("ios=0").unwrap(), "devices.connected"),
        (|c| c.auth.jwt.secret_file = None, "auth.jwt.secret_file"),
        (|c| c.listeners.tls.addr = "127.0.0.1:1".parse().ok(), "tls.cert_file"),
        (|c| c.auth.jwt.leeway = Duration::from_secs(61), "auth.jwt.leeway"),
        (|c| c.session.dead = c.session.heartbeat, "session.dead"),
        (|c| c.session.queue_bytes = Size::kib(1), "session.queue_bytes"),
        (|c| c.sync.page = 101, "sync.page_max"),
        (|c| c.commit.batch_bytes = Size::kib(64), "commit.batch_bytes"),
        (|c| c.storage.segment_bytes = Size::mib(1), "storage.segment_bytes"),
        (|c| c.slots.workers = 257, "slots.workers"),
        (|c| c.listeners.ws.origins = vec!["chat.example.org".into()], "listeners.ws.origins"),
        (|c| c.listeners.max_connections = 0, "listeners.max_connections"),
        (|c| c.limits.user_burst = 0, "limits.user_burst"),
    ];
    for (change, key) in cases {
        let why = broken(change);
        assert!(why.starts_with(key), "{key}: {why}");
    }
}
