//! The threads behind the sessions: decide, commit, deliver, materialise. Each is a thin loop around a stage that knows
//! no thread: drain a bounded queue, do the batch, hand it on. Sessions may wait for these; these never wait for
//! sessions. A stage that fails or panics ends the process: what it had in hand was told to nobody.

mod backlog;
mod deliveries;
mod filler;
mod inbox;
mod work;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc::sync_channel};
use std::thread::JoinHandle;

use postrider_storage::{Materialiser, Store};

use self::{
    backlog::backlog,
    deliveries::Deliveries,
    filler::Filler,
    inbox::inbox,
    work::{Source, Worker, commit},
};
use crate::{
    clock::Clock,
    commit::Committer,
    deliver::Deliverer,
    metrics::Metrics,
    slot::{Decider, Rules},
    view::View,
};

pub use inbox::Inbox;

/// Batches that may wait between two stages.
const STAGE_QUEUE: usize = 16;
/// Bytes of entries that may wait for the store.
const STORE_BYTES: usize = 64 << 20;

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
    /// What is to be erased on disk waits no longer than this, milliseconds.
    pub erase_within_ms: u64,
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
    pub fn start(self) -> (Vec<Inbox>, Pipeline) {
        let (deliveries, from_commit) = Deliveries::new(self.deliverer);
        let (to_store, from_log) = backlog(STORE_BYTES);
        let mut queues = Vec::new();
        let mut workers = Vec::new();
        for decider in self.deciders {
            let (queue, submissions) = inbox(self.queue);
            queues.push(queue);
            workers.push(Worker { decider, submissions, clock: self.clock, gauge: self.metrics.queue("decide") });
        }
        let limits = self.limits;
        let mut threads = Vec::new();
        let source = if let [_] = workers.as_slice()
            && let Some(worker) = workers.pop()
        {
            Source::Here(Box::new(worker))
        } else {
            let (to_commit, from_deciders) = sync_channel(STAGE_QUEUE);
            for (number, worker) in workers.into_iter().enumerate() {
                let to_commit = to_commit.clone();
                threads.push(spawn(format!("decide-{number}"), move || worker.run(&to_commit, limits)));
            }
            Source::Threads(from_deciders)
        };
        let committer = self.committer;
        threads.push(spawn("commit".to_owned(), move || commit(committer, source, &deliveries, &to_store, limits)));
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
            erase_within_ms: self.erase_within_ms,
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
