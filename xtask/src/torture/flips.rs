//! Flips single bits of log and store, one at a time: nothing wrong is served, what is lost is little and told, and the
//! directory opens at the second attempt at the latest.

mod server;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use clap::Args;

use super::{
    Shared,
    chance::Chance,
    conclude,
    storage::{Durable, Storage, Told},
};
use crate::Result;

/// The most that one batch of the writer holds.
const BATCH: usize = 60;

/// Bytes are looked at in blocks of this size to tell old from new.
const BLOCK: usize = 512;

/// Arguments of `torture flips`.
#[derive(Args, Clone)]
pub struct Flips {
    /// How many bits are flipped, one at a time.
    #[arg(long, default_value_t = 200)]
    count: u64,
    /// Entries written before and after the last opening.
    #[arg(long, default_value_t = 3_000)]
    entries: u64,
    /// How many bits are flipped under the real server, beside these.
    #[arg(long, default_value_t = 10)]
    server: u64,
    #[command(flatten)]
    shared: Shared,
}

/// A file with the blocks that are worth flipping a bit in.
struct Target {
    path: PathBuf,
    blocks: Vec<usize>,
}

/// What was done.
#[derive(Default)]
struct Tally {
    flips: u64,
    in_log: u64,
    in_new: u64,
    second_start: u64,
    rebuilt: u64,
    with_loss: u64,
    with_loss_of_old: u64,
    lost: usize,
    found: Vec<String>,
}

impl Flips {
    /// So many bits, the rest by default.
    pub fn count(count: u64) -> Self {
        Self { count, entries: 3_000, server: 4, shared: Shared::default() }
    }

    /// Runs the suite.
    pub fn run(self) -> Result {
        let seed = self.shared.seed();
        let work = self.shared.work("flips")?;
        let storage = Storage::build(&self.shared)?;
        let (old, data, mut durable) = (work.join("old"), work.join("data"), Durable::new());
        fs::create_dir_all(&data)?;
        storage.write(&data, seed, 0, self.entries, true, &mut durable)?;
        copy(&data, &old)?;
        storage.write(&data, seed, self.entries, self.entries, false, &mut durable)?;
        let (written, new) = (targets(&data, None)?, targets(&data, Some(&old))?);
        let mut chance = Chance::new(seed, 1);
        let (start, mut tally) = (Instant::now(), Tally::default());
        for flip in 0..self.count {
            let is_new = flip % 2 == 0;
            let is_log = chance.once_in(2);
            let from = if is_new { &new } else { &written };
            let Some((path, byte)) = pick(from, is_log, &mut chance) else {
                return Err("nothing was written that a bit could be flipped in".into());
            };
            let bit = chance.below(8);
            let image = work.join("image");
            let _ = fs::remove_dir_all(&image);
            copy(&data, &image)?;
            flip_bit(&image.join(&path), byte, bit)?;
            tally.flips += 1;
            tally.in_log += u64::from(is_log);
            tally.in_new += u64::from(is_new);
            let place = format!("{} byte {byte} bit {bit}", path.display());
            let with_loss = tally.with_loss;
            judge(&storage, &image, &durable, &place, &mut tally)?;
            tally.with_loss_of_old += u64::from(!is_new) * (tally.with_loss - with_loss);
        }
        println!(
            "{} bits ({} in the log, {} in what was new), {} second starts, {} rebuilds, {} with a loss ({} where it was old), {} entries in all, {:.0} s",
            tally.flips,
            tally.in_log,
            tally.in_new,
            tally.second_start,
            tally.rebuilt,
            tally.with_loss,
            tally.with_loss_of_old,
            tally.lost,
            start.elapsed().as_secs_f64(),
        );
        tally.found.extend(server::run(&work, &self.shared, self.server, &mut chance)?);
        conclude("flips", &work, &tally.found)
    }
}

fn judge(storage: &Storage, image: &Path, durable: &Durable, place: &str, tally: &mut Tally) -> Result {
    let before = storage.has_findings(image)?;
    let told = match storage.read(image, durable) {
        Ok(told) => told,
        Err(_) => {
            tally.second_start += 1;
            match storage.read(image, durable) {
                Ok(told) => told,
                Err(error) => {
                    tally.found.push(format!("{place}: twice: {error}"));
                    return Ok(());
                }
            }
        }
    };
    let Told { missing, wrong, is_rebuilt, .. } = told;
    tally.rebuilt += u64::from(is_rebuilt);
    if let Some(first) = wrong.first() {
        tally.found.push(format!("{place}: {} wrong, the first {first}", wrong.len()));
    }
    // Both readings tell the same losses.
    let mut lost = missing;
    lost.sort();
    lost.dedup();
    tally.lost += lost.len();
    tally.with_loss += u64::from(!lost.is_empty());
    if lost.len() > BATCH {
        tally.found.push(format!("{place}: {} lost, more than a batch", lost.len()));
    }
    if !lost.is_empty() && !before && !storage.has_findings(image)? {
        tally.found.push(format!("{place}: {} lost, and store check says nothing", lost.len()));
    }
    Ok(())
}

/// Every file below `dir` with its blocks that are not all zero, or, with `old`, that are not the same there.
fn targets(dir: &Path, old: Option<&Path>) -> Result<Vec<Target>> {
    let mut found = Vec::new();
    for path in files(dir)? {
        let bytes = fs::read(dir.join(&path))?;
        let before = old.and_then(|old| fs::read(old.join(&path)).ok()).unwrap_or_default();
        let blocks = bytes.chunks(BLOCK).enumerate().filter(|(at, block)| {
            let same = before.get(at * BLOCK..at * BLOCK + block.len()).is_some_and(|before| before == *block);
            block.iter().any(|byte| *byte != 0) && !same
        });
        let blocks: Vec<usize> = blocks.map(|(at, _)| at).collect();
        if !blocks.is_empty() && !path.ends_with("ballast") {
            found.push(Target { path, blocks });
        }
    }
    Ok(found)
}

/// A byte of log or store, every block as likely as any other.
fn pick(targets: &[Target], is_log: bool, chance: &mut Chance) -> Option<(PathBuf, usize)> {
    let of_kind = || targets.iter().filter(|target| target.path.starts_with("log") == is_log);
    let mut at = chance.index(of_kind().map(|target| target.blocks.len()).sum());
    for target in of_kind() {
        if let Some(block) = target.blocks.get(at) {
            return Some((target.path.clone(), block * BLOCK + chance.index(BLOCK)));
        }
        at -= target.blocks.len();
    }
    None
}

fn flip_bit(file: &Path, byte: usize, bit: u64) -> Result {
    let mut bytes = fs::read(file)?;
    let last = bytes.len().saturating_sub(1);
    if let Some(byte) = bytes.get_mut(byte.min(last)) {
        *byte ^= 1 << bit;
    }
    Ok(fs::write(file, bytes)?)
}

/// The files below `dir`, relative to it, in order.
fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let (mut found, mut open) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(dir.join(&folder))? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            if entry.file_type()?.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    Ok(found)
}

fn copy(from: &Path, to: &Path) -> Result {
    for path in files(from)? {
        let target = to.join(&path);
        fs::create_dir_all(target.parent().unwrap_or(to))?;
        fs::copy(from.join(&path), target)?;
    }
    Ok(())
}
