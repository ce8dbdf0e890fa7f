//! Whose broadcasts are to be seen to: whoever delivers says so, the task takes them in turns.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use postrider_protocol::Id;
use tokio::sync::Notify;

/// See the module.
#[derive(Debug, Default)]
pub struct Broadcasters {
    /// Tenant and user, each once.
    waiting: Mutex<VecDeque<(u32, Id)>>,
    wake: Notify,
}

impl Broadcasters {
    /// Those whose broadcasts were under way at the start.
    #[must_use]
    pub fn new(waiting: BTreeSet<(u32, Id)>) -> Self {
        Self { waiting: Mutex::new(waiting.into_iter().collect()), wake: Notify::new() }
    }

    /// Something about a broadcast of the user is committed.
    pub fn add(&self, tenant: u32, user: &Id) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.iter().any(|(of, known)| *of == tenant && known == user) {
            waiting.push_back((tenant, user.clone()));
        }
        drop(waiting);
        self.wake.notify_one();
    }

    /// Whose turn it is; waits until it is somebody's. Cancel safe.
    pub(super) async fn next(&self) -> (u32, Id) {
        loop {
            let next = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            match next {
                Some(next) => return next,
                None => self.wake.notified().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn everybody_who_waits_has_a_turn_once_and_in_order() {
        let id = |name: &str| -> Id { name.parse().unwrap() };
        let broadcasters = Broadcasters::new([(0, id("news"))].into());
        broadcasters.add(1, &id("news"));
        broadcasters.add(0, &id("news"));
        assert_eq!(broadcasters.next().await, (0, id("news")));
        broadcasters.add(0, &id("news"));
        assert_eq!(broadcasters.next().await, (1, id("news")), "who had a turn is behind who waits");
        assert_eq!(broadcasters.next().await, (0, id("news")));
        let next = tokio::time::timeout(Duration::ZERO, broadcasters.next());
        assert!(next.await.is_err(), "nobody waits");
    }
}
