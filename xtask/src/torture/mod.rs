//! `cargo xtask torture`: suites that break the real server, or the real storage code, and check what is left.
//!
//! Every suite prints its seed, says what it did in numbers, and fails when it did too little to mean anything. Each
//! is tested itself: `plants` builds the server with faults planted in it, and the suites must find them.

mod bodies;
mod chance;
mod checker;
mod client;
pub mod flips;
pub mod fsync;
mod history;
mod kept;
pub mod kill;
mod load;
pub mod model;
pub mod neighbours;
pub mod plants;
pub mod powercut;
pub mod presence;

pub mod reorder;
pub mod server;
mod storage;
mod strace;
mod trace;
pub mod wire;
mod world;

use std::{
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use clap::{Args, Subcommand, ValueEnum};

use crate::{Result, step};

/// Arguments of `torture`.
#[derive(Args)]
pub struct Torture {
    #[command(subcommand)]
    suite: Suite,
}

#[derive(Subcommand)]
enum Suite {
    /// Trace the server's system calls: between each SEND and its SENDACK lies a completed fdatasync of the log; and
    /// when fdatasync fails, nothing more is acknowledged. Finds: no-fdatasync, ack-before-commit, flush-error-ignored.
    Fsync(fsync::Fsync),
    /// Kill the server while SENDs are in flight, again and again, and check what every client saw. Finds:
    /// dedup-in-memory, drop-last-entry.
    Kill(kill::Kill),
    /// Trace the writes of the storage code and open what a drive that reorders them may leave behind. Finds:
    /// no-fdatasync, drop-last-entry.
    Reorder(reorder::Reorder),
    /// Cut the power: copy the disk under the running server, and start from the copy. Finds: no-fdatasync,
    /// ack-before-commit, drop-last-entry.
    Powercut(powercut::Powercut),
    /// Flip single bits of log and store: nothing wrong is served, and what is lost is told.
    Flips(flips::Flips),
    /// Random operations of several users and devices on the server and on a small model of it: every answer and every
    /// view must be the model's. Finds: deliver-to-removed, revoke-in-memory, unread-counts-own, skip-last-sync-item.
    Model(model::Model),
    /// While one peer does its worst, the others' answers come as fast as without it.
    Neighbours(neighbours::Neighbours),
    /// Take Redis away from two servers under load: no send fails, presence is unknown, and right again after.
    Presence(presence::Presence),
    /// Plant each fault and run the suites that must find it.
    Plants(plants::Plants),
}

impl Torture {
    /// Runs the suite.
    pub fn run(self) -> Result {
        match self.suite {
            Suite::Fsync(suite) => suite.run(),
            Suite::Kill(suite) => suite.run(),
            Suite::Reorder(suite) => suite.run(),
            Suite::Powercut(suite) => suite.run(),
            Suite::Flips(suite) => suite.run(),
            Suite::Model(suite) => suite.run(),
            Suite::Neighbours(suite) => suite.run(),
            Suite::Presence(suite) => suite.run(),
            Suite::Plants(suite) => suite.run(),
        }
    }
}

/// A fault that a test build carries and the suites must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Plant {
    /// The committer does not sync the log.
    NoFdatasync,
    /// Replies leave before the batch is durable.
    AckBeforeCommit,
    /// The numbers of senders are not read back after a restart.
    DedupInMemory,
    /// Recovery leaves out the last entry.
    DropLastEntry,
    /// A failed sync counts as one that worked.
    FlushErrorIgnored,
    /// Who was removed from a group still gets what comes.
    DeliverToRemoved,
    /// What was revoked is forgotten with the process.
    RevokeInMemory,
    /// Own messages count as unread.
    UnreadCountsOwn,
    /// The last element of a SYNC is left out.
    SkipLastSyncItem,
}

impl Plant {
    /// Every fault.
    pub const ALL: [Self; 9] = [
        Self::NoFdatasync,
        Self::AckBeforeCommit,
        Self::DedupInMemory,
        Self::DropLastEntry,
        Self::FlushErrorIgnored,
        Self::DeliverToRemoved,
        Self::RevokeInMemory,
        Self::UnreadCountsOwn,
        Self::SkipLastSyncItem,
    ];

    /// As it is written on the command line and in `PLANT_FAULT`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoFdatasync => "no-fdatasync",
            Self::AckBeforeCommit => "ack-before-commit",
            Self::DedupInMemory => "dedup-in-memory",
            Self::DropLastEntry => "drop-last-entry",
            Self::FlushErrorIgnored => "flush-error-ignored",
            Self::DeliverToRemoved => "deliver-to-removed",
            Self::RevokeInMemory => "revoke-in-memory",
            Self::UnreadCountsOwn => "unread-counts-own",
            Self::SkipLastSyncItem => "skip-last-sync-item",
        }
    }
}

/// What all suites take.
#[derive(Args, Clone, Default)]
pub struct Shared {
    /// Build with this fault planted; then the suite must fail.
    #[arg(long)]
    plant: Option<Plant>,
    /// Where chance begins; by default a new one each time.
    #[arg(long)]
    seed: Option<u64>,
    /// Where the suite works; by default below cargo's target directory. Removed when nothing was found.
    #[arg(long)]
    work: Option<PathBuf>,
}

impl Shared {
    /// The seed, told.
    fn seed(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_micros());
        let seed = self.seed.unwrap_or_else(|| u64::try_from(now % 1_000_000_007).unwrap_or(1));
        println!("seed {seed} (again: --seed {seed})");
        seed
    }

    /// An empty folder for `suite`.
    fn work(&self, suite: &str) -> Result<PathBuf> {
        let name = self.plant.map_or_else(|| suite.to_owned(), |plant| format!("{suite}-{}", plant.name()));
        let work = self.work.clone().unwrap_or_else(|| step::target().join("torture").join(name));
        let _ = std::fs::remove_dir_all(&work);
        std::fs::create_dir_all(&work)?;
        Ok(work.canonicalize()?)
    }

    /// Builds `binary` of `package` in release, with the fault if there is one, and returns where it is.
    fn build(&self, package: &str, binary: &str) -> Result<PathBuf> {
        let mut target = step::target();
        let mut cargo = step::cargo(&["build", "--quiet", "--release", "--package", package, "--bin", binary]);
        if let Some(plant) = self.plant {
            target = target.join("plant");
            println!("building {binary} with {} planted", plant.name());
            cargo.args(["--features", "plant"]).env("CARGO_TARGET_DIR", &target);
        } else {
            println!("building {binary}");
        }
        step::run(&mut cargo)?;
        Ok(target.join("release").join(binary).canonicalize()?)
    }

    /// The environment that switches the planted fault on.
    fn environment(&self) -> Vec<(String, String)> {
        self.plant.map(|plant| ("PLANT_FAULT".to_owned(), plant.name().to_owned())).into_iter().collect()
    }
}

/// The exit code of a suite that found something.
pub const FOUND: u8 = 1;

/// What a suite found wrong with the server, as against what kept the suite from running.
#[derive(Debug)]
pub struct Found(pub String);

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Found {}

/// Ends a suite: removes its folder when nothing was found, otherwise tells all of it.
fn conclude(suite: &str, work: &Path, found: &[String]) -> Result {
    if found.is_empty() {
        let _ = std::fs::remove_dir_all(work);
        println!("{suite}: nothing found");
        return Ok(());
    }
    for line in found.iter().take(20) {
        println!("  {line}");
    }
    Err(Found(format!("{suite}: {} findings; what was left is in {}", found.len(), work.display())).into())
}
