//! What was committed, on its way to the outboxes: where it was committed while it reaches few, which saves the way to
//! another thread; by a thread of its own while it reaches many, so that commits do not wait for it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
    mpsc::{Receiver, SyncSender, sync_channel},
};

use super::STAGE_QUEUE;
use crate::{deliver::Deliverer, slot::Decided};

/// A batch that takes no more outboxes than this is delivered by the thread that committed it.
const NEAR: usize = 4_096;

/// See the module.
pub(super) struct Deliveries {
    deliverer: Arc<Deliverer>,
    queue: SyncSender<Vec<Decided>>,
    /// Batches that the other thread has not done: order is kept by going the same way as those before.
    waiting: Arc<AtomicUsize>,
}

/// The other thread's end.
pub(super) struct FromCommit {
    deliverer: Arc<Deliverer>,
    queue: Receiver<Vec<Decided>>,
    waiting: Arc<AtomicUsize>,
}

impl Deliveries {
    pub(super) fn new(deliverer: Deliverer) -> (Self, FromCommit) {
        let (deliverer, waiting) = (Arc::new(deliverer), Arc::new(AtomicUsize::new(0)));
        let (to, from) = sync_channel(STAGE_QUEUE);
        let other = FromCommit { deliverer: Arc::clone(&deliverer), queue: from, waiting: Arc::clone(&waiting) };
        (Self { deliverer, queue: to, waiting }, other)
    }

    pub(super) fn deliver(&self, batch: Vec<Decided>) {
        let reach: usize = batch.iter().map(Deliverer::reach).sum();
        if reach <= NEAR && self.waiting.load(Ordering::Acquire) == 0 {
            batch.iter().for_each(|decided| self.deliverer.deliver(decided));
        } else {
            self.waiting.fetch_add(1, Ordering::AcqRel);
            // The other thread outlives this one; if it is gone, the process is ending.
            let _ = self.queue.send(batch);
        }
    }
}

impl FromCommit {
    pub(super) fn run(self) {
        for batch in self.queue {
            batch.iter().for_each(|decided| self.deliverer.deliver(decided));
            self.waiting.fetch_sub(1, Ordering::AcqRel);
        }
    }
}
