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
    disk::{Disk, Segment},
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

/// Makes the next segment ahead of need: on a thread for files, when asked in memory.
#[derive(Debug)]
pub(crate) struct Preparer {
    disk: Disk,
    id: u64,
    len: u64,
    worker: Option<Worker>,
    pending: Option<u32>,
    ready: Option<(u32, Segment)>,
}

#[derive(Debug)]
struct Worker {
    ask: Option<Sender<u32>>,
    made: Receiver<io::Result<(u32, Segment)>>,
    thread: Option<JoinHandle<()>>,
}

impl Preparer {
    /// One that makes segments of `len` bytes.
    pub(crate) fn new(disk: Disk, id: u64, len: u64) -> io::Result<Self> {
        let worker = match &disk {
            Disk::Memory(_) => None,
            Disk::Files(_) => Some(Worker::start(disk.clone(), id, len)?),
        };
        Ok(Self { disk, id, len, worker, pending: None, ready: None })
    }

    /// Begins to make segment `number`, unless one is being made or ready.
    pub(crate) fn ask(&mut self, number: u32) {
        self.poll();
        if self.pending.is_some() || self.ready.is_some() {
            return;
        }
        if let Some(ask) = self.worker.as_ref().and_then(|worker| worker.ask.as_ref())
            && ask.send(number).is_ok()
        {
            self.pending = Some(number);
        }
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
        if self.pending.take().is_some()
            && let Some(worker) = &self.worker
        {
            self.ready = worker.made.recv().ok().and_then(Result::ok);
        }
        if need <= self.len
            && let Some((_, segment)) = self.ready.take_if(|(ready, _)| *ready == number)
        {
            return Ok((segment, self.len));
        }
        self.ready = None;
        let len = self.len.max(need);
        self.disk.create(number, &head(self.id, number), len).map(|segment| (segment, len))
    }
}

impl Worker {
    fn start(disk: Disk, id: u64, len: u64) -> io::Result<Self> {
        let (ask, asked) = channel::<u32>();
        let (make, made) = channel();
        let work = move || {
            for number in asked {
                let segment = disk.create(number, &head(id, number), len);
                if make.send(segment.map(|segment| (number, segment))).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("segments".into()).spawn(work)?;
        Ok(Self { ask: Some(ask), made, thread: Some(thread) })
    }
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
