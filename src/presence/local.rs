//! Presence of a server alone: the hub knows who is connected. When users went is remembered here, until they come
//! back or the server ends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use postrider_protocol::{Id, packet::presence::PresenceState};

use super::Status;
use crate::{
    hub::Hub,
    keyed::Keyed,
    slot::{Now, Origin},
};

/// Of so many users it is remembered when they went; the half that went longer ago is forgotten then.
const REMEMBERED: usize = 131_072;

/// When somebody's last device went.
#[derive(Clone, Debug, Default)]
struct Gone {
    at: (u64, u64),
    runs_on: Bytes,
}

/// See the module.
#[derive(Debug)]
pub struct Local {
    hub: Arc<Hub>,
    grace_ms: u64,
    gone: Mutex<Keyed<Gone>>,
}

impl Local {
    /// Over the sessions of `hub`.
    #[must_use]
    pub(super) fn new(hub: Arc<Hub>, grace_ms: u64) -> Self {
        Self { hub, grace_ms, gone: Mutex::default() }
    }

    pub(super) fn come(&self, origin: &Origin) {
        self.lock().remove(origin.tenant, origin.user.as_bytes());
    }

    pub(super) fn go(&self, origin: &Origin, now: Now) {
        // Another connection of the user, of the same device even, may be there: then they did not go.
        if self.hub.platforms(origin.tenant, origin.user.as_bytes()).is_some() {
            return;
        }
        let mut gone = self.lock();
        if gone.len() >= REMEMBERED {
            forget_half(&mut gone);
        }
        let user = gone.get_or_default(origin.tenant, origin.user.as_bytes());
        *user = Gone { at: (now.mono_ms, now.wall_ms), runs_on: origin.runs_on.clone() };
    }

    /// How a user is, and whether time alone will not change it.
    pub(super) fn status(&self, tenant: u32, user: &Id, now: Now) -> (Status, bool) {
        let online = |platforms| Status { state: PresenceState::Online, last_seen_ms: 0, platforms };
        if let Some(platforms) = self.hub.platforms(tenant, user.as_bytes()) {
            return (online(platforms), true);
        }
        let gone = self.lock().get(tenant, user.as_bytes()).cloned();
        match gone {
            Some(Gone { at: (mono_ms, _), runs_on }) if now.mono_ms < mono_ms + self.grace_ms => {
                (online(Some(runs_on).into_iter().filter(|runs_on| !runs_on.is_empty()).collect()), false)
            }
            // After a start nobody is there yet, and most are on their way.
            None if now.mono_ms < self.grace_ms => (Status::default(), false),
            gone => {
                let last_seen_ms = gone.map_or(0, |gone| gone.at.1);
                (Status { state: PresenceState::Offline, last_seen_ms, platforms: Vec::new() }, true)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Keyed<Gone>> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn forget_half(gone: &mut Keyed<Gone>) {
    let mut times = Vec::with_capacity(gone.len());
    gone.retain(|_, gone| {
        times.push(gone.at.0);
        true
    });
    times.sort_unstable();
    let middle = times.get(times.len() / 2).copied().unwrap_or_default();
    gone.retain(|_, gone| gone.at.0 > middle);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presence::subscribers::tests::origin;

    fn at(mono_ms: u64) -> Now {
        Now { wall_ms: 1_000_000 + mono_ms, mono_ms }
    }

    fn state(local: &Local, user: &str, now: Now) -> (PresenceState, u64) {
        let status = local.status(0, &user.parse().unwrap(), now).0;
        (status.state, status.last_seen_ms)
    }

    #[test]
    fn who_went_is_online_until_the_grace_is_over() {
        let hub = Arc::new(Hub::default());
        let local = Local::new(Arc::clone(&hub), 10_000);
        let (phone, tablet) = (origin("alice", "phone", 1), origin("alice", "tablet", 2));
        assert_eq!(state(&local, "alice", at(9_999)), (PresenceState::Unknown, 0), "the server has just started");
        assert_eq!(state(&local, "alice", at(10_000)), (PresenceState::Offline, 0));
        for session in [&phone, &tablet] {
            hub.register(session);
            local.come(session);
        }
        assert_eq!(state(&local, "alice", at(20_000)), (PresenceState::Online, 0));
        hub.unregister(&phone);
        local.go(&phone, at(20_000));
        assert_eq!(state(&local, "alice", at(90_000)), (PresenceState::Online, 0), "the tablet is there");
        hub.unregister(&tablet);
        local.go(&tablet, at(90_000));
        assert_eq!(state(&local, "alice", at(99_999)), (PresenceState::Online, 0));
        assert_eq!(state(&local, "alice", at(100_000)), (PresenceState::Offline, 1_090_000));
        assert_eq!(state(&local, "bob", at(100_000)), (PresenceState::Offline, 0));
    }

    #[test]
    fn the_end_of_an_old_connection_does_not_end_the_new_one() {
        let hub = Arc::new(Hub::default());
        let local = Local::new(Arc::clone(&hub), 0);
        let (old, new) = (origin("alice", "phone", 1), origin("alice", "phone", 2));
        for session in [&old, &new] {
            hub.register(session);
            local.come(session);
        }
        hub.unregister(&old);
        local.go(&old, at(1));
        assert_eq!(state(&local, "alice", at(2)), (PresenceState::Online, 0));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut gone = Keyed::default();
        for number in 0..100_u32 {
            *gone.get_or_default(0, &number.to_be_bytes()) = Gone { at: (number.into(), 0), ..Gone::default() };
        }
        forget_half(&mut gone);
        assert_eq!(gone.len(), 49);
        assert!(gone.get(0, &99_u32.to_be_bytes()).is_some());
    }
}
