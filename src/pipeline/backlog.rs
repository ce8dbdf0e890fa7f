//! The queue from the log to the store, bounded by bytes and batches: what is committed while a checkpoint is under way.
//! Beyond a bound, commits wait for the checkpoint.

use std::sync::{
    Arc, Condvar, Mutex, MutexGuard, PoisonError,
    mpsc::{Receiver, RecvTimeoutError, Sender, channel},
};
use std::time::Duration;

/// Batches that may wait.
const BATCHES: usize = 16_384;

/// What waits, and who waits for it to be less.
#[derive(Debug, Default)]
struct Backlog {
    waiting: Mutex<Waiting>,
    less: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: usize,
    batches: usize,
}

impl Backlog {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The committer's end of the queue to the store: bounded by bytes, for batches are small or large as the load is, and
/// by [`BATCHES`]. The bounds are kept here and not by the queue: who waits for room must hold nothing that the store
/// asks for before it makes room.
#[derive(Debug)]
pub(super) struct ToStore<T> {
    queue: Sender<(T, usize)>,
    backlog: Arc<Backlog>,
    most: usize,
}

/// The store's end.
#[derive(Debug)]
pub(super) struct FromLog<T> {
    queue: Receiver<(T, usize)>,
    backlog: Arc<Backlog>,
    most: usize,
}

pub(super) fn backlog<T>(most: usize) -> (ToStore<T>, FromLog<T>) {
    let (to, from) = channel();
    let backlog = Arc::new(Backlog::default());
    (ToStore { queue: to, backlog: Arc::clone(&backlog), most }, FromLog { queue: from, backlog, most })
}

impl<T> ToStore<T> {
    /// Waits while too much waits already; a batch of any size goes when nothing does.
    pub(super) fn send(&self, batch: T, bytes: usize) {
        let is_full = |waiting: &mut Waiting| {
            waiting.batches >= BATCHES || waiting.batches > 0 && waiting.bytes + bytes > self.most
        };
        let waiting = self.backlog.less.wait_while(self.backlog.lock(), is_full);
        let mut waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        if self.queue.send((batch, bytes)).is_ok() {
            waiting.bytes += bytes;
            waiting.batches += 1;
        }
    }
}

impl<T> FromLog<T> {
    pub(super) fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        let (batch, bytes) = self.queue.recv_timeout(timeout)?;
        let mut waiting = self.backlog.lock();
        waiting.bytes -= bytes;
        waiting.batches -= 1;
        drop(waiting);
        self.backlog.less.notify_one();
        Ok(batch)
    }

    /// Whether less waits than a quarter of both bounds.
    pub(super) fn is_light(&self) -> bool {
        let waiting = self.backlog.lock();
        waiting.bytes < self.most / 4 && waiting.batches < BATCHES / 4
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{sync::mpsc::sync_channel, time::Duration};

    use super::{BATCHES, backlog};

    #[test]
    fn commits_wait_for_the_store_by_bytes_not_by_batches() {
        let (to, from) = backlog(100);
        for _ in 0..100 {
            to.send((), 1);
        }
        let (done, told) = sync_channel(1);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                to.send((), 60);
                done.send(()).unwrap();
            });
            for _ in 0..59 {
                from.recv_timeout(Duration::ZERO).unwrap();
                assert!(told.try_recv().is_err(), "over the bound");
            }
            from.recv_timeout(Duration::ZERO).unwrap();
            told.recv().unwrap();
        });
    }

    #[test]
    fn the_store_can_ask_how_much_waits_while_a_commit_waits_for_it() {
        let (to, from) = backlog(usize::MAX);
        for _ in 0..BATCHES {
            to.send((), 1);
        }
        assert!(!from.is_light(), "so many small ones are no light load");
        let (done, told) = sync_channel(1);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                to.send((), 1);
                done.send(()).unwrap();
            });
            for _ in 0..1_000 {
                assert!(!from.is_light());
                assert!(told.try_recv().is_err(), "over the bound");
                std::thread::yield_now();
            }
            from.recv_timeout(Duration::ZERO).unwrap();
            told.recv().unwrap();
        });
    }

    #[test]
    fn light_is_less_than_a_quarter_of_the_bound() {
        let (to, from) = backlog(100);
        to.send((), 24);
        assert!(from.is_light());
        to.send((), 1);
        assert!(!from.is_light());
        from.recv_timeout(Duration::ZERO).unwrap();
        assert!(from.is_light());
    }

    #[test]
    fn a_batch_above_the_bound_goes_when_nothing_waits() {
        let (to, from) = backlog(10);
        to.send((), 1_000);
        from.recv_timeout(Duration::ZERO).unwrap();
        to.send((), 1_000);
    }
}
