//! `cargo xtask torture model`: random operations on the real server and on the small model of `tests/model`.

use clap::Args;

use super::{Found, Plant};
use crate::{Result, step};

/// Arguments of `torture model`.
#[derive(Args, Clone)]
pub struct Model {
    /// How many seeds to try.
    #[arg(long, default_value_t = 500)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    start: u64,
    /// Build with this fault planted; then there must be a difference.
    #[arg(long)]
    plant: Option<Plant>,
}

impl Model {
    /// So many seeds, with `plant` if there is one.
    pub const fn seeds(seeds: u64, plant: Option<Plant>) -> Self {
        Self { seeds, start: 1, plant }
    }

    /// Builds the model and the server, and runs it.
    pub fn run(self) -> Result {
        let mut cargo = step::cargo(&["test", "--release", "--quiet", "--test", "model"]);
        if let Some(plant) = self.plant {
            cargo.args(["--features", "plant"]).env("CARGO_TARGET_DIR", step::target().join("plant"));
            cargo.env("PLANT_FAULT", plant.name());
        }
        let (seeds, start) = (self.seeds.to_string(), self.start.to_string());
        cargo.args(["--", "--seeds", &seeds, "--start", &start]);
        step::run(&mut cargo).map_err(|error| match self.plant {
            Some(_) => Found(error.to_string()).into(),
            None => error,
        })
    }
}
