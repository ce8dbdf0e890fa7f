//! A disk in memory that can fail.

/// What of the unsynced survives a crash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crash {
    /// So many of the unsynced writes to the log survive whole, oldest first.
    pub writes: usize,
    /// Whether half of the next one survives too.
    pub torn: bool,
    /// So many of the unsynced writes to the store survive, oldest first.
    pub store_writes: usize,
}

/// A disk in memory; clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {}

#[allow(missing_docs, unused_variables)]
impl MemoryDisk {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
    /// The power goes: what was open is dead, and `crash` says what of the unsynced survives.
    pub fn crash(&self, crash: Crash) {}
    /// The next sync of the log fails.
    pub fn fail_next_sync(&self) {}
    /// The next sync of the log says that it is done, and is not.
    pub fn lose_next_sync(&self) {}
}
