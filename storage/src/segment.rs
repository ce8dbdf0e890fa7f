//! Segments of the log: their head, the directory that ends a sealed one, and the thread that prepares the next.
//!
//! ```text
//! head: magic 8 · format u32 · number u32 · log id u64 · CRC u32, padded to 64
//! directory: inverted log id u64 · length u32 · (slot u8 · first position u64 · offset u32 · count u32) … · CRC u32
//! ```

use std::{
    io,
    sync::mpsc::{Receiver, Sender, channel},
    thread::JoinHandle,
};

use postrider_protocol::Writer;

use crate::{
    batch::{ALIGN, Run},
    disk::{Disk, PIECE, Segment},
    entry::{be32, be64},
    slots::PerSlot,
};

/// Bytes of a segment before its first batch.
pub(crate) const SEGMENT_HEAD: usize = ALIGN;
/// No directory is longer.
pub(crate) const DIRECTORY_MAX: usize = 16 + 256 * 17;
const MAGIC: &[u8; 8] = b"postride";
const FORMAT: u32 = 0;

/// The head of segment `number`.
pub(crate) fn head(id: u64, number: u32) -> Vec<u8> {
    let mut head = MAGIC.to_vec();
    head.u32(FORMAT);
    head.u32(number);
    head.u64(id);
    head.u32(crc32fast::hash(&head));
    head.resize(SEGMENT_HEAD, 0);
    head
}

/// Whether `bytes` begin with the head of segment `number`.
pub(crate) fn is_head(bytes: &[u8], id: u64, number: u32) -> bool {
    bytes.starts_with(&head(id, number))
}

/// What of each slot a segment holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Directory(PerSlot<Option<(u64, u32, u32)>>);

impl Directory {
    /// Adds `count` entries of `slot`, the first at `position`, its record at `offset`.
    pub(crate) fn add(&mut self, slot: u8, position: u64, offset: usize, count: u32) {
        let offset = u32::try_from(offset).unwrap_or(u32::MAX);
        self.0.at_mut(slot).get_or_insert((position, offset, 0)).2 += count;
    }

    /// Adds what is in `run`.
    pub(crate) fn add_run(&mut self, run: &Run) {
        if let Some(record) = run.record {
            self.add(run.slot, record.position, record.offset as usize, run.sound);
        }
    }

    /// Its bytes.
    pub(crate) fn encode(&self, id: u64) -> Vec<u8> {
        let mut rows = Vec::new();
        for (slot, row) in self.0.iter() {
            if let Some((position, offset, count)) = *row {
                rows.u8(slot);
                rows.u64(position);
                rows.u32(offset);
                rows.u32(count);
            }
        }
        let mut out = Vec::new();
        out.u64(!id);
        out.bytes32(&rows);
        out.u32(crc32fast::hash(&out));
        out
    }

    /// Whether the directory at `at` is this one.
    pub(crate) fn is_at(&self, bytes: &[u8], at: usize, id: u64) -> bool {
        bytes.get(at..).is_some_and(|rest| rest == self.encode(id))
    }
}

/// Whether a directory, sound or not, begins at `at`.
pub(crate) fn has_directory(bytes: &[u8], at: usize, id: u64) -> bool {
    let Some(rest) = bytes.get(at..) else { return false };
    let len = be32(rest, 8) as usize;
    rest.len() >= 12 && be64(rest, 0) == !id && len <= DIRECTORY_MAX
}

/// Makes the next segment ahead of need: on a thread for files, when asked in memory. The thread keeps twice as far as
/// the log has come in the segment before it, so that the drive has few zeros to write at a time.
#[derive(Debug)]
pub(crate) struct Preparer {
    disk: Disk,
    id: u64,
    segment_bytes: u64,
    worker: Option<Worker>,
    pending: Option<u32>,
    /// How far the log has come, as the thread was told.
    told: u64,
    ready: Option<(u32, Segment)>,
}

#[derive(Debug)]
struct Worker {
    ask: Option<Sender<Order>>,
    made: Receiver<io::Result<(u32, Segment)>>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread is told.
enum Order {
    /// Make the segment of this number.
    Make(u32),
    /// So many bytes of it may be there by now.
    Reach(u64),
}

impl Preparer {
    /// One that makes segments of so many bytes.
    pub(crate) fn new(disk: Disk, id: u64, segment_bytes: u64) -> io::Result<Self> {
        let worker = match &disk {
            Disk::Memory(_) => None,
            Disk::Files(_) => Some(Worker::start(disk.clone(), id, segment_bytes)?),
        };
        Ok(Self { disk, id, segment_bytes, worker, pending: None, told: 0, ready: None })
    }

    /// Begins to make segment `number`, unless one is being made or ready.
    pub(crate) fn ask(&mut self, number: u32) {
        self.poll();
        if self.pending.is_some() || self.ready.is_some() {
            return;
        }
        if self.tell(Order::Make(number)) {
            (self.pending, self.told) = (Some(number), 0);
        }
    }

    /// Notes that the log has come to `offset` in the segment before the one that is being made.
    pub(crate) fn reached(&mut self, offset: u64) {
        if self.pending.is_some() && offset >= self.told + PIECE as u64 / 2 {
            self.told = offset;
            self.tell(Order::Reach(offset.saturating_mul(2)));
        }
    }

    fn tell(&self, order: Order) -> bool {
        self.worker.as_ref().and_then(|worker| worker.ask.as_ref()).is_some_and(|ask| ask.send(order).is_ok())
    }

    /// Whether the next segment is there.
    pub(crate) fn is_ready(&mut self) -> bool {
        self.poll();
        self.ready.is_some()
    }

    fn poll(&mut self) {
        let Some(worker) = &self.worker else { return };
        if let Ok(made) = worker.made.try_recv() {
            self.pending = None;
            // A failure shows again, to the one who needs the segment.
            self.ready = made.ok();
        }
    }

    /// The segment `number`, of `len` bytes or as many as usual: the prepared one when it fits, else made now.
    pub(crate) fn take(&mut self, number: u32, need: u64) -> io::Result<(Segment, u64)> {
        self.tell(Order::Reach(u64::MAX));
        if self.pending.take().is_some()
            && let Some(worker) = &self.worker
        {
            self.ready = worker.made.recv().ok().and_then(Result::ok);
        }
        if need <= self.segment_bytes
            && let Some((_, segment)) = self.ready.take_if(|(ready, _)| *ready == number)
        {
            return Ok((segment, self.segment_bytes));
        }
        self.ready = None;
        let len = self.segment_bytes.max(need);
        self.disk.create(number, &head(self.id, number), len, |_| false).map(|segment| (segment, len))
    }
}

impl Worker {
    fn start(disk: Disk, id: u64, segment_bytes: u64) -> io::Result<Self> {
        let (ask, orders) = channel();
        let (make, made) = channel();
        let work = move || {
            while let Ok(order) = orders.recv() {
                let Order::Make(number) = order else { continue };
                let segment = make_paced(&disk, id, number, segment_bytes, &orders);
                if make.send(segment.map(|segment| (number, segment))).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("segments".into()).spawn(work)?;
        Ok(Self { ask: Some(ask), made, thread: Some(thread) })
    }
}

/// How far a segment that is being made may be.
struct Pace<'a> {
    reach: u64,
    orders: &'a Receiver<Order>,
}

impl Pace<'_> {
    /// Waits until it may be further than `at`, or there is nobody any more to say so.
    fn wait(&mut self, at: u64) {
        while at > self.reach {
            match self.orders.recv() {
                Ok(Order::Reach(bytes)) => self.reach = bytes,
                Ok(Order::Make(_)) => {}
                Err(_) => self.reach = u64::MAX,
            }
        }
    }
}

/// Makes segment `number`, piece by piece as `orders` say.
fn make_paced(disk: &Disk, id: u64, number: u32, len: u64, orders: &Receiver<Order>) -> io::Result<Segment> {
    let mut pace = Pace { reach: 0, orders };
    disk.create(number, &head(id, number), len, |at| {
        pace.wait(at);
        // Who is in a hurry waits for all of it.
        pace.reach < u64::MAX
    })
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.ask = None;
        if let Some(thread) = self.thread.take() {
            // It ends with its queue; a panic there left nothing that is not made again.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_segment_is_made_as_far_as_it_was_told() {
        let (tell, orders) = channel();
        let mut pace = Pace { reach: 0, orders: &orders };
        tell.send(Order::Reach(MIB)).unwrap();
        tell.send(Order::Reach(3 * MIB)).unwrap();
        pace.wait(0);
        assert_eq!(pace.reach, 0, "its beginning needs no order");
        pace.wait(MIB);
        assert_eq!(pace.reach, MIB);
        pace.wait(2 * MIB);
        assert_eq!(pace.reach, 3 * MIB);
        drop(tell);
        pace.wait(100 * MIB);
    }

    #[test]
    fn a_segment_that_is_needed_early_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::Files(dir.path().to_path_buf());
        let mut preparer = Preparer::new(disk.clone(), 7, 4 * MIB).unwrap();
        preparer.ask(1);
        preparer.reached(MIB);
        let (_, capacity) = preparer.take(1, 100).unwrap();
        assert_eq!((capacity, disk.len(1).unwrap()), (4 * MIB, 4 * MIB));
        assert!(is_head(&disk.read_all(1).unwrap(), 7, 1));
        preparer.ask(2);
        drop(preparer);
        assert_eq!(disk.len(2).unwrap(), 4 * MIB, "the next start finds it ready");
    }
}
