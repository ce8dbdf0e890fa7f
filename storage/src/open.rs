//! Opening: the lock, the format, the log's recovery, and the log made ready to go on.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use crate::{
    Log, Materialiser, MemoryDisk, OpenError, Retention, SLOTS, Store, StoreError,
    disk::Disk,
    fill::{Filled, Unfit},
    format, kv,
    lock::Lock,
    log::{self, Start},
    memory::Hold,
    space::{self, Space},
    whole::Folder,
};

/// Where the data is, and its sizes. All sizes are bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The data directory.
    pub path: PathBuf,
    /// Size of a segment of the log; from 16 KiB to under 4 GiB.
    pub segment_bytes: u64,
    /// A checkpoint is due when this much is new.
    pub checkpoint_bytes: u64,
    /// About so much of the newest entries is kept as blocks in the store.
    pub window_bytes: u64,
    /// Rows of the store that are kept in memory, about; the others are read through the file cache of the system.
    pub cache_bytes: u64,
    /// Below this much free space, plus twice what is pending, commands are to be refused and no checkpoint is made.
    pub reserve_bytes: u64,
    /// Size of the file that is given up when a start finds too little space; 0 for none.
    pub ballast_bytes: u64,
    /// What of the log is kept.
    pub retention: Retention,
}

impl Options {
    /// The defaults, for the directory `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        const MIB: u64 = 1 << 20;
        Self {
            path: path.into(),
            segment_bytes: 64 * MIB,
            checkpoint_bytes: 16 * MIB,
            window_bytes: 256 * MIB,
            cache_bytes: 16 * MIB,
            reserve_bytes: 256 * MIB,
            ballast_bytes: 64 * MIB,
            retention: Retention::KEEP,
        }
    }

    fn check(&self) -> Result<(), OpenError> {
        if !(16 << 10..1 << 32).contains(&self.segment_bytes) {
            return Err(OpenError::Options("a segment has 16 KiB to under 4 GiB"));
        }
        if self.checkpoint_bytes == 0 || self.window_bytes == 0 || self.cache_bytes == 0 {
            return Err(OpenError::Options("checkpoint, window and cache must not be 0"));
        }
        Ok(())
    }
}

/// Where a slot stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotState {
    /// Its epoch, from 1.
    pub epoch: u32,
    /// Position of its last entry; 0 before the first.
    pub position: u64,
    /// The latest time of its entries.
    pub time_ms: u64,
}

/// How far opening has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Whether the store is being rebuilt; otherwise what is new in the log is added to it.
    pub rebuild: bool,
    /// Entries read.
    pub entries: u64,
    /// Bytes of the log read.
    pub bytes: u64,
    /// Bytes of the log to be read.
    pub total_bytes: u64,
}

/// Acknowledged batches that are damaged or gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Segment in which they should have been.
    pub segment: u32,
    /// Where in it.
    pub offset: u64,
    /// Number of the first missing batch.
    pub first: u64,
    /// Number of the last missing batch.
    pub last: u64,
    /// How many of their entries could still be read.
    pub salvaged: u64,
}

/// What opening found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Whether the last process closed the log.
    pub was_closed: bool,
    /// Number of the first batch of this process, which is written at once: it rises with every start.
    pub first_batch: u64,
    /// Batches read.
    pub batches: u64,
    /// Entries read.
    pub entries: u64,
    /// Bytes after the last whole batch that were dropped; they had not been acknowledged.
    pub torn_bytes: u64,
    /// Acknowledged batches that are damaged or gone; seqs that went with them read as missing.
    pub losses: Vec<Loss>,
    /// Entries read whose TLVs or body are damaged.
    pub damaged: u64,
    /// Slots that got a new epoch, because acknowledged entries of theirs may be gone.
    pub raised: Vec<u8>,
    /// Why the store was rebuilt, if it was.
    pub rebuilt: Option<String>,
}

/// An open data directory. The lock is held until the last of log, store and materialiser is dropped.
#[derive(Debug)]
pub struct Opened {
    /// For the committer.
    pub log: Log,
    /// For readers.
    pub store: Arc<Store>,
    /// For its thread.
    pub materialiser: Materialiser,
    /// All 256.
    pub slots: Vec<SlotState>,
    /// What was found.
    pub report: Recovery,
}

/// Opens the data directory of `options`, or makes it: takes its lock, recovers the log, puts everything in the log into
/// the store, and rebuilds the store when it must. On return the store covers the log.
///
/// # Errors
/// See [`OpenError`]. Nothing acknowledged is ever deleted.
pub fn open(options: &Options, progress: &mut dyn FnMut(Progress)) -> Result<Opened, OpenError> {
    options.check()?;
    let dir = &options.path;
    fs::create_dir_all(dir).map_err(OpenError::io(format!("making {}", dir.display())))?;
    let lock = Arc::new(Lock::take(dir)?);
    let format = format::open(dir)?;
    space::ballast(options);
    let place = Place {
        disk: Disk::Files(dir.join("log")),
        store: Some(dir.join("store")),
        folder: Folder::Files(dir.clone()),
        id: format.id,
    };
    let opened = Opening { options, place, lock, space: Space::of(options), progress }.run()?;
    format::complete(dir, &format)?;
    Ok(opened)
}

/// As [`open`], in memory: the same code without files, threads and clocks. `options.path` is not used.
///
/// # Errors
/// As [`open`].
pub fn open_memory(disk: &MemoryDisk, options: &Options) -> Result<Opened, OpenError> {
    const ID: u64 = 0x706f_7374_7269_6465;
    options.check()?;
    let hold = Hold::take(disk).ok_or_else(|| OpenError::Locked("memory".into()))?;
    let lock = Arc::new(Lock::Memory(hold.clone()));
    let place = Place { folder: Folder::Memory(hold.clone()), disk: Disk::Memory(hold), store: None, id: ID };
    Opening { options, place, lock, space: Space::endless(), progress: &mut |_| {} }.run()
}

/// Where the parts of a data directory are.
pub(crate) struct Place {
    pub disk: Disk,
    /// None in memory.
    pub store: Option<PathBuf>,
    /// Of what is beside log and store.
    pub folder: Folder,
    pub id: u64,
}

/// An open under way.
pub(crate) struct Opening<'a> {
    pub options: &'a Options,
    pub place: Place,
    pub lock: Arc<Lock>,
    pub space: Space,
    pub progress: &'a mut dyn FnMut(Progress),
}

impl Opening<'_> {
    fn run(mut self) -> Result<Opened, OpenError> {
        let mut rebuilt = None;
        let filled = match self.fill(false) {
            Ok(filled) => filled,
            Err(Unfit::Fatal(error)) => return Err(error),
            Err(Unfit::Store(why)) => {
                tracing::error!(why, "the store is unfit: rebuilding it from the log");
                self.look_for_snapshot()?;
                self.set_aside()?;
                rebuilt = Some(why);
                self.fill(true).map_err(|unfit| match unfit {
                    Unfit::Fatal(error) => error,
                    Unfit::Store(why) => StoreError::Engine(why).into(),
                })?
            }
        };
        self.go_on(filled, rebuilt)
    }

    /// Moves an unfit store out of the way; only the newest such is kept.
    fn set_aside(&self) -> Result<(), OpenError> {
        let (Some(store), Some(parent)) = (&self.place.store, self.place.store.as_ref().and_then(|dir| dir.parent()))
        else {
            if let Disk::Memory(hold) = &self.place.disk {
                hold.wipe_store().map_err(OpenError::io("emptying the store"))?;
            }
            return Ok(());
        };
        let io = || OpenError::io(format!("setting {} aside", store.display()));
        let mut last = 0;
        for entry in fs::read_dir(parent).map_err(io())? {
            let path = entry.map_err(io())?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Some(number) = name.strip_prefix("store.bad-").and_then(|number| number.parse::<u32>().ok()) else {
                continue;
            };
            last = last.max(number);
            fs::remove_dir_all(&path).map_err(io())?;
        }
        if store.exists() {
            let aside = parent.join(format!("store.bad-{}", last + 1));
            fs::rename(store, &aside).map_err(io())?;
            // What is erased later is not to stay there.
            match fs::remove_file(aside.join(kv::BLOCKS)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io()(error)),
                _ => {}
            }
        }
        crate::disk::sync_dir(parent).map_err(io())
    }

    /// Seals what was there, begins a new segment, and tells new epochs.
    fn go_on(self, filled: Filled, rebuilt: Option<String>) -> Result<Opened, OpenError> {
        let Filled { materialiser, store, epochs, scan } = filled;
        let disk = &self.place.disk;
        let io = |what: &str| OpenError::io(format!("{what} the log's last segment"));
        if let Some((number, end, directory)) = &scan.end {
            let segment = disk.open(*number).map_err(io("opening"))?;
            let whole = directory.encode(self.place.id);
            let found = segment.read_at(*end as u64, whole.len() + 1).map_err(io("reading"))?;
            if found != whole {
                log::seal(&segment, self.place.id, *end, directory).map_err(io("sealing"))?;
            }
            segment.sync_data().map_err(io("syncing"))?;
        }
        let reusable = scan.unused.iter().find(|unused| {
            unused.is_fresh && unused.number == scan.highest && unused.len == self.options.segment_bytes
        });
        let (segment, prepared) = match reusable {
            Some(unused) => {
                let segment = disk.open_prepared(unused.number, unused.len).map_err(io("opening"))?;
                (unused.number, Some((segment, unused.len)))
            }
            None => (scan.highest + 1, None),
        };
        let start = Start {
            disk: disk.clone(),
            id: self.place.id,
            segment_bytes: self.options.segment_bytes,
            next: scan.next,
            segment,
            prepared,
            positions: scan.positions.clone(),
            epochs: Arc::clone(&epochs),
            lock: Arc::clone(&self.lock),
            space: self.space.clone(),
        };
        let mut log = Log::start(start)?;
        for unused in scan.unused.iter().filter(|unused| unused.number != segment) {
            disk.remove(unused.number).map_err(io("clearing after"))?;
        }
        let raised: Vec<u8> = scan.raise.iter().filter(|&(_, &raise)| raise).map(|(slot, _)| slot).collect();
        for &slot in &raised {
            epochs.at(slot).fetch_add(1, Ordering::Relaxed);
        }
        let now: [u32; SLOTS] = std::array::from_fn(|slot| epochs.at((slot & 0xff) as u8).load(Ordering::Relaxed));
        log.append_epochs(&now, &raised)?;
        let state = |(slot, &epoch): (u8, &u32)| {
            let position = *scan.positions.at(slot);
            SlotState { epoch, position, time_ms: materialiser.slot(slot).time_ms }
        };
        let slots = (0u8..=255).zip(&now).map(state).collect();
        let report = Recovery {
            was_closed: scan.is_closed || scan.next.0 == 1,
            first_batch: scan.next.0,
            batches: scan.batches,
            entries: scan.entries,
            torn_bytes: scan.torn_bytes,
            losses: scan.losses,
            damaged: scan.damaged,
            raised,
            rebuilt,
        };
        if !report.losses.is_empty() || !report.raised.is_empty() || report.damaged > 0 {
            tracing::error!(?report.losses, ?report.raised, report.damaged, "acknowledged data is damaged or gone");
        }
        Ok(Opened { log, store, materialiser, slots, report })
    }
}

/// Compares everything in the data directory `path` with everything, offline; one line per finding, none when all is
/// well. No data is changed (the store's engine may write files of its own when it is opened).
///
/// # Errors
/// When `path` is no data directory, is in use, or has a newer format.
pub fn check(path: &Path) -> Result<Vec<String>, OpenError> {
    if !path.join("FORMAT").exists() {
        return Err(OpenError::NotWhole { path: path.to_path_buf(), what: "there is no FORMAT file".into() });
    }
    let lock = Arc::new(Lock::take(path)?);
    let format = format::open(path)?;
    let place = Place {
        disk: Disk::Files(path.join("log")),
        store: Some(path.join("store")),
        folder: Folder::Files(path.to_path_buf()),
        id: format.id,
    };
    crate::check::run(&place, lock)
}
