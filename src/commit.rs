//! Commit: the one writer of the log. A batch is everything the workers have decided meanwhile; after it is durable
//! it becomes visible, then its answers leave, then its deliveries, in this order.

use std::sync::Arc;

use postrider_storage::{Log, LogError, SLOTS, SlotState, Written, plant};

use crate::{metrics::Metrics, slot::Decided, view::View};

/// See the module. Any error of [`Committer::commit`] means that the process must end: nothing of that batch was told
/// to anyone.
#[derive(Debug)]
pub struct Committer {
    log: Log,
    epochs: [u32; SLOTS],
    view: Arc<View>,
    metrics: Arc<Metrics>,
    /// Whether the last batch that was written is not yet followed by one that vouches for it.
    unvouched: bool,
}

impl Committer {
    /// Over an opened log, with the slots as they were opened.
    #[must_use]
    pub fn new(log: Log, slots: &[SlotState], view: Arc<View>, metrics: Arc<Metrics>) -> Self {
        let mut epochs = [0; SLOTS];
        for (epoch, slot) in epochs.iter_mut().zip(slots) {
            *epoch = slot.epoch;
        }
        Self { log, epochs, view, metrics, unvouched: false }
    }

    /// Makes everything in `batch` durable, shows it, and puts its answers into the outboxes; delivering it wakes the
    /// sessions. What was written, if anything was, is for the store.
    ///
    /// # Errors
    /// When the log failed. It is never retried as success.
    pub fn commit(&mut self, batch: &mut [Decided]) -> Result<Option<Arc<Written>>, LogError> {
        if plant::is(plant::Fault::AckBeforeCommit) {
            batch.iter_mut().for_each(pay);
            batch.iter().flat_map(|decided| &decided.answers).for_each(|answers| answers.origin.outbox.wake());
        }
        let mut durable = None;
        let entries = batch.iter().map(|decided| decided.accepted.len()).sum();
        if entries > 0 {
            let timer = self.metrics.commit_timer();
            let ticket = self.log.append(&self.epochs, batch.iter().flat_map(Decided::entries))?;
            let written = self.log.wait(ticket)?;
            self.metrics.committed(timer, entries);
            self.unvouched = true;
            self.view.commit(batch, &written);
            durable = Some(written);
        }
        answer(batch);
        Ok(durable)
    }

    /// Called when nothing has come for a while: writes an empty batch that vouches for the one before it.
    ///
    /// # Errors
    /// As [`Committer::commit`].
    pub fn idle(&mut self) -> Result<(), LogError> {
        if std::mem::take(&mut self.unvouched) {
            self.log.append(&self.epochs, std::iter::empty())?;
        }
        Ok(())
    }

    /// Ends the log cleanly.
    ///
    /// # Errors
    /// When the last sync failed.
    pub fn close(self) -> Result<(), LogError> {
        self.log.close()
    }
}

/// Puts the answers into the outboxes; their sessions are woken when the deliveries are there too.
fn answer(batch: &mut [Decided]) {
    batch.iter_mut().for_each(pay);
}

fn pay(decided: &mut Decided) {
    for answers in decided.answers.iter_mut().filter(|answers| answers.count > 0) {
        answers.origin.outbox.pay(std::mem::take(&mut answers.frames), std::mem::take(&mut answers.count));
    }
}
