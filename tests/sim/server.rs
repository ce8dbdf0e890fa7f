//! One server process on one thread: the real stages and sessions, with queues between them instead of threads. It lives
//! until it is stopped, or crashes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, atomic::AtomicBool};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use postrider::{
    auth::Verifier,
    broadcast::broadcasters::Broadcasters,
    commit::Committer,
    deliver::Deliverer,
    hub::Hub,
    lookup::Lookup,
    metrics::Metrics,
    notice::Notices,
    outbox::{Farewell, OutboxBounds},
    presence::Presence,
    quota::{Limits as QuotaLimits, Quotas},
    rate::Rates,
    reader::{ReadLimits, Reader},
    schemas::Schemas,
    session::{Effect, Issuer, ReadRequest, Session, Shared, Welcome},
    slot::{Decided, Decider, DeviceRules, MessageRules, Now, Rules, Submission},
    view::View,
};
use postrider_protocol::{
    Reason, Tlvs,
    packet::{DisconnectPacket, Limits, Packet},
    session::server::ServerTimers,
    tag,
};
use postrider_storage::{
    Materialiser, MemoryDisk, OpenError, Opened, Options, Recovery, Retention, SlotState, Store, StoreError, Written,
};

use crate::{chance::Chance, link::Link, oracle::Oracle, report::Verdict};

/// The key of all tokens.
pub const SECRET: &[u8] = b"0123456789abcdefghijklmnopqrstuv";
/// Submissions that may wait for one worker.
const QUEUE: usize = 8;
/// A connection that takes nothing for so long is closed.
const SLOW_AFTER_MS: u64 = 30_000;
/// A connection that is to end has so long for what it is still owed.
const SETTLE_MS: u64 = 5_000;

/// Sizes that a seed chooses.
#[derive(Clone, Debug)]
pub struct Sizes {
    pub workers: usize,
    pub segment_bytes: u64,
    pub checkpoint_bytes: u64,
    pub window_bytes: u64,
    pub retention: Retention,
    pub queue_bytes: usize,
    pub queue_frames: usize,
    pub total_bytes: usize,
    pub page: usize,
    pub user_rate: u32,
}

impl Sizes {
    pub fn of(chance: &mut Chance) -> Self {
        Self {
            workers: 1 + chance.below(3),
            segment_bytes: 1 << *chance.pick(&[14, 15, 18]),
            checkpoint_bytes: 1 << *chance.pick(&[10, 12, 15]),
            window_bytes: 1 << *chance.pick(&[12, 14, 20]),
            queue_bytes: 1 << *chance.pick(&[10, 12, 18]),
            queue_frames: *chance.pick(&[3, 10, 1_000]),
            total_bytes: 1 << *chance.pick(&[11, 24]),
            page: *chance.pick(&[1, 3, 50]),
            user_rate: *chance.pick(&[0, 0, 0, 10]),
            retention: Self::retention(chance),
        }
    }

    fn retention(chance: &mut Chance) -> Retention {
        let max_bytes = *chance.pick(&[0, 0, 1 << 15, 1 << 17]);
        let max_age_ms = *chance.pick(&[0, 0, 20_000, 600_000]);
        Retention { max_age_ms, max_bytes, snapshot_segments: 1 + chance.below(3) as u32 }
    }

    fn welcome(&self, issuer: Issuer) -> Welcome {
        let limits = Limits {
            heartbeat_ms: 30_000,
            dead_ms: 90_000,
            frame_bytes: 131_072,
            body_bytes: 65_536,
            sync_page: self.page as u16,
        };
        let verifier = Verifier::new(Some(SECRET), &[], Duration::from_secs(86_400), Duration::from_secs(60));
        Welcome { verifier, limits, issuer }
    }

    fn options(&self) -> Options {
        Options {
            segment_bytes: self.segment_bytes,
            checkpoint_bytes: self.checkpoint_bytes,
            window_bytes: self.window_bytes,
            cache_bytes: 1 << 20,
            retention: self.retention,
            ..Options::new("memory")
        }
    }
}

/// One connection, driven as `net::drive` does it over a socket.
#[derive(Debug)]
struct Connection {
    session: Session,
    pending: Bytes,
    stalled_since: Option<u64>,
    farewell: Option<(Farewell, u64)>,
    /// What waits for room in the queue of its worker.
    held: VecDeque<(usize, Submission)>,
    is_over: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    connections: BTreeMap<u64, Connection>,
    deciders: Vec<Decider>,
    queues: Vec<VecDeque<Submission>>,
    decided: VecDeque<Decided>,
    committer: Committer,
    deliveries: VecDeque<Vec<Decided>>,
    written: VecDeque<Arc<Written>>,
    deliverer: Deliverer,
    materialiser: Materialiser,
    reads: Vec<ReadRequest>,
    reader: Reader,
    pub store: Arc<Store>,
    pub view: Arc<View>,
    pub rules: Arc<Rules>,
    /// When it started.
    started_ms: u64,
    /// Nothing was committed since, monotonic milliseconds.
    idle_since: u64,
    /// When gathered notices were told last.
    ticked_at: u64,
}

/// A stage that can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Decide(usize),
    Commit,
    Deliver,
    Feed,
    Read,
    Tick,
    Idle,
}

impl Server {
    /// Opens the disk and assembles a server as `postrider serve` does. What was opened comes with it, for the oracle.
    pub fn open(
        disk: &MemoryDisk,
        sizes: &Sizes,
        started_ms: u64,
    ) -> Result<(Self, Vec<SlotState>, Recovery), OpenError> {
        let Opened { log, store, materialiser, slots, report } =
            postrider_storage::open_memory(disk, &sizes.options())?;
        let view = Arc::new(View::new(&slots));
        let hub = Arc::new(Hub::default());
        let bounds = Arc::new(OutboxBounds::new(sizes.queue_bytes, sizes.queue_frames, sizes.total_bytes));
        let metrics = Arc::new(Metrics::new());
        let quotas = Arc::new(Quotas::new(QuotaLimits::default()));
        let rules = Arc::new(Rules {
            max_members: 5,
            messages: MessageRules::default(),
            busy_after_ms: 1_000,
            rates: Rates::new(sizes.user_rate, 20),
            quotas: Arc::clone(&quotas),
            devices: DeviceRules { max: 2, token_ms: 86_460_000 },
            full: AtomicBool::new(false),
            metrics: Arc::clone(&metrics),
        });
        let workers = sizes.workers;
        let lookup = Lookup::new(Arc::clone(&store), Arc::clone(&view));
        let decider = |worker| Decider::new(lookup.clone(), Arc::clone(&rules), &slots, worker, workers);
        let newest_ms = slots.iter().map(|slot| slot.time_ms).max().unwrap_or_default();
        let limits = ReadLimits { page: sizes.page, page_max: 100, window: 1_000, age_ms: 7 * 24 * 3_600_000 };
        let presence = Presence::local(Arc::clone(&hub), 10_000);
        let notices =
            Notices::new(Arc::clone(&hub), Arc::clone(&bounds), lookup.clone(), Arc::clone(&metrics), presence);
        let notices = Arc::new(notices);
        let shared = Arc::new(Shared {
            hub: Arc::clone(&hub),
            view: Arc::clone(&view),
            lookup: lookup.clone(),
            schemas: Schemas::default(),
            quotas: Arc::clone(&quotas),
            bounds: Arc::clone(&bounds),
            workers,
            timers: ServerTimers::default(),
            welcome: sizes.welcome(Issuer::new(newest_ms, report.first_batch)),
            notices: Arc::clone(&notices),
            pace: Arc::default(),
            metrics: Arc::clone(&metrics),
        });
        let told = (Arc::clone(&hub), Arc::clone(&notices), Arc::new(Broadcasters::default()));
        let server = Self {
            deciders: (0..workers).map(decider).collect::<Result<_, StoreError>>()?,
            queues: vec![VecDeque::new(); workers],
            decided: VecDeque::new(),
            committer: Committer::new(log, &slots, Arc::clone(&view), Arc::clone(&metrics)),
            deliveries: VecDeque::new(),
            written: VecDeque::new(),
            deliverer: Deliverer::new(told, bounds, Arc::clone(&metrics)),
            materialiser,
            reads: Vec::new(),
            reader: Reader::new(lookup.clone(), (hub, notices), quotas, limits, metrics),
            connections: BTreeMap::new(),
            shared,
            store,
            view,
            rules,
            started_ms,
            idle_since: 0,
            ticked_at: 0,
        };
        Ok((server, slots, report))
    }

    /// Both clocks of this process.
    pub const fn now(&self, now_ms: u64, wall_ms: u64) -> Now {
        Now { wall_ms, mono_ms: now_ms - self.started_ms }
    }

    /// A connection begins.
    pub fn accept(&mut self, number: u64, now: Now) {
        let session = Session::new(Arc::clone(&self.shared), number, now);
        let connection = Connection {
            session,
            pending: Bytes::new(),
            stalled_since: None,
            farewell: None,
            held: VecDeque::new(),
            is_over: false,
        };
        self.connections.insert(number, connection);
    }

    pub fn connections(&self) -> Vec<u64> {
        self.connections.keys().copied().collect()
    }

    /// Tells every connection that the server stops.
    pub fn say_goodbye(&self) {
        let farewell = Farewell { retry_after_ms: Some(1_000), ..Reason::Shutdown.into() };
        self.shared.hub.close_all(&farewell);
    }

    /// Stops in order; all connections are gone and the stages have nothing to do.
    pub fn close(mut self) -> Result<(), String> {
        self.committer.close().map_err(|error| error.to_string())?;
        self.materialiser.checkpoint().map(|_| ()).map_err(|error| error.to_string())
    }

    /// Frames that wait to be written, over all connections.
    fn waiting(&self) -> usize {
        self.connections.values().map(|connection| connection.session.outbox().waiting()).sum()
    }

    /// When a connection has something to do by itself, monotonic milliseconds.
    pub fn poll_timeout(&self) -> Option<u64> {
        self.connections.values().filter_map(|connection| connection.session.poll_timeout()).min()
    }

    /// The stages that have something to do.
    pub fn ready(&self, now: Now) -> Vec<Stage> {
        let mut ready: Vec<Stage> = (0..self.queues.len())
            .filter(|at| !self.queues[*at].is_empty() || self.deciders[*at].is_due(now.wall_ms))
            .map(Stage::Decide)
            .collect();
        let others = [
            (!self.decided.is_empty(), Stage::Commit),
            (!self.deliveries.is_empty(), Stage::Deliver),
            (!self.written.is_empty(), Stage::Feed),
            (!self.reads.is_empty(), Stage::Read),
            (now.mono_ms >= self.ticked_at + 1_000, Stage::Tick),
            (self.decided.is_empty() && now.mono_ms >= self.idle_since + 100, Stage::Idle),
        ];
        ready.extend(others.into_iter().filter(|(is_ready, _)| *is_ready).map(|(_, stage)| stage));
        ready
    }

    /// Lets a stage do some of what it has. The outer error is a broken invariant, the inner one ends the process.
    pub fn run(
        &mut self,
        stage: Stage,
        now: Now,
        chance: &mut Chance,
        oracle: &mut Oracle,
    ) -> Verdict<Result<(), String>> {
        match stage {
            Stage::Decide(worker) => {
                let some = chance.some_of(self.queues[worker].len());
                let batch = self.queues[worker].drain(..some).collect();
                match self.deciders[worker].decide(now, batch) {
                    Ok(decided) => self.decided.push_back(decided),
                    Err(error) => return Ok(Err(error.to_string())),
                }
            }
            Stage::Commit => {
                let some = chance.some_of(self.decided.len());
                return self.commit(some, now, oracle);
            }
            Stage::Deliver => {
                if let Some(batch) = self.deliveries.pop_front() {
                    batch.iter().for_each(|decided| self.deliverer.deliver(decided));
                }
            }
            Stage::Feed => return self.feed(now, chance, oracle),
            Stage::Read => {
                let request = self.reads.swap_remove(chance.below(self.reads.len()));
                request.run(&self.reader, now);
            }
            Stage::Tick => {
                self.ticked_at = now.mono_ms;
                return Ok(self.shared.notices.tick(now).map_err(|error| error.to_string()));
            }
            Stage::Idle => {
                self.idle_since = now.mono_ms;
                return Ok(self.committer.idle().map_err(|error| error.to_string()));
            }
        }
        Ok(Ok(()))
    }

    fn commit(&mut self, batches: usize, now: Now, oracle: &mut Oracle) -> Verdict<Result<(), String>> {
        let before = self.waiting();
        self.idle_since = now.mono_ms;
        let mut batch: Vec<Decided> = self.decided.drain(..batches).collect();
        match self.committer.commit(&mut batch) {
            Ok(written) => {
                if let Some(written) = written {
                    oracle.committed(&batch)?;
                    self.written.push_back(written);
                    self.deliveries.push_back(batch);
                }
                Ok(Ok(()))
            }
            Err(error) => {
                oracle.failed(self.waiting() - before)?;
                Ok(Err(error.to_string()))
            }
        }
    }

    fn feed(&mut self, now: Now, chance: &mut Chance, oracle: &mut Oracle) -> Verdict<Result<(), String>> {
        if let Some(written) = self.written.pop_front() {
            self.materialiser.feed(written);
        }
        let done = self.fill(now, chance);
        oracle.trim(&self.store)?;
        Ok(done)
    }

    fn fill(&mut self, now: Now, chance: &mut Chance) -> Result<(), String> {
        if self.materialiser.is_due() {
            self.materialiser.hurry(chance.one_in(3));
            self.materialiser.checkpoint().map_err(|error| error.to_string())?;
            self.view.release(|slot| self.store.covered(slot));
        }
        self.materialiser.retain(now.wall_ms).map(|_| ()).map_err(|error| error.to_string())
    }

    /// Lets a connection go on: write, hand over, read, time. Whether anything moved.
    pub fn turn(
        &mut self,
        number: u64,
        now: Now,
        link: &mut Link,
        chance: &mut Chance,
        oracle: &mut Oracle,
    ) -> Verdict<bool> {
        let Some(connection) = self.connections.get_mut(&number) else { return Ok(false) };
        let mut moved = connection.hand_over(&mut self.queues);
        if connection.is_over && connection.held.is_empty() {
            self.connections.remove(&number);
            return Ok(true);
        }
        if connection.is_over || !connection.held.is_empty() {
            return Ok(moved);
        }
        moved |= connection.write(number, now, link, oracle)?;
        let mut effects = Vec::new();
        let wanted_bytes = connection.session.wants_bytes();
        if connection.farewell.is_none() && wanted_bytes {
            let piece = link.read_up(chance);
            if !piece.is_empty() {
                moved = true;
                connection.session.handle_bytes(now, piece);
            } else if link.ends_up() {
                let silent = Farewell { silent: true, ..Reason::Ok.into() };
                connection.farewell = Some((silent, now.mono_ms));
                moved = true;
            }
        }
        if connection.session.poll_timeout().is_some_and(|at| now.mono_ms >= at) {
            effects.extend(connection.session.handle_timeout(now));
        }
        effects.extend(connection.session.advance(now));
        moved |= !wanted_bytes && connection.session.wants_bytes();
        if let Some(last_words) = connection.ending(now.mono_ms, link) {
            effects.extend(connection.session.finish(now));
            link.part(&last_words);
            (connection.is_over, moved) = (true, true);
        }
        for effect in effects {
            moved = true;
            match effect {
                Effect::Submit(worker, submission) => connection.held.push_back((worker, submission)),
                Effect::Read(request) => self.reads.push(request),
            }
        }
        connection.hand_over(&mut self.queues);
        Ok(moved)
    }
}

impl Connection {
    fn write(&mut self, number: u64, now: Now, link: &mut Link, oracle: &mut Oracle) -> Verdict<bool> {
        let mut moved = false;
        loop {
            let taken = link.write_down(&self.pending);
            moved |= taken > 0;
            self.pending.advance(taken);
            if !self.pending.is_empty() {
                if taken > 0 || self.stalled_since.is_none() {
                    self.stalled_since = Some(now.mono_ms);
                }
                return Ok(moved);
            }
            self.stalled_since = None;
            let outbox = self.session.outbox();
            if !outbox.is_ready() || self.farewell.is_some() && outbox.waiting() == 0 {
                return Ok(moved);
            }
            let mut frames = Vec::new();
            if let Some(farewell) = outbox.take(&mut frames) {
                self.farewell.get_or_insert((farewell, now.mono_ms));
            }
            self.pending = frames.into();
            oracle.told(number, &self.pending)?;
            moved = true;
        }
    }

    fn hand_over(&mut self, queues: &mut [VecDeque<Submission>]) -> bool {
        let mut moved = false;
        while let Some((worker, submission)) = self.held.pop_front() {
            if queues[worker].len() >= QUEUE {
                self.held.push_front((worker, submission));
                break;
            }
            queues[worker].push_back(submission);
            moved = true;
        }
        moved
    }

    /// The last frame, empty for none, when the connection is to end now.
    fn ending(&mut self, now_ms: u64, link: &Link) -> Option<Vec<u8>> {
        if link.is_lost() {
            return Some(Vec::new());
        }
        if self.stalled_since.is_some_and(|since| now_ms >= since + SLOW_AFTER_MS) {
            return Some(Vec::new());
        }
        let (farewell, since) = self.farewell.as_ref()?;
        let written = self.pending.is_empty() && self.session.outbox().waiting() == 0;
        let given_up = now_ms >= since + SETTLE_MS;
        if !(written && self.session.is_settled() || given_up) {
            return None;
        }
        let mut frame = Vec::new();
        if written && !farewell.silent {
            let retry_after = farewell.retry_after_ms.map(u32::to_be_bytes);
            let retry_after = retry_after.as_ref().map(|bytes| (tag::RETRY_AFTER_MS, &bytes[..]));
            let tlvs = Tlvs::from_pairs(retry_after);
            Packet::Disconnect(DisconnectPacket { reason: farewell.reason, tlvs }).encode(&mut frame);
        }
        Some(frame)
    }
}
