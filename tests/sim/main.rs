//! The seeded world: real clients and the real server on one thread, over pipes that split, delay and break, on a disk
//! that crashes. One seed is one run, to the byte.
//!
//! `cargo test --release --test sim -- --seeds N [--start S] [--seed S [--steps N]] [--plant FAULT]`
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod chance;
mod device;
mod hostile;
mod link;
mod oracle;
mod report;
mod server;
mod verdict;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use postrider_storage::plant::{self, Fault};
use report::{Counters, Violation};
use world::World;

/// What must have happened in a run of 100 seeds or more, or it proves nothing.
const MUST_HAPPEN: [&str; 20] = [
    "acks",
    "all read",
    "clean stops",
    "conflicts",
    "crashes",
    "crashes with survivors",
    "cut starts",
    "duplicates answered",
    "failed commits",
    "hostile acts",
    "lags",
    "lost syncs",
    "received",
    "refused for good",
    "refused for now",
    "survivors",
    "synced",
    "torn tails",
    "trims",
    "unread",
];

struct Outcome {
    violation: Option<Violation>,
    steps: u64,
    trace: u64,
    counters: Counters,
}

/// Runs a seed, at most `limit` steps of it before everything is healed.
fn run(seed: u64, limit: u64, is_verbose: bool) -> Outcome {
    let mut world = World::new(seed);
    world.oracle.is_verbose = is_verbose;
    let steps = world.steps().min(limit);
    let ran = catch_unwind(AssertUnwindSafe(|| {
        (0..steps).try_for_each(|_| world.step())?;
        world.judge()
    }));
    let violation = match ran {
        Ok(verdict) => verdict.err(),
        Err(_) => Some(Violation { invariant: "nothing panics", detail: "see above".to_owned() }),
    };
    let counters = std::mem::take(&mut world.oracle.counters);
    Outcome { violation, steps, trace: world.oracle.trace.hash(), counters }
}

/// The fewest steps, found by halving, after which the seed still fails.
fn shrink(seed: u64, steps: u64) -> u64 {
    let (mut good, mut bad) = (0, steps);
    while good + 1 < bad {
        let middle = good + (bad - good) / 2;
        if run(seed, middle, false).violation.is_some() {
            bad = middle;
        } else {
            good = middle;
        }
    }
    bad
}

struct Arguments {
    seeds: u64,
    start: u64,
    one: Option<u64>,
    steps: u64,
    plant: Option<String>,
}

/// Arguments of other test binaries are passed over, so that `cargo test -- --nocapture` runs this one too.
fn arguments() -> Result<Arguments, String> {
    let mut found =
        Arguments { seeds: 200, start: 1, one: None, steps: u64::MAX, plant: std::env::var("PLANT_FAULT").ok() };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{name} needs a value"));
        let number = |text: String| text.parse::<u64>().map_err(|_| format!("{text} is no number"));
        match name.as_str() {
            "--seeds" => found.seeds = number(value()?)?,
            "--start" => found.start = number(value()?)?,
            "--seed" => found.one = Some(number(value()?)?),
            "--steps" => found.steps = number(value()?)?,
            "--plant" => found.plant = Some(value()?),
            _ => {}
        }
    }
    Ok(found)
}

fn plant(name: &str) -> Result<(), String> {
    let fault = match name {
        "no-fdatasync" => Fault::NoFdatasync,
        "ack-before-commit" => Fault::AckBeforeCommit,
        "dedup-in-memory" => Fault::DedupInMemory,
        "drop-last-entry" => Fault::DropLastEntry,
        "flush-error-ignored" => Fault::FlushErrorIgnored,
        _ => return Err(format!("no fault is called {name}")),
    };
    plant::set(fault);
    if plant::is(fault) { Ok(()) } else { Err("faults are planted with --features plant".to_owned()) }
}

fn fail(seed: u64, steps: u64, violation: &Violation, plant: Option<&str>) -> ExitCode {
    println!("seed {seed}: {}: {}", violation.invariant, violation.detail);
    let least = shrink(seed, steps);
    println!("seed {seed} fails after {least} of {steps} steps");
    let features = plant.map_or("", |_| " --features plant");
    let plant = plant.map(|name| format!(" --plant {name}")).unwrap_or_default();
    println!("again: cargo test --release --test sim{features} -- --seed {seed} --steps {least}{plant}");
    ExitCode::FAILURE
}

fn main() -> ExitCode {
    let arguments = match arguments().and_then(|found| found.plant.as_deref().map_or(Ok(()), plant).map(|()| found)) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("sim: {error}");
            return ExitCode::from(2);
        }
    };
    if let Some(seed) = arguments.one {
        let outcome = run(seed, arguments.steps, true);
        println!("{{\"seed\":{seed},\"trace\":\"{:016x}\",{}}}", outcome.trace, outcome.counters.json());
        return outcome
            .violation
            .map_or(ExitCode::SUCCESS, |violation| fail(seed, outcome.steps, &violation, arguments.plant.as_deref()));
    }
    let (start, mut counters) = (Instant::now(), Counters::default());
    for (seed, count) in (arguments.start..).zip(1..=arguments.seeds) {
        let outcome = run(seed, u64::MAX, false);
        if let Some(violation) = outcome.violation {
            return fail(seed, outcome.steps, &violation, arguments.plant.as_deref());
        }
        if count <= 3 && run(seed, u64::MAX, false).trace != outcome.trace {
            println!("seed {seed}: two runs of it differ");
            return ExitCode::FAILURE;
        }
        counters.merge(&outcome.counters);
        if count % 500 == 0 {
            println!("{count} seeds, {:.0} a second", count as f64 / start.elapsed().as_secs_f64());
        }
    }
    let per_second = arguments.seeds as f64 / start.elapsed().as_secs_f64();
    println!("{{\"seeds\":{},\"per_second\":{per_second:.0},{}}}", arguments.seeds, counters.json());
    let never: Vec<_> = MUST_HAPPEN.into_iter().filter(|name| counters.of(name) == 0).collect();
    if arguments.seeds >= 100 && !never.is_empty() {
        println!("this proves nothing, for these never happened: {never:?}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
