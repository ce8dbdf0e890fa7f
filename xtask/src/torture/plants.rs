//! Plants each fault and runs the suites that must find it: a suite that finds nothing in a broken server is worth
//! nothing.

use std::{fs, time::Instant};

use clap::Args;

use super::{Found, Plant, Shared, fsync::Fsync, kill::Kill, model::Model, powercut::Powercut, reorder::Reorder};
use crate::{Result, step};

/// Arguments of `torture plants`.
#[derive(Args, Clone)]
pub struct Plants {
    /// Only this fault.
    #[arg(long)]
    plant: Option<Plant>,
}

/// A suite by name.
#[derive(Clone, Copy)]
enum Finder {
    Fsync,
    Kill,
    Reorder,
    Powercut,
    Model,
}

impl Finder {
    const fn name(self) -> &'static str {
        match self {
            Self::Fsync => "fsync",
            Self::Kill => "kill",
            Self::Reorder => "reorder",
            Self::Powercut => "powercut",
            Self::Model => "model",
        }
    }

    fn run(self, shared: Shared) -> Result {
        match self {
            Self::Fsync => Fsync::short().with(shared).run(),
            Self::Kill => Kill::cycles(20).with(shared).run(),
            Self::Reorder => Reorder::images(40).with(shared).run(),
            Self::Powercut => Powercut::cuts(4).with(shared).run(),
            Self::Model => Model::seeds(20, shared.plant).run(),
        }
    }
}

/// Which suites must find which fault.
const fn finders(plant: Plant) -> &'static [Finder] {
    match plant {
        Plant::NoFdatasync => &[Finder::Fsync, Finder::Reorder, Finder::Powercut],
        Plant::AckBeforeCommit | Plant::FlushErrorIgnored => &[Finder::Fsync],
        Plant::DedupInMemory => &[Finder::Kill],
        Plant::DeliverToRemoved | Plant::RevokeInMemory | Plant::UnreadCountsOwn | Plant::SkipLastSyncItem => {
            &[Finder::Model]
        }
        Plant::DropLastEntry => &[Finder::Kill, Finder::Reorder, Finder::Powercut],
    }
}

impl Plants {
    /// Runs them all and prints which found what.
    pub fn run(self) -> Result {
        let plants: Vec<Plant> = self.plant.map_or_else(|| Plant::ALL.to_vec(), |plant| vec![plant]);
        let mut rows = Vec::new();
        for plant in plants {
            for finder in finders(plant) {
                if matches!(finder, Finder::Powercut) && !step::is_root() {
                    continue;
                }
                println!("\n== {} with {} planted", finder.name(), plant.name());
                let start = Instant::now();
                let told = match finder.run(Shared { plant: Some(plant), ..Shared::default() }) {
                    Ok(()) => None,
                    Err(error) if error.is::<Found>() => Some(error.to_string()),
                    Err(error) => return Err(error),
                };
                println!("{}", told.as_deref().unwrap_or("found nothing"));
                // What it left is as it should be: of no more use.
                let left = step::target().join("torture").join(format!("{}-{}", finder.name(), plant.name()));
                let _ = fs::remove_dir_all(left);
                rows.push((plant.name(), finder.name(), told, start.elapsed().as_secs_f64()));
            }
        }
        println!();
        for (plant, finder, told, seconds) in &rows {
            let verdict = if told.is_some() { "found" } else { "NOT FOUND" };
            println!("  {plant:<20} {finder:<9} {verdict:<9} {seconds:6.1} s");
        }
        let missed = rows.iter().filter(|(_, _, told, _)| told.is_none()).count();
        if missed == 0 { Ok(()) } else { Err(format!("{missed} planted faults were not found").into()) }
    }
}

/// All faults.
pub fn run() -> Result {
    Plants { plant: None }.run()
}
