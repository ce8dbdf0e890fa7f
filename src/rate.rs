//! How much each user may send: one GCRA cell a user, shared by all their connections. Decide asks, after the look-up
//! of duplicates, so that a message that is already stored costs nothing.

use std::sync::{Mutex, MutexGuard, PoisonError};

use postrider_protocol::Id;

use crate::keyed::Keyed;

const SHARDS: usize = 16;
/// A shard forgets users whose cell is full again after so many looks, and as many as it has cells.
const SWEEP_AFTER: usize = 256;

/// See the module.
#[derive(Debug)]
pub struct Rates {
    interval_us: u64,
    burst_us: u64,
    cells: Cells,
}

impl Rates {
    /// `per_second` messages with bursts of `burst`; 0 switches the limit off.
    #[must_use]
    pub fn new(per_second: u32, burst: u32) -> Self {
        let interval_us = if per_second == 0 { 0 } else { 1_000_000 / u64::from(per_second) };
        let burst_us = interval_us * u64::from(burst.saturating_sub(1));
        Self { interval_us, burst_us, cells: Cells::default() }
    }

    /// Charges one message at `now_ms` (monotonic).
    ///
    /// # Errors
    /// The milliseconds until it would be allowed; then nothing is charged.
    pub fn charge(&self, tenant: u32, user: &Id, now_ms: u64) -> Result<(), u32> {
        if self.interval_us == 0 {
            return Ok(());
        }
        self.cells.with(tenant, user, now_ms.saturating_mul(1_000), |free_in| {
            if *free_in > self.burst_us {
                let wait_ms = (*free_in - self.burst_us).div_ceil(1_000);
                return Err(u32::try_from(wait_ms).unwrap_or(u32::MAX));
            }
            *free_in += self.interval_us;
            Ok(())
        })
    }
}

/// For each user, how long from now until their cell is full again, microseconds.
#[derive(Debug, Default)]
pub struct Cells([Mutex<Shard>; SHARDS]);

#[derive(Debug, Default)]
struct Shard {
    /// When each cell is full again, monotonic microseconds.
    free_at: Keyed<u64>,
    /// Looks since the full ones were forgotten.
    looks: usize,
}

impl Cells {
    /// Shows `change` how long from `now_us` until the user's cell is full again, and keeps what it makes of that.
    pub fn with<T>(&self, tenant: u32, user: &Id, now_us: u64, change: impl FnOnce(&mut u64) -> T) -> T {
        let mut shard = self.shard(user);
        shard.looks += 1;
        if shard.looks > SWEEP_AFTER.max(shard.free_at.len()) {
            shard.free_at.retain(|_, free_at| *free_at > now_us);
            shard.looks = 0;
        }
        let cell = shard.free_at.get_or_default(tenant, user.as_bytes());
        let mut free_in = cell.saturating_sub(now_us);
        let told = change(&mut free_in);
        *cell = now_us.saturating_add(free_in);
        told
    }

    /// How long from `now_us` until the user's cell is full again.
    pub fn free_in(&self, tenant: u32, user: &Id, now_us: u64) -> u64 {
        let free_at = self.shard(user).free_at.get(tenant, user.as_bytes()).copied();
        free_at.unwrap_or_default().saturating_sub(now_us)
    }

    fn shard(&self, user: &Id) -> MutexGuard<'_, Shard> {
        let number = crc32fast::hash(user.as_bytes()) as usize % SHARDS;
        #[allow(clippy::indexing_slicing, reason = "a remainder of the number of shards")]
        self.0[number].lock().unwrap_or_else(PoisonError::into_inner)
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
    fn users_whose_cell_is_full_again_are_forgotten() {
        let rates = Rates::new(10, 20);
        let charge = |number: u32, now_ms| rates.charge(0, &format!("u{number}").parse().unwrap(), now_ms).unwrap();
        let kept = || rates.cells.0.iter().map(|shard| shard.lock().unwrap().free_at.len()).sum::<usize>();
        (0..20_000).for_each(|number| charge(number, 1_000));
        assert_eq!(kept(), 20_000, "each of them has something to pay back");
        (0..30_000).for_each(|look| charge(look % 100, 60_000 + 100 * u64::from(look)));
        assert!(kept() < 1_000, "{}", kept());
    }

    #[test]
    fn zero_switches_it_off() {
        let (rates, alice) = (Rates::new(0, 0), "alice".parse().unwrap());
        for _ in 0..1_000 {
            assert_eq!(rates.charge(0, &alice, 0), Ok(()));
        }
    }
}
