//! Opening.
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{Log, Materialiser, MemoryDisk, OpenError, Store};

/// Where the data is, and its sizes. All sizes are bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The data directory.
    pub path: PathBuf,
    /// Size of a segment of the log.
    pub segment_bytes: u64,
    /// A checkpoint is due when this much is new.
    pub checkpoint_bytes: u64,
    /// So much of the newest entries is kept as blocks in the store.
    pub window_bytes: u64,
    /// Cache of the store.
    pub cache_bytes: u64,
    /// Below this much free space, plus twice what is pending, commands are to be refused.
    pub reserve_bytes: u64,
    /// Size of the file that is given up when a start finds too little space.
    pub ballast_bytes: u64,
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
            cache_bytes: 64 * MIB,
            reserve_bytes: 256 * MIB,
            ballast_bytes: 64 * MIB,
        }
    }
}

/// Where a slot stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotState {
    /// Its epoch, from 1.
    pub epoch: u32,
    /// Position of its last entry.
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

/// Acknowledged batches that are damaged or gone. Their slots have a new epoch.
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
    /// Batches read.
    pub batches: u64,
    /// Entries read.
    pub entries: u64,
    /// Bytes after the last whole batch that were dropped; they had not been acknowledged.
    pub torn_bytes: u64,
    /// Acknowledged batches that are damaged or gone.
    pub losses: Vec<Loss>,
    /// Entries whose TLVs or body are damaged.
    pub damaged: u64,
    /// Slots that got a new epoch.
    pub raised: Vec<u8>,
    /// Why the store was rebuilt, if it was.
    pub rebuilt: Option<String>,
}

/// An open data directory.
#[derive(Debug)]
pub struct Opened {
    /// For the committer.
    pub log: Log,
    /// For readers.
    pub store: Arc<Store>,
    /// For its thread.
    pub materialiser: Materialiser,
    /// 256.
    pub slots: Vec<SlotState>,
    /// What was found.
    pub report: Recovery,
}

/// Opens or creates a data directory.
///
/// # Errors
/// See [`OpenError`]; nothing is ever deleted.
pub fn open(options: &Options, progress: &mut dyn FnMut(Progress)) -> Result<Opened, OpenError> {
    let _ = (options, progress);
    Err(OpenError::Options("not there yet"))
}

/// The same in memory.
///
/// # Errors
/// As [`open`].
pub fn open_memory(disk: &MemoryDisk, options: &Options) -> Result<Opened, OpenError> {
    let _ = (disk, options);
    Err(OpenError::Options("not there yet"))
}

/// Compares everything with everything, offline; one line per finding.
///
/// # Errors
/// When the directory cannot be opened.
pub fn check(path: &Path) -> Result<Vec<String>, OpenError> {
    let _ = path;
    Err(OpenError::Options("not there yet"))
}
