//! What the threads of decide and commit do: take what waits, do it as one batch, hand it on.

use std::sync::{
    Arc,
    mpsc::{Receiver, RecvTimeoutError, SyncSender},
};
use std::time::Duration;

use postrider_storage::Written;
use prometheus_client::metrics::gauge::Gauge;

use super::{BatchLimits, backlog::ToStore, deliveries::Deliveries, inbox::Submissions};
use crate::{
    clock::Clock,
    commit::Committer,
    slot::{Decided, Decider, Submission},
};

/// A worker hands on what it has decided after so many commands.
const DECIDE_COMMANDS: usize = 4_096;
/// Or after so many bytes of bodies.
const DECIDE_BYTES: usize = 1 << 20;
/// Without work for so long the last batch is vouched for.
const IDLE: Duration = Duration::from_millis(100);

/// A decider and what it is asked.
#[derive(Debug)]
pub(super) struct Worker {
    pub decider: Decider,
    pub submissions: Submissions,
    pub clock: Clock,
    pub gauge: Gauge,
}

impl Worker {
    /// Waits for something to decide, and decides it with what waits, up to `limits`; none when nothing comes in time.
    fn decide(&mut self, limits: BatchLimits) -> Result<Option<Decided>, End> {
        let first = self.submissions.recv_timeout(IDLE);
        let more = || self.submissions.try_recv();
        let most = (DECIDE_COMMANDS.min(limits.entries), DECIDE_BYTES.min(limits.bytes));
        let now = self.clock.now();
        let batch = match gather(first, more, Submission::size, most)? {
            Some(batch) => batch,
            // Nobody asks for anything, and something scheduled is due.
            None if self.decider.is_due(now.wall_ms) => Vec::new(),
            None => return Ok(None),
        };
        self.gauge.set(i64::try_from(self.submissions.len()).unwrap_or(i64::MAX));
        self.decider.decide(now, batch).map(Some).map_err(|error| End::Failed(error.to_string()))
    }

    /// Decides for a committer on another thread.
    pub(super) fn run(mut self, to_commit: &SyncSender<Decided>, limits: BatchLimits) -> Result<(), String> {
        loop {
            match self.decide(limits) {
                Ok(None) => {}
                Ok(Some(decided)) => {
                    if to_commit.send(decided).is_err() {
                        // The committer has ended the process.
                        return Ok(());
                    }
                }
                Err(End::Orderly) => return Ok(()),
                Err(End::Failed(error)) => return Err(error),
            }
        }
    }
}

/// Why nothing more comes.
enum End {
    Orderly,
    Failed(String),
}

/// Where the committer gets its batches.
#[derive(Debug)]
pub(super) enum Source {
    /// From one worker on its own thread: a batch is decided while the one before it is on its way to the disk only
    /// where there are cores for it, and the way between two threads costs more than that brings.
    Here(Box<Worker>),
    /// From workers on other threads.
    Threads(Receiver<Decided>),
}

impl Source {
    /// Waits for a batch; none when nothing comes in time.
    fn next(&mut self, limits: BatchLimits) -> Result<Option<Vec<Decided>>, End> {
        let from = match self {
            Self::Here(worker) => return Ok(worker.decide(limits)?.map(|decided| vec![decided])),
            Self::Threads(from) => from,
        };
        let size = |decided: &Decided| (decided.accepted.len(), decided.frames.len());
        gather(from.recv_timeout(IDLE), || from.try_recv().ok(), size, (limits.entries, limits.bytes))
    }
}

/// `first`, and what waits behind it, until there are `most` of what `size` tells, of either; none when nothing came in
/// time.
fn gather<T>(
    first: Result<T, RecvTimeoutError>,
    mut next: impl FnMut() -> Option<T>,
    size: impl Fn(&T) -> (usize, usize),
    most: (usize, usize),
) -> Result<Option<Vec<T>>, End> {
    let first = match first {
        Ok(first) => first,
        Err(RecvTimeoutError::Timeout) => return Ok(None),
        Err(RecvTimeoutError::Disconnected) => return Err(End::Orderly),
    };
    let mut sum = size(&first);
    let mut batch = vec![first];
    while sum.0 < most.0
        && sum.1 < most.1
        && let Some(next) = next()
    {
        let more = size(&next);
        sum = (sum.0 + more.0, sum.1 + more.1);
        batch.push(next);
    }
    Ok(Some(batch))
}

/// Commits until the source ends, then ends the log.
pub(super) fn commit(
    mut committer: Committer,
    mut source: Source,
    deliveries: &Deliveries,
    to_store: &ToStore<Arc<Written>>,
    limits: BatchLimits,
) -> Result<(), String> {
    loop {
        let mut batch = match source.next(limits) {
            Ok(Some(batch)) => batch,
            Ok(None) => {
                committer.idle().map_err(|error| error.to_string())?;
                continue;
            }
            Err(End::Orderly) => return committer.close().map_err(|error| error.to_string()),
            Err(End::Failed(error)) => return Err(error),
        };
        let written = committer.commit(&mut batch).map_err(|error| error.to_string())?;
        deliveries.deliver(batch);
        if let Some(written) = written {
            let bytes = written.bytes();
            to_store.send(written, bytes);
        }
    }
}
