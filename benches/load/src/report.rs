//! What came out of a run.

use std::fmt::Write as _;

use serde::Serialize;

use crate::{
    ledger::Latencies,
    options::{Options, Scenario, Target},
};

/// Percentiles in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// The median.
    pub p50: f64,
    /// Of a hundred, one took longer.
    pub p99: f64,
    /// Of a thousand, one took longer.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

impl Percentiles {
    /// Of what was recorded; none when nothing was.
    pub(crate) fn of(latencies: &Latencies) -> Option<Self> {
        let at = |quantile: f64| latencies.value_at_quantile(quantile) as f64 / 1_000.0;
        let some = Self { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: latencies.max() as f64 / 1_000.0 };
        (!latencies.is_empty()).then_some(some)
    }
}

/// The figures of one run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// `p2p`, `fanout`, …
    pub scenario: String,
    /// `postrider`, `nats`, …
    pub target: String,
    /// `tcp`, `tls`, `ws`, `wss`
    pub transport: String,
    /// Connections.
    pub connections: u32,
    /// Messages of one connection under way.
    pub window: u32,
    /// When a place in the window is free again.
    pub window_rule: String,
    /// Bytes of a body.
    pub size: u32,
    /// Seconds that were measured.
    pub seconds: f64,
    /// Messages received, each once for each receiver, a second.
    pub deliveries_per_s: f64,
    /// Messages acknowledged (or sent, where nothing is acknowledged) a second.
    pub messages_per_s: f64,
    /// CPU time of the server for each delivery, microseconds.
    pub server_cpu_us_per_delivery: Option<f64>,
    /// CPU time of the server for each second.
    pub server_cpu_cores: Option<f64>,
    /// CPU time of this load generator for each second.
    pub load_cpu_cores: f64,
    /// From sending to receiving, microseconds.
    pub latency_us: Option<Percentiles>,
    /// From sending to the acknowledgement, microseconds.
    pub ack_us: Option<Percentiles>,
    /// As `latency_us`, during a storm.
    pub storm_latency_us: Option<Percentiles>,
    /// Resident memory of the server at the end, bytes.
    pub server_rss_bytes: Option<u64>,
    /// The most that was seen.
    pub server_rss_peak_bytes: Option<u64>,
    /// The same on average over each minute that was measured, bytes.
    pub server_rss_bytes_by_minute: Vec<u64>,
    /// What each connection added to it.
    pub server_rss_bytes_per_connection: Option<f64>,
    /// Connections that were let in, a second, while they were made.
    pub connects_per_s: Option<f64>,
    /// Seconds from the beginning of a storm until every device had everything.
    pub caught_up_s: Option<f64>,
    /// Messages that came by asking for them.
    pub synced: u64,
    /// Refusals for now; what was refused was sent again.
    pub refused: u64,
    /// Messages that a full queue dropped, and that were asked for.
    pub lagged: u64,
    /// Acknowledged and never received.
    pub lost: u64,
    /// Received twice.
    pub duplicated: u64,
    /// Received after a later one of the same channel.
    pub disordered: u64,
    /// Never answered.
    pub unanswered: u64,
    /// Connections that failed, refusals for good.
    pub troubles: u64,
    /// The first of them.
    pub trouble: Vec<String>,
}

impl Report {
    /// Whether everything arrived, once and in order, and nothing went wrong.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.lost + self.duplicated + self.disordered + self.unanswered + self.troubles == 0
    }

    /// A report with nothing in it yet.
    pub(crate) fn empty(options: &Options) -> Self {
        let name = |value: &dyn std::fmt::Debug| format!("{value:?}").to_lowercase();
        Self {
            scenario: name(&options.scenario),
            target: name(&options.target),
            transport: name(&options.addr.transport()),
            connections: options.connections,
            window: options.window,
            window_rule: options.window_rule().to_owned(),
            size: options.size,
            seconds: 0.0,
            deliveries_per_s: 0.0,
            messages_per_s: 0.0,
            server_cpu_us_per_delivery: None,
            server_cpu_cores: None,
            load_cpu_cores: 0.0,
            latency_us: None,
            ack_us: None,
            storm_latency_us: None,
            server_rss_bytes: None,
            server_rss_peak_bytes: None,
            server_rss_bytes_by_minute: Vec::new(),
            server_rss_bytes_per_connection: None,
            connects_per_s: None,
            caught_up_s: None,
            synced: 0,
            refused: 0,
            lagged: 0,
            lost: 0,
            duplicated: 0,
            disordered: 0,
            unanswered: 0,
            troubles: 0,
            trouble: Vec::new(),
        }
    }

    /// For a person.
    #[must_use]
    pub fn table(&self, options: &Options) -> String {
        let mut out = format!(
            "{} · {} over {} · {} connections, bodies of {} bytes, {:.0} s\n",
            self.scenario, self.target, self.transport, self.connections, self.size, self.seconds
        );
        let mut row = |name: &str, value: String| {
            let _ = writeln!(out, "  {name:<24} {value}");
        };
        let windowed = matches!(options.scenario, Scenario::P2p | Scenario::Fanout | Scenario::Rate);
        if windowed {
            row("window", format!("{}, {}", self.window, self.window_rule));
        }
        if self.deliveries_per_s > 0.0 {
            row("deliveries", format!("{}/s", grouped(self.deliveries_per_s)));
            row("messages", format!("{}/s", grouped(self.messages_per_s)));
        }
        if let Some(cpu) = self.server_cpu_us_per_delivery {
            row("server CPU", format!("{cpu:.2} µs a delivery, {:.2} cores", self.server_cpu_cores.unwrap_or(0.0)));
        }
        row("load generator's CPU", format!("{:.2} cores", self.load_cpu_cores));
        let percentiles = |p: &Percentiles| {
            let ms = |us: f64| us / 1_000.0;
            format!("p50 {:.2} · p99 {:.2} · p99.9 {:.2} · max {:.2} ms", ms(p.p50), ms(p.p99), ms(p.p999), ms(p.max))
        };
        let acked = options.target != Target::Nats;
        for (name, of) in [
            ("delivery", &self.latency_us),
            ("acknowledgement", &self.ack_us.filter(|_| acked)),
            ("delivery in the storm", &self.storm_latency_us),
        ] {
            if let Some(of) = of {
                row(name, percentiles(of));
            }
        }
        if let Some(rss) = self.server_rss_bytes {
            let each = self.server_rss_bytes_per_connection;
            let each = each.map_or(String::new(), |each| format!(", {:.2} KB a connection", each / 1_000.0));
            row("server memory", format!("{:.1} MB{each}", rss as f64 / 1e6));
        }
        if let [_, second, .., last] = self.server_rss_bytes_by_minute.as_slice() {
            let ratio = *last as f64 / *second as f64;
            row("its last minute", format!("{:.1} MB, {ratio:.2} of the second", *last as f64 / 1e6));
        }
        if let Some(rate) = self.connects_per_s {
            row("connected", format!("{}/s, authenticated and subscribed", grouped(rate)));
        }
        if let Some(seconds) = self.caught_up_s {
            row("all caught up after", format!("{seconds:.2} s"));
        }
        for (name, count) in [("asked for", self.synced), ("refused for now", self.refused), ("lagged", self.lagged)] {
            if count > 0 {
                row(name, grouped(count as f64));
            }
        }
        let counts = format!("{} lost, {} duplicated, {} out of order", self.lost, self.duplicated, self.disordered);
        row(if self.is_good() { "good" } else { "FAILED" }, counts);
        if self.unanswered > 0 {
            row("", format!("{} commands without an answer", self.unanswered));
        }
        for trouble in &self.trouble {
            row("", format!("{trouble} ({} in all)", self.troubles));
        }
        out
    }
}

/// A whole number with commas.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([grouped(0.4), grouped(999.0), grouped(1_234_567.0)], ["0", "999", "1,234,567"]);
    }
}
