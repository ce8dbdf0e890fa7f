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
    Reason, Tlvs,
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
    farewell: Option<Farewell>,
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

    /// Puts whole frames of answers in. `answered` of the commands that the session owes are paid with them.
    pub fn push_answers(&self, frames: &[u8], answered: u32) {
        {
            let mut queue = self.lock();
            queue.answers.extend_from_slice(frames);
        }
        self.owed.fetch_sub(answered, Ordering::AcqRel);
        self.wake();
    }

    /// Puts one live frame in, or drops it when the queue is full; true when it was taken.
    pub fn push_live(&self, frame: &[u8]) -> bool {
        let was_empty = {
            let mut queue = self.lock();
            let full = queue.live.len() + frame.len() > self.bounds.queue_bytes
                || queue.live_frames >= self.bounds.queue_frames;
            if queue.dropped > 0 || full || queue.farewell.is_some() {
                queue.dropped = queue.dropped.saturating_add(1);
                self.dropped_total.fetch_add(1, Ordering::Relaxed);
                return false;
            }
            let was_empty = queue.live.is_empty() && queue.answers.is_empty();
            queue.live.extend_from_slice(frame);
            queue.live_frames += 1;
            was_empty
        };
        self.bounds.total.fetch_add(frame.len(), Ordering::Relaxed);
        if was_empty {
            self.wake();
        }
        true
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
        self.lock().farewell.get_or_insert(farewell.into());
        self.wake();
    }

    /// Moves everything queued into `out` (which is empty); a farewell, if any, comes with the last bytes. A lagging
    /// queue that is found drained is told so by a LAG at its end.
    pub fn take(&self, out: &mut Vec<u8>) -> Option<Farewell> {
        let mut queue = self.lock();
        std::mem::swap(&mut queue.answers, out);
        let freed = queue.live.len();
        if out.is_empty() {
            std::mem::swap(&mut queue.live, out);
        } else {
            out.extend_from_slice(&queue.live);
            queue.live.clear();
        }
        queue.live_frames = 0;
        self.bounds.total.fetch_sub(freed, Ordering::Relaxed);
        if queue.dropped > 0 && out.len() <= self.bounds.queue_bytes / 4 {
            let lag = LagPacket { dropped: queue.dropped, tlvs: Tlvs::new() };
            Packet::Lag(lag).encode(out);
            queue.dropped = 0;
        }
        queue.farewell.clone()
    }

    /// The farewell, before what is queued ahead of it is taken.
    #[must_use]
    pub fn farewell(&self) -> Option<Farewell> {
        self.lock().farewell.clone()
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
        self.woken.store(true, Ordering::Release);
        self.waker.wake();
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
    use postrider_protocol::{Kind, frame};

    fn outbox(bytes: usize, frames: usize) -> Outbox {
        Outbox::new(Arc::new(OutboxBounds::new(bytes, frames, 1 << 20)))
    }

    #[test]
    fn answers_leave_before_live_frames() {
        let outbox = outbox(100, 10);
        outbox.owe(1);
        assert!(outbox.push_live(b"live"));
        outbox.push_answers(b"answer", 1);
        let mut out = Vec::new();
        assert!(outbox.take(&mut out).is_none());
        assert_eq!(out, b"answerlive");
        assert_eq!(outbox.owed(), 0);
    }

    #[test]
    fn a_full_queue_drops_and_tells_once_it_has_drained() {
        let outbox = outbox(10, 10);
        assert!(outbox.push_live(b"0123456789"));
        assert!(!outbox.push_live(b"x"));
        let mut out = Vec::new();
        outbox.take(&mut out);
        assert_eq!(out, b"0123456789", "the taken bytes are still on their way: no LAG yet");
        assert!(!outbox.push_live(b"y"), "nothing live until the client was told");
        out.clear();
        outbox.take(&mut out);
        let mut decoder = frame::Decoder::new();
        decoder.feed(out.into());
        let frame = decoder.next_frame().unwrap().unwrap();
        assert_eq!(frame.kind, Kind::Lag.number());
        assert_eq!(frame.payload[..4], 2u32.to_be_bytes());
        assert!(outbox.push_live(b"z"));
    }

    #[test]
    fn what_waits_is_counted_over_all_connections() {
        let bounds = Arc::new(OutboxBounds::new(100, 10, 5));
        let (one, two) = (Outbox::new(Arc::clone(&bounds)), Outbox::new(Arc::clone(&bounds)));
        one.push_live(b"1234");
        two.push_live(b"12");
        assert!(bounds.is_over());
        assert_eq!(one.drop_live(), 4);
        assert_eq!(bounds.total(), 2);
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
