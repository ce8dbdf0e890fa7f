//! Which sessions have which channel on their screen: one each.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use postrider_protocol::{Channel, Id};

use crate::{hub::Hub, keyed::Keyed, slot::Origin};

/// See the module.
#[derive(Debug)]
pub(super) struct Watchers {
    hub: Arc<Hub>,
    watched: Mutex<Watched>,
}

#[derive(Debug, Default)]
struct Watched {
    channels: Keyed<Vec<Arc<Origin>>>,
    /// By number of the connection.
    sessions: BTreeMap<u64, Channel>,
}

impl Watchers {
    pub(super) fn new(hub: Arc<Hub>) -> Self {
        Self { hub, watched: Mutex::default() }
    }

    /// What `session` watches from now on. One that is over watches nothing.
    pub(super) fn watch(&self, session: &Origin, channel: Option<(&Arc<Origin>, &Channel)>) {
        let mut watched = self.lock();
        if let Some(before) = watched.sessions.remove(&session.session) {
            watched.forget(session.tenant, &before, |one| one.session == session.session);
        }
        if let Some((origin, channel)) = channel
            && self.hub.has(session.session)
        {
            watched.sessions.insert(session.session, channel.detached());
            watched.channels.get_or_default(session.tenant, channel.as_bytes()).push(Arc::clone(origin));
        }
    }

    /// Users that `is_gone` says watch the channel no longer.
    pub(super) fn part(&self, tenant: u32, channel: &Channel, is_gone: impl Fn(&Id) -> bool) {
        let mut watched = self.lock();
        let sessions = watched.channels.get(tenant, channel.as_bytes()).into_iter().flatten();
        let gone: Vec<u64> = sessions.filter(|one| is_gone(&one.user)).map(|one| one.session).collect();
        if !gone.is_empty() {
            watched.forget(tenant, channel, |one| gone.contains(&one.session));
            watched.sessions.retain(|session, _| !gone.contains(session));
        }
    }

    /// Whether anybody watches the channel.
    pub(super) fn is_watched(&self, tenant: u32, channel: &Channel) -> bool {
        self.lock().channels.get(tenant, channel.as_bytes()).is_some()
    }

    /// Who watches the channel.
    pub(super) fn of(&self, tenant: u32, channel: &Channel) -> Vec<Arc<Origin>> {
        self.lock().channels.get(tenant, channel.as_bytes()).cloned().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    fn forget(&mut self, tenant: u32, channel: &Channel, is_gone: impl Fn(&Origin) -> bool) {
        let Some(sessions) = self.channels.get_mut(tenant, channel.as_bytes()) else { return };
        sessions.retain(|one| !is_gone(one));
        if sessions.is_empty() {
            self.channels.remove(tenant, channel.as_bytes());
        }
    }
}
