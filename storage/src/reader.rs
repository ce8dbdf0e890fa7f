//! Reading single entries of the log, by place.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;

use crate::{
    Entry, Locator, StoreError,
    disk::{Disk, Segment},
    entry::{RECORD_HEAD, record_image_len},
};

/// So many segments stay open.
const OPEN: usize = 64;
/// So much is read at first: most records are shorter.
const GUESS: usize = 1_024;
/// And so much when one more is read of the same segment.
const GUESS_MORE: usize = 8 * 1_024;

/// Reads entries; for any number of readers.
#[derive(Debug)]
pub(crate) struct Reader {
    disk: Disk,
    /// Most recently used last.
    open: Mutex<Vec<(u32, Arc<Segment>)>>,
}

/// A piece of the log that was read, and from where.
#[derive(Clone, Debug, Default)]
pub(crate) struct Piece {
    of: Locator,
    bytes: Bytes,
}

impl Piece {
    /// What is from `locator` on, when the record there is whole in this piece.
    fn record_at(&self, locator: Locator) -> Option<Bytes> {
        let at = locator.offset.checked_sub(self.of.offset).filter(|_| self.of.segment == locator.segment)? as usize;
        let rest = self.bytes.get(at..)?;
        let len = RECORD_HEAD + record_image_len(rest.first_chunk()?)?;
        (len <= rest.len()).then(|| self.bytes.slice(at..at + len))
    }
}

impl Reader {
    pub(crate) const fn new(disk: Disk) -> Self {
        Self { disk, open: Mutex::new(Vec::new()) }
    }

    /// The entry whose record is at `locator`; none when nothing sound is there. Its TLVs and body may be damaged.
    /// `piece` keeps what was read last: neighbours in a channel are often neighbours in the log.
    pub(crate) fn entry(&self, locator: Locator, piece: &mut Piece) -> Result<Option<Entry>, StoreError> {
        if locator.segment == 0 {
            return Ok(None);
        }
        match self.read(locator, piece) {
            Ok(entry) => Ok(entry),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StoreError::Io { what: format!("reading {}", self.disk.name(locator.segment)), source }),
        }
    }

    /// Bytes of all segments.
    pub(crate) fn log_bytes(&self) -> io::Result<u64> {
        self.disk.len_from(0)
    }

    /// Closes a segment that is dropped.
    pub(crate) fn forget(&self, number: u32) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).retain(|(open, _)| *open != number);
    }

    fn read(&self, locator: Locator, piece: &mut Piece) -> io::Result<Option<Entry>> {
        if let Some(record) = piece.record_at(locator) {
            return Ok(Entry::parse(&record));
        }
        // The first one may be the only one.
        let guess = if piece.of.segment == locator.segment { GUESS_MORE } else { GUESS };
        let segment = self.segment(locator.segment)?;
        let bytes = segment.read_at(u64::from(locator.offset), guess)?;
        let Some(image_len) = bytes.first_chunk().and_then(record_image_len) else { return Ok(None) };
        let len = RECORD_HEAD + image_len;
        if len > bytes.len() {
            let bytes = segment.read_at(u64::from(locator.offset), len)?;
            return Ok(Entry::parse(&bytes.into()));
        }
        *piece = Piece { of: locator, bytes: bytes.into() };
        Ok(piece.record_at(locator).and_then(|record| Entry::parse(&record)))
    }

    /// A segment, opened.
    pub(crate) fn segment(&self, number: u32) -> io::Result<Arc<Segment>> {
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
