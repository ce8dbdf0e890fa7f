//! The queue to a worker: sessions wait for room in it, a thread takes from it.

use std::sync::{
    Arc,
    mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
};
use std::time::Duration;

use tokio::sync::{Semaphore, TryAcquireError};

use crate::slot::Submission;

/// A session's end.
#[derive(Clone, Debug)]
pub struct Inbox {
    queue: SyncSender<Submission>,
    room: Arc<Semaphore>,
}

/// The worker's end.
#[derive(Debug)]
pub(super) struct Submissions {
    queue: Receiver<Submission>,
    room: Arc<Semaphore>,
    capacity: usize,
}

/// A queue with room for so many submissions.
pub(super) fn inbox(capacity: usize) -> (Inbox, Submissions) {
    let (to, from) = sync_channel(capacity);
    let room = Arc::new(Semaphore::new(capacity));
    (Inbox { queue: to, room: Arc::clone(&room) }, Submissions { queue: from, room, capacity })
}

impl Inbox {
    /// Waits for room, then puts the submission in. When the worker is gone it is dropped: the process is ending.
    /// Cancel safe: it is in, or it is not.
    pub async fn send(&self, submission: Submission) {
        let Ok(room) = self.room.acquire().await else { return };
        // There is room: the worker gives it back only once it has taken something out.
        if self.queue.try_send(submission).is_ok() {
            room.forget();
        }
    }

    /// As [`Inbox::send`] when there is room now.
    ///
    /// # Errors
    /// There is none: the submission, to be sent by who can wait.
    pub fn try_send(&self, submission: Submission) -> Result<(), Submission> {
        let room = match self.room.try_acquire() {
            Ok(room) => room,
            Err(TryAcquireError::NoPermits) => return Err(submission),
            Err(TryAcquireError::Closed) => return Ok(()),
        };
        if self.queue.try_send(submission).is_ok() {
            room.forget();
        }
        Ok(())
    }
}

impl Submissions {
    /// The next one; none when nothing waits.
    pub(super) fn try_recv(&self) -> Option<Submission> {
        let submission = self.queue.try_recv().ok()?;
        self.room.add_permits(1);
        Some(submission)
    }

    /// The next one, waiting for it.
    pub(super) fn recv_timeout(&self, timeout: Duration) -> Result<Submission, RecvTimeoutError> {
        let submission = self.queue.recv_timeout(timeout)?;
        self.room.add_permits(1);
        Ok(submission)
    }

    /// How many wait, about.
    pub(super) fn len(&self) -> usize {
        self.capacity.saturating_sub(self.room.available_permits())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future,
        pin::pin,
        task::{Context, Waker},
    };

    use super::*;
    use crate::slot::sample;

    fn submission(at_ms: u64) -> Submission {
        let origin = sample::origin(1, "alice".parse().unwrap(), None);
        Submission { origin: Arc::new(origin), at_ms, commands: Vec::new() }
    }

    #[test]
    fn sessions_wait_for_room_in_their_order() {
        let (to, from) = inbox(2);
        let context = &mut Context::from_waker(Waker::noop());
        let mut sends: Vec<_> = (0..4).map(|at| Box::pin(to.send(submission(at)))).collect();
        let done: Vec<bool> = sends.iter_mut().map(|send| poll(send.as_mut(), context)).collect();
        assert_eq!(done, [true, true, false, false]);
        assert_eq!(from.len(), 2);
        assert_eq!(from.try_recv().map(|submission| submission.at_ms), Some(0));
        let done: Vec<bool> = sends.iter_mut().skip(2).map(|send| poll(send.as_mut(), context)).collect();
        assert_eq!(done, [true, false]);
        drop(sends);
        let rest: Vec<u64> = std::iter::from_fn(|| from.try_recv()).map(|submission| submission.at_ms).collect();
        assert_eq!(rest, [1, 2], "what was given up is not there");
        assert!(poll(pin!(to.send(submission(9))), context), "and its room is free again");
    }

    #[test]
    fn without_room_a_submission_comes_back() {
        let (to, from) = inbox(1);
        assert!(to.try_send(submission(0)).is_ok());
        assert_eq!(to.try_send(submission(1)).map_err(|submission| submission.at_ms), Err(1));
        assert_eq!(from.try_recv().map(|submission| submission.at_ms), Some(0));
        assert!(to.try_send(submission(2)).is_ok(), "what is taken makes room");
    }

    fn poll(send: std::pin::Pin<&mut impl Future<Output = ()>>, context: &mut Context<'_>) -> bool {
        send.poll(context).is_ready()
    }
}
