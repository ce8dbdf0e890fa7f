//! Presence that several servers share in Redis: a key for each session that lives 90 s and is renewed by heartbeats of
//! its server, an index of the sessions of each user, and when each user went last. Only the server of a session touches
//! its key, so that the end of an old connection never ends a new one.
//!
//! Redis may be slow, gone or empty. Then presence is unknown, never offline, and nothing but presence waits for it: one
//! task talks to it, with a deadline for every exchange. An empty Redis is known by the missing key `postrider/known`;
//! who finds it missing, or was cut off, makes it and `postrider/settling`, a key that goes away after a while. While
//! that is there every server writes all its sessions again, and the absence of a user means nothing.

mod keeper;
mod store;

use std::collections::BTreeMap;
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use postrider_protocol::Id;
use tokio::sync::{Notify, mpsc};

pub use self::keeper::Keeper;
use super::{Ask, Status, subscribers::Subscribers};
use crate::{
    config,
    health::Health,
    hub::Hub,
    metrics::Metrics,
    slot::{Now, Origin},
};

/// PRESENCEs that may wait for Redis; more are answered `unknown`.
const ASKS: usize = 1_024;
/// Changes that may wait for Redis; with more, all sessions are written again.
const CHANGES: usize = 100_000;

/// A session as it stands in Redis.
#[derive(Clone, Debug)]
struct Entry {
    tenant: u32,
    user: Id,
    session: u64,
    runs_on: Bytes,
}

impl Entry {
    fn of(origin: &Origin) -> Self {
        let (tenant, session) = (origin.tenant, origin.session);
        Self { tenant, user: origin.user.clone(), session, runs_on: origin.runs_on.clone() }
    }
}

/// What is to be written: by session, so that of a session that came and went only the last is.
#[derive(Debug, Default)]
struct Changes {
    /// When it went, since 1970; none for one that came.
    sessions: BTreeMap<u64, (Entry, Option<u64>)>,
    /// There were too many to keep.
    is_over: bool,
}

/// What sessions and the keeper share.
#[derive(Debug, Default)]
struct Desk {
    changes: Mutex<Changes>,
    wake: Notify,
    is_up: AtomicBool,
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, entry: Entry, went_ms: Option<u64>) {
        {
            let mut changes = self.lock();
            if changes.sessions.len() >= CHANGES {
                changes.sessions.clear();
                changes.is_over = true;
            }
            changes.sessions.insert(entry.session, (entry, went_ms));
        }
        self.wake.notify_one();
    }
}

/// The sessions' end.
#[derive(Debug)]
pub struct Redis {
    desk: Arc<Desk>,
    asks: mpsc::Sender<Ask>,
}

impl Redis {
    /// Both ends over the Redis at `url`.
    ///
    /// # Errors
    /// When the address is none, or a file that is named beside it cannot be used.
    pub(super) fn new(
        config: &config::Redis,
        grace_ms: u64,
        hub: Arc<Hub>,
        subscribers: Arc<Subscribers>,
        metrics: Arc<Metrics>,
        health: Arc<Health>,
    ) -> Result<(Self, Keeper), String> {
        let desk = Arc::new(Desk::default());
        let (asks, waiting) = mpsc::channel(ASKS);
        let store = store::Store::new(config, grace_ms)?;
        let keeper = Keeper::new(store, Arc::clone(&desk), waiting, hub, subscribers, metrics, health);
        Ok((Self { desk, asks }, keeper))
    }

    pub(super) fn come(&self, origin: &Origin) {
        self.desk.put(Entry::of(origin), None);
    }

    pub(super) fn go(&self, origin: &Origin, now: Now) {
        self.desk.put(Entry::of(origin), Some(now.wall_ms));
    }

    /// Answers once Redis has; at once when it cannot.
    pub(super) fn ask(&self, ask: Ask) {
        let unknown = |ask: &Ask| ask.send(&ask.answer(|_| Status::default()));
        if !self.desk.is_up.load(Ordering::Acquire) {
            return unknown(&ask);
        }
        if let Err(mpsc::error::TrySendError::Full(ask) | mpsc::error::TrySendError::Closed(ask)) =
            self.asks.try_send(ask)
        {
            unknown(&ask);
        }
    }
}
