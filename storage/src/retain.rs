//! Retention: whole segments at the beginning of the log are dropped once they are over a bound, and once two snapshots
//! stand for the rows that came from them.
//!
//! In this order, so that a cut at any place is finished by the next open: the file LOW says durably where the log begins
//! from now on; readers are told, and answer what is before it as trimmed; index pages and blocks of what is before it
//! leave the store, by a checkpoint of their own; the segment's file goes.
//!
//! ```text
//! LOW: magic 8 · format u32 · log id u64 · first segment u32 · 256 × position u64 · CRC u32
//! ```
//! The positions are those of the last entries that were trimmed. Rows stay: heads, marks, members, and what senders had
//! accepted.

use std::io::{self, Read};

use bytes::Bytes;
use postrider_protocol::{Image, Writer};

use crate::{
    Materialiser, StoreError, batch,
    codec::PAGE,
    direct,
    disk::Disk,
    entry::{RecordRef, be32, be64},
    segment::SEGMENT_HEAD,
    slots::PerSlot,
    snapshot::{self, Export, KEPT, Snapshot},
    table,
    whole::Folder,
};

const NAME: &str = "LOW";
const MAGIC: &[u8; 8] = b"postlow\0";
const FORMAT: u32 = 0;
const LEN: usize = 24 + 256 * 8;
/// What is read of a segment at a time, unless a batch is longer.
const PIECE: usize = 1 << 20;
/// With less free space nothing is trimmed: the store's engine must not meet a full disk.
const NEEDS_BYTES: u64 = 16 << 20;
/// After a failure it is tried again so much later.
const AGAIN_MS: u64 = 60_000;

/// What of the log is kept. By default, everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// A segment goes when its newest entry is older than this; 0 keeps all.
    pub max_age_ms: u64,
    /// The oldest segment goes while the log is longer than this; 0 keeps all.
    pub max_bytes: u64,
    /// A snapshot is written after so many segments; nothing is dropped that the older of two does not cover.
    pub snapshot_segments: u32,
}

impl Retention {
    /// Keeps everything.
    pub const KEEP: Self = Self { max_age_ms: 0, max_bytes: 0, snapshot_segments: 4 };

    const fn is_on(&self) -> bool {
        self.max_age_ms > 0 || self.max_bytes > 0
    }
}

/// Where the log begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Low {
    /// The first segment that is kept; 1 when nothing was trimmed.
    pub first: u32,
    /// Position of the last trimmed entry of each slot.
    pub positions: PerSlot<u64>,
}

impl Low {
    /// What LOW says, and true; when it is damaged, the oldest segment there is, and false.
    pub(crate) fn load(folder: &Folder, disk: &Disk, id: u64) -> io::Result<(Self, bool)> {
        let Some(mut source) = folder.open(NAME)? else {
            return Ok((Self { first: 1, positions: PerSlot::default() }, true));
        };
        let mut bytes = Vec::new();
        source.read_to_end(&mut bytes)?;
        let is_whole = bytes.len() == LEN + 4
            && crc32fast::hash(bytes.get(..LEN).unwrap_or_default()) == be32(&bytes, LEN)
            && bytes.starts_with(MAGIC)
            && be32(&bytes, 8) == FORMAT
            && be64(&bytes, 12) == id;
        if !is_whole {
            let first = disk.segments()?.first().copied().unwrap_or(1);
            return Ok((Self { first, positions: PerSlot::default() }, false));
        }
        let positions = PerSlot::new(|slot| be64(&bytes, 24 + usize::from(slot) * 8));
        Ok((Self { first: be32(&bytes, 20).max(1), positions }, true))
    }

    fn put(&self, folder: &Folder, id: u64) -> io::Result<()> {
        let mut bytes = MAGIC.to_vec();
        bytes.u32(FORMAT);
        bytes.raw(&id.to_be_bytes());
        bytes.u32(self.first);
        self.positions.iter().for_each(|(_, &position)| bytes.u64(position));
        bytes.u32(crc32fast::hash(&bytes));
        folder.put(NAME, &bytes)
    }
}

/// What the store has of a segment, for who drops it.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// Position of the last entry of each slot; 0 without any.
    last: PerSlot<u64>,
    newest_ms: u64,
    /// Keys of the index pages that end in it: nothing they point to is after it.
    pub pages: Vec<Vec<u8>>,
}

impl Contents {
    /// Those of segment `number`; none of one that is gone. What is damaged is passed over.
    pub(crate) fn read(disk: &Disk, id: u64, number: u32) -> io::Result<Self> {
        let mut contents = Self::default();
        let len = match disk.len(number) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(contents),
            len => len?,
        };
        let segment = disk.open(number)?;
        let (mut offset, mut want) = (SEGMENT_HEAD as u64, PIECE);
        while offset < len {
            let page = offset - offset % direct::CACHE_PAGE as u64;
            let piece = segment.read_at(page, want)?;
            let start = (offset - page) as usize;
            let end = contents.take(&piece, start, id);
            let is_rest = page + piece.len() as u64 >= len;
            if end > start {
                (offset, want) = (page + end as u64, PIECE);
            } else if is_rest {
                offset = page + search(&piece, start, id) as u64;
            } else {
                want = want.saturating_mul(4);
            }
        }
        Ok(contents)
    }

    /// Takes the batches of `piece` from `at` on; tells where they end.
    fn take(&mut self, piece: &[u8], mut at: usize, id: u64) -> usize {
        while let Some(batch) = batch::parse(piece, at, id) {
            at = batch.end;
            for record in &batch.runs.records {
                let last = self.last.at_mut(record.slot);
                *last = record.position.max(*last);
                if let Some(found) = piece.get(record.offset as usize..).and_then(RecordRef::parse) {
                    self.add(&found);
                }
            }
        }
        at
    }

    fn add(&mut self, record: &RecordRef<'_>) {
        let (seq, time_ms) = (be64(record.image(), 4), be64(record.image(), 12));
        self.newest_ms = self.newest_ms.max(time_ms);
        if seq == 0 || !seq.is_multiple_of(PAGE) {
            return;
        }
        let head = record.image().get(..record.head_len() as usize).unwrap_or_default();
        if let Ok(image) = Image::decode(Bytes::from([head, &[0; 6]].concat())) {
            self.pages.push(table::index(record.tenant(), image.channel.as_bytes(), seq / PAGE - 1));
        }
    }
}

/// Where the next batch of `piece` begins, in which none begins at `start`; its end without any.
fn search(piece: &[u8], start: usize, id: u64) -> usize {
    let mut places = (start..piece.len()).step_by(batch::ALIGN).skip(1);
    places.find(|&at| batch::parse(piece, at, id).is_some()).unwrap_or(piece.len())
}

/// Drops what is to be dropped, a piece of work at a time. It belongs to the materialiser.
#[derive(Debug)]
pub(crate) struct Keeper {
    folder: Folder,
    disk: Disk,
    id: u64,
    retention: Retention,
    low: Low,
    /// Newest first.
    snapshots: Vec<Snapshot>,
    export: Option<Export>,
    /// A segment, and the time of its newest entry.
    newest: Option<(u32, u64)>,
    /// Checkpoint and second when the log was last looked at.
    looked: (u64, u64),
    /// Not before this time, after a failure.
    not_before_ms: u64,
}

impl Keeper {
    pub(crate) fn new(folder: Folder, disk: Disk, id: u64, retention: Retention, low: Low) -> io::Result<Self> {
        let snapshots = snapshot::list(&folder, id)?;
        let (export, newest) = (None, None);
        Ok(Self { folder, disk, id, retention, low, snapshots, export, newest, looked: (0, 0), not_before_ms: 0 })
    }

    /// Ends what a cut left undone: the store lets go of what LOW says is trimmed, and the files go.
    pub(crate) fn finish(&self, materialiser: &mut Materialiser) -> Result<(), StoreError> {
        let io = || StoreError::io("dropping segments that are trimmed");
        for number in self.disk.segments().map_err(io())?.into_iter().filter(|&number| number < self.low.first) {
            if number >= materialiser.marker().first {
                let contents = Contents::read(&self.disk, self.id, number).map_err(io())?;
                materialiser.trim(number + 1, &contents.pages, &self.low.positions)?;
            }
            self.disk.remove(number).map_err(io())?;
        }
        Ok(())
    }

    /// Does the next piece of work, if there is any; whether there was.
    fn step(&mut self, materialiser: &mut Materialiser, now_ms: u64) -> Result<bool, StoreError> {
        if !self.retention.is_on() || now_ms < self.not_before_ms {
            return Ok(false);
        }
        let done = self.next(materialiser, now_ms);
        match done {
            // Files beside the log can be written another time. What the store's engine says is for the process.
            Err(StoreError::Io { what, source }) if !materialiser.is_poisoned() => {
                tracing::warn!(what, error = %source, "retention waits");
                (self.export, self.not_before_ms) = (None, now_ms.saturating_add(AGAIN_MS));
                Ok(false)
            }
            done => done,
        }
    }

    fn next(&mut self, materialiser: &mut Materialiser, now_ms: u64) -> Result<bool, StoreError> {
        let store = materialiser.store();
        if let Some(mut export) = self.export.take() {
            if export.step(store.kv())? {
                self.export = Some(export);
            } else {
                let snapshot = export.done(&materialiser.marker().covered)?;
                tracing::info!(file = snapshot.name(), "snapshot written");
                self.snapshots.insert(0, snapshot);
                snapshot::tidy(&self.folder, &mut self.snapshots).map_err(StoreError::io("removing a snapshot"))?;
            }
            return Ok(true);
        }
        let marker = materialiser.marker();
        let (segment, now) = (marker.segment, (marker.sequence, now_ms / 1_000));
        let is_new = std::mem::replace(&mut self.looked, now) != now;
        // What may go goes first: under load there is always another snapshot to write.
        if is_new
            && self.snapshots.len() >= KEPT
            && store.free_bytes()? >= NEEDS_BYTES
            && let Some(number) = self.expired(segment, now_ms).map_err(StoreError::io("looking at the log"))?
        {
            // That is a checkpoint: the log is looked at again.
            return self.drop_segment(materialiser, number).map(|()| true);
        }
        let last = self.snapshots.first().map_or(self.low.first, |snapshot| snapshot.segment);
        if segment >= last.saturating_add(self.retention.snapshot_segments.max(1)) && store.space().has(0) {
            let begun =
                Export::begin(&self.folder, materialiser.marker(), materialiser.slots(), self.snapshots.first());
            self.export = Some(begun.map_err(StoreError::io("beginning a snapshot"))?);
            return Ok(true);
        }
        Ok(false)
    }

    /// The oldest segment, if it is over a bound and may go.
    fn expired(&mut self, current: u32, now_ms: u64) -> io::Result<Option<u32>> {
        let covered = self.snapshots.last().map_or(0, |older| older.segment).min(current);
        let segments = self.disk.segments()?;
        let Some(&oldest) = segments.first().filter(|&&oldest| oldest < covered) else { return Ok(None) };
        let Retention { max_age_ms, max_bytes, .. } = self.retention;
        if max_bytes > 0 {
            let kept = segments.iter().filter(|&&number| number <= current);
            if kept.map(|&number| self.disk.len(number)).sum::<io::Result<u64>>()? > max_bytes {
                return Ok(Some(oldest));
            }
        }
        if max_age_ms == 0 {
            return Ok(None);
        }
        let newest_ms = match self.newest {
            Some((number, newest_ms)) if number == oldest => newest_ms,
            _ => Contents::read(&self.disk, self.id, oldest)?.newest_ms,
        };
        self.newest = Some((oldest, newest_ms));
        Ok((newest_ms.saturating_add(max_age_ms) < now_ms).then_some(oldest))
    }

    fn drop_segment(&mut self, materialiser: &mut Materialiser, number: u32) -> Result<(), StoreError> {
        let io = || StoreError::io(format!("dropping {}", self.disk.name(number)));
        let contents = Contents::read(&self.disk, self.id, number).map_err(io())?;
        let positions = PerSlot::new(|slot| *self.low.positions.at(slot).max(contents.last.at(slot)));
        let low = Low { first: number.saturating_add(1), positions };
        low.put(&self.folder, self.id).map_err(StoreError::io("writing LOW"))?;
        self.low = low;
        materialiser.store().set_first(self.low.first);
        materialiser.trim(self.low.first, &contents.pages, &self.low.positions)?;
        self.disk.remove(number).map_err(io())?;
        materialiser.store().reader().forget(number);
        tracing::info!(segment = number, "segment dropped by retention");
        Ok(())
    }
}

impl Materialiser {
    /// Does the next piece of retention's work, of bounded size; whether there was any. To be called between checkpoints,
    /// also when there is nothing to put into the store. `now_ms` is since 1970.
    ///
    /// # Errors
    /// As [`Materialiser::checkpoint`].
    pub fn retain(&mut self, now_ms: u64) -> Result<bool, StoreError> {
        let Some(mut keeper) = self.keeper().take() else { return Ok(false) };
        let done = keeper.step(self, now_ms);
        *self.keeper() = Some(keeper);
        done
    }
}
