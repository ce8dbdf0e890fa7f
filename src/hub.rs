//! Who is online on this server: user → sessions that receive. Sessions register themselves; the deliverer looks up.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use postrider_protocol::Reason;

use crate::{
    keyed::Keyed,
    outbox::{Farewell, Outbox},
    slot::Origin,
};

const SHARDS: usize = 64;

/// The receiving sessions of each (tenant, user).
type Users = Keyed<Vec<Arc<Origin>>>;

/// See the module.
#[derive(Debug)]
pub struct Hub {
    shards: Vec<RwLock<Users>>,
    connections: Mutex<Connections>,
}

/// Every connection, the silent and the unauthenticated ones too.
#[derive(Debug, Default)]
struct Connections {
    outboxes: BTreeMap<u64, Arc<Outbox>>,
    /// What everybody is told, once the server stops.
    farewell: Option<Farewell>,
}

impl Default for Hub {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| RwLock::default()).collect(), connections: Mutex::default() }
    }
}

impl Hub {
    /// Adds a connection, before anything is known of it.
    pub fn enter(&self, number: u64, outbox: &Arc<Outbox>) {
        let mut connections = self.lock();
        connections.outboxes.insert(number, Arc::clone(outbox));
        if let Some(farewell) = &connections.farewell {
            outbox.close(farewell.clone());
        }
    }

    /// Removes a connection.
    pub fn leave(&self, number: u64) {
        self.lock().outboxes.remove(&number);
    }

    /// Ends every connection, and those that come later.
    pub fn close_all(&self, farewell: &Farewell) {
        let mut connections = self.lock();
        connections.farewell = Some(farewell.clone());
        for outbox in connections.outboxes.values() {
            outbox.close(farewell.clone());
        }
    }

    /// Adds a session. One with a device receives from now on, and of two sessions of one device the one that was
    /// accepted earlier is closed with `REPLACED`: a CONNECT that was long under way does not end what came after it.
    pub fn register(&self, origin: &Arc<Origin>) {
        let Some(device) = &origin.device else { return };
        let Some(shard) = self.shard(origin.tenant, origin.user.as_bytes()) else { return };
        let mut users = shard.write().unwrap_or_else(PoisonError::into_inner);
        let sessions = users.get_or_default(origin.tenant, origin.user.as_bytes());
        let is_late = |other: &Arc<Origin>| other.device.as_ref() == Some(device) && other.session > origin.session;
        if sessions.iter().any(is_late) {
            return origin.outbox.close(Reason::Replaced);
        }
        sessions.retain(|earlier| {
            let replaced = earlier.device.as_ref() == Some(device);
            if replaced {
                earlier.outbox.close(Reason::Replaced);
            }
            !replaced
        });
        sessions.push(Arc::clone(origin));
    }

    /// Removes a session; later ones of the same device stay.
    pub fn unregister(&self, origin: &Origin) {
        let Some(shard) = self.shard(origin.tenant, origin.user.as_bytes()) else { return };
        let mut users = shard.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(sessions) = users.get_mut(origin.tenant, origin.user.as_bytes()) {
            sessions.retain(|session| session.session != origin.session);
            if sessions.is_empty() {
                users.remove(origin.tenant, origin.user.as_bytes());
            }
        }
    }

    /// Calls `each` with the outbox of every receiving session of the user, except `except`.
    pub fn for_each(&self, tenant: u32, user: &[u8], except: u64, mut each: impl FnMut(&Outbox)) {
        let Some(shard) = self.shard(tenant, user) else { return };
        let users = shard.read().unwrap_or_else(PoisonError::into_inner);
        for session in users.get(tenant, user).into_iter().flatten() {
            if session.session != except {
                each(&session.outbox);
            }
        }
    }

    /// Whether a connection is there.
    #[must_use]
    pub fn has(&self, number: u64) -> bool {
        self.lock().outboxes.contains_key(&number)
    }

    /// The platforms of the user's receiving sessions, ascending, each once; none without a session.
    #[must_use]
    pub fn platforms(&self, tenant: u32, user: &[u8]) -> Option<Vec<Bytes>> {
        let users = self.shard(tenant, user)?.read().unwrap_or_else(PoisonError::into_inner);
        let sessions = users.get(tenant, user).filter(|sessions| !sessions.is_empty())?;
        let mut platforms: Vec<Bytes> = sessions.iter().map(|session| session.runs_on.clone()).collect();
        platforms.retain(|platform| !platform.is_empty());
        platforms.sort_unstable();
        platforms.dedup();
        Some(platforms)
    }

    /// Shows every receiving session, a shard at a time, in no particular order.
    pub fn each_session(&self, mut show: impl FnMut(&Origin)) {
        for shard in &self.shards {
            let users = shard.read().unwrap_or_else(PoisonError::into_inner);
            users.each(|_, sessions| sessions.iter().for_each(|session| show(session)));
        }
    }

    /// Frees live queues, the largest first, until `enough` says so: nobody is closed for it.
    pub fn shed(&self, enough: impl Fn() -> bool) {
        let mut outboxes: Vec<Arc<Outbox>> = self.lock().outboxes.values().cloned().collect();
        outboxes.sort_by_cached_key(|outbox| std::cmp::Reverse(outbox.waiting_live()));
        for outbox in outboxes {
            if enough() || outbox.drop_live() == 0 {
                break;
            }
        }
    }

    fn shard(&self, tenant: u32, user: &[u8]) -> Option<&RwLock<Users>> {
        let hash = crc32fast::hash(user) ^ tenant;
        self.shards.get(hash as usize % SHARDS)
    }

    fn lock(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
