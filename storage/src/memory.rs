//! A disk in memory that can crash, lose a sync and fail a sync: the simulator's. Log and store above it are the same
//! code as on files. Creating, cutting and removing a segment is durable at once, and so are the files beside the log,
//! which are whole or not there; writes are once synced.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What of the unsynced survives a crash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crash {
    /// So many of the unsynced writes to the log survive whole, oldest first; a batch is one write.
    pub writes: usize,
    /// Whether the first half of the next one survives too.
    pub torn: bool,
    /// So many of the unsynced writes to the store survive, oldest first.
    pub store_writes: usize,
}

/// A disk in memory; clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Rises with each crash: what was open before is dead.
    life: u64,
    is_open: bool,
    segments: BTreeMap<u32, Vec<u8>>,
    unsynced: Vec<Write>,
    files: BTreeMap<String, Vec<u8>>,
    store: BTreeMap<Vec<u8>, Vec<u8>>,
    store_unsynced: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    fail_next_sync: bool,
    lose_next_sync: bool,
    /// Writes that the store still takes.
    store_budget: Option<usize>,
}

#[derive(Debug)]
struct Write {
    segment: u32,
    offset: usize,
    new: Vec<u8>,
    old: Vec<u8>,
}

impl State {
    fn put(&mut self, segment: u32, offset: usize, bytes: &[u8]) {
        let Some(file) = self.segments.get_mut(&segment) else { return };
        let end = file.len().min(offset + bytes.len());
        if let Some(place) = file.get_mut(offset..end) {
            place.copy_from_slice(bytes.get(..end - offset).unwrap_or_default());
        }
    }
}

impl MemoryDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The power goes: what is open gets errors from now on, and `crash` says what of the unsynced survives.
    pub fn crash(&self, crash: Crash) {
        let mut state = self.state();
        state.life += 1;
        state.is_open = false;
        (state.fail_next_sync, state.lose_next_sync, state.store_budget) = (false, false, None);
        let unsynced = std::mem::take(&mut state.unsynced);
        for write in unsynced.iter().rev() {
            state.put(write.segment, write.offset, &write.old);
        }
        for (at, write) in unsynced.iter().enumerate().take(crash.writes.saturating_add(1)) {
            if at < crash.writes {
                state.put(write.segment, write.offset, &write.new);
            } else if crash.torn {
                state.put(write.segment, write.offset, write.new.get(..write.new.len() / 2).unwrap_or_default());
            }
        }
        while state.store_unsynced.len() > crash.store_writes {
            let Some((key, old)) = state.store_unsynced.pop() else { break };
            match old {
                Some(value) => state.store.insert(key, value),
                None => state.store.remove(&key),
            };
        }
        state.store_unsynced.clear();
    }

    /// How many writes to the log and to the store are not synced.
    #[must_use]
    pub fn unsynced(&self) -> (usize, usize) {
        let state = self.state();
        (state.unsynced.len(), state.store_unsynced.len())
    }

    /// The next sync of the log fails, and syncs nothing.
    pub fn fail_next_sync(&self) {
        self.state().fail_next_sync = true;
    }

    /// The next sync of the log says that it is done, and syncs nothing.
    pub fn lose_next_sync(&self) {
        self.state().lose_next_sync = true;
    }

    /// The store takes so many more writes, and then fails until the next crash.
    pub fn stop_store_after(&self, writes: usize) {
        self.state().store_budget = Some(writes);
    }

    /// Flips one bit of the log or of the store; `at` counts bits over all of it and wraps.
    pub fn flip(&self, in_store: bool, at: usize) {
        let mut state = self.state();
        let state = &mut *state;
        let files: Vec<&mut Vec<u8>> =
            if in_store { state.store.values_mut().collect() } else { state.segments.values_mut().collect() };
        let total: usize = files.iter().map(|file| file.len()).sum();
        let mut byte = (at / 8) % total.max(1);
        for file in files {
            if let Some(flipped) = file.get_mut(byte) {
                *flipped ^= 1 << (at % 8);
                return;
            }
            byte -= file.len();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One process's hold of a memory disk; dead after a crash.
#[derive(Clone, Debug)]
pub(crate) struct Hold {
    disk: MemoryDisk,
    life: u64,
}

impl Hold {
    /// Takes the disk; none when somebody has it.
    pub(crate) fn take(disk: &MemoryDisk) -> Option<Self> {
        let mut state = disk.state();
        if std::mem::replace(&mut state.is_open, true) {
            return None;
        }
        Some(Self { disk: disk.clone(), life: state.life })
    }

    /// Gives the disk back.
    pub(crate) fn release(&self) {
        let mut state = self.disk.state();
        if state.life == self.life {
            state.is_open = false;
        }
    }

    fn live(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        if state.life == self.life { Ok(state) } else { Err(io::Error::other("the power went")) }
    }

    pub(crate) fn segments(&self) -> io::Result<Vec<u32>> {
        Ok(self.live()?.segments.keys().copied().collect())
    }

    pub(crate) fn create(&self, segment: u32, bytes: Vec<u8>) -> io::Result<()> {
        self.live()?.segments.insert(segment, bytes);
        Ok(())
    }

    pub(crate) fn remove(&self, segment: u32) -> io::Result<()> {
        self.live()?.segments.remove(&segment);
        Ok(())
    }

    pub(crate) fn cut(&self, segment: u32, len: usize) -> io::Result<()> {
        if let Some(file) = self.live()?.segments.get_mut(&segment) {
            file.resize(len, 0);
        }
        Ok(())
    }

    pub(crate) fn read(&self, segment: u32, offset: usize, len: usize) -> io::Result<Vec<u8>> {
        let state = self.live()?;
        let file = state.segments.get(&segment).ok_or(io::ErrorKind::NotFound)?;
        let end = file.len().min(offset.saturating_add(len));
        Ok(file.get(offset..end).unwrap_or_default().to_vec())
    }

    pub(crate) fn write(&self, segment: u32, offset: usize, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.live()?;
        let file = state.segments.get_mut(&segment).ok_or(io::ErrorKind::NotFound)?;
        let end = offset + bytes.len();
        if file.len() < end {
            file.resize(end, 0);
        }
        let old = file.get(offset..end).unwrap_or_default().to_vec();
        state.put(segment, offset, bytes);
        state.unsynced.push(Write { segment, offset, new: bytes.to_vec(), old });
        Ok(())
    }

    pub(crate) fn sync(&self, segment: u32) -> io::Result<()> {
        let mut state = self.live()?;
        if std::mem::take(&mut state.fail_next_sync) {
            return Err(io::Error::other("a sync that fails by order"));
        }
        if !std::mem::take(&mut state.lose_next_sync) {
            state.unsynced.retain(|write| write.segment != segment);
        }
        Ok(())
    }

    pub(crate) fn file_names(&self) -> io::Result<Vec<String>> {
        Ok(self.live()?.files.keys().cloned().collect())
    }

    pub(crate) fn file(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.live()?.files.get(name).cloned())
    }

    pub(crate) fn put_file(&self, name: &str, bytes: Vec<u8>) -> io::Result<()> {
        self.live()?.files.insert(name.to_owned(), bytes);
        Ok(())
    }

    pub(crate) fn remove_file(&self, name: &str) -> io::Result<()> {
        self.live()?.files.remove(name);
        Ok(())
    }

    pub(crate) fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        Ok(self.live()?.store.get(key).cloned())
    }

    /// The disk, when the store may write once more.
    fn for_store(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.live()?;
        if let Some(budget) = state.store_budget {
            let left = budget.checked_sub(1).ok_or_else(|| io::Error::other("a store that fails by order"))?;
            state.store_budget = Some(left);
        }
        Ok(state)
    }

    pub(crate) fn insert(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        let mut state = self.for_store()?;
        let old = state.store.insert(key.to_vec(), value.to_vec());
        state.store_unsynced.push((key.to_vec(), old));
        Ok(())
    }

    pub(crate) fn delete(&self, key: &[u8]) -> io::Result<()> {
        let mut state = self.for_store()?;
        let old = state.store.remove(key);
        state.store_unsynced.push((key.to_vec(), old));
        Ok(())
    }

    /// The first pair after `key`, or at it when `or_at`.
    pub(crate) fn next(&self, key: &[u8], or_at: bool) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let state = self.live()?;
        let start = if or_at { Included(key) } else { Excluded(key) };
        Ok(state.store.range::<[u8], _>((start, Unbounded)).next().map(|(k, v)| (k.clone(), v.clone())))
    }

    pub(crate) fn sync_store(&self) -> io::Result<()> {
        self.live()?.store_unsynced.clear();
        Ok(())
    }

    pub(crate) fn wipe_store(&self) -> io::Result<()> {
        let mut state = self.live()?;
        state.store.clear();
        state.store_unsynced.clear();
        Ok(())
    }
}
