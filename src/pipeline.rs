//! The threads behind the sessions: decide, commit, deliver, materialise. Each is a thin loop around a stage that knows
//! no thread: drain a bounded queue, do the batch, hand it on. Sessions may wait for these; these never wait for
//! sessions. A stage that fails or panics ends the process: what it had in hand was told to nobody.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{
    Arc, Condvar, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
    mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use postrider_storage::{Materialiser, Store, StoreError, Written};
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::mpsc;

use crate::{
    clock::Clock,
    commit::Committer,
    deliver::Deliverer,
    metrics::Metrics,
    slot::{Decided, Decider, Rules, Submission},
    view::View,
};

/// Batches that may wait between two stages.
const STAGE_QUEUE: usize = 16;
/// A batch that takes no more outboxes than this is delivered by the thread that committed it.
const NEAR: usize = 4_096;
/// Bytes of entries that may wait for the store: what is committed while a checkpoint is under way. Beyond it, commits
/// wait for the checkpoint.
const STORE_BYTES: usize = 64 << 20;
/// And so many batches.
const STORE_BATCHES: usize = 16_384;
/// A worker hands on what it has decided after so many commands.
const DECIDE_COMMANDS: usize = 4_096;
/// Or after so many bytes of bodies.
const DECIDE_BYTES: usize = 1 << 20;
/// Without work for so long the last batch is vouched for.
const IDLE: Duration = Duration::from_millis(100);
/// How often free space is looked at.
const SPACE_EVERY: Duration = Duration::from_secs(1);

/// Bounds of one commit.
#[derive(Clone, Copy, Debug)]
pub struct BatchLimits {
    /// Most entries.
    pub entries: usize,
    /// Most bytes.
    pub bytes: usize,
}

/// Everything that the threads work on.
#[derive(Debug)]
pub struct Stages {
    /// One for each worker.
    pub deciders: Vec<Decider>,
    /// The one writer of the log.
    pub committer: Committer,
    /// Log to sessions.
    pub deliverer: Deliverer,
    /// Log to store.
    pub materialiser: Materialiser,
    /// What readers see.
    pub view: Arc<View>,
    /// What it covers is let go of.
    pub store: Arc<Store>,
    /// Told when space is short.
    pub rules: Arc<Rules>,
    /// Gauges of the queues.
    pub metrics: Arc<Metrics>,
    /// Time for the deciders.
    pub clock: Clock,
    /// Submissions that may wait for one worker.
    pub queue: usize,
    /// Bounds of one commit.
    pub limits: BatchLimits,
    /// With less free space than this and twice the pending checkpoint, nothing is stored.
    pub reserve_bytes: u64,
}

/// The running threads.
#[derive(Debug)]
pub struct Pipeline {
    threads: Vec<JoinHandle<()>>,
}

impl Stages {
    /// Starts the threads; returns a queue for each worker. They end, the log closed and the store filled, once every
    /// clone of every queue is dropped.
    #[must_use]
    pub fn start(self) -> (Vec<mpsc::Sender<Submission>>, Pipeline) {
        let (to_commit, from_deciders) = sync_channel(STAGE_QUEUE);
        let (deliveries, from_commit) = Deliveries::new(self.deliverer);
        let (to_store, from_log) = backlog(STORE_BYTES);
        let mut threads = Vec::new();
        let mut queues = Vec::new();
        for (number, decider) in self.deciders.into_iter().enumerate() {
            let (queue, submissions) = mpsc::channel(self.queue);
            queues.push(queue);
            let (to_commit, clock) = (to_commit.clone(), self.clock);
            let gauge = self.metrics.queue("decide");
            threads.push(spawn(format!("decide-{number}"), move || {
                decide(decider, submissions, &to_commit, clock, &gauge)
            }));
        }
        drop(to_commit);
        let (committer, limits) = (self.committer, self.limits);
        threads.push(spawn("commit".to_owned(), move || {
            commit(committer, &from_deciders, &deliveries, &to_store, limits)
        }));
        threads.push(spawn("deliver".to_owned(), move || {
            from_commit.run();
            Ok(())
        }));
        let filler = Filler {
            materialiser: self.materialiser,
            store: self.store,
            view: self.view,
            rules: self.rules,
            metrics: self.metrics,
            clock: self.clock,
            reserve_bytes: self.reserve_bytes,
        };
        threads.push(spawn("materialise".to_owned(), move || filler.run(&from_log)));
        (queues, Pipeline { threads })
    }
}

impl Pipeline {
    /// Waits for the threads to end. Blocks.
    pub fn join(self) {
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

fn spawn(name: String, run: impl FnOnce() -> Result<(), String> + Send + 'static) -> JoinHandle<()> {
    let guarded = {
        let name = name.clone();
        move || {
            let failure = match catch_unwind(AssertUnwindSafe(run)) {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error,
                Err(_) => "panicked".to_owned(),
            };
            tracing::error!(stage = name, error = failure, "a stage failed: the process ends");
            std::process::exit(1);
        }
    };
    let started = std::thread::Builder::new().name(name.clone()).spawn(guarded);
    started.unwrap_or_else(|error| {
        tracing::error!(stage = name, %error, "no thread for a stage: the process ends");
        std::process::exit(1);
    })
}

fn decide(
    mut decider: Decider,
    mut submissions: mpsc::Receiver<Submission>,
    to_commit: &SyncSender<Decided>,
    clock: Clock,
    gauge: &Gauge,
) -> Result<(), String> {
    while let Some(first) = submissions.blocking_recv() {
        let mut size = first.size();
        let mut batch = vec![first];
        while size.0 < DECIDE_COMMANDS
            && size.1 < DECIDE_BYTES
            && let Ok(next) = submissions.try_recv()
        {
            let more = next.size();
            size = (size.0 + more.0, size.1 + more.1);
            batch.push(next);
        }
        gauge.set(i64::try_from(submissions.len()).unwrap_or(i64::MAX));
        let decided = decider.decide(clock.now(), batch).map_err(|error| error.to_string())?;
        if to_commit.send(decided).is_err() {
            break;
        }
    }
    Ok(())
}

fn commit(
    mut committer: Committer,
    from_deciders: &Receiver<Decided>,
    deliveries: &Deliveries,
    to_store: &ToStore<Arc<Written>>,
    limits: BatchLimits,
) -> Result<(), String> {
    loop {
        let first = match from_deciders.recv_timeout(IDLE) {
            Ok(first) => first,
            Err(RecvTimeoutError::Timeout) => {
                committer.idle().map_err(|error| error.to_string())?;
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return committer.close().map_err(|error| error.to_string()),
        };
        let mut size = size_of(&first);
        let mut batch = vec![first];
        while size.0 < limits.entries
            && size.1 < limits.bytes
            && let Ok(next) = from_deciders.try_recv()
        {
            let more = size_of(&next);
            size = (size.0 + more.0, size.1 + more.1);
            batch.push(next);
        }
        let written = committer.commit(&mut batch).map_err(|error| error.to_string())?;
        deliveries.deliver(batch);
        if let Some(written) = written {
            let bytes = written.bytes();
            to_store.send(written, bytes);
        }
    }
}

/// What was committed, on its way to the outboxes: where it was committed while it reaches few, which saves the way to
/// another thread; by a thread of its own while it reaches many, so that commits do not wait for it.
struct Deliveries {
    deliverer: Arc<Deliverer>,
    queue: SyncSender<Vec<Decided>>,
    /// Batches that the other thread has not done: order is kept by going the same way as those before.
    waiting: Arc<AtomicUsize>,
}

/// The other thread's end.
struct FromCommit {
    deliverer: Arc<Deliverer>,
    queue: Receiver<Vec<Decided>>,
    waiting: Arc<AtomicUsize>,
}

impl Deliveries {
    fn new(deliverer: Deliverer) -> (Self, FromCommit) {
        let (deliverer, waiting) = (Arc::new(deliverer), Arc::new(AtomicUsize::new(0)));
        let (to, from) = sync_channel(STAGE_QUEUE);
        let other = FromCommit { deliverer: Arc::clone(&deliverer), queue: from, waiting: Arc::clone(&waiting) };
        (Self { deliverer, queue: to, waiting }, other)
    }

    fn deliver(&self, batch: Vec<Decided>) {
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
    fn run(self) {
        for batch in self.queue {
            batch.iter().for_each(|decided| self.deliverer.deliver(decided));
            self.waiting.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

fn size_of(decided: &Decided) -> (usize, usize) {
    (decided.accepted.len(), decided.frames.len())
}

/// Bytes that wait, and who waits for there to be fewer.
#[derive(Debug, Default)]
struct Backlog {
    bytes: Mutex<usize>,
    fewer: Condvar,
}

/// The committer's end of the queue to the store: bounded by bytes, for batches are small or large as the load is.
#[derive(Debug)]
struct ToStore<T> {
    queue: SyncSender<(T, usize)>,
    backlog: Arc<Backlog>,
    most: usize,
}

/// The store's end.
#[derive(Debug)]
struct FromLog<T> {
    queue: Receiver<(T, usize)>,
    backlog: Arc<Backlog>,
}

fn backlog<T>(most: usize) -> (ToStore<T>, FromLog<T>) {
    let (to, from) = sync_channel(STORE_BATCHES);
    let backlog = Arc::new(Backlog::default());
    (ToStore { queue: to, backlog: Arc::clone(&backlog), most }, FromLog { queue: from, backlog })
}

impl<T> ToStore<T> {
    /// Waits while too much waits already; a batch of any size goes when nothing does.
    fn send(&self, batch: T, bytes: usize) {
        let waiting = self.backlog.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = |waiting: &mut usize| *waiting > 0 && *waiting + bytes > self.most;
        let mut waiting = self.backlog.fewer.wait_while(waiting, is_full).unwrap_or_else(PoisonError::into_inner);
        if self.queue.send((batch, bytes)).is_ok() {
            *waiting += bytes;
        }
    }
}

impl<T> FromLog<T> {
    fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        let (batch, bytes) = self.queue.recv_timeout(timeout)?;
        *self.backlog.bytes.lock().unwrap_or_else(PoisonError::into_inner) -= bytes;
        self.backlog.fewer.notify_one();
        Ok(batch)
    }
}

/// The materialiser's thread.
struct Filler {
    materialiser: Materialiser,
    store: Arc<Store>,
    view: Arc<View>,
    rules: Arc<Rules>,
    metrics: Arc<Metrics>,
    clock: Clock,
    reserve_bytes: u64,
}

impl Filler {
    fn run(mut self, from_log: &FromLog<Arc<Written>>) -> Result<(), String> {
        loop {
            match from_log.recv_timeout(SPACE_EVERY) {
                Ok(written) => self.materialiser.feed(written),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.look_at_space();
            if self.materialiser.is_due() && !self.rules.full.load(Ordering::Relaxed) {
                self.checkpoint()?;
            }
            self.retain()?;
        }
        self.checkpoint()
    }

    fn checkpoint(&mut self) -> Result<(), String> {
        let start = Instant::now();
        match self.materialiser.checkpoint() {
            // Nothing has changed; it is tried again when there is space.
            Err(StoreError::Full) => return Ok(()),
            done => done.map_err(|error| error.to_string())?,
        };
        self.metrics.checkpoint_duration.observe(start.elapsed().as_secs_f64());
        self.view.release(|slot| self.store.covered(slot));
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
    fn a_batch_above_the_bound_goes_when_nothing_waits() {
        let (to, from) = backlog(10);
        to.send((), 1_000);
        from.recv_timeout(Duration::ZERO).unwrap();
        to.send((), 1_000);
    }
}
