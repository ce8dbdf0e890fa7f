//! The bounded queue of frames of one connection. Committer, deliverer and readers put frames in and never wait; the
//! session's task takes everything at once and writes it.
//!
//! Answers (what the client asked for) are bounded by what a session may owe and are never dropped. Live frames
//! (RECV) beyond the bound are dropped and told by one LAG once the queue has drained: the log is the buffer.
//! Answers leave before live frames, so a SENDACK is never behind a RECV of the same commit.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
};
use std::task::Waker;

use futures_util::task::AtomicWaker;
use postrider_protocol::{
    HEADER_BYTES, Reason, Tlvs,
    packet::{LagPacket, Packet},
};

/// Bounds of every outbox of a server, and what all of them hold.
#[derive(Debug)]
pub struct OutboxBounds {
    /// Most bytes of live frames that wait for one connection.
    pub queue_bytes: usize,
    /// Most live frames that wait for one connection.
    pub queue_frames: usize,
    /// Most bytes of live frames that wait for all connections together.
    pub total_bytes: usize,
    total: AtomicUsize,
}

impl OutboxBounds {
    /// Bounds with nothing waiting yet.
    #[must_use]
    pub const fn new(queue_bytes: usize, queue_frames: usize, total_bytes: usize) -> Self {
        Self { queue_bytes, queue_frames, total_bytes, total: AtomicUsize::new(0) }
    }

    /// Bytes of live frames that wait for all connections.
    #[must_use]
    pub fn total(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    /// Whether all queues together are over their bound.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.total() > self.total_bytes
    }
}

/// Why and how a connection ends: what the server tells the client in DISCONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Farewell {
    /// The reason.
    pub reason: Reason,
    /// When to come back.
    pub retry_after_ms: Option<u32>,
    /// What is wrong and where, for the developer.
    pub detail: Option<String>,
    /// Whether the client needs no DISCONNECT: it sent one, or CONNACK has told it.
    pub silent: bool,
}

impl From<Reason> for Farewell {
    fn from(reason: Reason) -> Self {
        Self { reason, retry_after_ms: None, detail: None, silent: false }
    }
}

/// Whole frames, back to back.
#[derive(Clone, Copy, Debug)]
pub struct Frames<'a> {
    /// Their bytes.
    pub bytes: &'a [u8],
    /// How many they are.
    pub count: usize,
}

impl Frames<'_> {
    /// The first of them, with at most so many bytes, at most so many.
    fn within(self, bytes: usize, count: usize) -> Self {
        if self.bytes.len() <= bytes && self.count <= count {
            return self;
        }
        let mut first = Self { bytes: &[], count: 0 };
        let mut end = 0;
        while first.count < count.min(self.count)
            && let Some(len) = self.bytes.get(end..).and_then(<[u8]>::first_chunk)
        {
            end += HEADER_BYTES + u32::from_be_bytes(*len) as usize;
            match self.bytes.get(..end) {
                Some(fits) if end <= bytes => first = Self { bytes: fits, count: first.count + 1 },
                _ => break,
            }
        }
        first
    }
}

/// See the module.
#[derive(Debug)]
pub struct Outbox {
    queue: Mutex<Queue>,
    waker: AtomicWaker,
    woken: AtomicBool,
    owed: AtomicU32,
    bounds: Arc<OutboxBounds>,
    dropped_total: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    answers: Vec<u8>,
    live: Vec<u8>,
    live_frames: usize,
    /// Live frames dropped since the client last kept up; above zero no live frame is taken in.
    dropped: u32,
    /// Boxed: nearly every outbox has none nearly all the time.
    farewell: Option<Box<Farewell>>,
}

impl Outbox {
    /// An empty outbox under `bounds`.
    #[must_use]
    pub fn new(bounds: Arc<OutboxBounds>) -> Self {
        Self {
            queue: Mutex::default(),
            waker: AtomicWaker::new(),
            woken: AtomicBool::new(false),
            owed: AtomicU32::new(0),
            bounds,
            dropped_total: AtomicU64::new(0),
        }
    }

    /// Puts whole frames of answers in, and wakes the session.
    pub fn push_answers(&self, frames: &[u8]) {
        self.lock().answers.extend_from_slice(frames);
        self.wake();
    }

    /// Puts answers in, to so many of the commands that the session owes: these are owed until it is there. The caller
    /// wakes the session once it has put in everything that it has for it: then all of it leaves together.
    pub fn pay(&self, frames: Vec<u8>, commands: u32) {
        {
            let mut queue = self.lock();
            if queue.answers.is_empty() {
                queue.answers = frames;
            } else {
                queue.answers.extend_from_slice(&frames);
            }
        }
        self.owed.fetch_sub(commands, Ordering::AcqRel);
    }

    /// Puts live frames in, as many as there is room for, and drops the rest; returns how many were taken.
    pub fn push_live(&self, frames: Frames<'_>) -> usize {
        let (taken, was_empty) = {
            let mut queue = self.lock();
            let taken = if queue.dropped > 0 || queue.farewell.is_some() {
                Frames { bytes: &[], count: 0 }
            } else {
                let bytes = self.bounds.queue_bytes.saturating_sub(queue.live.len());
                frames.within(bytes, self.bounds.queue_frames.saturating_sub(queue.live_frames))
            };
            if taken.count < frames.count {
                let dropped = u32::try_from(frames.count - taken.count).unwrap_or(u32::MAX);
                queue.dropped = queue.dropped.saturating_add(dropped);
                self.dropped_total.fetch_add(u64::from(dropped), Ordering::Relaxed);
            }
            let was_empty = queue.live.is_empty() && queue.answers.is_empty();
            queue.live.extend_from_slice(taken.bytes);
            queue.live_frames += taken.count;
            (taken, was_empty)
        };
        if taken.count > 0 {
            self.bounds.total.fetch_add(taken.bytes.len(), Ordering::Relaxed);
            if was_empty {
                self.wake();
            }
        }
        taken.count
    }

    /// Puts one live frame in that may be lost: only while at most half of the room is taken, so that it takes none
    /// from what is told by LAG. Whether it was taken; the client does not hear of it when it was not.
    pub fn push_passing(&self, frame: &[u8]) -> bool {
        {
            let queue = self.lock();
            let is_crowded = queue.live.len() + frame.len() > self.bounds.queue_bytes / 2
                || queue.live_frames >= self.bounds.queue_frames.div_ceil(2);
            if is_crowded || queue.dropped > 0 {
                return false;
            }
        }
        self.push_live(Frames { bytes: frame, count: 1 }) == 1
    }

    /// Drops what is live in the queue; returns how many bytes that freed. The client hears of it by LAG.
    pub fn drop_live(&self) -> usize {
        let mut queue = self.lock();
        let freed = queue.live.len();
        if freed > 0 {
            let frames = u32::try_from(queue.live_frames).unwrap_or(u32::MAX);
            queue.dropped = queue.dropped.saturating_add(frames);
            self.dropped_total.fetch_add(u64::from(frames), Ordering::Relaxed);
            queue.live = Vec::new();
            queue.live_frames = 0;
            self.bounds.total.fetch_sub(freed, Ordering::Relaxed);
            drop(queue);
            self.wake();
        }
        freed
    }

    /// Ends the connection once what is queued is written; the first farewell stands.
    pub fn close(&self, farewell: impl Into<Farewell>) {
        self.lock().farewell.get_or_insert_with(|| Box::new(farewell.into()));
        self.wake();
    }

    /// Moves everything queued into `out` (which is empty); a farewell, if any, comes with the last bytes. A lagging
    /// queue that is found drained is told so by a LAG at its end. An empty queue holds no memory.
    pub fn take(&self, out: &mut Vec<u8>) -> Option<Farewell> {
        let mut queue = self.lock();
        let live = std::mem::take(&mut queue.live);
        let freed = live.len();
        *out = std::mem::take(&mut queue.answers);
        if out.is_empty() {
            *out = live;
        } else {
            out.extend_from_slice(&live);
        }
        queue.live_frames = 0;
        self.bounds.total.fetch_sub(freed, Ordering::Relaxed);
        if queue.dropped > 0 && out.len() <= self.bounds.queue_bytes / 4 {
            let lag = LagPacket { dropped: queue.dropped, tlvs: Tlvs::new() };
            Packet::Lag(lag).encode(out);
            queue.dropped = 0;
        }
        queue.farewell.as_deref().cloned()
    }

    /// The farewell, before what is queued ahead of it is taken.
    #[must_use]
    pub fn farewell(&self) -> Option<Farewell> {
        self.lock().farewell.as_deref().cloned()
    }

    /// Whether there is something to take.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let queue = self.lock();
        !queue.answers.is_empty() || !queue.live.is_empty() || queue.dropped > 0 || queue.farewell.is_some()
    }

    /// Bytes that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let queue = self.lock();
        queue.answers.len() + queue.live.len()
    }

    /// Bytes of live frames that wait.
    #[must_use]
    pub fn waiting_live(&self) -> usize {
        self.lock().live.len()
    }

    /// Live frames dropped since the connection began.
    #[must_use]
    pub fn dropped_total(&self) -> u64 {
        self.dropped_total.load(Ordering::Relaxed)
    }

    /// Notes that the session owes `commands` more answers.
    pub fn owe(&self, commands: u32) {
        self.owed.fetch_add(commands, Ordering::AcqRel);
    }

    /// How many commands are not answered yet.
    #[must_use]
    pub fn owed(&self) -> u32 {
        self.owed.load(Ordering::Acquire)
    }

    /// Wakes the session's task.
    pub fn wake(&self) {
        // Who set it has woken the task, which looks again after it has taken it back.
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// True once after each [`Outbox::wake`]; otherwise `waker` is woken by the next one. Cancel safe: what was
    /// woken stays woken until this returned true.
    pub fn poll_woken(&self, waker: &Waker) -> bool {
        self.waker.register(waker);
        self.woken.swap(false, Ordering::AcqRel)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        let left = self.lock().live.len();
        self.bounds.total.fetch_sub(left, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use postrider_protocol::{Kind, frame::Decoder};

    fn outbox(bytes: usize, frames: usize) -> Outbox {
        Outbox::new(Arc::new(OutboxBounds::new(bytes, frames, 1 << 20)))
    }

    fn frame(body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32).to_be_bytes()[..], &[5, 0, 0, 0, 0, 0], body].concat()
    }

    /// Pushes one frame with this payload; whether it was taken.
    fn push(outbox: &Outbox, body: &[u8]) -> bool {
        outbox.push_live(Frames { bytes: &frame(body), count: 1 }) == 1
    }

    #[test]
    fn answers_leave_before_live_frames() {
        let outbox = outbox(100, 10);
        outbox.owe(1);
        assert!(push(&outbox, b"live"));
        outbox.pay(b"answer".to_vec(), 1);
        let mut out = Vec::new();
        assert!(outbox.take(&mut out).is_none());
        assert_eq!(out, [b"answer".to_vec(), frame(b"live")].concat());
        assert_eq!(outbox.owed(), 0);
    }

    #[test]
    fn a_full_queue_drops_and_tells_once_it_has_drained() {
        let outbox = outbox(20, 10);
        assert!(push(&outbox, b"0123456789"));
        assert!(!push(&outbox, b"x"));
        let mut out = Vec::new();
        outbox.take(&mut out);
        assert_eq!(out, frame(b"0123456789"), "the taken bytes are still on their way: no LAG yet");
        assert!(!push(&outbox, b"y"), "nothing live until the client was told");
        out.clear();
        outbox.take(&mut out);
        let mut decoder = Decoder::new();
        decoder.feed(out.into());
        let frame = decoder.next_frame().unwrap().unwrap();
        assert_eq!(frame.kind, Kind::Lag.number());
        assert_eq!(frame.payload[..4], 2u32.to_be_bytes());
        assert!(push(&outbox, b"z"));
    }

    #[test]
    fn of_many_frames_the_first_that_fit_are_taken() {
        let many = [frame(b"1"), frame(b"22"), frame(b"333"), frame(b"4")].concat();
        for (bytes, frames, taken) in [(100, 10, 4), (36, 10, 3), (35, 10, 2), (100, 3, 3), (10, 10, 0), (100, 0, 0)] {
            let outbox = outbox(bytes, frames);
            assert_eq!(outbox.push_live(Frames { bytes: &many, count: 4 }), taken, "{bytes} bytes, {frames} frames");
            assert_eq!(outbox.waiting(), [0, 11, 23, 36, 47][taken]);
            assert_eq!(outbox.dropped_total(), 4 - taken as u64);
        }
    }

    #[test]
    fn what_waits_is_counted_over_all_connections() {
        let bounds = Arc::new(OutboxBounds::new(100, 10, 25));
        let (one, two) = (Outbox::new(Arc::clone(&bounds)), Outbox::new(Arc::clone(&bounds)));
        push(&one, b"1234");
        push(&two, b"12");
        assert!(bounds.is_over());
        assert_eq!(one.drop_live(), 14);
        assert_eq!(bounds.total(), 12);
        drop(two);
        assert_eq!(bounds.total(), 0);
    }

    #[test]
    fn the_first_farewell_stands() {
        let outbox = outbox(100, 10);
        outbox.close(Reason::Replaced);
        outbox.close(Reason::Shutdown);
        assert_eq!(outbox.take(&mut Vec::new()), Some(Reason::Replaced.into()));
    }
}
