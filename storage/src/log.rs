//! The log: one batch per append, one sync per wait. Its one owner is the committer.
//!
//! Batches go into segments whose blocks are already allocated. A segment that has no room for the next batch is sealed:
//! it gets its directory, is cut to its length and synced. After any error the log takes nothing more.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::{
    LogError, NewEntry, SLOTS, Written,
    batch::{self, Frame, Head, Shares},
    direct::Stage,
    disk::{Disk, Segment},
    lock::Lock,
    plant,
    segment::{DIRECTORY_MAX, Directory, Preparer, SEGMENT_HEAD},
    slots::PerSlot,
    space::Space,
};

/// Long batches go to the drive in pieces of this size: most in one.
const STAGE: usize = 1 << 20;

/// A batch that was appended and is to be waited for. Tickets resolve in the order of their appends.
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket(u64);

/// The epoch of each slot, as the log last had it; the materialiser stores it.
pub(crate) type Epochs = Arc<PerSlot<AtomicU32>>;

/// Where a log goes on.
#[derive(Debug)]
pub(crate) struct Start {
    pub disk: Disk,
    pub id: u64,
    pub segment_bytes: u64,
    /// Number of the next batch, and CRC of the one before.
    pub next: (u64, u32),
    /// Number of the segment to begin, and itself when it is there already.
    pub segment: u32,
    pub prepared: Option<(Segment, u64)>,
    pub positions: PerSlot<u64>,
    pub epochs: Epochs,
    pub lock: Arc<Lock>,
    pub space: Space,
}

/// The log.
#[derive(Debug)]
pub struct Log {
    disk: Disk,
    id: u64,
    segment: Segment,
    stage: Stage,
    number: u32,
    capacity: u64,
    offset: usize,
    directory: Directory,
    preparer: Preparer,
    /// Number of the next batch, and CRC of the one before.
    next: (u64, u32),
    synced_through: u64,
    tickets: VecDeque<(u64, Arc<Written>)>,
    positions: PerSlot<u64>,
    epochs: Epochs,
    /// Of the batch that is being written.
    shares: Shares,
    is_poisoned: bool,
    space: Space,
    _lock: Arc<Lock>,
}

impl Log {
    /// Goes on where recovery ended; what is before `start.next` is synced.
    pub(crate) fn start(start: Start) -> Result<Self, LogError> {
        let what = || format!("preparing {}", start.disk.name(start.segment));
        let mut preparer = Preparer::new(start.disk.clone(), start.id, start.segment_bytes)
            .map_err(LogError::io("starting the thread that prepares segments"))?;
        let (segment, capacity) = match start.prepared {
            Some(prepared) => prepared,
            None => preparer.take(start.segment, 0).map_err(LogError::io(what()))?,
        };
        preparer.ask(start.segment + 1);
        Ok(Self {
            disk: start.disk,
            id: start.id,
            segment,
            stage: Stage::new(STAGE),
            number: start.segment,
            capacity,
            offset: SEGMENT_HEAD,
            directory: Directory::default(),
            preparer,
            next: start.next,
            synced_through: start.next.0 - 1,
            tickets: VecDeque::new(),
            positions: start.positions,
            epochs: start.epochs,
            shares: Shares::default(),
            is_poisoned: false,
            space: start.space,
            _lock: start.lock,
        })
    }

    /// Writes one batch of `entries`, which may be of any slots; those of one slot follow each other without a hole.
    /// No entries make an empty batch, which vouches for the one before. Nothing is durable before [`Log::wait`].
    ///
    /// # Errors
    /// Any poisons the log: the process must end. Whether the batch will be found by the next open is unknown.
    pub fn append<'a>(
        &mut self,
        epochs: &[u32; SLOTS],
        entries: impl Iterator<Item = NewEntry<'a>> + Clone,
    ) -> Result<Ticket, LogError> {
        self.guarded(|log| log.append_unguarded(epochs, entries))
    }

    fn append_unguarded<'a>(
        &mut self,
        epochs: &[u32; SLOTS],
        entries: impl Iterator<Item = NewEntry<'a>> + Clone,
    ) -> Result<Ticket, LogError> {
        self.share(entries.clone())?;
        let frame = Frame { id: self.id, head: self.next_head(), epochs };
        let (bytes, records, crc) = batch::write(&frame, &mut self.shares, entries)?;
        let start = self.put(&bytes, crc)?;
        for (slot, share) in self.shares.iter() {
            self.directory.add(slot, share.first, start + share.offset(), share.count);
            let epoch = epochs.get(usize::from(slot)).copied().unwrap_or_default();
            self.epochs.at(slot).store(epoch, Ordering::Relaxed);
        }
        let start = u32::try_from(start).unwrap_or(u32::MAX);
        let number = self.next.0 - 1;
        self.tickets.push_back((number, Arc::new(Written::new(self.number, start, bytes.into(), records))));
        Ok(Ticket(number))
    }

    /// Writes and syncs a batch that tells the epochs of `slots`, or an empty one.
    pub(crate) fn append_epochs(&mut self, epochs: &[u32; SLOTS], slots: &[u8]) -> Result<(), LogError> {
        self.guarded(|log| {
            let frame = Frame { id: log.id, head: log.next_head(), epochs };
            let rows: Vec<_> = slots.iter().map(|&slot| (slot, log.positions.at(slot) + 1)).collect();
            let (bytes, crc) = batch::write_epochs(&frame, &rows);
            log.put(&bytes, crc)?;
            log.sync()
        })
    }

    /// Waits until the batch of `ticket` and all before it are durable; what was written.
    ///
    /// # Errors
    /// Any poisons the log: the process must end, and nothing that was not acknowledged may be.
    pub fn wait(&mut self, ticket: Ticket) -> Result<Arc<Written>, LogError> {
        self.guarded(|log| {
            // A batch that only vouches is not waited for.
            while log.tickets.front().is_some_and(|&(number, _)| number < ticket.0) {
                log.tickets.pop_front();
            }
            let (number, written) = log.tickets.pop_front().ok_or(LogError::Misuse("no ticket is open"))?;
            if number != ticket.0 {
                return Err(LogError::Misuse("tickets resolve in order"));
            }
            if log.synced_through < number {
                log.sync()?;
            }
            Ok(written)
        })
    }

    /// Whether `need` more bytes fit, in log and store together, and the reserve stays free. Before a command is decided
    /// ask with twice what the materialiser has pending.
    #[must_use]
    pub fn has_room(&mut self, need: u64) -> bool {
        let next = self.number.saturating_add(1);
        let has_next = !self.disk.is_files() || self.preparer.is_ready() || {
            self.preparer.ask(next);
            self.offset as u64 + self.capacity / 4 < self.capacity
        };
        has_next && self.space.has(need)
    }

    /// Writes an empty batch, which vouches for the last one, and syncs.
    ///
    /// # Errors
    /// When the system refuses; what was acknowledged is durable all the same.
    pub fn close(mut self) -> Result<(), LogError> {
        self.guarded(Self::sync)?;
        let epochs = std::array::from_fn(|slot| self.epochs.at((slot & 0xff) as u8).load(Ordering::Relaxed));
        self.append_epochs(&epochs, &[])
    }

    fn guarded<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, LogError>) -> Result<T, LogError> {
        if self.is_poisoned {
            return Err(LogError::Poisoned);
        }
        let done = work(self);
        self.is_poisoned = done.is_err();
        done
    }

    fn next_head(&self) -> Head {
        Head::new(self.next.0, self.next.1, self.synced_through)
    }

    /// Notes how much of each slot there is in `entries`; checks that positions are dense and takes them.
    fn share<'a>(&mut self, entries: impl Iterator<Item = NewEntry<'a>>) -> Result<(), LogError> {
        self.shares.clear();
        for entry in entries {
            let position = self.positions.at_mut(entry.slot);
            if entry.position != *position + 1 {
                return Err(LogError::Misuse("positions of a slot are dense"));
            }
            *position = entry.position;
            if !entry.fits() {
                return Err(LogError::Misuse("an entry is an image of at most 128 KiB"));
            }
            self.shares.add(&entry);
        }
        Ok(())
    }

    /// Writes `bytes` as the next batch; returns where in the segment.
    fn put(&mut self, bytes: &[u8], crc: u32) -> Result<usize, LogError> {
        if (batch::end_of(self.offset, bytes.len()) + DIRECTORY_MAX) as u64 > self.capacity {
            self.roll(bytes.len())?;
        }
        let start = self.offset;
        self.offset = batch::end_of(start, bytes.len());
        let what = || format!("writing {}", self.disk.name(self.number));
        let written = if batch::is_long(bytes.len()) {
            self.segment.append_pages(&mut self.stage, bytes, start as u64)
        } else {
            self.segment.append(&mut self.stage, bytes, start as u64)
        };
        written.map_err(|error| LogError::io(what())(error))?;
        self.preparer.reached(self.offset as u64);
        self.next = (self.next.0 + 1, crc);
        Ok(start)
    }

    /// Seals the segment and goes on in the next one, which has room for a batch of `len` bytes.
    fn roll(&mut self, len: usize) -> Result<(), LogError> {
        seal(&self.segment, self.id, self.offset, &self.directory)
            .map_err(LogError::io(format!("sealing {}", self.disk.name(self.number))))?;
        self.sync()?;
        let need = (batch::end_of(SEGMENT_HEAD, len) + DIRECTORY_MAX) as u64;
        let number = self.number.checked_add(1).ok_or(LogError::Misuse("no more segments"))?;
        let what = format!("preparing {}", self.disk.name(number));
        (self.segment, self.capacity) = self.preparer.take(number, need).map_err(LogError::io(what))?;
        (self.number, self.offset, self.directory) = (number, SEGMENT_HEAD, Directory::default());
        self.preparer.ask(number.saturating_add(1));
        Ok(())
    }

    fn sync(&mut self) -> Result<(), LogError> {
        if !plant::is(plant::Fault::NoFdatasync) {
            let what = || format!("syncing {}", self.disk.name(self.number));
            let synced = self.segment.sync_data().map_err(|error| LogError::io(what())(error));
            if !plant::is(plant::Fault::FlushErrorIgnored) {
                synced?;
            }
        }
        self.synced_through = self.next.0 - 1;
        Ok(())
    }
}

/// Ends `segment` at `end`: writes its directory and cuts it. Durable after a sync.
pub(crate) fn seal(segment: &Segment, id: u64, end: usize, directory: &Directory) -> std::io::Result<()> {
    let directory = directory.encode(id);
    segment.write_all_at(&directory, end as u64)?;
    segment.cut((end + directory.len()) as u64)
}
