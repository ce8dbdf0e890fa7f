//! The model: random operations of several users and devices on the real server and on a small, obvious model of it;
//! every answer and, in the end, every device's view must be the model's.
//!
//! `cargo test --release --test model -- --seeds N [--start S] [--seed S [--steps N]] [--verbose]`
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod broadcasts;
#[path = "../sim/chance.rs"]
#[allow(dead_code)]
mod chance;
mod compare;
mod groups;
#[path = "../behaviour/harness/mod.rs"]
#[allow(dead_code, unused_imports)]
mod harness;
mod model;
mod scheduled;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use harness::Server;
use world::{MUST_HAPPEN, World};

const STEPS: u64 = 400;
const SETTINGS: [&str; 1] = ["limits.user_rate=0"];

struct Arguments {
    start: u64,
    seeds: u64,
    steps: u64,
    is_verbose: bool,
}

fn arguments() -> Result<Arguments, String> {
    let mut parsed = Arguments { start: 1, seeds: 20, steps: STEPS, is_verbose: false };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || -> Result<u64, String> {
            words.next().and_then(|word| word.parse().ok()).ok_or_else(|| format!("{word} takes a number"))
        };
        match word.as_str() {
            "--seeds" => parsed.seeds = number()?,
            "--start" => parsed.start = number()?,
            "--steps" => parsed.steps = number()?,
            "--seed" => (parsed.start, parsed.seeds) = (number()?, 1),
            "--verbose" => parsed.is_verbose = true,
            // What cargo passes on to every test.
            "--quiet" | "-q" | "--nocapture" => {}
            other => return Err(format!("{other}: not known")),
        }
    }
    Ok(parsed)
}

fn run(server: &mut Server, seed: u64, arguments: &Arguments) -> BTreeMap<&'static str, u64> {
    let mut world = World::new(server, seed);
    world.is_verbose = arguments.is_verbose;
    for _ in 0..arguments.steps {
        world.step();
    }
    world.check_live();
    world.compare();
    world.compare_scheduled();
    world.compare_tags();
    world.counters
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let (began, mut told) = (Instant::now(), Instant::now());
    let mut all = BTreeMap::<&str, u64>::new();
    let mut server = Server::start(&SETTINGS);
    for seed in arguments.start..arguments.start + arguments.seeds {
        let ran = catch_unwind(AssertUnwindSafe(|| run(&mut server, seed, &arguments)));
        let Ok(counters) = ran else {
            eprintln!("seed {seed} differs: cargo test --release --test model -- --seed {seed} --verbose");
            return ExitCode::FAILURE;
        };
        for (what, count) in counters {
            *all.entry(what).or_default() += count;
        }
        if told.elapsed().as_secs() >= 2 {
            told = Instant::now();
            eprintln!("{} of {} seeds", seed - arguments.start + 1, arguments.seeds);
        }
    }
    let missing: Vec<_> = MUST_HAPPEN.iter().filter(|what| !all.contains_key(**what)).collect();
    let seconds = began.elapsed().as_secs();
    println!(
        "{}",
        serde_json::json!({ "seeds": arguments.seeds, "differences": 0, "seconds": seconds, "counts": all })
    );
    if arguments.seeds >= 100 && !missing.is_empty() {
        eprintln!("never happened, so nothing is proved of it: {missing:?}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
