//! `cargo xtask sim`: the seeded world of `tests/sim`.

use clap::Args;

use crate::{Result, step, torture::Plant};

/// Arguments of `sim`.
#[derive(Args)]
pub struct Sim {
    /// How many seeds to try.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    start: u64,
    /// Build with this fault planted; then the world must find a violation.
    #[arg(long)]
    plant: Option<Plant>,
}

impl Sim {
    /// So many seeds of the world without faults.
    pub const fn seeds(seeds: u64) -> Self {
        Self { seeds, start: 1, plant: None }
    }

    /// Builds the world and runs it.
    pub fn run(self) -> Result {
        let mut cargo = step::cargo(&["test", "--release", "--quiet", "--test", "sim"]);
        if self.plant.is_some() {
            cargo.args(["--features", "plant"]).env("CARGO_TARGET_DIR", step::target().join("plant"));
        }
        let (seeds, start) = (self.seeds.to_string(), self.start.to_string());
        cargo.args(["--", "--seeds", &seeds, "--start", &start]);
        step::run(cargo.args(self.plant.iter().flat_map(|plant| ["--plant", plant.name()])))
    }
}
