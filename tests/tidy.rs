//! The architecture as a test: the laws that a machine can check, read off the source tree.
//!
//! Each law is a function from a tree of texts to findings. It runs twice: over this repository, where it must find
//! nothing, and over a small bad sample, where it must find something: a law that cannot fail guards nothing.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test")]

#[path = "tidy/laws.rs"]
mod laws;
#[path = "tidy/lexer.rs"]
mod lexer;
#[path = "tidy/tree.rs"]
mod tree;

use tree::Tree;

/// Declares for each law a module with the two tests.
macro_rules! laws {
    ($($law:ident: bad $bad:expr, good $good:expr;)*) => {$(
        mod $law {
            use super::*;

            #[test]
            fn holds() {
                let findings = laws::$law(&Tree::of_repository());
                assert!(findings.is_empty(), "\n{}", findings.join("\n"));
            }

            #[test]
            fn is_seen_to_fail() {
                let bad: &[(&str, &str)] = &$bad;
                for sample in bad {
                    assert!(!laws::$law(&Tree::of_samples(&[*sample])).is_empty(), "passed: {}", sample.0);
                }
                let good: &[(&str, &str)] = &$good;
                let findings = laws::$law(&Tree::of_samples(good));
                assert!(findings.is_empty(), "a false alarm:\n{}", findings.join("\n"));
            }
        }
    )*};
}

laws! {
    sled_is_named_in_one_file:
        bad [("src/view.rs", "use sled::Db;"), ("storage/src/log.rs", "fn f(db: &sled::Db) {}"), ("bridge/Cargo.toml", "sled.workspace = true")],
        good [("storage/src/kv.rs", "use sled::Db;"), ("storage/Cargo.toml", "sled.workspace = true"), ("src/view.rs", "// sled::Db is not here")];
    protocol_and_storage_have_no_runtime:
        bad [("protocol/src/lib.rs", "use tokio::io;"), ("storage/src/log.rs", "tokio::spawn(x);"), ("storage/Cargo.toml", "tokio.workspace = true")],
        good [("src/main.rs", "use tokio::io;"), ("storage/src/log.rs", "//! not for tokio")];
    protocol_has_no_io:
        bad [("protocol/src/a.rs", "use std::fs::File;"), ("protocol/src/b.rs", "use std::net::TcpStream;")],
        good [("protocol/src/a.rs", "use core::fmt;\n#[cfg(test)]\nmod tests { use std::fs; }")];
    queues_are_bounded:
        bad [
            ("src/a.rs", "let (a, b) = mpsc::unbounded_channel();"),
            ("clients/rust/src/a.rs", "let (a, b) = mpsc::channel();"),
            ("bridge/src/a.rs", "let (a, b) = std::sync::mpsc::channel::<u8>();"),
            ("src/b.rs", "use std::sync::mpsc::channel;"),
        ],
        good [("src/a.rs", "let (a, b) = mpsc::channel(64); let (c, d) = oneshot::channel(); sync_channel::<u8>(1);")];
    stages_have_no_clock_and_no_chance:
        bad [
            ("protocol/src/session/server.rs", "let t = Instant::now();"),
            ("src/slot/worker.rs", "let t = SystemTime::now();"),
            ("src/commit.rs", "let r = rand::random();"),
            ("src/view.rs", "struct V { rows: HashMap<u8, u8> } fn f(v: &V) { for r in v.rows.values() {} }"),
            ("src/hub.rs", "let mut set = HashSet::new(); for x in &set {}"),
        ],
        good [
            ("src/session.rs", "let t = Instant::now();"),
            ("src/hub.rs", "struct H { map: HashMap<u8, u8> } fn f(h: &H) { h.map.get(&1); }"),
            ("src/view.rs", "let rows: HashMap<u8, u8> = x;\n// In any order: each is forgotten.\nfor row in rows {}"),
            ("src/slot/a.rs", "#[cfg(test)]\nmod tests { fn t() { Instant::now(); } }"),
        ];
    files_are_short:
        bad [("src/a.rs", tree::lines(801)), ("clients/js/a.js", tree::lines(801))],
        good [("src/a.rs", tree::lines(800)), ("SPEC.md", tree::lines(3000))];
    functions_are_short:
        bad [("src/a.rs", tree::function(71))],
        good [("src/a.rs", tree::function(70))];
    unsafe_is_forbidden_everywhere:
        bad [
            ("bridge/Cargo.toml", "[package]\nname = \"a\"\n[dependencies]\n"),
            ("Cargo.toml", "[workspace]\n[workspace.lints.rust]\nunsafe_code = \"warn\"\n[package]\nname = \"a\"\n[lints]\nworkspace = true\n"),
            ("src/a.rs", "#![allow(unsafe_code)]"),
        ],
        good [
            ("bridge/Cargo.toml", "[package]\nname = \"a\"\n[lints]\nworkspace = true\n"),
            ("Cargo.toml", "[workspace.lints.rust]\nunsafe_code = \"forbid\"\n[package]\nname = \"a\"\n[lints]\nworkspace = true\n"),
        ];
    nothing_is_left_to_do:
        bad [("src/a.rs", "todo!()"), ("src/a.rs", "unimplemented!(\"later\")"), ("src/a.rs", "dbg!(x);")],
        good [("src/a.rs", "/// no todo!() here\nfn f() -> &'static str { \"todo!()\" }")];
    modules_have_names_that_say_something:
        bad [("src/utils.rs", ""), ("src/common/mod.rs", ""), ("src/a.rs", "mod types { }"), ("clients/js/utils.js", "")],
        good [("src/outbox.rs", "mod frame;")];
    slots_do_not_know_sockets:
        bad [("src/slot/worker.rs", "use crate::net::Session;"), ("src/slot/mod.rs", "crate::net::close();"), ("src/commit.rs", "use tokio::net::TcpStream;")],
        good [("src/server.rs", "use crate::net::Session;"), ("src/slot/worker.rs", "use crate::outbox::Outbox;")];
    redis_is_for_presence_only:
        bad [("src/slot/worker.rs", "use redis::Client;"), ("storage/Cargo.toml", "redis = \"1\"")],
        good [("src/presence/redis.rs", "use redis::Client;"), ("Cargo.toml", "redis = \"1\"")];
    crates_depend_downwards:
        bad [("storage/src/a.rs", "use postrider_bridge::Stream;"), ("protocol/Cargo.toml", "postrider-storage.workspace = true"), ("clients/rust/src/lib.rs", "use postrider_storage::Log;")],
        good [("src/a.rs", "use postrider_storage::Log;"), ("storage/src/a.rs", "use postrider_protocol::Image;")];
    cited_statements_exist:
        bad [
            ("tests/a.rs", "/// PR-2.1-99\nfn f() {}"),
            ("clients/js/a.test.js", "test('PR-9-1 …')"),
            ("SPEC.md", "- **PR-2.1-1** one.\n- **PR-2.1-1** again.\n"),
        ],
        good [("SPEC.md", "- **PR-2.1-1** A frame is bytes.\n"), ("tests/a.rs", "/// PR-2.1-1\nfn f() {}")];
    documents_name_what_exists:
        bad [("README.md", "| 1 | `src/gone.rs` | reads |"), ("README.md", "`clients/cobol`")],
        good [("README.md", "`src/commit.rs`, `clients/rust/`, `target/debug/x`"), ("src/commit.rs", ""), ("clients/rust/src/lib.rs", "")];
    features_name_tests_that_exist:
        bad [("docs/features.md", "| revoke | `tests/behaviour/revoke.rs::is_gone` |")],
        good [("docs/features.md", "| revoke | `tests/behaviour/revoke.rs::is_final` |"), ("tests/behaviour/revoke.rs", "fn is_final() {}")];
    commit_keeps_its_order:
        bad [
            ("src/commit.rs", "fn commit() { answer(batch); log.append(b); log.wait(t); view.commit(b); }"),
            ("src/commit.rs", "fn commit() { log.append(b); view.commit(b); log.wait(t); answer(batch); }"),
            ("src/commit.rs", "fn commit() { log.append(b); view.commit(b); answer(batch); }"),
        ],
        good [("src/commit.rs", "fn commit() { log.append(b); log.wait(t); view.commit(b); answer(batch); }")];
    no_path_of_one_machine:
        bad [("README.md", "cd /ho\u{6d}e/alice/postrider"), (".ci/run", "cp x /ro\u{6f}t/x"), ("src/a.rs", "// see /Us\u{65}rs/bob/x")],
        good [("README.md", "cd ~/postrider; ls /tmp /var/lib/postrider")];
    lock_files_name_no_host:
        bad [
            ("clients/js/package-lock.json", "\"resolved\": \"https://mirror.example/a.tgz\","),
            ("Cargo.lock", "source = \"registry+https://mirror.example/index\""),
            ("fuzz/Cargo.lock", "source = \"git+https://git.example/a\""),
        ],
        good [("Cargo.lock", "source = \"registry+https://github.com/rust-lang/crates.io-index\""), ("a/package-lock.json", "\"version\": \"1.0.0\"")];
}
