//! `cargo xtask counts`: how many instructions a message costs on the hot path, against `benches/counts.json`.
//!
//! `benches/hot_path.rs` runs under callgrind twice, with few and with more messages; the difference leaves the set-up
//! out. Counts do not depend on what else the machine does, but on the compiler: the file tells which made them.

use std::{collections::BTreeMap, fs, path::Path};

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::{
    Result,
    step::{self, cargo, command},
};

/// So many percent more or less are no difference.
const TOLERANCE: f64 = 5.0;
/// Shapes of `hot_path`, with the messages of the shorter and the longer run.
const SHAPES: [(&str, u64, u64); 3] =
    [("person", 3_200, 12_800), ("person-alone", 500, 2_500), ("group-100", 320, 1_600)];

/// Arguments of `counts`.
#[derive(Args)]
pub struct Counts {
    /// Write what is counted, instead of comparing.
    #[arg(long)]
    write: bool,
    /// Compare, and fail when a count is off by more than 5 %. This is what happens without an argument too.
    #[arg(long, conflicts_with = "write")]
    check: bool,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Baseline {
    /// What made it.
    rustc: String,
    /// Instructions for each message, by shape.
    instructions_per_message: BTreeMap<String, f64>,
}

impl Counts {
    /// What CI runs.
    pub const fn compare() -> Self {
        Self { write: false, check: true }
    }

    /// Builds, counts, compares or writes.
    pub fn run(self) -> Result {
        step::require("valgrind", "valgrind")?;
        let program = build()?;
        let rustc = step::output(&mut command("rustc", &["--version"]))?;
        let mut counted = BTreeMap::new();
        for (shape, few, more) in SHAPES {
            let (few_cost, more_cost) = (instructions(&program, shape, few)?, instructions(&program, shape, more)?);
            let each = more_cost.saturating_sub(few_cost) as f64 / (more - few) as f64;
            counted.insert(shape.to_owned(), each.round());
        }
        let now = Baseline { rustc: rustc.trim().to_owned(), instructions_per_message: counted };
        let file = step::root().join("benches/counts.json");
        if self.write {
            fs::write(&file, serde_json::to_string_pretty(&now)? + "\n")?;
            for (shape, count) in &now.instructions_per_message {
                println!("{shape:<16}{count:>10.0} instructions a message");
            }
            return Ok(());
        }
        let text =
            fs::read_to_string(&file).map_err(|error| format!("{}: {error}; make it with --write", file.display()))?;
        compare(&serde_json::from_str(&text)?, &now)
    }
}

/// Tells each difference; one beyond the tolerance is an error, unless another compiler made the baseline.
fn compare(then: &Baseline, now: &Baseline) -> Result {
    let mut off = Vec::new();
    for (shape, count) in &now.instructions_per_message {
        let Some(before) = then.instructions_per_message.get(shape) else {
            off.push(format!("{shape} is not in benches/counts.json"));
            continue;
        };
        let percent = (count / before - 1.0) * 100.0;
        println!("{shape:<16}{count:>10.0} instructions a message, {percent:+.1} %");
        if percent.abs() > TOLERANCE {
            off.push(format!("{shape}: {before:.0} → {count:.0} instructions a message ({percent:+.1} %)"));
        }
    }
    if then.rustc != now.rustc {
        println!("the counts are of {}, this is {}: not compared", then.rustc, now.rustc);
        return Ok(());
    }
    if off.is_empty() {
        return Ok(());
    }
    Err(format!("{}; if that is meant: cargo xtask counts --write", off.join("; ")).into())
}

/// Builds the bench as it is released; returns the program.
fn build() -> Result<String> {
    let arguments = ["bench", "--quiet", "--no-run", "--bench", "hot_path", "--message-format=json"];
    let messages = step::output(&mut cargo(&arguments))?;
    let mut programs = messages.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let is_it = message.pointer("/target/name")?.as_str()? == "hot_path";
        is_it.then(|| message.get("executable")?.as_str().map(str::to_owned)).flatten()
    });
    programs.next_back().ok_or_else(|| "cargo has built no hot_path".into())
}

/// Instructions of one run.
fn instructions(program: &str, shape: &str, messages: u64) -> Result<u64> {
    let out = step::target().join("callgrind.out");
    let output = command("valgrind", &["--tool=callgrind"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .args([program, shape, &messages.to_string()])
        .output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("valgrind {}: {}", Path::new(program).display(), told.trim()).into());
    }
    let collected = told.lines().find_map(|line| line.split_once("Collected :"));
    let number = collected.and_then(|(_, number)| number.trim().parse().ok());
    number.ok_or_else(|| format!("callgrind has told no count: {}", told.trim()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn baseline(rustc: &str, count: f64) -> Baseline {
        let shapes = [("person".to_owned(), count)];
        Baseline { rustc: rustc.to_owned(), instructions_per_message: shapes.into() }
    }

    #[test]
    fn five_percent_are_no_difference() {
        assert!(compare(&baseline("1", 1_000.0), &baseline("1", 1_049.0)).is_ok());
        assert!(compare(&baseline("1", 1_000.0), &baseline("1", 951.0)).is_ok());
    }

    #[test]
    fn more_are_told_with_the_shape() {
        let error = compare(&baseline("1", 1_000.0), &baseline("1", 1_060.0)).unwrap_err().to_string();
        assert!(error.contains("person: 1000 → 1060"), "{error}");
        assert!(compare(&baseline("1", 1_000.0), &baseline("1", 900.0)).is_err(), "a gain is to be written down");
    }

    #[test]
    fn another_compiler_is_not_compared() {
        assert!(compare(&baseline("1", 1_000.0), &baseline("2", 2_000.0)).is_ok());
    }
}
