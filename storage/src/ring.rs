//! The file of the blocks: each lies at a place of its own and is written over in place. So what is erased in a block is
//! gone from the disk, which an engine that appends what changes does not promise.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

/// Bytes of a place: a value, then zeros.
const PLACE: usize = 16 << 10;

/// Values by place, from 0.
#[derive(Debug)]
pub(crate) struct Ring {
    file: File,
    /// Whether anything was written since the last sync.
    is_dirty: AtomicBool,
}

impl Ring {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        Ok(Self { file, is_dirty: AtomicBool::new(false) })
    }

    /// What is in the place `at`, zeros after it included; none where nothing is.
    pub(crate) fn get(&self, at: u64) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = vec![0; PLACE];
        let mut done = 0;
        while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset(at) + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(bytes.iter().any(|&byte| byte != 0).then_some(bytes))
    }

    /// Puts `value` into the place `at`; nothing of what was there stays.
    pub(crate) fn put(&self, at: u64, value: &[u8]) -> io::Result<()> {
        let mut place = value.to_vec();
        if place.len() > PLACE {
            return Err(io::Error::other("a value longer than its place"));
        }
        place.resize(PLACE, 0);
        self.is_dirty.store(true, Ordering::Release);
        self.file.write_all_at(&place, offset(at))
    }

    /// Empties the place `at`.
    pub(crate) fn remove(&self, at: u64) -> io::Result<()> {
        if self.len()? > offset(at) { self.put(at, &[]) } else { Ok(()) }
    }

    /// Makes everything put so far durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        if self.is_dirty.swap(false, Ordering::AcqRel) { self.file.sync_data() } else { Ok(()) }
    }

    /// Its bytes.
    pub(crate) fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

const fn offset(at: u64) -> u64 {
    at.saturating_mul(PLACE as u64)
}
