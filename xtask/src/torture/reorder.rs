//! Traces the writes of the storage code, builds what a drive that reorders them may leave behind after a power cut,
//! and opens each of these images.

use std::{fs, os::unix::fs::MetadataExt, path::Path, time::Instant};

use clap::Args;

use super::{
    Shared,
    chance::Chance,
    conclude,
    storage::{Durable, Storage, take_durable},
    trace::{self, Disk, Trace},
};
use crate::Result;

/// Images made of one trace.
const IMAGES_PER_TRACE: u64 = 100;

/// Arguments of `torture reorder`.
#[derive(Args, Clone)]
pub struct Reorder {
    /// How many crash images are opened.
    #[arg(long, default_value_t = 100)]
    images: u64,
    /// Entries that the traced program writes.
    #[arg(long, default_value_t = 20_000)]
    entries: u64,
    #[command(flatten)]
    shared: Shared,
}

/// What was done.
#[derive(Default)]
struct Tally {
    images: u64,
    /// Entries that had to be there, over all images.
    due: u64,
    rebuilt: u64,
    found: Vec<String>,
}

impl Reorder {
    /// So many images, the rest by default.
    pub fn images(images: u64) -> Self {
        Self { images, entries: 20_000, shared: Shared::default() }
    }

    /// The same with a fault planted.
    pub fn with(mut self, shared: Shared) -> Self {
        self.shared = shared;
        self
    }

    /// Runs the suite.
    pub fn run(self) -> Result {
        let seed = self.shared.seed();
        let work = self.shared.work("reorder")?;
        let storage = Storage::build(&self.shared)?;
        let tracer = trace::tracer(&work)?;
        let (start, mut tally) = (Instant::now(), Tally::default());
        for round in 0..self.images.div_ceil(IMAGES_PER_TRACE) {
            let (dir, file) = (work.join("data"), work.join("trace"));
            let _ = (fs::remove_dir_all(&dir), fs::remove_file(&file));
            fs::create_dir_all(&dir)?;
            storage.write_traced(&dir, &tracer, &file, seed.wrapping_add(round), self.entries)?;
            let trace = Trace::read(&file, &dir)?;
            let images = IMAGES_PER_TRACE.min(self.images - round * IMAGES_PER_TRACE);
            let root = fs::metadata(&dir)?.ino();
            println!("trace {round}: {} records, {} syncs, {} batches", trace.len(), trace.syncs(), trace.said().len());
            open_images(&work, &storage, &trace, root, &mut Chance::new(seed, round), images, &mut tally)?;
        }
        println!(
            "{} images, {} entries due in all, the store rebuilt in {}, {} findings, {:.0} s",
            tally.images,
            tally.due,
            tally.rebuilt,
            tally.found.len(),
            start.elapsed().as_secs_f64(),
        );
        if tally.due < tally.images * 50 {
            tally.found.push(format!("only {} entries were due: the run is void", tally.due));
        }
        conclude("reorder", &work, &tally.found)
    }
}

/// Cuts the power at `images` moments of `trace`, in their order, and opens what is left.
fn open_images(
    work: &Path,
    storage: &Storage,
    trace: &Trace,
    root: u64,
    chance: &mut Chance,
    images: u64,
    tally: &mut Tally,
) -> Result {
    let said = trace.said();
    // Half of the moments right after something was said to be durable, some in the very first open, the rest anywhere.
    let mut moments: Vec<usize> = (0..images)
        .map(|at| match said.get(chance.index(said.len())) {
            Some(after) if at % 2 == 0 => after + 1 + chance.index(3),
            Some(_) if at % 10 == 1 => chance.index(said.first().copied().unwrap_or_default()),
            _ => chance.index(trace.len()),
        })
        .collect();
    moments.sort_unstable();
    let mut disk = Disk::new(trace, root);
    for moment in moments {
        disk.follow(moment);
        let image = work.join("image");
        let _ = fs::remove_dir_all(&image);
        disk.image(&image, chance)?;
        let mut durable = Durable::new();
        take_durable(&disk.said, &mut durable);
        tally.images += 1;
        tally.due += durable.values().sum::<u64>();
        let findings = match storage.read(&image, &durable) {
            Err(error) => vec![format!("{error}")],
            Ok(told) => {
                tally.rebuilt += u64::from(told.is_rebuilt);
                let of = |kind: &str, places: Vec<String>| {
                    places.into_iter().map(|place| format!("{kind} {place}")).collect::<Vec<_>>()
                };
                [of("missing", told.missing), of("wrong", told.wrong), of("loss", told.losses)].concat()
            }
        };
        if let Some(first) = findings.first() {
            tally.found.push(format!(
                "image {} (cut at record {moment}): {first}, {} findings",
                tally.images,
                findings.len()
            ));
            let kept = work.join(format!("image-{}", tally.images));
            if tally.found.len() <= 5 {
                disk.image(&kept, &mut chance.clone())?;
            }
        }
    }
    Ok(())
}
