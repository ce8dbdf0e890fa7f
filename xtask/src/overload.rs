//! `cargo xtask overload`: twice the load that saturates the server, and then half of it. What is accepted must not
//! fall, what is refused must be told `BUSY`, memory must stay bounded, and afterwards the latency must be back. What
//! saturates is looked for with the same connections at a given rate, which is raised until the server takes no more; what
//! it takes then and at twice that is measured in turn, each as long as the other.

use std::{fs, time::Instant};

use clap::Args;
use serde_json::{Value, json};

use crate::{
    Result,
    median::median,
    peers::{
        cases::{Case, Entrant, Figure},
        server::{Programs, Server},
    },
    step::{self, cargo},
};

/// By so much the rate is raised while the server keeps up.
const STEP: f64 = 1.4;
/// The server takes no more when so many rates in a row bring less than [`GAIN`] times the best before them: one alone
/// may have met a stall of the machine.
const PATIENCE: u32 = 2;
/// See [`PATIENCE`].
const GAIN: f64 = 1.05;
/// How long each rate is tried, seconds.
const TRY: u32 = 4;
/// How long the load runs before it is measured, seconds: the load tool's own.
const WARM_UP: u32 = 2;

/// Arguments of `overload`.
#[derive(Args)]
pub struct Overload {
    /// How many connections: enough for the commands under way to be more than a second's work
    #[arg(long, default_value_t = 10_000)]
    connections: u32,
    /// How long each phase is measured, seconds
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// How often the saturating load and twice that are measured in turn
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Messages a second with which the search for the saturating rate begins
    #[arg(long, default_value_t = 5_000.0)]
    from: f64,
    /// Only the result, as JSON
    #[arg(long)]
    json: bool,
}

impl Overload {
    /// Builds, measures, tells.
    pub fn run(self) -> Result {
        step::run(&mut cargo(&["build", "--quiet", "--release", "--bin", "postrider"]))?;
        let folder = step::target().join("overload");
        fs::create_dir_all(&folder)?;
        let server = Programs::postrider_alone().start(Entrant::Tcp, &folder)?;
        let (rate, most) = self.saturate(&server)?;
        let before = self.phase(&server, "half of that", most * 0.5, self.seconds)?;
        let (mut at, mut over, mut began) = (Vec::new(), Vec::new(), Instant::now());
        for _ in 0..self.rounds.max(1) {
            at.push(self.phase(&server, "the saturating rate", rate, self.seconds)?);
            began = Instant::now();
            over.push(self.phase(&server, "twice what it takes", most * 2.0, self.seconds)?);
        }
        let after = self.phase(&server, "half of that again", most * 0.5, self.seconds)?;
        // Connecting and draining count; so this is the most that it can have been.
        let measured = f64::from(2 * self.seconds + WARM_UP);
        let back_within_s = began.elapsed().as_secs_f64() - measured;
        server.stop()?;
        let (saturated, accepted) = (numbers(&at, "/messages_per_s"), numbers(&over, "/messages_per_s"));
        let result = json!({
            "suite": "overload",
            "connections": self.connections,
            "most_messages_per_s_in_a_try": most,
            "saturated_messages_per_s": saturated,
            "accepted_messages_per_s": accepted,
            "accepted_of_saturated": median(accepted.clone()) / median(saturated.clone()),
            "refused": numbers(&over, "/refused").iter().sum::<f64>(),
            "peak_rss_bytes": numbers(&over, "/server_rss_peak_bytes").into_iter().fold(0.0, f64::max),
            "ack_us_before": before.pointer("/ack_us"),
            "ack_us_during": over.last().and_then(|report| report.pointer("/ack_us")),
            "ack_us_after": after.pointer("/ack_us"),
            "back_within_s": back_within_s,
        });
        println!("{result}");
        Ok(())
    }

    /// The rate at which the most messages a second were accepted while it was raised until the server took no more, and
    /// how many those were.
    fn saturate(&self, server: &Server) -> Result<(f64, f64)> {
        let (mut rate, mut best, mut vain) = (self.from, (self.from, 0.0_f64), 0);
        while vain < PATIENCE {
            let report = self.phase(server, &format!("{rate:.0}/s"), rate, TRY)?;
            let accepted = number(&report, "/messages_per_s");
            // Not a number is no gain.
            vain = if accepted > best.1 * GAIN { 0 } else { vain + 1 };
            if accepted > best.1 {
                best = (rate, accepted);
            }
            rate *= STEP;
        }
        Ok(best)
    }

    /// So many messages a second, whatever the server does.
    fn phase(&self, server: &Server, what: &str, rate: f64, seconds: u32) -> Result<Value> {
        let case = Case {
            name: "overload",
            title: "overload",
            scenario: "rate",
            connections: self.connections,
            seconds,
            arguments: &[],
            entrants: &[Entrant::Tcp],
            figure: Figure::Deliveries,
        };
        let output = server.bench(&case, false).args(["--rate", &format!("{rate:.0}")]).output()?;
        let report: Value = serde_json::from_slice(&output.stdout)
            .map_err(|_| format!("{what}: {}", String::from_utf8_lossy(&output.stderr).trim()))?;
        if !self.json {
            let refused = number(&report, "/refused");
            let (rate, p99) = (number(&report, "/messages_per_s"), number(&report, "/ack_us/p99") / 1_000.0);
            println!("{what:<20} {rate:>9.0} messages/s, {refused:>9.0} refused, SENDACK p99 {p99:.1} ms");
        }
        if !output.status.success() {
            return Err(format!("{what}: {}", report.get("trouble").unwrap_or(&Value::Null)).into());
        }
        Ok(report)
    }
}

fn numbers(reports: &[Value], at: &str) -> Vec<f64> {
    reports.iter().map(|report| number(report, at)).collect()
}

fn number(report: &Value, at: &str) -> f64 {
    report.pointer(at).and_then(Value::as_f64).unwrap_or(f64::NAN)
}
