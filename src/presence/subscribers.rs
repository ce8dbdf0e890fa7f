//! Who is told of whom. Per user what was told last, so that only what changed is told, gathered into one notice for
//! each session.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use postrider_protocol::{
    CALL_IDS, Id, PRESENCE_WATCHED, Tlvs,
    packet::{
        Packet,
        notice::Told,
        presence::{Presence, PresenceState},
    },
};

use super::Status;
use crate::{hub::Hub, outbox::Outbox, slot::Origin};

/// Most subscriptions of all sessions of a server together.
const ALL_WATCHED: usize = 1 << 20;

/// A user, by tenant and id.
pub(super) type Of = (u32, Id);

/// See the module.
#[derive(Debug)]
pub struct Subscribers {
    hub: Arc<Hub>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    users: BTreeMap<Of, Watched>,
    /// By number of the connection.
    sessions: BTreeMap<u64, Watching>,
    /// Users to look at at the next tick.
    changed: BTreeSet<Of>,
    /// Subscriptions of all sessions.
    count: usize,
}

/// A user whom somebody watches.
#[derive(Debug, Default)]
struct Watched {
    by: Vec<Arc<Origin>>,
    /// What was told last; not told to all when none.
    told: Option<Status>,
}

/// A session that watches somebody.
#[derive(Debug)]
struct Watching {
    origin: Arc<Origin>,
    users: BTreeSet<Id>,
}

/// What each session is to be told, by number of its connection.
#[derive(Debug, Default)]
struct News(BTreeMap<u64, (Arc<Origin>, Vec<Presence>)>);

impl News {
    fn add(&mut self, origin: &Arc<Origin>, user: &Id, status: &Status) {
        let (_, list) = self.0.entry(origin.session).or_insert_with(|| (Arc::clone(origin), Vec::new()));
        list.push(status.of(user));
    }

    fn push(self, mut push: impl FnMut(&Outbox, &[u8])) {
        for (origin, list) in self.0.into_values() {
            for some in list.chunks(CALL_IDS) {
                let mut frame = Vec::new();
                Packet::Notice(Told::Presence(some.to_vec()).packet(Tlvs::new())).encode(&mut frame);
                push(&origin.outbox, &frame);
            }
        }
    }
}

impl Subscribers {
    pub(super) fn new(hub: Arc<Hub>) -> Self {
        Self { hub, state: Mutex::default() }
    }

    /// The session is told of these users too from now on. False, and nothing changed, when they are too many.
    pub(super) fn subscribe<'a>(&self, origin: &Arc<Origin>, users: impl Iterator<Item = &'a Id>) -> bool {
        let mut state = self.lock();
        let known = state.sessions.get(&origin.session).map(|watching| &watching.users);
        let new: Vec<Id> =
            users.filter(|user| known.is_none_or(|known| !known.contains(*user))).map(Id::detached).collect();
        let before = known.map_or(0, BTreeSet::len);
        if before + new.len() > PRESENCE_WATCHED || state.count + new.len() > ALL_WATCHED {
            return false;
        }
        // A session that is over is told nothing, and nobody would take its subscriptions back.
        if new.is_empty() || !self.hub.has(origin.session) {
            return true;
        }
        state.count += new.len();
        for user in &new {
            let watched = state.users.entry((origin.tenant, user.clone())).or_default();
            watched.by.push(Arc::clone(origin));
        }
        let watching = || Watching { origin: Arc::clone(origin), users: BTreeSet::new() };
        state.sessions.entry(origin.session).or_insert_with(watching).users.extend(new);
        true
    }

    /// The session is told of nobody any more.
    pub(super) fn leave(&self, session: u64) {
        let mut state = self.lock();
        let Some(Watching { origin, users }) = state.sessions.remove(&session) else { return };
        for user in users {
            state.forget(&(origin.tenant, user), session);
        }
    }

    /// Whoever asked was answered this: it is told again at the next tick if it is not what the others know, or will
    /// change by itself.
    pub(super) fn answered(&self, tenant: u32, user: &Id, status: &Status, is_settled: bool) {
        let mut state = self.lock();
        let key = (tenant, user.clone());
        let Some(watched) = state.users.get_mut(&key) else { return };
        let is_new = watched.by.len() == 1 && watched.told.is_none();
        if is_new {
            watched.told = Some(status.clone());
        } else if watched.told.as_ref() != Some(status) {
            watched.told = None;
        }
        if !is_settled || watched.told.is_none() {
            state.changed.insert(key);
        }
    }

    /// Something happened to a user.
    pub(super) fn look_at(&self, tenant: u32, user: &Id) {
        let mut state = self.lock();
        let key = (tenant, user.clone());
        if state.users.contains_key(&key) {
            state.changed.insert(key);
        }
    }

    /// The users to look at.
    pub(super) fn take_changed(&self) -> BTreeSet<Of> {
        std::mem::take(&mut self.lock().changed)
    }

    /// All users whom somebody watches.
    pub(super) fn watched(&self) -> Vec<Of> {
        self.lock().users.keys().cloned().collect()
    }

    /// Tells those who watch these users how they are, if that is not what was told last.
    pub(super) fn tell(&self, users: Vec<(Of, Status)>, push: impl FnMut(&Outbox, &[u8])) {
        let mut news = News::default();
        {
            let mut state = self.lock();
            for (key, status) in users {
                let Some(watched) = state.users.get_mut(&key) else { continue };
                if watched.told.as_ref() != Some(&status) {
                    watched.by.iter().for_each(|origin| news.add(origin, &key.1, &status));
                    watched.told = Some(status);
                }
            }
        }
        news.push(push);
    }

    /// Neither of two users is told of the other any more.
    pub(super) fn part(&self, tenant: u32, one: &Id, other: &Id, push: impl FnMut(&Outbox, &[u8])) {
        let mut news = News::default();
        let mut state = self.lock();
        for (user, by) in [(one, other), (other, one)] {
            state.take_from(&(tenant, user.clone()), |origin| origin.user == *by, &mut news);
        }
        drop(state);
        news.push(push);
    }

    /// Nobody is told of the user any more, nor the user of others.
    pub(super) fn hide(&self, tenant: u32, user: &Id, push: impl FnMut(&Outbox, &[u8])) {
        let mut news = News::default();
        let mut state = self.lock();
        state.take_from(&(tenant, user.clone()), |origin| origin.user != *user, &mut news);
        let own = state.sessions.values().filter(|one| one.origin.tenant == tenant && one.origin.user == *user);
        let others: BTreeSet<Id> =
            own.flat_map(|one| one.users.iter().filter(|other| *other != user).cloned()).collect();
        for other in others {
            state.take_from(&(tenant, other), |origin| origin.user == *user, &mut news);
        }
        drop(state);
        news.push(push);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Ends what `is_it` sessions are told of a user, with a last `unknown`.
    fn take_from(&mut self, key: &Of, is_it: impl Fn(&Origin) -> bool, news: &mut News) {
        debug_assert_eq!(Status::default().state, PresenceState::Unknown);
        let by = self.users.get(key).map(|watched| watched.by.clone()).unwrap_or_default();
        for origin in by.iter().filter(|origin| is_it(origin)) {
            news.add(origin, &key.1, &Status::default());
            if let Some(watching) = self.sessions.get_mut(&origin.session) {
                watching.users.remove(&key.1);
            }
            self.forget(key, origin.session);
        }
    }

    fn forget(&mut self, key: &Of, session: u64) {
        let Some(watched) = self.users.get_mut(key) else { return };
        let before = watched.by.len();
        watched.by.retain(|origin| origin.session != session);
        self.count = self.count.saturating_sub(before - watched.by.len());
        if watched.by.is_empty() {
            self.users.remove(key);
            self.changed.remove(key);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use postrider_protocol::frame::Decoder;

    use super::*;
    use crate::slot::sample;

    /// A session of a device.
    pub(crate) fn origin(user: &str, device: &str, session: u64) -> Arc<Origin> {
        let origin = sample::origin(session, user.parse().unwrap(), Some(device.parse().unwrap()));
        Arc::new(Origin { runs_on: "web".into(), ..origin })
    }

    fn id(text: &str) -> Id {
        text.parse().unwrap()
    }

    fn online() -> Status {
        Status { state: PresenceState::Online, ..Status::default() }
    }

    fn offline() -> Status {
        Status { state: PresenceState::Offline, ..Status::default() }
    }

    /// What `tell` pushed: user and state of each notice.
    fn told(work: impl FnOnce(&mut dyn FnMut(&Outbox, &[u8]))) -> Vec<Vec<(String, PresenceState)>> {
        let mut notices = Vec::new();
        work(&mut |_, frame| {
            let mut decoder = Decoder::new();
            decoder.feed(frame.to_vec().into());
            let Some(Packet::Notice(notice)) = Packet::decode(decoder.next_frame().unwrap().unwrap()).unwrap() else {
                panic!("no notice")
            };
            let Told::Presence(list) = Told::decode(postrider_protocol::NoticeKind::Presence, notice.fields).unwrap()
            else {
                panic!("no presence")
            };
            notices.push(list.into_iter().map(|one| (one.user.to_string(), one.state)).collect());
        });
        notices
    }

    fn watching(users: &[&str]) -> (Subscribers, Arc<Origin>) {
        let hub = Arc::new(Hub::default());
        let alice = origin("alice", "phone", 1);
        hub.enter(1, &alice.outbox);
        let subscribers = Subscribers::new(hub);
        let users: Vec<Id> = users.iter().map(|user| id(user)).collect();
        assert!(subscribers.subscribe(&alice, users.iter()));
        (subscribers, alice)
    }

    #[test]
    fn only_what_changed_is_told_and_of_several_users_together() {
        let (subscribers, _alice) = watching(&["bob", "carol"]);
        let both = |status: Status| vec![((0, id("bob")), status.clone()), ((0, id("carol")), status)];
        let first = told(|push| subscribers.tell(both(online()), push));
        assert_eq!(first, [[("bob".into(), PresenceState::Online), ("carol".into(), PresenceState::Online)]]);
        assert!(told(|push| subscribers.tell(both(online()), push)).is_empty());
        subscribers.look_at(0, &id("bob"));
        subscribers.look_at(0, &id("nobody"));
        assert_eq!(subscribers.take_changed(), BTreeSet::from([(0, id("bob"))]));
        let second = told(|push| subscribers.tell(vec![((0, id("bob")), offline())], push));
        assert_eq!(second, [[("bob".into(), PresenceState::Offline)]]);
    }

    #[test]
    fn who_was_answered_otherwise_than_the_others_know_is_told_again() {
        let (subscribers, _alice) = watching(&["bob"]);
        subscribers.answered(0, &id("bob"), &online(), true);
        assert!(subscribers.take_changed().is_empty(), "the first answer is what is known");
        subscribers.answered(0, &id("bob"), &offline(), true);
        assert_eq!(subscribers.take_changed().len(), 1);
        let again = told(|push| subscribers.tell(vec![((0, id("bob")), online())], push));
        assert_eq!(again, [[("bob".into(), PresenceState::Online)]], "online as before, and not to who was told else");
    }

    #[test]
    fn a_session_watches_so_many_and_no_more() {
        let (subscribers, alice) = watching(&[]);
        let users = |from: usize, to: usize| -> Vec<Id> { (from..to).map(|n| id(&format!("u{n}"))).collect() };
        assert!(subscribers.subscribe(&alice, users(0, 1_000).iter()));
        assert!(!subscribers.subscribe(&alice, users(1_000, 1_001).iter()));
        assert!(subscribers.subscribe(&alice, users(0, 10).iter()), "those are there already");
        subscribers.leave(1);
        assert!(subscribers.watched().is_empty());
        assert_eq!(subscribers.lock().count, 0);
        assert!(subscribers.subscribe(&alice, users(1_000, 1_001).iter()));
    }

    #[test]
    fn a_session_that_is_over_watches_nobody() {
        let (subscribers, alice) = watching(&[]);
        subscribers.hub.leave(1);
        assert!(subscribers.subscribe(&alice, [id("bob")].iter()));
        assert!(subscribers.watched().is_empty());
    }

    #[test]
    fn who_parts_or_hides_is_told_of_no_more() {
        let (subscribers, _alice) = watching(&["bob", "carol", "alice"]);
        let parted = told(|push| subscribers.part(0, &id("alice"), &id("bob"), push));
        assert_eq!(parted, [[("bob".into(), PresenceState::Unknown)]]);
        assert!(told(|push| subscribers.tell(vec![((0, id("bob")), online())], push)).is_empty());
        let hidden = told(|push| subscribers.hide(0, &id("carol"), push));
        assert_eq!(hidden, [[("carol".into(), PresenceState::Unknown)]]);
        assert_eq!(subscribers.watched(), [(0, id("alice"))], "one may always know of oneself");
        assert_eq!(subscribers.lock().count, 1);
    }
}
