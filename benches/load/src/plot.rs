//! One picture of a run: the rate over time, and the latencies by percentile.

use std::fmt::Write as _;

use crate::{ledger::Latencies, report::Report};

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 60.0;
const PANEL: f64 = 350.0;
const TOP: f64 = 46.0;
const BOTTOM: f64 = 250.0;

/// The SVG; `rates` are deliveries a second, evenly apart.
pub(crate) fn svg(report: &Report, rates: &[(f64, f64)], delivery: &Latencies, ack: &Latencies) -> String {
    let title = format!(
        "{} · {} over {} · {} connections · {} bytes",
        report.scenario, report.target, report.transport, report.connections, report.size
    );
    let mut out = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' font-family='sans-serif' \
         font-size='11' fill='#444'>\n<rect width='100%' height='100%' fill='#fff'/>\n\
         <text x='{LEFT}' y='20' font-size='14' fill='#111'>{title}</text>\n"
    );
    let most = rates.iter().map(|(_, rate)| *rate).fold(1.0, f64::max);
    let end = rates.last().map_or(1.0, |(at, _)| at.max(1.0));
    let points: Vec<_> = rates.iter().map(|(at, rate)| (at / end, rate / most)).collect();
    panel(&mut out, LEFT, "deliveries a second", &scale(most), ("0", &format!("{end:.0} s")));
    line(&mut out, LEFT, &points, "#2463eb");

    let right = LEFT + PANEL + 80.0;
    let longest = delivery.max().max(ack.max()).max(1_000_000) as f64;
    let shortest = 10_000.0_f64;
    panel(&mut out, right, "latency by percentile", &ms(longest), ("50 %", "99.99 %"));
    let _ = writeln!(out, "<text x='{}' y='{BOTTOM}' text-anchor='end'>{}</text>", right - 6.0, ms(shortest));
    for (latencies, colour, name, row) in [(delivery, "#2463eb", "delivery", 0), (ack, "#d9480f", "acknowledgement", 1)]
    {
        if latencies.is_empty() {
            continue;
        }
        let points: Vec<_> = (0..=100)
            .map(|step| {
                let x = f64::from(step) / 100.0;
                // From 50 % to 99.99 %, every decade as wide as the others.
                let quantile = 1.0 - 0.5 * 0.000_2_f64.powf(x);
                let value = (latencies.value_at_quantile(quantile) as f64).max(shortest);
                (x, (value / shortest).ln() / (longest / shortest).ln())
            })
            .collect();
        line(&mut out, right, &points, colour);
        let y = TOP + 14.0 + 15.0 * f64::from(row);
        let _ = writeln!(out, "<text x='{}' y='{y}' fill='{colour}'>{name}</text>", right + 8.0);
    }
    out.push_str("</svg>\n");
    out
}

fn panel(out: &mut String, x: f64, title: &str, top: &str, ends: (&str, &str)) {
    let (end, height, below) = (x + PANEL, BOTTOM - TOP, BOTTOM + 16.0);
    let _ = writeln!(
        out,
        "<rect x='{x}' y='{TOP}' width='{PANEL}' height='{height}' fill='none' stroke='#ccc'/>\n\
         <text x='{x}' y='{}'>{title}</text>\n\
         <text x='{}' y='{}' text-anchor='end'>{top}</text>\n\
         <text x='{x}' y='{below}'>{}</text>\n<text x='{end}' y='{below}' text-anchor='end'>{}</text>",
        TOP - 6.0,
        x - 6.0,
        TOP + 10.0,
        ends.0,
        ends.1,
    );
}

/// A line through points from 0 to 1 in both directions.
fn line(out: &mut String, left: f64, points: &[(f64, f64)], colour: &str) {
    let mut path = String::new();
    for (x, y) in points {
        let _ = write!(path, "{:.1},{:.1} ", left + x * PANEL, BOTTOM - y.clamp(0.0, 1.0) * (BOTTOM - TOP));
    }
    let _ = writeln!(out, "<polyline points='{}' fill='none' stroke='{colour}' stroke-width='1.6'/>", path.trim_end());
}

fn scale(rate: f64) -> String {
    match rate {
        rate if rate >= 1e6 => format!("{:.1} M", rate / 1e6),
        rate if rate >= 1e3 => format!("{:.0} k", rate / 1e3),
        rate => format!("{rate:.0}"),
    }
}

fn ms(ns: f64) -> String {
    if ns >= 1e7 { format!("{:.0} ms", ns / 1e6) } else { format!("{:.2} ms", ns / 1e6) }
}
