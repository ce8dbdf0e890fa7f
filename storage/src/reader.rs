//! Reading single entries of the log, by place.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    Entry, Locator, StoreError,
    disk::{Disk, Segment},
    entry::{RECORD_HEAD, record_image_len},
};

/// So many segments stay open.
const OPEN: usize = 64;
/// So much is read at first: most records are shorter.
const GUESS: usize = 1_024;

/// Reads entries; for any number of readers.
#[derive(Debug)]
pub(crate) struct Reader {
    disk: Disk,
    /// Most recently used last.
    open: Mutex<Vec<(u32, Arc<Segment>)>>,
}

impl Reader {
    pub(crate) const fn new(disk: Disk) -> Self {
        Self { disk, open: Mutex::new(Vec::new()) }
    }

    /// The entry whose record is at `locator`; none when nothing sound is there. Its TLVs and body may be damaged.
    pub(crate) fn entry(&self, locator: Locator) -> Result<Option<Entry>, StoreError> {
        if locator.segment == 0 {
            return Ok(None);
        }
        let name = || format!("reading {}", self.disk.name(locator.segment));
        match self.read(locator) {
            Ok(entry) => Ok(entry),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StoreError::Io { what: name(), source }),
        }
    }

    /// Bytes of all segments.
    pub(crate) fn log_bytes(&self) -> io::Result<u64> {
        self.disk.segments()?.into_iter().map(|number| self.disk.len(number)).sum()
    }

    /// Closes a segment that is dropped.
    pub(crate) fn forget(&self, number: u32) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).retain(|(open, _)| *open != number);
    }

    fn read(&self, locator: Locator) -> io::Result<Option<Entry>> {
        let segment = self.segment(locator.segment)?;
        let offset = u64::from(locator.offset);
        let mut bytes = segment.read_at(offset, GUESS)?;
        let Some(image_len) = bytes.first_chunk().and_then(record_image_len) else { return Ok(None) };
        let len = RECORD_HEAD + image_len;
        if len > bytes.len() {
            bytes = segment.read_at(offset, len)?;
        }
        bytes.truncate(len);
        Ok(Entry::parse(&bytes.into()))
    }

    fn segment(&self, number: u32) -> io::Result<Arc<Segment>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = open.iter().position(|(open, _)| *open == number) {
            let found = open.remove(at);
            let segment = Arc::clone(&found.1);
            open.push(found);
            return Ok(segment);
        }
        let segment = Arc::new(self.disk.open(number)?);
        if open.len() >= OPEN {
            open.remove(0);
        }
        open.push((number, Arc::clone(&segment)));
        Ok(segment)
    }
}
