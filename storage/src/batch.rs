//! Batches: what one append writes, and how recovery tells a whole one.
//!
//! ```text
//! log id u64 · number u64 · CRC of the batch before u32 · durable through u64 · length of the runs u32 · head CRC u32
//!   · runs · batch CRC u32 · zeros up to a multiple of 64, or of a page when the highest bit of the length says so
//! run: slot u8 · epoch u32 · first position u64 · count u32 · length u32 · run CRC u32 · records
//! ```
//! The log id is random and told to nobody, so no message body can pass for a batch. The batch CRC covers its head, the
//! heads of runs and the heads of records, which hold the CRCs of what it does not cover.

use crate::{
    LogError, NewEntry, SLOTS,
    direct::CACHE_PAGE,
    entry::{RECORD_HEAD, RecordRef, be32, be64, write_record},
    slots::PerSlot,
    written::Record,
};

pub(crate) const BATCH_HEAD: usize = 36;
const RUN_HEAD: usize = 25;
/// Batches begin at multiples of this.
pub(crate) const ALIGN: usize = 64;
/// A batch of so many bytes ends with its last page, so that it and the next one share none: both can be written past
/// the file cache, which takes whole pages.
const LONG: usize = 32 << 10;
/// Of the length in the head of such a batch.
const ENDS_PAGE: u32 = 1 << 31;

/// What the head of a batch says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub number: u64,
    pub previous: u32,
    pub durable_through: u64,
    pub len: usize,
    /// The next batch begins at a page.
    ends_page: bool,
}

impl Head {
    /// That of a batch whose entries are not known yet.
    pub(crate) const fn new(number: u64, previous: u32, durable_through: u64) -> Self {
        Self { number, previous, durable_through, len: 0, ends_page: false }
    }

    /// Where the batch after this one begins, which is at `at`.
    pub(crate) const fn end(&self, at: usize) -> usize {
        end(at, BATCH_HEAD + self.len + 4, self.ends_page)
    }
}

/// Entries of one slot in one batch.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Run {
    pub slot: u8,
    pub epoch: u32,
    pub first: u64,
    pub count: u32,
    /// How many of them have a sound head, and the first of these.
    pub sound: u32,
    pub record: Option<Record>,
    /// The first of them whose TLVs or body are damaged.
    pub damaged: Option<u64>,
}

/// The runs of a batch and the sound records of all of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Runs {
    pub runs: Vec<Run>,
    /// With offsets in the segment.
    pub records: Vec<Record>,
    /// How many of them have damaged TLVs or bodies.
    pub damaged: u64,
}

/// A batch that is what was written, but for TLVs and bodies.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub head: Head,
    pub crc: u32,
    /// Where the next one begins.
    pub end: usize,
    pub runs: Runs,
}

/// What a batch is written with.
pub(crate) struct Frame<'a> {
    pub id: u64,
    pub head: Head,
    pub epochs: &'a [u32; SLOTS],
}

/// What of one slot a batch is to hold.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Share {
    pub first: u64,
    pub count: u32,
    /// Bytes of its records.
    len: usize,
    /// Where the next record goes.
    at: usize,
}

impl Share {
    /// Makes room for `entry`.
    pub(crate) const fn add(&mut self, entry: &NewEntry<'_>) {
        if self.count == 0 {
            self.first = entry.position;
        }
        self.count += 1;
        self.len += entry.stored_bytes();
    }

    /// Where its first record is in the batch that was written.
    pub(crate) const fn offset(&self) -> usize {
        self.at - self.len
    }
}

/// The shares of all slots, of which most batches touch few: only those are looked at.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    shares: PerSlot<Share>,
    /// A bit for each slot that has one.
    touched: [u64; SLOTS / 64],
}

impl Shares {
    /// Makes room for `entry`.
    #[allow(clippy::indexing_slicing, reason = "a byte over 64 is below 4")]
    pub(crate) fn add(&mut self, entry: &NewEntry<'_>) {
        self.touched[usize::from(entry.slot / 64)] |= 1 << (entry.slot % 64);
        self.shares.at_mut(entry.slot).add(entry);
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        for slot in self.slots() {
            *self.shares.at_mut(slot) = Share::default();
        }
        self.touched = [0; SLOTS / 64];
    }

    /// Those of the slots that have one, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u8, &Share)> {
        self.slots().map(|slot| (slot, self.shares.at(slot)))
    }

    fn slots(&self) -> impl Iterator<Item = u8> + use<> {
        [0u8, 64, 128, 192].into_iter().zip(self.touched).flat_map(|(first, mut left)| {
            std::iter::from_fn(move || {
                let next = left.trailing_zeros();
                left &= left.wrapping_sub(1);
                (next < 64).then_some(first + (next & 63) as u8)
            })
        })
    }
}

/// The next multiple of [`ALIGN`].
const fn align(at: usize) -> usize {
    at.next_multiple_of(ALIGN)
}

const fn end(at: usize, len: usize, ends_page: bool) -> usize {
    (at + len).next_multiple_of(if ends_page { CACHE_PAGE } else { ALIGN })
}

/// Whether a batch of `len` bytes is long.
pub(crate) const fn is_long(len: usize) -> bool {
    len >= LONG
}

/// Where the batch after one of `len` bytes begins, which is written at `at`.
pub(crate) const fn end_of(at: usize, len: usize) -> usize {
    end(at, len, is_long(len))
}

/// A batch of `entries`, with its CRC and its records in the order of the entries. `shares` were told of the same
/// entries; each goes right to its place in the run of its slot. The length in the frame's head is filled in here.
pub(crate) fn write<'a>(
    frame: &Frame<'_>,
    shares: &mut Shares,
    entries: impl Iterator<Item = NewEntry<'a>>,
) -> Result<(Vec<u8>, Vec<Record>, u32), LogError> {
    let mut len = BATCH_HEAD;
    let mut count = 0;
    for slot in shares.slots() {
        let share = shares.shares.at_mut(slot);
        share.at = len + RUN_HEAD;
        len = share.at + share.len;
        count += share.count as usize;
    }
    let mut out = vec![0; align(len + 4)];
    let mut records = Vec::with_capacity(count);
    for entry in entries {
        let share = shares.shares.at_mut(entry.slot);
        let (offset, len) = (share.at, entry.stored_bytes());
        share.at += len;
        let place = out.get_mut(offset..share.at).ok_or(LogError::Misuse("the entries are not those of before"))?;
        write_record(place, &entry);
        let small = |number| u32::try_from(number).unwrap_or(u32::MAX);
        records.push(Record { position: entry.position, offset: small(offset), len: small(len), slot: entry.slot });
    }
    for (slot, share) in shares.iter() {
        let epoch = frame.epochs.get(usize::from(slot)).copied().unwrap_or_default();
        let head = run_head(slot, epoch, share.first, share.count, share.len);
        if let Some(place) = out.get_mut(share.offset() - RUN_HEAD..share.offset()) {
            place.copy_from_slice(&head);
        }
    }
    let crc = finish(&mut out, frame, len);
    Ok((out, records, crc))
}

/// A batch without entries that tells the epochs of `slots`: (slot, its next position).
pub(crate) fn write_epochs(frame: &Frame<'_>, slots: &[(u8, u64)]) -> (Vec<u8>, u32) {
    let mut out = vec![0; BATCH_HEAD];
    for &(slot, first) in slots {
        let epoch = frame.epochs.get(usize::from(slot)).copied().unwrap_or_default();
        out.extend_from_slice(&run_head(slot, epoch, first, 0, 0));
    }
    let len = out.len();
    out.resize(align(len + 4), 0);
    let crc = finish(&mut out, frame, len);
    (out, crc)
}

fn run_head(slot: u8, epoch: u32, first: u64, count: u32, len: usize) -> [u8; RUN_HEAD] {
    let mut head = [0; RUN_HEAD];
    head[0] = slot;
    head[1..5].copy_from_slice(&epoch.to_be_bytes());
    head[5..13].copy_from_slice(&first.to_be_bytes());
    head[13..17].copy_from_slice(&count.to_be_bytes());
    head[17..21].copy_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
    let crc = crc32fast::hash(&head[..RUN_HEAD - 4]);
    head[21..].copy_from_slice(&crc.to_be_bytes());
    head
}

/// Writes head and CRC of the batch in `out`, whose runs end at `end`.
fn finish(out: &mut [u8], frame: &Frame<'_>, end: usize) -> u32 {
    let mut head = [0; BATCH_HEAD];
    head[..8].copy_from_slice(&frame.id.to_be_bytes());
    head[8..16].copy_from_slice(&frame.head.number.to_be_bytes());
    head[16..20].copy_from_slice(&frame.head.previous.to_be_bytes());
    head[20..28].copy_from_slice(&frame.head.durable_through.to_be_bytes());
    let page = if is_long(out.len()) { ENDS_PAGE } else { 0 };
    let len = u32::try_from(end - BATCH_HEAD).unwrap_or(u32::MAX) | page;
    head[28..32].copy_from_slice(&len.to_be_bytes());
    let crc = crc32fast::hash(&head[..32]);
    head[32..].copy_from_slice(&crc.to_be_bytes());
    if let Some(place) = out.first_chunk_mut() {
        *place = head;
    }
    let mut crc = crc32fast::Hasher::new();
    crc.update(&head);
    walk_heads(out.get(BATCH_HEAD..end).unwrap_or_default(), |head| crc.update(head));
    let crc = crc.finalize();
    if let Some(place) = out.get_mut(end..end + 4) {
        place.copy_from_slice(&crc.to_be_bytes());
    }
    crc
}

/// Gives the head of each run and of each record in `runs` to `take`; false when they do not fill it exactly.
fn walk_heads(runs: &[u8], mut take: impl FnMut(&[u8])) -> bool {
    let mut rest = runs;
    while !rest.is_empty() {
        let Some((head, after)) = rest.split_at_checked(RUN_HEAD) else { return false };
        let Some((mut records, after)) = after.split_at_checked(be32(head, 17) as usize) else { return false };
        take(head);
        while !records.is_empty() {
            let Some((head, after)) = records.split_first_chunk::<RECORD_HEAD>() else { return false };
            let Some(after) = after.get(be32(head, 8) as usize..) else { return false };
            take(head);
            records = after;
        }
        rest = after;
    }
    true
}

/// The head of the batch at `at`, if one is there. That the batch fits into `bytes` is checked. Here and below `bytes`
/// begin at a page of the segment.
pub(crate) fn head_at(bytes: &[u8], at: usize, id: u64) -> Option<Head> {
    let head = bytes.get(at..)?.first_chunk::<BATCH_HEAD>()?;
    if be64(head, 0) != id || crc32fast::hash(head.get(..BATCH_HEAD - 4)?) != be32(head, 32) {
        return None;
    }
    let word = be32(head, 28);
    let (len, ends_page) = ((word & !ENDS_PAGE) as usize, word & ENDS_PAGE != 0);
    let fits = at + BATCH_HEAD + len + 4 <= bytes.len();
    let head =
        Head { number: be64(head, 8), previous: be32(head, 16), durable_through: be64(head, 20), len, ends_page };
    fits.then_some(head)
}

/// The whole batch at `at`, if one is there.
pub(crate) fn parse(bytes: &[u8], at: usize, id: u64) -> Option<Batch> {
    let head = head_at(bytes, at, id)?;
    let (runs_at, end) = (at + BATCH_HEAD, head.end(at));
    let runs_end = runs_at + head.len;
    let mut crc = crc32fast::Hasher::new();
    crc.update(bytes.get(at..runs_at)?);
    if !walk_heads(bytes.get(runs_at..runs_end)?, |head| crc.update(head)) {
        return None;
    }
    let crc = crc.finalize();
    if crc != be32(bytes, runs_end) {
        return None;
    }
    let mut runs = Runs::default();
    let mut at = runs_at;
    while at < runs_end {
        at = runs.read(bytes, at, runs_end)?;
    }
    let whole = runs.runs.iter().all(|run| run.sound == run.count);
    whole.then_some(Batch { head, crc, end, runs })
}

/// What can be read of a batch at `at` that is not whole and ends before `limit`: sound records of sound runs, and
/// whether no run is missing.
pub(crate) fn salvage(bytes: &[u8], at: usize, limit: usize) -> (Runs, bool) {
    let mut runs = Runs::default();
    let mut at = at.saturating_add(BATCH_HEAD);
    while let Some(end) = runs.read(bytes, at, limit) {
        at = end;
    }
    (runs, align(at.saturating_add(4)) >= limit)
}

impl Runs {
    /// Adds the run at `at` with its sound records; tells where it ends.
    fn read(&mut self, bytes: &[u8], at: usize, end: usize) -> Option<usize> {
        let head = bytes.get(at..)?.first_chunk::<RUN_HEAD>()?;
        if crc32fast::hash(&head[..RUN_HEAD - 4]) != be32(head, 21) {
            return None;
        }
        let (first, count, len) = (be64(head, 5), be32(head, 13), be32(head, 17) as usize);
        let mut run = Run { slot: head[0], epoch: be32(head, 1), first, count, ..Run::default() };
        let mut at = at + RUN_HEAD;
        let run_end = at.checked_add(len).filter(|&run_end| run_end <= end && run_end <= bytes.len())?;
        for position in (first..).take(count as usize) {
            let rest = bytes.get(at..run_end).unwrap_or_default();
            if rest.is_empty() {
                break;
            }
            let Some(found) = RecordRef::parse(rest) else {
                // Its length may still be right: go on behind it.
                at += RECORD_HEAD + be32(rest, 8) as usize;
                continue;
            };
            let small = |number| u32::try_from(number).unwrap_or(u32::MAX);
            let record = Record { position, offset: small(at), len: small(found.len()), slot: run.slot };
            if !found.is_sound() {
                self.damaged += 1;
                run.damaged.get_or_insert(position);
            }
            self.records.push(record);
            run.record.get_or_insert(record);
            run.sound += 1;
            at += found.len();
        }
        self.runs.push(run);
        Some(run_end)
    }
}
