//! `cargo xtask overload`: twice the load that saturates the server, and then half of it. What is accepted must not
//! fall, what is refused must be told `BUSY`, memory must stay bounded, and afterwards the latency must be back.

use std::fs;

use clap::Args;
use serde_json::{Value, json};

use crate::{
    Result,
    peers::{
        cases::{Case, Entrant, Figure},
        server::{Programs, Server},
    },
    step::{self, cargo},
};

/// Arguments of `overload`.
#[derive(Args)]
pub struct Overload {
    /// How many connections: enough for the commands under way to be more than a second's work
    #[arg(long, default_value_t = 10_000)]
    connections: u32,
    /// How long each phase is measured, seconds
    #[arg(long, default_value_t = 10)]
    seconds: u32,
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
        let best = self.phase(&server, "as fast as it goes", "p2p", &["--window", "8"])?;
        let saturating = number(&best, "/messages_per_s");
        let rate = |factor: f64| format!("{:.0}", saturating * factor);
        let before = self.phase(&server, "half of that", "rate", &["--rate", &rate(0.5)])?;
        let over = self.phase(&server, "twice that", "rate", &["--rate", &rate(2.0)])?;
        let after = self.phase(&server, "half of that again", "rate", &["--rate", &rate(0.5)])?;
        server.stop()?;
        let result = json!({
            "suite": "overload",
            "connections": self.connections,
            "best_messages_per_s": saturating,
            "accepted_messages_per_s": number(&over, "/messages_per_s"),
            "accepted_of_best": number(&over, "/messages_per_s") / saturating,
            "refused": over.pointer("/refused"),
            "peak_rss_bytes": over.pointer("/server_rss_peak_bytes"),
            "ack_us_before": before.pointer("/ack_us"),
            "ack_us_during": over.pointer("/ack_us"),
            "ack_us_after": after.pointer("/ack_us"),
        });
        println!("{result}");
        Ok(())
    }

    fn phase(&self, server: &Server, what: &str, scenario: &'static str, arguments: &[&str]) -> Result<Value> {
        let case = Case {
            name: "overload",
            title: "overload",
            scenario,
            connections: self.connections,
            seconds: self.seconds,
            arguments: &[],
            entrants: &[Entrant::Tcp],
            figure: Figure::Deliveries,
        };
        let output = server.bench(&case, false).args(arguments).output()?;
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

fn number(report: &Value, at: &str) -> f64 {
    report.pointer(at).and_then(Value::as_f64).unwrap_or(f64::NAN)
}
