//! `cargo xtask peers`: Postrider beside the servers that people would take instead, on this machine, in one run.
//!
//! Every figure is taken with `postrider bench`; targets take turns within a scenario, each on a fresh server with
//! nothing else running, and the median of the rounds counts.

pub mod cases;
mod page;
pub mod server;

use std::{collections::BTreeMap, fs, path::Path};

use clap::Args;
use serde_json::Value;

use self::{
    cases::{Case, Entrant},
    server::Programs,
};
use crate::{
    Result,
    step::{self, cargo},
};

/// Arguments of `peers`.
#[derive(Args)]
pub struct Peers {
    /// Only the scenarios whose names begin like these: p2p, fanout, rate, idle, storm, sync, mixed
    #[arg(long, value_delimiter = ',')]
    scenario: Vec<String>,
    /// How often each is measured; the median counts
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Measure so many seconds, instead of what each scenario takes by itself
    #[arg(long)]
    seconds: Option<u32>,
    /// Two seconds, one round, a tenth of the connections, and no page: to see that everything works
    #[arg(long)]
    quick: bool,
    /// Only these servers: postrider, nats, jetstream, mqtt
    #[arg(long, value_delimiter = ',')]
    target: Vec<String>,
    /// Write the page although not everything was measured; it tells what was
    #[arg(long, conflicts_with = "quick")]
    write: bool,
    /// Put the scenarios beside those of the last run, for a page that takes too long in one go
    #[arg(long)]
    add: bool,
}

/// One measured entrant of one case: the reports of its rounds.
struct Outcome {
    entrant: Entrant,
    name: String,
    promise: &'static str,
    command: String,
    reports: Vec<Value>,
}

/// Everything about one case.
struct Measured {
    case: Case,
    outcomes: Vec<Outcome>,
}

impl Peers {
    /// Builds, installs, measures, writes the page.
    pub fn run(self) -> Result {
        println!("building postrider …");
        step::run(&mut cargo(&["build", "--quiet", "--release", "--bin", "postrider"]))?;
        let folder = step::target().join("peers");
        fs::create_dir_all(&folder)?;
        let programs = Programs::find(&folder)?;
        let rounds = if self.quick { 1 } else { self.rounds.max(1) };
        let mut all = Vec::new();
        for mut case in cases::all() {
            case.seconds = self.seconds.unwrap_or(case.seconds);
            let is_wanted = |wanted: &String| case.name.starts_with(wanted.as_str());
            if !self.scenario.is_empty() && !self.scenario.iter().any(is_wanted) {
                continue;
            }
            all.push(self.measure(case, &programs, &folder, rounds)?);
        }
        let results = folder.join("results.json");
        if self.add {
            all = together(serde_json::from_slice(&fs::read(&results)?)?, all, &programs);
        }
        let raw: Vec<_> = all.iter().map(page::raw).collect();
        fs::write(results, serde_json::to_string_pretty(&raw)?)?;
        let append = append_latency(&folder)?;
        let text = page::page(&all, &programs, append)?;
        println!("\n{text}");
        if !self.write && (self.quick || !self.scenario.is_empty() || !self.target.is_empty()) {
            println!("(docs/benchmarks.md is written by a whole run, or with --write)");
            return Ok(());
        }
        fs::create_dir_all(step::root().join("docs"))?;
        fs::write(step::root().join("docs/benchmarks.md"), text)?;
        fs::write(step::root().join("docs/benchmarks.svg"), page::plot(&all))?;
        Ok(())
    }

    fn measure(&self, case: Case, programs: &Programs, folder: &Path, rounds: usize) -> Result<Measured> {
        println!("\n== {}", case.title);
        let mut outcomes: Vec<Outcome> = Vec::new();
        for entrant in case.entrants {
            let wanted = self.target.is_empty() || self.target.iter().any(|target| target == entrant.target());
            if wanted && programs.has(*entrant) {
                let (name, promise) = (programs.name(*entrant), entrant.promise());
                outcomes.push(Outcome {
                    entrant: *entrant,
                    name,
                    promise,
                    command: String::new(),
                    reports: Vec::new(),
                });
            }
        }
        for round in 1..=rounds {
            for outcome in &mut outcomes {
                let server = programs.start(outcome.entrant, folder)?;
                let mut bench = server.bench(&case, self.quick);
                outcome.command = server.shown(&bench);
                let output = bench.output().map_err(|error| format!("cannot run postrider bench: {error}"))?;
                let report: Value = serde_json::from_slice(&output.stdout)
                    .map_err(|_| format!("{}: {}", outcome.name, String::from_utf8_lossy(&output.stderr).trim()))?;
                let verdict = if output.status.success() { "" } else { "  FAILED" };
                println!("  {round}/{rounds} {:<28} {}{verdict}", outcome.name, page::line(&case, &report));
                if !output.status.success() {
                    println!("      {}", report.get("trouble").unwrap_or(&Value::Null));
                }
                outcome.reports.push(report);
                server.stop()?;
            }
        }
        Ok(Measured { case, outcomes })
    }
}

/// What the last run measured and this one did not, and what this one did, in the order of the page.
fn together(earlier: Vec<Value>, mut now: Vec<Measured>, programs: &Programs) -> Vec<Measured> {
    let mut all = Vec::new();
    for case in cases::all() {
        if let Some(at) = now.iter().position(|measured| measured.case.name == case.name) {
            all.push(now.swap_remove(at));
        } else if let Some(raw) = earlier.iter().find(|raw| raw["case"] == case.name) {
            all.push(recalled(case, raw, programs));
        }
    }
    all
}

/// What [`page::raw`] told.
fn recalled(mut case: Case, raw: &Value, programs: &Programs) -> Measured {
    let named = |entrant: &Entrant| {
        let name = programs.name(*entrant);
        let told = raw["outcomes"].as_array()?.iter().find(|told| told["name"] == name.as_str())?;
        let reports = told["reports"].as_array().cloned().unwrap_or_default();
        let command = told["command"].as_str().unwrap_or_default().to_owned();
        Some(Outcome { entrant: *entrant, name, promise: entrant.promise(), command, reports })
    };
    let outcomes = case.entrants.iter().filter_map(named).collect();
    case.seconds = raw["seconds"].as_u64().and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(case.seconds);
    Measured { case, outcomes }
}

/// What 1,000 appends of 4 KiB, each with `fdatasync`, take here: p50 and p99 in microseconds.
fn append_latency(folder: &Path) -> Result<(f64, f64)> {
    use std::io::Write as _;
    let path = folder.join("append");
    let mut file = fs::File::create(&path)?;
    // Written before, as a log does, so that a sync has no metadata to write.
    file.write_all(&vec![0; 4 << 20])?;
    file.sync_all()?;
    drop(file);
    let mut file = fs::OpenOptions::new().write(true).open(&path)?;
    let mut taken = BTreeMap::new();
    for number in 0..1_000_u32 {
        let start = std::time::Instant::now();
        file.write_all(&[1; 4_096])?;
        file.sync_data()?;
        taken.insert((start.elapsed(), number), ());
    }
    let at = |nth: usize| taken.keys().nth(nth).map_or(0.0, |(taken, _)| taken.as_secs_f64() * 1e6);
    let _ = fs::remove_file(&path);
    Ok((at(500), at(990)))
}
