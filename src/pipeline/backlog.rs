//! The queue from the log to the store, bounded by bytes: what is committed while a checkpoint is under way. Beyond the
//! bound, commits wait for the checkpoint.

use std::sync::{
    Arc, Condvar, Mutex, PoisonError,
    mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
};
use std::time::Duration;

/// Batches that may wait.
const BATCHES: usize = 16_384;

/// Bytes that wait, and who waits for there to be fewer.
#[derive(Debug, Default)]
struct Backlog {
    bytes: Mutex<usize>,
    fewer: Condvar,
}

/// The committer's end of the queue to the store: bounded by bytes, for batches are small or large as the load is.
#[derive(Debug)]
pub(super) struct ToStore<T> {
    queue: SyncSender<(T, usize)>,
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
    let (to, from) = sync_channel(BATCHES);
    let backlog = Arc::new(Backlog::default());
    (ToStore { queue: to, backlog: Arc::clone(&backlog), most }, FromLog { queue: from, backlog, most })
}

impl<T> ToStore<T> {
    /// Waits while too much waits already; a batch of any size goes when nothing does.
    pub(super) fn send(&self, batch: T, bytes: usize) {
        let waiting = self.backlog.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = |waiting: &mut usize| *waiting > 0 && *waiting + bytes > self.most;
        let mut waiting = self.backlog.fewer.wait_while(waiting, is_full).unwrap_or_else(PoisonError::into_inner);
        if self.queue.send((batch, bytes)).is_ok() {
            *waiting += bytes;
        }
    }
}

impl<T> FromLog<T> {
    pub(super) fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        let (batch, bytes) = self.queue.recv_timeout(timeout)?;
        *self.backlog.bytes.lock().unwrap_or_else(PoisonError::into_inner) -= bytes;
        self.backlog.fewer.notify_one();
        Ok(batch)
    }

    /// Whether less waits than a quarter of the bound.
    pub(super) fn is_light(&self) -> bool {
        *self.backlog.bytes.lock().unwrap_or_else(PoisonError::into_inner) < self.most / 4
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{sync::mpsc::sync_channel, time::Duration};

    use super::backlog;

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
