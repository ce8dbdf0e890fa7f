//! The laws. Each returns one line per finding.

use std::collections::BTreeSet;

use crate::{
    lexer,
    tree::{File, Tree},
};

/// Above this a file is listed with `--nocapture`.
const LONG_FILE_LINES: usize = 500;
const FILE_LINES: usize = 800;
const FUNCTION_LINES: usize = 70;

/// The stages that get time, chance and IO from outside.
const STAGES: [&str; 7] =
    ["protocol/src/", "src/slot/", "src/commit.rs", "src/deliver.rs", "src/view.rs", "src/outbox.rs", "src/hub.rs"];

type Findings = Vec<String>;

/// Only one file of `storage` knows which engine is behind the store.
pub fn sled_is_named_in_one_file(tree: &Tree) -> Findings {
    let names = |line: &str| line.contains("sled::") || line.contains("use sled");
    let code = tree.rust(&[]).filter(|file| file.path != "storage/src/kv.rs" && !file.path.starts_with("tests/tidy"));
    let in_code = code.flat_map(|file| file.lines_where("sled belongs into storage/src/kv.rs", names));
    in_code.chain(dependency_only_in(tree, "sled", &["storage/Cargo.toml"])).collect()
}

/// `protocol` and `storage` are synchronous.
pub fn protocol_and_storage_have_no_runtime(tree: &Tree) -> Findings {
    let code = tree.rust(&["protocol/src/", "storage/src/"]);
    let in_code = code.flat_map(|file| file.lines_where("no runtime here", |line| line.contains("tokio")));
    let manifests = tree.0.iter().filter(|file| ["protocol/Cargo.toml", "storage/Cargo.toml"].contains(&&*file.path));
    in_code
        .chain(manifests.flat_map(|file| file.lines_where("no runtime here", |line| line.contains("tokio"))))
        .collect()
}

/// The protocol touches neither files nor sockets.
pub fn protocol_has_no_io(tree: &Tree) -> Findings {
    let io = ["std::fs", "std::net", "std::io", "std::thread", "std::process", "std::env"];
    let code = tree.rust(&["protocol/src/"]);
    code.flat_map(|file| file.lines_where("the protocol has no IO", |line| io.iter().any(|io| line.contains(io))))
        .collect()
}

/// Every queue has a bound.
pub fn queues_are_bounded(tree: &Tree) -> Findings {
    let unbounded = |line: &str| {
        let empty_call = line.split("mpsc::channel").skip(1).any(|rest| {
            let rest = if rest.starts_with("::<") { rest.split_once('(').map_or("", |(_, rest)| rest) } else { rest };
            let arguments = rest.strip_prefix('(').unwrap_or(rest);
            arguments.starts_with(')')
        });
        empty_call
            || ["unbounded_channel", "UnboundedSender", "mpsc::unbounded", "use std::sync::mpsc::channel"]
                .iter()
                .any(|name| line.contains(name))
    };
    let code = tree.rust(&["src/", "clients/rust/", "bridge/", "storage/"]);
    code.flat_map(|file| file.lines_where("a queue without a bound", unbounded)).collect()
}

/// What the simulator runs is the same on every run.
pub fn stages_have_no_clock_and_no_chance(tree: &Tree) -> Findings {
    const CHANCE: [&str; 9] = [
        "Instant::now",
        "SystemTime::now",
        "UNIX_EPOCH",
        "thread_rng",
        "rand::",
        "SystemRandom",
        "getrandom",
        "RandomState",
        "std::thread::",
    ];
    let mut findings = Vec::new();
    for file in tree.rust(&STAGES) {
        findings.extend(
            file.lines_where("a stage has no clock and no chance", |line| {
                CHANCE.iter().any(|name| line.contains(name))
            }),
        );
        let hashed = hashed_names(&file.code);
        let walks = file
            .lines_where("the order of a hash map decides", |line| hashed.iter().any(|name| iterates_over(line, name)));
        findings.extend(walks.into_iter().filter(|finding| !is_excused(file, finding)));
    }
    findings
}

/// Whether the line before a walk says that its order decides nothing: a comment with the words "any order".
fn is_excused(file: &File, finding: &str) -> bool {
    let line = finding.split(':').nth(1).and_then(|line| line.parse::<usize>().ok()).unwrap_or_default();
    let before = line.checked_sub(2).and_then(|before| file.text.lines().nth(before)).unwrap_or_default();
    before.trim_start().starts_with("//") && before.contains("any order")
}

/// Names that the file declares as hash maps or sets: `name: …HashMap` or `name = …HashMap`.
fn hashed_names(code: &str) -> BTreeSet<String> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut names = BTreeSet::new();
    for line in code.lines() {
        for (at, _) in line.match_indices("HashMap").chain(line.match_indices("HashSet")) {
            let before = line[..at].replace("::", "  ");
            let declared = before.rfind([':', '=']).map_or("", |sign| before[..sign].trim_end());
            let name = declared.rsplit(|c| !is_word(c)).next().unwrap_or_default();
            if name.starts_with(|c: char| c.is_lowercase()) {
                names.insert(name.to_owned());
            }
        }
    }
    names
}

/// Whether `line` walks over the map `name`.
fn iterates_over(line: &str, name: &str) -> bool {
    const WALKS: [&str; 9] = [
        "iter()",
        "iter_mut()",
        "keys()",
        "values()",
        "values_mut()",
        "drain(",
        "into_iter()",
        "into_values()",
        "into_keys()",
    ];
    line.match_indices(name).any(|(at, _)| {
        let is_whole = !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let after = &line[at + name.len()..];
        let walked = after.strip_prefix('.').is_some_and(|call| WALKS.iter().any(|walk| call.starts_with(walk)));
        let before = line[..at].trim_end_matches("self.").trim_end_matches(['&', ' ']).trim_end_matches("&mut");
        let looped = before.trim_end().ends_with(" in") && after.trim_start().starts_with('{');
        is_whole && (walked || looped)
    })
}

/// A file is read in one sitting.
pub fn files_are_short(tree: &Tree) -> Findings {
    let code = tree.0.iter().filter(|file| file.is("rs") || file.is("js") || file.is("mjs"));
    // What is generated is not read from top to bottom.
    let code = code.filter(|file| !file.text.lines().next().is_some_and(|line| line.contains("Generated from")));
    let long = code.map(|file| (file, file.text.lines().count())).filter(|(_, lines)| *lines > LONG_FILE_LINES);
    let long: Vec<_> =
        long.inspect(|(file, lines)| println!("{}: {lines} lines, better {LONG_FILE_LINES}", file.path)).collect();
    long.into_iter()
        .filter(|(_, lines)| *lines > FILE_LINES)
        .map(|(file, lines)| format!("{}: {lines} lines, at most {FILE_LINES}", file.path))
        .collect()
}

/// A function fits on one page.
pub fn functions_are_short(tree: &Tree) -> Findings {
    let mut findings = Vec::new();
    for file in tree.rust(&[]) {
        for (name, line, lines) in lexer::functions(&file.code) {
            if lines > FUNCTION_LINES {
                findings.push(format!("{}:{line}: {name} has {lines} lines, at most {FUNCTION_LINES}", file.path));
            }
        }
    }
    findings
}

/// `unsafe` is forbidden by the workspace, and every member is under its lints.
pub fn unsafe_is_forbidden_everywhere(tree: &Tree) -> Findings {
    let mut findings = Vec::new();
    for file in tree.named("Cargo.toml").filter(|file| !file.is_below(&["fuzz/"])) {
        let under =
            file.text.split("[lints]").nth(1).is_some_and(|rest| rest.trim_start().starts_with("workspace = true"));
        if !under {
            findings.push(format!("{}: not under the lints of the workspace", file.path));
        }
        if file.path == "Cargo.toml" && !file.text.contains("unsafe_code = \"forbid\"") {
            findings.push("Cargo.toml: the workspace does not forbid unsafe code".to_owned());
        }
    }
    for file in tree.rust(&[]) {
        findings.extend(
            file.lines_where("unsafe code", |line| line.contains("allow(unsafe_code)") || line.contains("unsafe {")),
        );
    }
    findings
}

/// What is committed is finished.
pub fn nothing_is_left_to_do(tree: &Tree) -> Findings {
    let left = ["todo!", "unimplemented!", "dbg!"];
    let code = tree.rust(&[]);
    code.flat_map(|file| file.lines_where("not finished", |line| left.iter().any(|name| line.contains(name)))).collect()
}

/// A module's name says what is in it.
pub fn modules_have_names_that_say_something(tree: &Tree) -> Findings {
    const EMPTY: [&str; 8] = ["common", "util", "utils", "types", "manager", "helpers", "misc", "shared"];
    let mut findings = Vec::new();
    for file in tree.0.iter().filter(|file| file.is("rs") || file.is("js") || file.is("mjs")) {
        let parts = file.path.split('/').map(|part| part.split('.').next().unwrap_or(part));
        findings
            .extend(parts.filter(|part| EMPTY.contains(part)).map(|part| format!("{}: a name like {part}", file.path)));
        if file.is("rs") {
            findings.extend(file.lines_where("an empty name", |line| {
                let declared = line.trim_start().trim_start_matches("pub ").trim_start_matches("pub(crate) ");
                let name = declared.strip_prefix("mod ").map(|rest| rest.trim_end_matches([' ', ';', '{', '}']));
                name.is_some_and(|name| EMPTY.contains(&name))
            }));
        }
    }
    findings
}

/// The synchronous stages know outboxes, not connections.
pub fn slots_do_not_know_sockets(tree: &Tree) -> Findings {
    let sockets = ["crate::net", "tokio::net", "std::net", "super::net"];
    let stages = tree.rust(&STAGES[1..]);
    stages
        .flat_map(|file| {
            file.lines_where("a stage knows sockets", |line| sockets.iter().any(|name| line.contains(name)))
        })
        .collect()
}

/// Redis holds who is where, and nothing that must not be lost.
pub fn redis_is_for_presence_only(tree: &Tree) -> Findings {
    let names = |line: &str| line.contains("redis::") || line.contains("use redis");
    let code = tree.rust(&[]).filter(|file| !file.is_below(&["src/presence", "tests/tidy"]));
    let in_code = code.flat_map(|file| file.lines_where("redis is for presence", names));
    in_code.chain(dependency_only_in(tree, "redis", &["Cargo.toml"])).collect()
}

/// `protocol` below `bridge`, `storage` and `client`; the server above all.
pub fn crates_depend_downwards(tree: &Tree) -> Findings {
    let may_not: [(&str, &[&str]); 4] = [
        ("protocol/", &["bridge", "storage", "client"]),
        ("bridge/", &["storage", "client"]),
        ("storage/", &["bridge", "client"]),
        ("clients/rust/", &["storage"]),
    ];
    let mut findings = Vec::new();
    for (place, above) in may_not {
        for file in tree.0.iter().filter(|file| file.is_below(&[place]) && (file.is("rs") || file.is("toml"))) {
            findings.extend(file.lines_where("a dependency upwards", |line| {
                above.iter().any(|name| {
                    line.contains(&format!("postrider_{name}"))
                        || line.contains(&format!("postrider-{name}."))
                        || line.contains(&format!("postrider-{name} "))
                })
            }));
        }
    }
    findings
}

/// A statement of SPEC.md that code or a test cites exists, and stands there once.
pub fn cited_statements_exist(tree: &Tree) -> Findings {
    let spec = tree.0.iter().find(|file| file.path == "SPEC.md").map_or("", |file| &file.text);
    let (mut stated, mut findings) = (BTreeSet::new(), Vec::new());
    for id in spec.split("**").filter_map(statement_id) {
        if !stated.insert(id.clone()) {
            findings.push(format!("SPEC.md: {id} is stated twice"));
        }
    }
    let code = tree.0.iter().filter(|file| file.is("rs") || file.is("js") || file.is("toml") || file.is("json"));
    for file in code.filter(|file| !file.path.starts_with("tests/tidy")) {
        for (at, line) in file.text.lines().enumerate() {
            let cited = line.match_indices("PR-").filter_map(|(at, _)| statement_id(&line[at..]));
            let missing = cited.filter(|id| !stated.contains(id));
            findings.extend(
                missing.map(|id| format!("{}:{}: cites {id}, which SPEC.md does not state", file.path, at + 1)),
            );
        }
    }
    findings
}

/// The statement id that `text` begins with: `PR-`, section, `-`, number.
fn statement_id(text: &str) -> Option<String> {
    let rest = text.strip_prefix("PR-")?;
    let section = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let number = rest[section..].strip_prefix('-')?;
    let digits = number.bytes().take_while(u8::is_ascii_digit).count();
    (section > 0 && digits > 0).then(|| format!("PR-{}", &rest[..section + 1 + digits]))
}

/// What the documents call by its path is there.
pub fn documents_name_what_exists(tree: &Tree) -> Findings {
    const OURS: [&str; 9] =
        ["src/", "protocol/", "storage/", "bridge/", "clients/", "tests/", "fuzz/", "benches/", "xtask/"];
    let mut findings = Vec::new();
    for file in tree.0.iter().filter(|file| file.is("md") && !file.is_below(&["docs/"])) {
        for (at, line) in file.text.lines().enumerate() {
            for path in line.split('`').skip(1).step_by(2).filter(|path| OURS.iter().any(|ours| path.starts_with(ours)))
            {
                let folder = format!("{}/", path.trim_end_matches('/'));
                let is_there = tree.0.iter().any(|other| other.path == path || other.path.starts_with(&folder));
                if !is_there && !path.contains(['*', ' ', '{']) {
                    findings.push(format!("{}:{}: there is no {path}", file.path, at + 1));
                }
            }
        }
    }
    findings
}

/// Each test that the table of behaviours names is there.
pub fn features_name_tests_that_exist(tree: &Tree) -> Findings {
    let mut findings = Vec::new();
    for file in tree.0.iter().filter(|file| file.path == "docs/features.md") {
        for (at, line) in file.text.lines().enumerate() {
            for (path, test) in line.split('`').skip(1).step_by(2).filter_map(|name| name.split_once("::")) {
                let named = tree.0.iter().find(|other| other.path == path);
                let is_there = named.is_some_and(|other| {
                    other.text.contains(&format!("fn {test}(")) || other.text.contains(&format!("test('{test}'"))
                });
                if !is_there {
                    findings.push(format!("{}:{}: there is no test {path}::{test}", file.path, at + 1));
                }
            }
        }
    }
    findings
}

/// Durable, then visible, then answered: the one function that commits does it in this order.
pub fn commit_keeps_its_order(tree: &Tree) -> Findings {
    let mut findings = Vec::new();
    for file in tree.0.iter().filter(|file| file.path == "src/commit.rs") {
        let steps = ["log.append(", "log.wait(", "view.commit(", "answer(batch)"].map(|step| file.code.find(step));
        if steps.iter().any(Option::is_none) || !steps.is_sorted() {
            findings.push(format!("{}: append, wait, show, answer: found at {steps:?}", file.path));
        }
    }
    findings
}

/// No file works on one machine only.
pub fn no_path_of_one_machine(tree: &Tree) -> Findings {
    let own = env!("CARGO_MANIFEST_DIR");
    let above = own.rsplit_once('/').map_or(own, |(above, _)| above);
    let mut needles: Vec<String> = ["home", "root", "Users"].iter().map(|home| format!("/{home}/")).collect();
    // A checkout right below a place that is on every machine tells nothing.
    if above.len() > 1 && !["/tmp", "/src", "/opt", "/app", "/build"].contains(&above) {
        needles.push(format!("{above}/"));
    }
    let mut findings = Vec::new();
    for file in tree.0.iter().filter(|file| !file.is_below(&["target/"])) {
        for (at, line) in file.text.lines().enumerate() {
            if needles.iter().any(|needle| line.contains(needle.as_str())) {
                findings.push(format!("{}:{}: a path of one machine", file.path, at + 1));
            }
        }
    }
    findings
}

/// A lock file pins versions and checksums, not the mirror somebody happened to use.
pub fn lock_files_name_no_host(tree: &Tree) -> Findings {
    const INDEX: &str = "registry+https://github.com/rust-lang/crates.io-index";
    let npm = tree
        .named("package-lock.json")
        .flat_map(|file| file.lines_where("names a host", |line| line.contains("\"resolved\": \"http")));
    let cargo = tree.named("Cargo.lock").flat_map(|file| {
        file.lines_where("names a host", |line| line.trim_start().starts_with("source = ") && !line.contains(INDEX))
    });
    npm.chain(cargo).collect()
}

/// Manifests that depend on `name` and are not among `allowed`; the root's table of versions is no dependency.
fn dependency_only_in(tree: &Tree, name: &str, allowed: &[&str]) -> Findings {
    let depends = |line: &str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '.', '=']));
    let manifests = tree.named("Cargo.toml").filter(|file| !allowed.contains(&&*file.path));
    let lines = manifests.flat_map(|file: &File| {
        file.lines_where("a dependency in the wrong crate", |line| depends(line) && !line.contains("version"))
    });
    lines.filter(|finding| !finding.contains("opt-level")).collect()
}
