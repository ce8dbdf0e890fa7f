//! What a run found, and what it came across.

use std::collections::BTreeMap;

/// A broken invariant.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Its name.
    pub invariant: &'static str,
    /// What exactly.
    pub detail: String,
}

/// A result that says which invariant is broken.
pub type Verdict<T = ()> = Result<T, Violation>;

/// Breaks `invariant` unless `holds`.
pub fn ensure(holds: bool, invariant: &'static str, detail: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(Violation { invariant, detail: detail() }) }
}

/// How often something happened: a run in which nothing happens proves nothing.
#[derive(Clone, Debug, Default)]
pub struct Counters(BTreeMap<&'static str, u64>);

impl Counters {
    /// Counts `name` once.
    pub fn add(&mut self, name: &'static str) {
        *self.0.entry(name).or_default() += 1;
    }

    /// Adds the counts of another run.
    pub fn merge(&mut self, other: &Self) {
        for (name, count) in &other.0 {
            *self.0.entry(name).or_default() += count;
        }
    }

    /// How often `name` was counted.
    pub fn of(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// As the fields of a JSON object.
    pub fn json(&self) -> String {
        let fields: Vec<String> = self.0.iter().map(|(name, count)| format!("\"{name}\":{count}")).collect();
        fields.join(",")
    }
}
