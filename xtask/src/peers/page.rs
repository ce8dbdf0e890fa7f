//! The page with the figures, and its picture.

use std::{fmt::Write as _, fs};

use serde_json::{Value, json};

use super::{
    Measured, Outcome,
    cases::{Case, Entrant, Figure},
    server::Programs,
};
use crate::{Result, step};

impl Figure {
    fn of(self, report: &Value) -> Option<f64> {
        match self {
            Self::Deliveries => number(report, "/deliveries_per_s"),
            Self::MemoryPerConnection => number(report, "/server_rss_bytes_per_connection"),
            Self::AckP99 => number(report, "/ack_us/p99").or(number(report, "/latency_us/p99")),
            Self::Connects => number(report, "/connects_per_s"),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Deliveries => "deliveries/s",
            Self::MemoryPerConnection => "memory a connection",
            Self::AckP99 => "acknowledgement p99",
            Self::Connects => "connected/s",
        }
    }

    const fn is_better_small(self) -> bool {
        matches!(self, Self::MemoryPerConnection | Self::AckP99)
    }
}

impl Outcome {
    /// The report whose figure is the median.
    fn median(&self, figure: Figure) -> Option<&Value> {
        let mut reports: Vec<_> = self.reports.iter().collect();
        reports.sort_by(|one, other| figure.of(one).unwrap_or(0.0).total_cmp(&figure.of(other).unwrap_or(0.0)));
        reports.get(reports.len() / 2).copied()
    }

    fn is_good(&self) -> bool {
        let counts = ["lost", "duplicated", "disordered", "unanswered", "troubles"];
        self.reports
            .iter()
            .all(|report| counts.iter().all(|count| report.get(*count).and_then(Value::as_u64) == Some(0)))
    }
}

/// Everything that was measured, for a program.
pub fn raw(measured: &Measured) -> Value {
    let outcomes = measured
        .outcomes
        .iter()
        .map(|outcome| json!({ "name": outcome.name, "command": outcome.command, "reports": outcome.reports }));
    let case = &measured.case;
    json!({ "case": case.name, "seconds": case.seconds, "outcomes": outcomes.collect::<Vec<_>>() })
}

/// One run, for a person who waits.
pub fn line(case: &Case, report: &Value) -> String {
    let figure = case.figure.of(report).map_or("–".to_owned(), |value| shown(case.figure, value));
    let cpu = number(report, "/server_cpu_us_per_delivery").map_or(String::new(), |cpu| format!(", {cpu:.2} µs CPU"));
    format!("{figure} {}{cpu}", case.figure.name())
}

/// The number at a path of the report.
fn number(report: &Value, path: &str) -> Option<f64> {
    report.pointer(path)?.as_f64()
}

fn shown(figure: Figure, value: f64) -> String {
    match figure {
        Figure::MemoryPerConnection => format!("{:.1} KB", value / 1_000.0),
        Figure::AckP99 => ms(value),
        Figure::Deliveries | Figure::Connects => rate(value),
    }
}

fn rate(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{:.2} M", value / 1e6),
        value if value >= 1e4 => format!("{:.0} k", value / 1e3),
        value => format!("{value:.0}"),
    }
}

fn ms(us: f64) -> String {
    if us < 10_000.0 { format!("{:.2} ms", us / 1e3) } else { format!("{:.0} ms", us / 1e3) }
}

/// `docs/benchmarks.md`.
pub fn page(all: &[Measured], programs: &Programs, append: (f64, f64)) -> Result<String> {
    let mut out = String::from(
        "# Benchmarks\n\nMade by `cargo xtask peers`, which anybody can run: it installs the peers, runs every scenario on this machine\n\
         in turns with Postrider, and writes this page. Load generator and server share the machine, so compare the\n\
         figures of one table with each other, not with those of another page.\n\n",
    );
    let _ = writeln!(out, "{}\n", machine(append));
    let _ = writeln!(
        out,
        "Each figure is the median of its table's runs, on a fresh server each, with nothing else running. Bodies have 128\n\
         bytes. Bounds of the peers' queues and of what may be under way are off; Postrider runs with its defaults, but\n\
         for the rate of a user (off) and the size of a group (2,000). A run in which a single delivery is lost, doubled\n\
         or out of order counts as failed and is marked. What a place in the window costs differs: it is free again when\n\
         the server has acknowledged, after doing what its promise says; NATS core acknowledges nothing, there it is\n\
         free when the other side has received.\n"
    );
    let _ = writeln!(out, "![Deliveries a second](benchmarks.svg)\n");
    for measured in all {
        table(&mut out, measured);
    }
    settings(&mut out, programs);
    Ok(out)
}

/// Versions, and what is not as the servers come.
fn settings(out: &mut String, programs: &Programs) {
    const NATS: &str = "`max_pending: 1GB`, `write_deadline: 60s`, `max_connections: 100000`, a token";
    let _ = writeln!(out, "## Versions and settings\n");
    for (entrant, text) in [
        (Entrant::Tcp, "`limits.user_rate = 0`, `groups.max_members = 2000`, signed tokens"),
        (Entrant::Nats, NATS),
        (Entrant::NatsNew, NATS),
        (Entrant::JetStream, "as NATS; a file stream, a push consumer without acknowledgements for each receiver"),
        (Entrant::JetStreamNew, "as NATS; a file stream, a push consumer without acknowledgements for each receiver"),
        (
            Entrant::Mosquitto,
            "`max_inflight_messages`, `max_inflight_bytes`, `max_queued_messages`, `max_queued_bytes` 0, `persistence false`, `set_tcp_nodelay true`, no password",
        ),
    ] {
        if programs.has(entrant) {
            let _ = writeln!(out, "- {}: {text}", programs.name(entrant));
        }
    }
}

fn table(out: &mut String, measured: &Measured) {
    let case = &measured.case;
    let _ = writeln!(out, "## {}\n", capital(case.title));
    let runs = measured.outcomes.iter().map(|outcome| outcome.reports.len()).min().unwrap_or_default();
    let _ = writeln!(out, "{}\n", if runs == 1 { "One run.".to_owned() } else { format!("Median of {runs} runs.") });
    let base = measured.outcomes.first().and_then(|outcome| case.figure.of(outcome.median(case.figure)?));
    let _ = writeln!(
        out,
        "| server | promise | {} | Postrider : it | CPU a delivery | delivery p50, p99, p99.9 | acknowledgement p99 | memory |\n\
         |---|---|---|---|---|---|---|---|",
        case.figure.name()
    );
    for outcome in &measured.outcomes {
        let Some(report) = outcome.median(case.figure) else { continue };
        let value = case.figure.of(report);
        let ratio = match (base, value) {
            (Some(base), Some(value)) if value > 0.0 && base > 0.0 => {
                let better = if case.figure.is_better_small() { value / base } else { base / value };
                format!("{better:.2}")
            }
            _ => "–".to_owned(),
        };
        let at = |name: &str| number(report, &format!("/latency_us/{name}")).map(ms);
        let latencies = match (at("p50"), at("p99"), at("p999")) {
            (Some(p50), Some(p99), Some(p999)) => format!("{p50}, {p99}, {p999}"),
            _ => "–".to_owned(),
        };
        let acknowledged = outcome.entrant.target() != "nats";
        let ack = number(report, "/ack_us/p99").filter(|_| acknowledged).map_or("–".to_owned(), ms);
        let cpu = number(report, "/server_cpu_us_per_delivery").map_or("–".to_owned(), |cpu| format!("{cpu:.2} µs"));
        let memory = number(report, "/server_rss_bytes").map_or("–".to_owned(), |rss| format!("{:.0} MB", rss / 1e6));
        let failed = if outcome.is_good() { "" } else { " (**failed**)" };
        let _ = writeln!(
            out,
            "| {}{failed} | {} | {} | {ratio} | {cpu} | {latencies} | {ack} | {memory} |",
            outcome.name,
            outcome.promise,
            value.map_or("–".to_owned(), |value| shown(case.figure, value)),
        );
    }
    let extra = measured.outcomes.first().and_then(|outcome| outcome.median(case.figure));
    for (key, text) in [
        ("connects_per_s", "connected and authenticated a second"),
        ("caught_up_s", "seconds until every device had everything"),
    ] {
        if let Some(value) = extra.and_then(|report| report.get(key).and_then(Value::as_f64)) {
            let _ = writeln!(out, "\nPostrider: {value:.1} {text}.");
        }
    }
    if let Some(p99) = extra.and_then(|report| number(report, "/storm_latency_us/p99")) {
        let _ = writeln!(out, "\nLive traffic beside it: delivery p99 {}.", ms(p99));
    }
    let minutes = extra.and_then(|report| report.get("server_rss_bytes_by_minute")?.as_array());
    let minutes: Vec<f64> = minutes.into_iter().flatten().filter_map(Value::as_f64).collect();
    if let [_, second, .., last] = minutes.as_slice() {
        let (mb, ratio) = (last / 1e6, last / second);
        let _ = writeln!(out, "\nPostrider: {mb:.0} MB of memory in the last minute, {ratio:.2} of the second.");
    }
    if let Some(outcome) = measured.outcomes.first() {
        let _ = writeln!(out, "\n`{}`\n", outcome.command);
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}

fn machine(append: (f64, f64)) -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        line.split_once(':').map_or("?".to_owned(), |(_, value)| value.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let memory: f64 = field(&read("/proc/meminfo"), "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0.0);
    let kernel = step::output(&mut step::command("uname", &["-sr"])).unwrap_or_default();
    let date = step::output(&mut step::command("date", &["-u", "+%Y-%m-%d"])).unwrap_or_default();
    format!(
        "Machine: {cores} cores ({}), {:.0} GB of memory, {}, {}. A bare append of 4 KiB with `fdatasync`: p50 {}, p99 {}.",
        field(&read("/proc/cpuinfo"), "model name"),
        memory / 1e6,
        kernel.trim().split('-').next().unwrap_or_default(),
        date.trim(),
        ms(append.0),
        ms(append.1),
    )
}

/// `docs/benchmarks.svg`: deliveries a second as bars, a group for each scenario that is about them.
pub fn plot(all: &[Measured]) -> String {
    const LEFT: f64 = 230.0;
    const WIDTH: f64 = 860.0;
    let mut body = String::new();
    let mut y = 24.0;
    for measured in all.iter().filter(|m| m.case.figure == Figure::Deliveries && m.outcomes.len() > 1) {
        let _ = writeln!(body, "<text x='10' y='{y}' font-size='13' fill='#111'>{}</text>", measured.case.title);
        y += 10.0;
        let values: Vec<_> = measured
            .outcomes
            .iter()
            .filter_map(|outcome| Some((outcome, Figure::Deliveries.of(outcome.median(Figure::Deliveries)?)?)))
            .collect();
        let most = values.iter().map(|(_, value)| *value).fold(1.0, f64::max);
        for (outcome, value) in values {
            let width = value / most * (WIDTH - LEFT - 90.0);
            let colour = if outcome.entrant.target() == "postrider" { "#2463eb" } else { "#9aa4b2" };
            let _ = writeln!(
                body,
                "<text x='{}' y='{}' text-anchor='end'>{}</text>\
                 <rect x='{LEFT}' y='{y}' width='{width:.1}' height='15' fill='{colour}'/>\
                 <text x='{:.1}' y='{}'>{}/s</text>",
                LEFT - 8.0,
                y + 12.0,
                outcome.name,
                LEFT + width + 6.0,
                y + 12.0,
                rate(value)
            );
            y += 19.0;
        }
        y += 22.0;
    }
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {y}' font-family='sans-serif' font-size='11' \
         fill='#444'>\n<rect width='100%' height='100%' fill='#fff'/>\n{body}</svg>\n"
    )
}
