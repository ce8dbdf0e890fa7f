//! How much of the machine one user may have for what costs it more than it costs them: reads and the cursors of ever
//! new channels. Each has a cell of time, shared by all their connections. It is charged with what was used, never
//! refuses, and tells how long the next one has to wait, so that who asks without end is served at a pace, and who
//! comes back after a long time at once.

use postrider_protocol::Id;

use crate::rate::Cells;

/// A user may have one part in so many of a core, for as long as they want.
const PARTS: u64 = 4;
/// And so much at once, microseconds of a core.
const BURST_US: u64 = 125_000;
/// Nobody waits longer, milliseconds, whatever was charged.
const MOST_MS: u64 = 1_000;

/// See the module.
#[derive(Debug, Default)]
pub struct Pace(Cells);

impl Pace {
    /// Charges the user with so many microseconds of a core at `now_ms` (monotonic).
    pub fn charge(&self, tenant: u32, user: &Id, used_us: u64, now_ms: u64) {
        self.0.with(tenant, user, now_ms.saturating_mul(1_000), |owed_us| {
            let most_us = BURST_US * PARTS + MOST_MS * 1_000;
            *owed_us = owed_us.saturating_add(used_us.saturating_mul(PARTS)).min(most_us);
        });
    }

    /// The milliseconds from `now_ms` (monotonic) for which the user has to wait; 0 when they may go on.
    #[must_use]
    pub fn wait_ms(&self, tenant: u32, user: &Id, now_ms: u64) -> u64 {
        let owed_us = self.0.free_in(tenant, user, now_ms.saturating_mul(1_000));
        owed_us.saturating_sub(BURST_US * PARTS).div_ceil(1_000)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn who_used_much_at_once_gets_a_quarter_of_a_core() {
        let (pace, alice) = (Pace::default(), "alice".parse().unwrap());
        pace.charge(0, &alice, BURST_US, 1_000);
        assert_eq!(pace.wait_ms(0, &alice, 1_000), 0, "so much at once is nobody's business");
        pace.charge(0, &alice, 2_500, 1_000);
        assert_eq!(pace.wait_ms(0, &alice, 1_000), 10);
        assert_eq!(pace.wait_ms(0, &alice, 1_009), 1);
        assert_eq!(pace.wait_ms(0, &alice, 1_010), 0);
        assert_eq!(pace.wait_ms(0, &"bob".parse().unwrap(), 1_000), 0, "each user has their own");
        assert_eq!(pace.wait_ms(1, &alice, 1_000), 0, "each tenant has its own users");
    }

    #[test]
    fn one_long_read_is_not_held_against_them_for_ever() {
        let (pace, alice) = (Pace::default(), "alice".parse().unwrap());
        pace.charge(0, &alice, 60_000_000, 1_000);
        assert_eq!(pace.wait_ms(0, &alice, 1_000), MOST_MS);
        assert_eq!(pace.wait_ms(0, &alice, 1_000 + MOST_MS), 0);
    }
}
