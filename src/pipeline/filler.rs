//! The materialiser's thread: fills the store from the log, and watches the space that is left.

use std::sync::{Arc, atomic::Ordering, mpsc::RecvTimeoutError};
use std::time::{Duration, Instant};

use postrider_storage::{Materialiser, Store, StoreError, Written};

use super::backlog::FromLog;
use crate::{clock::Clock, metrics::Metrics, slot::Rules, view::View};

/// When a checkpoint is due again after less, the store hurries: its blocks are left out, which are most of the work.
const HURRY: Duration = Duration::from_secs(1);
/// When it is due again after no less, there is time: the work is done in pieces, so that a core that all others need is
/// not taken from them for as long as the whole of it lasts.
const LEISURE: Duration = Duration::from_secs(2);
/// When the last one is so long ago, a smaller one is made: what waits for a checkpoint waits in memory.
const LONG_AGO: Duration = Duration::from_secs(5);
/// How long a piece takes, and the pause after it.
const PIECE: Duration = Duration::from_millis(1);
const PAUSE: Duration = Duration::from_millis(3);
/// How often free space is looked at.
const SPACE_EVERY: Duration = Duration::from_secs(1);
/// Once it has taken what there is, it rests so long: to be woken for each commit would cost the committer, and whom
/// it takes the core from, more than all it does with it.
const REST: Duration = Duration::from_millis(5);

/// See the module.
pub(super) struct Filler {
    pub materialiser: Materialiser,
    pub store: Arc<Store>,
    pub view: Arc<View>,
    pub rules: Arc<Rules>,
    pub metrics: Arc<Metrics>,
    pub clock: Clock,
    pub reserve_bytes: u64,
    /// What is to be erased waits no longer than this for a checkpoint.
    pub erase_within_ms: u64,
}

impl Filler {
    pub(super) fn run(mut self, from_log: &FromLog<Arc<Written>>) -> Result<(), String> {
        let mut last = Instant::now();
        loop {
            match from_log.recv_timeout(SPACE_EVERY) {
                Ok(written) => self.take(written, from_log)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.look_at_space();
            let since = last.elapsed();
            if self.is_due(since) && !self.rules.full.load(Ordering::Relaxed) {
                self.materialiser.hurry(since < HURRY);
                last = Instant::now();
                let mut worked = last;
                self.checkpoint(&mut || {
                    // Whoever commits must never wait for a pause.
                    if since >= LEISURE && worked.elapsed() >= PIECE && from_log.is_light() {
                        std::thread::sleep(PAUSE);
                        worked = Instant::now();
                    }
                })?;
            }
            self.retain()?;
        }
        self.checkpoint(&mut || {})
    }

    /// Whether to make a checkpoint, `since` the one before.
    fn is_due(&self, since: Duration) -> bool {
        self.materialiser.is_due()
            || since >= LONG_AGO && self.materialiser.is_due_at_leisure()
            || self.materialiser.is_erasure_due(self.clock.now().wall_ms, self.erase_within_ms)
    }

    /// Takes `written`, and what waits behind it until a checkpoint is due.
    fn take(&mut self, written: Arc<Written>, from_log: &FromLog<Arc<Written>>) -> Result<(), String> {
        self.materialiser.feed(written);
        while !self.materialiser.is_due() {
            let Ok(written) = from_log.recv_timeout(Duration::ZERO) else {
                std::thread::sleep(REST);
                break;
            };
            self.materialiser.feed(written);
            self.retain()?;
        }
        Ok(())
    }

    fn checkpoint(&mut self, between: &mut dyn FnMut()) -> Result<(), String> {
        let start = Instant::now();
        match self.materialiser.checkpoint_in_pieces(between) {
            // Nothing has changed; it is tried again when there is space.
            Err(StoreError::Full) => return Ok(()),
            done => done.map_err(|error| error.to_string())?,
        };
        self.metrics.checkpoint_duration.observe(start.elapsed().as_secs_f64());
        self.view.release(|slot| self.store.covered(slot));
        let now_ms = self.clock.now().wall_ms;
        while self.materialiser.erase(now_ms).map_err(|error| error.to_string())? {}
        let gauge = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.metrics.log_bytes.set(gauge(self.store.log_bytes().map_err(|error| error.to_string())?));
        self.metrics.store_bytes.set(gauge(self.store.size_bytes()));
        Ok(())
    }

    /// Does a piece of retention's work.
    fn retain(&mut self) -> Result<(), String> {
        self.materialiser.retain(self.clock.now().wall_ms).map_err(|error| error.to_string())?;
        Ok(())
    }

    fn look_at_space(&self) {
        let pending = self.materialiser.pending_bytes();
        self.metrics.checkpoint_pending_bytes.set(i64::try_from(pending).unwrap_or(i64::MAX));
        let free = match self.store.free_bytes() {
            Ok(free) => free,
            Err(error) => return tracing::warn!(%error, "free space is not known"),
        };
        let full = free < self.reserve_bytes + 2 * pending;
        if self.rules.full.swap(full, Ordering::Relaxed) != full {
            if full {
                tracing::error!("too little space: nothing is stored until there is more");
            } else {
                tracing::info!("there is space again");
            }
        }
    }
}
