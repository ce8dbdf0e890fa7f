//! How long to wait before the next connection.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

const FIRST_MS: u64 = 1_000;
const MOST_MS: u64 = 30_000;

/// Doubles from 1 s to 30 s; each wait is any time from half of that to all of it, so that clients that lost the same
/// server do not come back together.
#[derive(Debug)]
pub(crate) struct Backoff {
    ceiling_ms: u64,
}

impl Backoff {
    pub(crate) const fn new() -> Self {
        Self { ceiling_ms: FIRST_MS }
    }

    /// A server accepted a connection: start from the beginning.
    pub(crate) const fn reset(&mut self) {
        self.ceiling_ms = FIRST_MS;
    }

    /// The wait before the next attempt, given what the server asked for.
    pub(crate) fn wait(&mut self, at_least_ms: u32) -> Duration {
        let half = self.ceiling_ms / 2;
        let wait_ms = half + random() % (half + 1);
        self.ceiling_ms = (self.ceiling_ms * 2).min(MOST_MS);
        Duration::from_millis(u64::from(at_least_ms) + wait_ms)
    }
}

/// Any number: the standard library seeds each hasher anew, which is random enough to keep clients apart.
fn random() -> u64 {
    RandomState::new().hash_one(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_wait_doubles_up_to_thirty_seconds_and_begins_anew() {
        let mut backoff = Backoff::new();
        for ceiling in [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000] {
            assert_eq!(backoff.ceiling_ms, ceiling);
            let half = Duration::from_millis(ceiling / 2);
            assert!((half..=half * 2).contains(&backoff.wait(0)));
        }
        backoff.reset();
        assert_eq!(backoff.ceiling_ms, 1_000);
    }

    #[test]
    fn the_server_is_given_the_time_it_asked_for() {
        let waits: Vec<Duration> = (0..20).map(|_| Backoff::new().wait(5_000)).collect();
        assert!(waits.iter().all(|wait| *wait >= Duration::from_secs(5)));
        assert!(waits.iter().any(|wait| *wait != waits[0]), "no jitter in {waits:?}");
    }
}
