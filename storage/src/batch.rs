//! Batches: what one append writes, and how recovery tells a whole one.
//!
//! ```text
//! log id u64 · number u64 · CRC of the batch before u32 · durable through u64 · length of the runs u32 · head CRC u32
//!   · runs · batch CRC u32 · zeros up to a multiple of 64
//! run: slot u8 · epoch u32 · first position u64 · count u32 · length u32 · run CRC u32 · records
//! ```
//! The log id is random and told to nobody, so no message body can pass for a batch. The batch CRC covers its head, the
//! heads of runs and the heads of records, which hold the CRCs of what it does not cover.

use bytes::Bytes;
use postrider_protocol::Writer;

use crate::{
    Entry, Placed, SLOTS,
    entry::{RECORD_HEAD, be32, be64},
};

pub(crate) const BATCH_HEAD: usize = 36;
const RUN_HEAD: usize = 25;
/// Batches begin at multiples of this.
pub(crate) const ALIGN: usize = 64;

/// What the head of a batch says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub number: u64,
    pub previous: u32,
    pub durable_through: u64,
    pub len: usize,
}

/// Entries of one slot in one batch, with their offsets in the segment.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub slot: u8,
    pub epoch: u32,
    pub first: u64,
    pub count: u32,
    pub entries: Vec<(u64, Entry, usize)>,
}

/// A batch that is what was written, but for TLVs and bodies.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub head: Head,
    pub crc: u32,
    /// Where the next one begins.
    pub end: usize,
    pub runs: Vec<Run>,
    /// How many entries have damaged TLVs or bodies.
    pub damaged: u64,
}

/// What a batch is written with.
pub(crate) struct Frame<'a> {
    pub id: u64,
    pub head: Head,
    pub epochs: &'a [u32; SLOTS],
}

/// The next multiple of [`ALIGN`].
pub(crate) const fn align(at: usize) -> usize {
    at.div_ceil(ALIGN) * ALIGN
}

/// Writes a batch of `entries` to `out`, which is empty; `order` are their indices by slot. The length in the frame's
/// head is filled in here. Returns the batch's CRC; `offsets` gets the offset of each entry, in the order of `entries`.
pub(crate) fn write(
    out: &mut Vec<u8>,
    frame: &Frame<'_>,
    entries: &[Placed],
    order: &[usize],
    offsets: &mut [usize],
) -> u32 {
    out.raw(&[0; BATCH_HEAD]);
    let mut crc = crc32fast::Hasher::new();
    let mut runs = order.iter().filter_map(|&at| Some((at, entries.get(at)?))).peekable();
    while let Some(&(_, first)) = runs.peek() {
        let (slot, run_at) = (first.slot, out.len());
        out.raw(&[0; RUN_HEAD]);
        let mut count = 0u32;
        while let Some((at, placed)) = runs.next_if(|(_, placed)| placed.slot == slot) {
            if let Some(offset) = offsets.get_mut(at) {
                *offset = out.len();
            }
            placed.entry.write(out);
            count += 1;
        }
        let epoch = frame.epochs.get(usize::from(slot)).copied().unwrap_or_default();
        fill_run(out, run_at, &Run { slot, epoch, first: first.position, count, entries: Vec::new() });
    }
    finish(out, frame, &mut crc)
}

/// Writes a batch without entries that tells the epochs of `slots`: (slot, its next position).
pub(crate) fn write_epochs(out: &mut Vec<u8>, frame: &Frame<'_>, slots: &[(u8, u64)]) -> u32 {
    out.raw(&[0; BATCH_HEAD]);
    for &(slot, first) in slots {
        let run_at = out.len();
        out.raw(&[0; RUN_HEAD]);
        let epoch = frame.epochs.get(usize::from(slot)).copied().unwrap_or_default();
        fill_run(out, run_at, &Run { slot, epoch, first, count: 0, entries: Vec::new() });
    }
    finish(out, frame, &mut crc32fast::Hasher::new())
}

fn fill_run(out: &mut [u8], at: usize, run: &Run) {
    let len = u32::try_from(out.len() - at - RUN_HEAD).unwrap_or(u32::MAX);
    let mut head = Vec::with_capacity(RUN_HEAD);
    head.u8(run.slot);
    head.u32(run.epoch);
    head.u64(run.first);
    head.u32(run.count);
    head.u32(len);
    head.u32(crc32fast::hash(&head));
    if let Some(place) = out.get_mut(at..at + RUN_HEAD) {
        place.copy_from_slice(&head);
    }
}

fn finish(out: &mut Vec<u8>, frame: &Frame<'_>, crc: &mut crc32fast::Hasher) -> u32 {
    let len = out.len() - BATCH_HEAD;
    let mut head = Vec::with_capacity(BATCH_HEAD);
    head.u64(frame.id);
    head.u64(frame.head.number);
    head.u32(frame.head.previous);
    head.u64(frame.head.durable_through);
    head.u32(u32::try_from(len).unwrap_or(u32::MAX));
    head.u32(crc32fast::hash(&head));
    if let Some(place) = out.get_mut(..BATCH_HEAD) {
        place.copy_from_slice(&head);
    }
    crc.update(&head);
    walk_heads(out.get(BATCH_HEAD..).unwrap_or_default(), |head| crc.update(head));
    let crc = crc.clone().finalize();
    out.u32(crc);
    out.resize(align(out.len()), 0);
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

/// The head of the batch at `at`, if one is there. That the batch fits into `bytes` is checked.
pub(crate) fn head_at(bytes: &[u8], at: usize, id: u64) -> Option<Head> {
    let head = bytes.get(at..)?.first_chunk::<BATCH_HEAD>()?;
    if be64(head, 0) != id || crc32fast::hash(head.get(..BATCH_HEAD - 4)?) != be32(head, 32) {
        return None;
    }
    let len = be32(head, 28) as usize;
    let fits = at + BATCH_HEAD + len + 4 <= bytes.len();
    let head = Head { number: be64(head, 8), previous: be32(head, 16), durable_through: be64(head, 20), len };
    fits.then_some(head)
}

/// The whole batch at `at`, if one is there.
pub(crate) fn parse(bytes: &Bytes, at: usize, id: u64) -> Option<Batch> {
    let head = head_at(bytes, at, id)?;
    let runs_at = at + BATCH_HEAD;
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
    let runs = read_runs(bytes, runs_at, runs_end)?;
    let whole = runs.iter().all(|run| run.entries.len() == run.count as usize);
    let damaged = runs.iter().flat_map(|run| &run.entries).filter(|(_, entry, _)| !entry.is_whole()).count() as u64;
    whole.then_some(Batch { head, crc, end: align(runs_end + 4), runs, damaged })
}

/// What can be read of a batch at `at` that is not whole and ends before `limit`: sound records of sound runs, and
/// whether the heads of the runs tell all that was in it.
pub(crate) fn salvage(bytes: &Bytes, at: usize, limit: usize) -> (Vec<Run>, bool) {
    let mut runs = Vec::new();
    let mut at = at.saturating_add(BATCH_HEAD);
    while let Some((run, end)) = read_run(bytes, at, limit) {
        runs.push(run);
        at = end;
    }
    (runs, align(at.saturating_add(4)) >= limit)
}

fn read_runs(bytes: &Bytes, mut at: usize, end: usize) -> Option<Vec<Run>> {
    let mut runs = Vec::new();
    while at < end {
        let (run, run_end) = read_run(bytes, at, end)?;
        runs.push(run);
        at = run_end;
    }
    Some(runs)
}

/// The run at `at` with its sound records, and where it ends.
fn read_run(bytes: &Bytes, at: usize, end: usize) -> Option<(Run, usize)> {
    let head = bytes.get(at..)?.first_chunk::<RUN_HEAD>()?;
    if crc32fast::hash(head.get(..RUN_HEAD - 4)?) != be32(head, 21) {
        return None;
    }
    let (first, count, len) = (be64(head, 5), be32(head, 13), be32(head, 17) as usize);
    let mut run = Run { slot: head[0], epoch: be32(head, 1), first, count, entries: Vec::new() };
    let mut record_at = at + RUN_HEAD;
    let run_end = record_at.checked_add(len).filter(|&run_end| run_end <= end && run_end <= bytes.len())?;
    for position in (first..).take(count as usize) {
        if record_at >= run_end {
            break;
        }
        let record = bytes.slice(record_at..run_end);
        match Entry::parse(&record) {
            Some((entry, len)) => {
                run.entries.push((position, entry, record_at));
                record_at += len;
            }
            // Its length may still be right: go on behind it.
            None => record_at += RECORD_HEAD + be32(&record, 8) as usize,
        }
    }
    Some((run, run_end))
}
