//! The timing loop of the micro benches: each prints one JSON line for each thing it measures.
//!
//! `cargo bench --bench codec -- --seconds 2` measures longer. Seconds depend on the machine and on what else it does;
//! `cargo xtask counts` counts instructions instead.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

/// Runs `work` until the time is over, best of five; `items` is how much one call does.
pub fn measure<T>(name: &str, items: u64, mut work: impl FnMut() -> T) {
    let all = Duration::from_secs_f64(seconds());
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let (start, mut calls) = (Instant::now(), 0_u64);
        while calls == 0 || start.elapsed() < all / 5 {
            black_box(work());
            calls += 1;
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / (calls * items) as f64);
    }
    println!("{{\"name\":\"{name}\",\"ns\":{best:.1},\"per_s\":{:.0}}}", 1e9 / best);
}

/// How long one measurement takes.
fn seconds() -> f64 {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--seconds");
    arguments.nth(1).and_then(|seconds| seconds.parse().ok()).unwrap_or(0.5)
}
