//! Reading the log from some segment to its end, as recovery does: follow the chain of batches, and decide what a break
//! in it is. It is a torn tail, never acknowledged, unless a later whole batch vouches for what is missing; then it is
//! loss: what can be read of it is kept, and the slots that may miss something get a new epoch.
//!
//! Vouching is `durable_through`: a batch is written only after what it vouches for was synced.

use std::io;

use bytes::Bytes;

use crate::{
    Loss, Written,
    batch::{self, Batch, Run, Runs},
    disk::Disk,
    plant,
    segment::{self, Directory, SEGMENT_HEAD},
    slots::PerSlot,
};

/// What the log holds and how it ends.
#[derive(Debug)]
pub(crate) struct Scan {
    /// Number of the next batch, and the CRC of the last.
    pub next: (u64, u32),
    /// Epoch of each slot; 0 where the scanned part does not tell.
    pub epochs: PerSlot<u32>,
    /// Position of the last entry of each slot.
    pub positions: PerSlot<u64>,
    /// Slots that may have lost something acknowledged, for which no later epoch was written.
    pub raise: PerSlot<bool>,
    /// The last segment with batches, where they end, and what it holds.
    pub end: Option<(u32, usize, Directory)>,
    /// Segments after the end.
    pub unused: Vec<Unused>,
    /// Highest number of a segment; 0 without any.
    pub highest: u32,
    pub batches: u64,
    pub entries: u64,
    pub damaged: u64,
    pub torn_bytes: u64,
    pub losses: Vec<Loss>,
    /// What else is not as it was written: for the check.
    pub oddities: Vec<String>,
    /// The last batch had no entries and vouches for all before it.
    pub is_closed: bool,
}

/// A segment that holds no batch.
#[derive(Debug)]
pub(crate) struct Unused {
    pub number: u32,
    pub len: u64,
    /// It is exactly as it was prepared.
    pub is_fresh: bool,
}

struct Scanner<'a> {
    disk: &'a Disk,
    id: u64,
    segments: Vec<u32>,
    /// Index of the segment that is read, its bytes, and where.
    index: usize,
    bytes: Bytes,
    offset: usize,
    directory: Directory,
    /// Number and previous CRC that the next batch must have; unknown at first when the scan begins in the middle.
    expected: Option<(u64, u32)>,
    /// The highest number that any batch from here on vouches for; found out when first needed.
    vouched: Option<u64>,
    scan: Scan,
    done_bytes: u64,
    held: Option<Written>,
    covered: &'a PerSlot<u64>,
}

/// Reads the log from segment `from` on. The store covers `covered`. `sink` gets each batch with entries, and how many
/// bytes have been read.
pub(crate) fn scan<E: From<io::Error>>(
    disk: &Disk,
    id: u64,
    from: u32,
    covered: &PerSlot<u64>,
    sink: &mut dyn FnMut(Written, u64) -> Result<(), E>,
) -> Result<Scan, E> {
    let mut segments = disk.segments()?;
    let highest = segments.last().copied().unwrap_or_default();
    segments.retain(|&number| number >= from);
    let mut scanner = Scanner {
        disk,
        id,
        index: 0,
        bytes: Bytes::new(),
        offset: SEGMENT_HEAD,
        directory: Directory::default(),
        expected: (from <= 1).then_some((1, 0)),
        vouched: None,
        scan: Scan {
            next: (1, 0),
            epochs: PerSlot::default(),
            positions: covered.clone(),
            raise: PerSlot::default(),
            end: None,
            unused: Vec::new(),
            highest,
            batches: 0,
            entries: 0,
            damaged: 0,
            torn_bytes: 0,
            losses: Vec::new(),
            oddities: Vec::new(),
            is_closed: false,
        },
        done_bytes: 0,
        held: None,
        covered,
        segments,
    };
    if scanner.segments.is_empty() {
        // The log has lost what the store covers.
        let lost = covered.iter().filter(|&(_, &position)| position > 0).map(|(slot, _)| slot);
        lost.for_each(|slot| *scanner.scan.raise.at_mut(slot) = true);
        return Ok(scanner.scan);
    }
    scanner.load(0)?;
    scanner.follow(sink)?;
    scanner.finish(sink)?;
    Ok(scanner.scan)
}

impl Scanner<'_> {
    fn number(&self) -> u32 {
        self.segments.get(self.index).copied().unwrap_or_default()
    }

    fn load(&mut self, index: usize) -> io::Result<()> {
        self.index = index;
        self.bytes = self.disk.read_all(self.number())?;
        self.offset = SEGMENT_HEAD;
        self.directory = Directory::default();
        if !segment::is_head(&self.bytes, self.id, self.number()) {
            self.scan.oddities.push(format!("{}: damaged head", self.disk.name(self.number())));
        }
        Ok(())
    }

    fn follow<E: From<io::Error>>(&mut self, sink: &mut dyn FnMut(Written, u64) -> Result<(), E>) -> Result<(), E> {
        loop {
            if let Some(batch) = batch::parse(&self.bytes, self.offset, self.id)
                && self.expected.is_none_or(|expected| expected == (batch.head.number, batch.head.previous))
            {
                if batch.runs.damaged > 0 && !self.is_covered(&batch) && self.vouched()? < batch.head.number {
                    return Ok(());
                }
                self.accept(batch, sink)?;
                continue;
            }
            let Some((index, offset, found)) = self.find_next()? else { return Ok(()) };
            let at_start = index == self.index && offset == SEGMENT_HEAD;
            let unknown = || if at_start { found.number } else { found.number.saturating_sub(1) };
            let first = self.expected.map_or_else(unknown, |(number, _)| number);
            if found.number > first {
                if self.vouched()? < first {
                    return Ok(());
                }
                self.lose(first, index, offset, found.number, sink)?;
            }
            self.end_segment(index)?;
            self.offset = offset;
            self.expected = Some((found.number, found.previous));
        }
    }

    /// Whether the store has all that is damaged in `batch`: then it had been synced.
    fn is_covered(&self, batch: &Batch) -> bool {
        let mut damaged = batch.runs.runs.iter().filter_map(|run| Some((run.slot, run.damaged?)));
        damaged.all(|(slot, position)| position <= *self.covered.at(slot))
    }

    /// Goes on in the segment of `index`, if that is another one.
    fn end_segment(&mut self, index: usize) -> io::Result<()> {
        if index == self.index {
            return Ok(());
        }
        if !self.directory.is_at(&self.bytes, self.offset, self.id) {
            let name = self.disk.name(self.number());
            self.scan.oddities.push(format!("{name}: no sound directory at byte {}", self.offset));
        }
        self.done_bytes += self.bytes.len() as u64;
        self.load(index)
    }

    /// Visits whole batches from here on, damaged bodies or not, until `visit` returns true.
    fn visit_later(&self, visit: &mut dyn FnMut(usize, usize, &Batch) -> bool) -> io::Result<()> {
        for index in self.index..self.segments.len() {
            let (bytes, mut offset) = if index == self.index {
                (self.bytes.clone(), self.offset)
            } else {
                (self.disk.read_all(self.segments.get(index).copied().unwrap_or_default())?, SEGMENT_HEAD)
            };
            while offset < bytes.len() {
                match batch::parse(&bytes, offset, self.id) {
                    Some(batch) => {
                        if visit(index, offset, &batch) {
                            return Ok(());
                        }
                        offset = batch.end;
                    }
                    None => offset += batch::ALIGN,
                }
            }
        }
        Ok(())
    }

    /// The next whole batch that continues the chain or comes after a hole in it.
    fn find_next(&self) -> io::Result<Option<(usize, usize, batch::Head)>> {
        let mut found = None;
        self.visit_later(&mut |index, offset, batch| {
            let head = batch.head;
            let fits = self.expected.is_none_or(|(number, previous)| {
                head.number > number || (head.number == number && head.previous == previous)
            });
            if fits {
                found = Some((index, offset, head));
            }
            fits
        })?;
        Ok(found)
    }

    fn vouched(&mut self) -> io::Result<u64> {
        if let Some(vouched) = self.vouched {
            return Ok(vouched);
        }
        let mut vouched = 0;
        self.visit_later(&mut |_, _, batch| {
            vouched = vouched.max(batch.head.durable_through);
            false
        })?;
        self.vouched = Some(vouched);
        Ok(vouched)
    }

    fn accept<E: From<io::Error>>(
        &mut self,
        batch: Batch,
        sink: &mut dyn FnMut(Written, u64) -> Result<(), E>,
    ) -> Result<(), E> {
        self.scan.batches += 1;
        self.scan.is_closed = batch.runs.runs.is_empty() && batch.head.durable_through + 1 == batch.head.number;
        self.scan.next = (batch.head.number + 1, batch.crc);
        self.expected = Some(self.scan.next);
        self.offset = batch.end;
        for run in &batch.runs.runs {
            self.place(run);
        }
        self.deliver(batch.runs, sink)
    }

    /// Notes what a sound run tells of its slot.
    fn place(&mut self, run: &Run) {
        let epoch = self.scan.epochs.at_mut(run.slot);
        let raised = run.epoch > *epoch && *epoch > 0;
        *epoch = run.epoch.max(*epoch);
        let position = self.scan.positions.at_mut(run.slot);
        let raise = self.scan.raise.at_mut(run.slot);
        if raised || run.count == 0 {
            *raise = false;
        } else if run.first > *position + 1 {
            *raise = true;
        }
        *position = (run.first + u64::from(run.count)).saturating_sub(1).max(*position);
        self.directory.add_run(run);
    }

    /// Records that batches from `first` to before `next`, which is at `offset` of the segment `index`, are lost.
    fn lose<E: From<io::Error>>(
        &mut self,
        first: u64,
        index: usize,
        offset: usize,
        next: u64,
        sink: &mut dyn FnMut(Written, u64) -> Result<(), E>,
    ) -> Result<(), E> {
        let here = batch::head_at(&self.bytes, self.offset, self.id).filter(|head| head.number == first);
        let limit = match here {
            Some(head) => self.offset + batch::BATCH_HEAD + head.len + 4,
            None if index == self.index => offset,
            None => self.bytes.len(),
        };
        let (runs, complete) = batch::salvage(&self.bytes, self.offset, limit);
        for run in &runs.runs {
            // Positions that come before this run are not what this loss is about.
            self.place(run);
            if run.sound < run.count {
                *self.scan.raise.at_mut(run.slot) = true;
            }
        }
        if !complete || next > first + 1 {
            (0..=255).for_each(|slot| *self.scan.raise.at_mut(slot) = true);
        }
        let (segment, salvaged) = (self.number(), runs.records.len() as u64);
        self.scan.losses.push(Loss { segment, offset: self.offset as u64, first, last: next - 1, salvaged });
        self.deliver(runs, sink)
    }

    fn deliver<E: From<io::Error>>(
        &mut self,
        runs: Runs,
        sink: &mut dyn FnMut(Written, u64) -> Result<(), E>,
    ) -> Result<(), E> {
        self.scan.entries += runs.records.len() as u64;
        self.scan.damaged += runs.damaged;
        if runs.records.is_empty() {
            return Ok(());
        }
        let written = Written::new(self.number(), 0, self.bytes.clone(), runs.records);
        match self.held.replace(written) {
            Some(before) => sink(before, self.done_bytes + self.offset as u64),
            None => Ok(()),
        }
    }

    fn finish<E: From<io::Error>>(&mut self, sink: &mut dyn FnMut(Written, u64) -> Result<(), E>) -> Result<(), E> {
        if let Some(mut last) = self.held.take() {
            if plant::is(plant::Fault::DropLastEntry)
                && let Some(record) = last.pop()
            {
                *self.scan.positions.at_mut(record.slot) = record.position - 1;
            }
            sink(last, self.done_bytes + self.bytes.len() as u64)?;
        }
        let has_batches = self.offset > SEGMENT_HEAD;
        let is_directory = segment::has_directory(&self.bytes, self.offset, self.id);
        if has_batches {
            if !is_directory {
                self.scan.torn_bytes += used(&self.bytes, self.offset);
            }
            self.scan.end = Some((self.number(), self.offset, self.directory.clone()));
        }
        let first_unused = if has_batches { self.index + 1 } else { self.index };
        for index in first_unused..self.segments.len() {
            let number = self.segments.get(index).copied().unwrap_or_default();
            let bytes = if index == self.index { self.bytes.clone() } else { self.disk.read_all(number)? };
            let torn = used(&bytes, SEGMENT_HEAD);
            self.scan.torn_bytes += torn;
            let is_fresh = torn == 0 && segment::is_head(&bytes, self.id, number);
            self.scan.unused.push(Unused { number, len: bytes.len() as u64, is_fresh });
        }
        Ok(())
    }
}

/// How many bytes from `at` on are there before nothing but zeros follows.
fn used(bytes: &[u8], at: usize) -> u64 {
    let rest = bytes.get(at..).unwrap_or_default();
    rest.iter().rposition(|&byte| byte != 0).map_or(0, |last| last as u64 + 1)
}
