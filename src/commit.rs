//! Commit: the one writer of the log. A batch is everything the workers have decided meanwhile; after it is durable
//! it becomes visible, then its answers leave, then its deliveries, in this order.

use std::sync::Arc;

use postrider_storage::{Log, LogError, SLOTS, SlotState, Written, plant};

use crate::{
    metrics::Metrics,
    slot::{Accepted, Answers, Decided},
    view::View,
};

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

/// What a commit leaves to do: tell the audience, and fill the store.
#[derive(Debug, Default)]
pub struct Durable {
    /// The entries, in the order of the log.
    pub accepted: Vec<Accepted>,
    /// The entries as they went to the log, in the same order; none without entries.
    pub written: Option<Arc<Written>>,
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

    /// Makes everything in `batch` durable, shows it, and sends its answers.
    ///
    /// # Errors
    /// When the log failed. It is never retried as success.
    pub fn commit(&mut self, batch: Vec<Decided>) -> Result<Durable, LogError> {
        let mut accepted = Vec::new();
        let mut answers = Vec::new();
        for decided in batch {
            accepted.extend(decided.accepted);
            answers.extend(decided.answers);
        }
        if plant::is(plant::Fault::AckBeforeCommit) {
            answer(std::mem::take(&mut answers));
        }
        let mut written = None;
        if !accepted.is_empty() {
            let timer = self.metrics.commit_timer();
            let ticket = self.log.append(&self.epochs, accepted.iter().map(|entry| entry.placed.as_new()))?;
            written = Some(self.log.wait(ticket)?);
            self.metrics.committed(timer, accepted.len());
            self.unvouched = true;
            self.view.commit(&accepted);
        }
        answer(answers);
        Ok(Durable { accepted, written })
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

fn answer(answers: Vec<Answers>) {
    for answer in answers {
        if answer.count > 0 {
            answer.origin.outbox.push_answers(&answer.frames, answer.count);
        }
    }
}
