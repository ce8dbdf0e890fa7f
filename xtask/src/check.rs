//! `cargo xtask test` and `cargo xtask nightly`: what must be green, in the order in which it fails soonest.

use std::{env, fs, process::Command};

use clap::{Args, ValueEnum};
use serde::Deserialize;

use crate::{
    Result,
    counts::Counts,
    generate,
    sim::Sim,
    step::{self, Steps, cargo, command, run},
    torture::{
        flips::Flips, fsync::Fsync, kill::Kill, model::Model, neighbours::Neighbours, plants, powercut::Powercut,
        presence::Presence, reorder::Reorder,
    },
};

/// Arguments of `test`.
#[derive(Args)]
pub struct Test {
    /// Leave out what takes minutes: browsers, fuzzing, counts, torture.
    #[arg(long, conflicts_with = "only")]
    quick: bool,
    /// Only this part.
    #[arg(long)]
    only: Option<Part>,
}

/// Arguments of `nightly`.
#[derive(Args)]
pub struct Nightly {
    /// Seconds for each fuzz target.
    #[arg(long, default_value_t = 600)]
    fuzz_seconds: u64,
}

/// A part of what is checked.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Format, lints, generated files, documentation, tests.
    Checks,
    /// The JavaScript client in Node.
    Node,
    /// The page and the JavaScript client in a browser.
    Browser,
    /// The fuzz targets.
    Fuzz,
    /// Instructions of a message on the hot path.
    Counts,
    /// The short versions of the torture suites.
    Torture,
}

impl Test {
    /// Runs every step until one fails.
    pub fn run(self) -> Result {
        let mut steps = Steps::default();
        let slow = [Part::Browser, Part::Fuzz, Part::Counts, Part::Torture];
        let wants = |part| self.only.map_or(!(self.quick && slow.contains(&part)), |only| only == part);
        if wants(Part::Checks) {
            checks(&mut steps)?;
        }
        if wants(Part::Node) {
            node(&mut steps)?;
        }
        if wants(Part::Browser) {
            browsers(&mut steps)?;
        }
        if wants(Part::Fuzz) {
            fuzz(&mut steps, 30)?;
        }
        if wants(Part::Counts) {
            steps.step("instruction counts", || Counts::compare().run())?;
        }
        if wants(Part::Torture) {
            steps.step("torture: model, 20 seeds", || Model::seeds(20, None).run())?;
            steps.step("torture: fsync", || Fsync::short().run())?;
            steps.step("torture: kill, 10 cycles", || Kill::cycles(10).run())?;
            steps.step("torture: reorder, 20 images", || Reorder::images(20).run())?;
            steps.step("torture: flips, 20 bits", || Flips::count(20).run())?;
            powercut(&mut steps, 3)?;
        }
        steps.finish();
        Ok(())
    }
}

impl Nightly {
    /// Runs every step until one fails.
    pub fn run(self) -> Result {
        let mut steps = Steps::default();
        checks(&mut steps)?;
        node(&mut steps)?;
        browsers(&mut steps)?;
        fuzz(&mut steps, self.fuzz_seconds)?;
        steps.step("simulation: 10,000 seeds", || Sim::seeds(10_000).run())?;
        steps.step("torture: model, 2,000 seeds", || Model::seeds(2_000, None).run())?;
        steps.step("torture: fsync", || Fsync::long().run())?;
        steps.step("torture: kill, 1,000 cycles", || Kill::cycles(1_000).run())?;
        steps.step("torture: reorder, 2,000 images", || Reorder::images(2_000).run())?;
        steps.step("torture: flips, 5,000 bits", || Flips::count(5_000).run())?;
        powercut(&mut steps, 300)?;
        steps.step("torture: neighbours", || Neighbours::long().run())?;
        steps.step("torture: presence, Redis away for a minute", || Presence::long().run())?;
        steps.step("torture: planted faults", plants::run)?;
        let growth = ["run", "--quiet", "--release", "--package", "xtask", "--", "growth", "--turnovers", "20"];
        let size = ["--messages", "1000000", "--channels", "20000"];
        steps.step("growth: a log turned over twenty times", || run(cargo(&growth).args(size)))?;
        steps.finish();
        Ok(())
    }
}

/// Format, lints, generated files, documentation, tests.
fn checks(steps: &mut Steps) -> Result {
    steps.step("format", || {
        run(&mut cargo(&["fmt", "--all", "--check"]))?;
        run(&mut cargo(&["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"]))
    })?;
    steps.step("generated files", || Ok(generate::run(true)?))?;
    steps.step("lints", || {
        run(&mut cargo(&["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]))
    })?;
    steps.step("documentation", || {
        run(cargo(&["doc", "--quiet", "--workspace", "--no-deps", "--document-private-items"])
            .env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    steps.step("tests, with 200 seeds of the simulator", || {
        step::require("redis-server", "redis-server")?;
        run(&mut cargo(&["test", "--quiet", "--workspace"]))
    })?;
    steps.step("licences and sources of dependencies", dependencies)
}

/// The JavaScript client against the vectors and against scripted servers.
fn node(steps: &mut Steps) -> Result {
    steps.step("tests of clients/js in Node", || {
        step::require("node", "nodejs")?;
        let mut files = Vec::new();
        for entry in fs::read_dir(step::root().join("clients/js/test"))? {
            let path = entry?.path();
            if path.to_string_lossy().ends_with(".test.js") {
                files.push(path);
            }
        }
        files.sort();
        run(command("node", &["--test"]).args(files))
    })
}

/// cargo-deny where it is installed; its database of advisories needs the network, so it is not part of this.
fn dependencies() -> Result {
    if cargo(&["deny", "--version"]).output().is_ok_and(|output| output.status.success()) {
        return run(&mut cargo(&["deny", "--offline", "check", "bans", "licenses", "sources"]));
    }
    println!("cargo-deny is not installed, deny.toml was not checked (cargo install --locked cargo-deny)");
    Ok(())
}

/// The page and the JavaScript client in a real browser.
fn browsers(steps: &mut Steps) -> Result {
    let folder = step::root().join("clients/js/test-browser");
    steps.step("tests of clients/js in a browser", || {
        step::require("npm", "npm")?;
        if env::var_os("CHROMIUM_BIN").is_none() {
            step::require("chromium", "chromium")?;
        }
        run(&mut cargo(&["build", "--quiet", "--bin", "postrider"]))?;
        run(command("npm", &["ci", "--no-audit", "--no-fund", "--silent"])
            .current_dir(&folder)
            .env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1"))?;
        run(command("npm", &["test", "--silent"])
            .current_dir(&folder)
            .env("POSTRIDER_BIN", step::target().join("debug/postrider")))
    })
}

/// What is needed of fuzz/Cargo.toml.
#[derive(Deserialize)]
struct Manifest {
    bin: Vec<Bin>,
}

#[derive(Deserialize)]
struct Bin {
    name: String,
}

/// Each fuzz target for so many seconds. The targets are built by cargo itself with the coverage pass that libFuzzer
/// needs; there is no unsafe code for a sanitizer to watch.
fn fuzz(steps: &mut Steps, seconds: u64) -> Result {
    let manifest = step::root().join("fuzz/Cargo.toml");
    const COVERAGE: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
        -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions";
    let host = step::output(Command::new("rustc").args(["--print", "host-tuple"]))?.trim().to_owned();
    let built = step::target().join("fuzz");
    steps.step("fuzz targets: seeds", || {
        run(&mut cargo(&["run", "--quiet", "-p", "postrider-protocol", "--example", "seeds"]))
    })?;
    steps.step("fuzz targets: build", || {
        step::require("c++", "g++")?;
        run(cargo(&[
            "build",
            "--quiet",
            "--release",
            "--manifest-path",
            "fuzz/Cargo.toml",
            "--bins",
            "--target",
            &host,
        ])
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", COVERAGE)
        .env("CARGO_TARGET_DIR", &built))
    })?;
    let manifest: Manifest = toml::from_str(&fs::read_to_string(&manifest)?)?;
    for target in manifest.bin.iter().map(|bin| bin.name.as_str()) {
        steps.step(&format!("fuzz {target}: {seconds} s"), || fuzz_one(target, &host, seconds))?;
    }
    Ok(())
}

fn fuzz_one(target: &str, host: &str, seconds: u64) -> Result {
    let found = step::target().join("fuzz/found").join(target);
    fs::create_dir_all(&found)?;
    let program = step::target().join("fuzz").join(host).join("release").join(target);
    let mut fuzz = command(program, &[&format!("-max_total_time={seconds}"), "-timeout=10", "-rss_limit_mb=2048"]);
    fuzz.args(["-verbosity=0", "-print_final_stats=1", &format!("-artifact_prefix={}/", found.display())]);
    fuzz.arg(&found);
    let seeds = step::root().join("fuzz/corpus").join(target);
    if seeds.is_dir() {
        fuzz.arg(seeds);
    }
    run(&mut fuzz)
}

/// Power cuts need a loop device and the right to mount.
fn powercut(steps: &mut Steps, cuts: u64) -> Result {
    if !step::is_root() || !step::exists("losetup") || env::var_os("POSTRIDER_NO_LOOP").is_some() {
        println!("\n== torture: powercut is left out: it needs root and loop devices");
        return Ok(());
    }
    steps.step(&format!("torture: powercut, {cuts} cuts"), || Powercut::cuts(cuts).run())
}
