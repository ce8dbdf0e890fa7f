//! What goes into one append, and what is kept of it: the bytes of the batch, in one piece, as they went to the file.
//! Readers' images and the materialiser's records are slices of it; it is let go of once the store covers it.

use bytes::Bytes;

use crate::{
    Digest, Entry, Locator, Placed,
    entry::{RECORD_HEAD, RECORD_MAX, RecordRef},
    head::Head,
};

/// An entry as it was decided, borrowed from the buffer that it was written into.
#[derive(Clone, Copy, Debug)]
pub struct NewEntry<'a> {
    /// The slot of its channel.
    pub slot: u8,
    /// Its position in the slot, dense from 1.
    pub position: u64,
    /// The tenant of the channel.
    pub tenant: u32,
    /// The lowest number that the sender may still send again.
    pub oldest: u64,
    /// The highest seq on the author's screen; 0 for none.
    pub read: u64,
    /// The image as it is on the wire.
    pub image: &'a [u8],
    /// Offset of the TLV length in the image.
    pub head_len: u32,
    /// CRC-32 of the image from `head_len` on.
    pub crc: u32,
}

impl NewEntry<'_> {
    /// Bytes it takes in the log.
    #[must_use]
    pub const fn stored_bytes(&self) -> usize {
        RECORD_HEAD + self.image.len()
    }

    /// Whether it is an image, to go by its lengths, and no longer than a record may be.
    pub(crate) const fn fits(&self) -> bool {
        self.stored_bytes() <= RECORD_MAX && self.head_len as usize + 6 <= self.image.len()
    }
}

/// A record in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub position: u64,
    /// Where it begins in [`Written::bytes`].
    pub offset: u32,
    pub len: u32,
    pub slot: u8,
}

/// What one append wrote.
#[derive(Debug)]
pub struct Written {
    segment: u32,
    /// Where `bytes` begin in the segment.
    start: u32,
    bytes: Bytes,
    records: Vec<Record>,
}

impl Written {
    pub(crate) const fn new(segment: u32, start: u32, bytes: Bytes, records: Vec<Record>) -> Self {
        Self { segment, start, bytes, records }
    }

    /// How many entries there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Bytes that it keeps in memory.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes.len() + self.records.len() * size_of::<Record>()
    }

    /// The image of the entry that was the `at`-th of the append, from 0: a slice of what was written.
    #[must_use]
    pub fn image(&self, at: usize) -> Option<Bytes> {
        let record = self.records.get(at)?;
        let (start, end) = (record.offset as usize, record.offset as usize + record.len as usize);
        (start + RECORD_HEAD <= end && end <= self.bytes.len()).then(|| self.bytes.slice(start + RECORD_HEAD..end))
    }

    /// What counting needs of the entry that was the `at`-th of the append, from 0.
    #[must_use]
    pub fn digest(&self, at: usize) -> Option<Digest> {
        Head::of(self.record(self.records.get(at)?).image()).map(|head| Digest::of(&head))
    }

    /// Where the entry that was the `at`-th of the append is in the log.
    #[must_use]
    pub fn locator(&self, at: usize) -> Option<Locator> {
        self.records.get(at).map(|record| self.place_of(record))
    }

    pub(crate) fn place_of(&self, record: &Record) -> Locator {
        Locator { segment: self.segment, offset: self.start.saturating_add(record.offset) }
    }

    pub(crate) const fn segment(&self) -> u32 {
        self.segment
    }

    pub(crate) fn records(&self) -> &[Record] {
        &self.records
    }

    /// The record itself.
    pub(crate) fn record(&self, record: &Record) -> RecordRef<'_> {
        let start = record.offset as usize;
        RecordRef::of(self.bytes.get(start..start + record.len as usize).unwrap_or_default())
    }

    /// The entry of a record.
    pub(crate) fn placed(&self, at: usize) -> Option<Placed> {
        let record = self.records.get(at)?;
        let entry = Entry::of(&self.record(record), self.image(at)?);
        Some(Placed { slot: record.slot, position: record.position, entry })
    }

    /// Forgets the last entry.
    pub(crate) fn pop(&mut self) -> Option<Record> {
        self.records.pop()
    }

    /// Forgets the entries that `keep` is not for.
    pub(crate) fn retain(&mut self, keep: impl FnMut(&Record) -> bool) {
        self.records.retain(keep);
    }
}
