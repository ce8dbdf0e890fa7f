//! How much each user may send: one GCRA cell a user, shared by all their connections. Decide asks, after the look-up
//! of duplicates, so that a message that is already stored costs nothing.

use std::sync::{Mutex, PoisonError};

use postrider_protocol::Id;

use crate::keyed::Keyed;

const SHARDS: usize = 16;
/// A shard forgets users whose cell is full again once it has this many.
const SWEEP_AT: usize = 4_096;

/// See the module.
#[derive(Debug)]
pub struct Rates {
    interval_us: u64,
    burst_us: u64,
    shards: Vec<Mutex<Keyed<u64>>>,
}

impl Rates {
    /// `per_second` messages with bursts of `burst`; 0 switches the limit off.
    #[must_use]
    pub fn new(per_second: u32, burst: u32) -> Self {
        let interval_us = if per_second == 0 { 0 } else { 1_000_000 / u64::from(per_second) };
        let burst_us = interval_us * u64::from(burst.saturating_sub(1));
        Self { interval_us, burst_us, shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    /// Charges one message at `now_ms` (monotonic).
    ///
    /// # Errors
    /// The milliseconds until it would be allowed; then nothing is charged.
    pub fn charge(&self, tenant: u32, user: &Id, now_ms: u64) -> Result<(), u32> {
        if self.interval_us == 0 {
            return Ok(());
        }
        let now = now_ms.saturating_mul(1_000);
        let hash = crc32fast::hash(user.as_bytes()) as usize;
        let Some(shard) = self.shards.get(hash % SHARDS) else { return Ok(()) };
        let mut cells = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if cells.len() >= SWEEP_AT {
            cells.retain(|_, free_at| *free_at > now);
        }
        let cell = cells.get_or_default(tenant, user.as_bytes());
        let free_at = now.max(*cell);
        if free_at - now > self.burst_us {
            let wait_ms = (free_at - now - self.burst_us).div_ceil(1_000);
            return Err(u32::try_from(wait_ms).unwrap_or(u32::MAX));
        }
        *cell = free_at + self.interval_us;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_allowed_then_the_rate() {
        let (rates, alice) = (Rates::new(10, 20), "alice".parse().unwrap());
        for _ in 0..20 {
            assert_eq!(rates.charge(0, &alice, 1_000), Ok(()));
        }
        assert_eq!(rates.charge(0, &alice, 1_000), Err(100));
        assert_eq!(rates.charge(0, &alice, 1_099), Err(1));
        assert_eq!(rates.charge(0, &alice, 1_100), Ok(()));
        assert_eq!(rates.charge(0, &"bob".parse().unwrap(), 1_100), Ok(()), "each user has their own");
        assert_eq!(rates.charge(1, &alice, 1_100), Ok(()), "each tenant has its own users");
    }

    #[test]
    fn zero_switches_it_off() {
        let (rates, alice) = (Rates::new(0, 0), "alice".parse().unwrap());
        for _ in 0..1_000 {
            assert_eq!(rates.charge(0, &alice, 0), Ok(()));
        }
    }
}
