//! The one task that talks to Redis: writes who came and went, renews who is there, answers PRESENCE, and looks every
//! two seconds at those who are watched.

use std::collections::BTreeSet;
use std::sync::{Arc, atomic::Ordering};
use std::time::{Duration, Instant, SystemTime};

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    Ask, Desk, Entry, Status, Subscribers,
    store::{CHUNK, Lost, Store},
};
use crate::{
    health::{Health, State},
    hub::Hub,
    metrics::Metrics,
    outbox::{Frames, Outbox},
    presence::subscribers::Of,
};

/// How often those who are watched are looked at, and Redis is tried again.
const POLL: Duration = Duration::from_secs(2);
/// How often all sessions are renewed: three times in their life.
const RENEW: Duration = Duration::from_secs(30);
/// What comes within this is written together.
const GATHER: Duration = Duration::from_millis(50);
/// PRESENCEs that are answered together.
const ASKS: usize = 64;

/// See the module.
#[derive(Debug)]
pub struct Keeper {
    store: Store,
    desk: Arc<Desk>,
    asks: mpsc::Receiver<Ask>,
    hub: Arc<Hub>,
    subscribers: Arc<Subscribers>,
    metrics: Arc<Metrics>,
    /// What waits for Redis.
    queue: Gauge,
    health: Arc<Health>,
    /// The mark that Redis had when all sessions were written last.
    mark: Option<String>,
    renewed: Option<Instant>,
    is_settling: bool,
    /// Out of reach since the last that worked.
    was_lost: bool,
}

impl Keeper {
    pub(super) fn new(
        store: Store,
        desk: Arc<Desk>,
        asks: mpsc::Receiver<Ask>,
        hub: Arc<Hub>,
        subscribers: Arc<Subscribers>,
        metrics: Arc<Metrics>,
        health: Arc<Health>,
    ) -> Self {
        health.set("presence", State::Degraded("not connected yet".to_owned()));
        let (mark, renewed, is_settling, was_lost) = (None, None, true, false);
        let queue = metrics.queue("presence");
        Self { store, desk, asks, hub, subscribers, metrics, queue, health, mark, renewed, is_settling, was_lost }
    }

    /// Keeps presence until `stop`, and writes who went until then.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let desk = Arc::clone(&self.desk);
        loop {
            let done = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = poll.tick() => self.poll().await,
                Some(ask) = self.asks.recv() => self.answer(ask).await,
                () = desk.wake.notified(), if self.is_up() => {
                    tokio::time::sleep(GATHER).await;
                    self.write_changes().await
                }
            };
            if let Err(Lost(why)) = done {
                self.lose(&why);
            }
        }
        if self.is_up() {
            // Those who are left go by themselves when their keys end.
            let _ = self.write_changes().await;
        }
    }

    fn is_up(&self) -> bool {
        self.desk.is_up.load(Ordering::Acquire)
    }

    /// Redis is out of reach: nothing is known.
    fn lose(&mut self, why: &str) {
        let is_news = !std::mem::replace(&mut self.was_lost, true);
        self.desk.is_up.store(false, Ordering::Release);
        self.metrics.presence_up.set(0);
        self.health.set("presence", State::Degraded(format!("Redis: {why}")));
        if is_news {
            tracing::warn!(why, "presence is unknown: Redis is out of reach");
        }
        let unknown = self.subscribers.watched().into_iter().map(|user| (user, Status::default()));
        self.tell(unknown.collect());
        while let Ok(ask) = self.asks.try_recv() {
            ask.send(&ask.answer(|_| Status::default()));
        }
    }

    async fn poll(&mut self) -> Result<(), Lost> {
        let waiting = self.asks.len() + self.desk.lock().sessions.len();
        self.queue.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        let mut known = self.store.known().await?;
        if known.mark.is_none() || self.was_lost {
            self.store.settle().await?;
            known = self.store.known().await?;
        }
        let is_new = self.was_lost || known.mark != self.mark;
        if is_new || self.renewed.is_none_or(|at| at.elapsed() >= RENEW) {
            self.write_all().await?;
            self.mark = known.mark;
        }
        self.is_settling = known.is_settling;
        self.was_lost = false;
        if !self.desk.is_up.swap(true, Ordering::AcqRel) {
            tracing::info!("presence is kept in Redis");
        }
        self.metrics.presence_up.set(1);
        self.health.set("presence", State::Ready);
        self.write_changes().await?;
        self.look().await
    }

    /// Writes every session that is there.
    async fn write_all(&mut self) -> Result<(), Lost> {
        {
            let mut changes = self.desk.lock();
            changes.is_over = false;
            changes.sessions.retain(|_, (_, went_ms)| went_ms.is_some());
        }
        let mut entries = Vec::new();
        self.hub.each_session(|origin| entries.push((Entry::of(origin), None)));
        self.store.write(&entries, now_ms()).await?;
        self.renewed = Some(Instant::now());
        Ok(())
    }

    /// Writes who came and went.
    async fn write_changes(&mut self) -> Result<(), Lost> {
        let changes = std::mem::take(&mut *self.desk.lock());
        if changes.is_over {
            self.write_all().await?;
        }
        let entries: Vec<_> = changes.sessions.into_values().collect();
        self.store.write(&entries, now_ms()).await
    }

    /// Looks at all who are watched, and tells what changed.
    async fn look(&mut self) -> Result<(), Lost> {
        for some in self.subscribers.watched().chunks(CHUNK) {
            let read = self.store.read(some, self.is_settling).await?;
            self.tell(read.into_iter().collect());
            if let Ok(ask) = self.asks.try_recv() {
                self.answer(ask).await?;
            }
        }
        Ok(())
    }

    /// Answers a PRESENCE, and those that wait behind it.
    async fn answer(&mut self, first: Ask) -> Result<(), Lost> {
        let mut asks = vec![first];
        while asks.len() < ASKS
            && let Ok(ask) = self.asks.try_recv()
        {
            asks.push(ask);
        }
        let of = |ask: &Ask| -> Vec<Of> {
            let known = ask.users.iter().filter(|(_, may)| *may);
            known.map(|(user, _)| (ask.origin.tenant, user.clone())).collect()
        };
        let users: BTreeSet<Of> = asks.iter().flat_map(of).collect();
        let users: Vec<Of> = users.into_iter().collect();
        let (mut read, mut lost) = (std::collections::BTreeMap::new(), None);
        for some in users.chunks(CHUNK) {
            match self.store.read(some, self.is_settling).await {
                Ok(some) => read.extend(some),
                Err(error) => {
                    lost = Some(error);
                    break;
                }
            }
        }
        for ask in asks {
            let tenant = ask.origin.tenant;
            let answer = ask.answer(|user| {
                let status = read.get(&(tenant, user.clone())).cloned().unwrap_or_default();
                self.subscribers.answered(tenant, user, &status, true);
                status
            });
            ask.send(&answer);
        }
        lost.map_or(Ok(()), Err)
    }

    fn tell(&self, users: Vec<(Of, Status)>) {
        self.subscribers.tell(users, |outbox: &Outbox, frame: &[u8]| {
            let taken = outbox.push_live(Frames { bytes: frame, count: 1 });
            let counter = if taken == 1 { &self.metrics.notices } else { &self.metrics.notices_dropped };
            counter.inc();
        });
    }
}

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
