//! Who is online on this server: user → sessions that receive. Sessions register themselves; the deliverer looks up.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use bytes::Bytes;
use postrider_protocol::{Id, Reason, Tlvs, tag};

use crate::{
    keyed::Keyed,
    outbox::{Farewell, Outbox},
    slot::Origin,
};

const SHARDS: usize = 64;

/// The sessions of each (tenant, user).
#[derive(Debug, Default)]
struct Users {
    /// Those with a device, which receive.
    receiving: Keyed<Vec<Arc<Origin>>>,
    /// Those that only send and call.
    others: Keyed<Vec<Arc<Origin>>>,
}

impl Users {
    /// Those of the kind that `origin` is of.
    fn like(&mut self, origin: &Origin) -> &mut Keyed<Vec<Arc<Origin>>> {
        if origin.device.is_some() { &mut self.receiving } else { &mut self.others }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Hub {
    shards: Vec<RwLock<Users>>,
    /// Platforms of which a user has at most so many devices connected.
    platforms: Vec<(String, usize)>,
    connections: Vec<Mutex<Connections>>,
    /// What everybody is told, once the server stops.
    farewell: OnceLock<Farewell>,
}

/// A share of every connection, the silent and the unauthenticated ones too, by number.
type Connections = BTreeMap<u64, Arc<Outbox>>;

impl Default for Hub {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl Hub {
    /// Nobody is online; of each of `platforms` a user may have so many devices connected at once, at least one.
    #[must_use]
    pub fn new(platforms: Vec<(String, usize)>) -> Self {
        let shards = (0..SHARDS).map(|_| RwLock::default()).collect();
        let connections = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, platforms, connections, farewell: OnceLock::new() }
    }

    /// Which of the limited platforms a device is of by what it tells; none for any other.
    #[must_use]
    pub fn platform(&self, told: &Tlvs) -> Option<u16> {
        let name = told.get_text(tag::PLATFORM)?;
        self.platforms.iter().position(|(platform, _)| platform == name)?.try_into().ok()
    }

    /// Adds a connection, before anything is known of it.
    pub fn enter(&self, number: u64, outbox: &Arc<Outbox>) {
        if let Some(mut connections) = self.connections_with(number) {
            connections.insert(number, Arc::clone(outbox));
        }
        // Looked at afterwards: who ends everybody has said so before it goes through the connections.
        if let Some(farewell) = self.farewell.get() {
            outbox.close(farewell.clone());
        }
    }

    /// Removes a connection.
    pub fn leave(&self, number: u64) {
        if let Some(mut connections) = self.connections_with(number) {
            connections.remove(&number);
        }
    }

    /// Ends every connection, and those that come later. The first farewell stands.
    pub fn close_all(&self, farewell: &Farewell) {
        let farewell = self.farewell.get_or_init(|| farewell.clone());
        for outbox in self.outboxes() {
            outbox.close(farewell.clone());
        }
    }

    /// Adds a session. One with a device receives from now on, and of two sessions of one device the one that was
    /// accepted earlier is closed with `REPLACED`: a CONNECT that was long under way does not end what came after it.
    /// The same goes for the earliest of too many of one platform.
    pub fn register(&self, origin: &Arc<Origin>) {
        let Some(shard) = self.shard(origin.tenant, origin.user.as_bytes()) else { return };
        let mut users = shard.write().unwrap_or_else(PoisonError::into_inner);
        let sessions = users.like(origin).get_or_default(origin.tenant, origin.user.as_bytes());
        let Some(device) = &origin.device else { return sessions.push(Arc::clone(origin)) };
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
        // Nearly every user has one.
        sessions.reserve_exact(1);
        sessions.push(Arc::clone(origin));
        self.limit(sessions, origin.platform);
    }

    /// Closes the earliest of too many sessions of a platform.
    fn limit(&self, sessions: &mut Vec<Arc<Origin>>, platform: Option<u16>) {
        let Some((_, most)) = platform.and_then(|at| self.platforms.get(usize::from(at))) else { return };
        loop {
            let of_it = || sessions.iter().enumerate().filter(|(_, session)| session.platform == platform);
            let Some((earliest, _)) = of_it().min_by_key(|(_, session)| session.session) else { return };
            if of_it().count() <= *most {
                return;
            }
            let detail = Some("another device of this platform connected".to_owned());
            sessions.swap_remove(earliest).outbox.close(Farewell { detail, ..Reason::Replaced.into() });
        }
    }

    /// Ends the sessions of a user that `is_it` says, because their device was removed.
    pub fn remove(&self, tenant: u32, user: &[u8], is_it: impl Fn(&Origin) -> bool) {
        let Some(shard) = self.shard(tenant, user) else { return };
        let users = shard.read().unwrap_or_else(PoisonError::into_inner);
        let all = [&users.receiving, &users.others].into_iter().filter_map(|sessions| sessions.get(tenant, user));
        for session in all.flatten().filter(|session| is_it(session)) {
            session.outbox.close(Reason::DeviceRemoved);
        }
    }

    /// The devices of a user that are connected.
    #[must_use]
    pub fn devices(&self, tenant: u32, user: &[u8]) -> Vec<Id> {
        let Some(shard) = self.shard(tenant, user) else { return Vec::new() };
        let users = shard.read().unwrap_or_else(PoisonError::into_inner);
        let sessions = users.receiving.get(tenant, user).into_iter().flatten();
        sessions.filter_map(|session| session.device.clone()).collect()
    }

    /// Removes a session; later ones of the same device stay.
    pub fn unregister(&self, origin: &Origin) {
        let Some(shard) = self.shard(origin.tenant, origin.user.as_bytes()) else { return };
        let mut users = shard.write().unwrap_or_else(PoisonError::into_inner);
        let users = users.like(origin);
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
        for session in users.receiving.get(tenant, user).into_iter().flatten() {
            if session.session != except {
                each(&session.outbox);
            }
        }
    }

    /// Whether a connection is there.
    #[must_use]
    pub fn has(&self, number: u64) -> bool {
        self.connections_with(number).is_some_and(|connections| connections.contains_key(&number))
    }

    /// The platforms of the user's receiving sessions, ascending, each once; none without a session.
    #[must_use]
    pub fn platforms(&self, tenant: u32, user: &[u8]) -> Option<Vec<Bytes>> {
        let users = self.shard(tenant, user)?.read().unwrap_or_else(PoisonError::into_inner);
        let sessions = users.receiving.get(tenant, user).filter(|sessions| !sessions.is_empty())?;
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
            users.receiving.for_each(|_, _, sessions| sessions.iter().for_each(|session| show(session)));
        }
    }

    /// Frees live queues, the largest first, until `enough` says so: nobody is closed for it.
    pub fn shed(&self, enough: impl Fn() -> bool) {
        let mut outboxes = self.outboxes();
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

    fn connections_with(&self, number: u64) -> Option<MutexGuard<'_, Connections>> {
        let share = self.connections.get(usize::try_from(number).unwrap_or_default() % SHARDS)?;
        Some(share.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn outboxes(&self) -> Vec<Arc<Outbox>> {
        let mut outboxes = Vec::new();
        for share in &self.connections {
            outboxes.extend(share.lock().unwrap_or_else(PoisonError::into_inner).values().cloned());
        }
        outboxes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slot::sample;

    fn session(hub: &Hub, number: u64, device: &str, platform: &str) -> Arc<Origin> {
        let told = Tlvs::from_pairs([(tag::PLATFORM, platform.as_bytes())]);
        let device = (!device.is_empty()).then(|| device.parse().unwrap());
        let origin = sample::origin(number, "alice".parse().unwrap(), device);
        Arc::new(Origin { token_ms: number, platform: hub.platform(&told), ..origin })
    }

    fn ends(session: &Origin) -> Option<Reason> {
        session.outbox.farewell().map(|farewell| farewell.reason)
    }

    #[test]
    fn of_too_many_of_a_platform_the_earliest_goes_in_whatever_order_they_come() {
        let hub = Hub::new(vec![("phone".to_owned(), 2)]);
        let sessions = [(3, "a", "phone"), (4, "b", "phone"), (5, "c", "web"), (2, "d", "phone"), (6, "e", "phone")]
            .map(|(number, device, platform)| session(&hub, number, device, platform));
        sessions.iter().for_each(|session| hub.register(session));
        let ended = sessions.each_ref().map(|session| ends(session));
        assert_eq!(ended, [Some(Reason::Replaced), None, None, Some(Reason::Replaced), None]);
        assert_eq!(hub.devices(0, b"alice").len(), 3);
    }

    #[test]
    fn a_late_connect_of_a_device_does_not_end_what_came_after_it() {
        let hub = Hub::default();
        let (late, early) = (session(&hub, 7, "a", ""), session(&hub, 6, "a", ""));
        hub.register(&late);
        hub.register(&early);
        assert_eq!((ends(&late), ends(&early)), (None, Some(Reason::Replaced)));
    }

    #[test]
    fn removal_ends_who_it_names_also_without_a_device() {
        let hub = Hub::default();
        let sessions = [(1, "a"), (2, ""), (3, "b")].map(|(number, device)| session(&hub, number, device, ""));
        sessions.iter().for_each(|session| hub.register(session));
        hub.remove(1, b"alice", |_| true);
        hub.remove(0, b"bob", |_| true);
        assert!(sessions.iter().all(|session| ends(session).is_none()), "of another tenant or user");
        hub.remove(0, b"alice", |session| session.token_ms <= 2);
        let ended = sessions.each_ref().map(|session| ends(session));
        assert_eq!(ended, [Some(Reason::DeviceRemoved), Some(Reason::DeviceRemoved), None]);
        sessions.iter().for_each(|session| hub.unregister(session));
        assert!(hub.devices(0, b"alice").is_empty());
    }
}
