//! The real clocks. Only the outermost loops read them; every stage gets its time as a value.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::slot::Now;

/// Both clocks, from one start.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Default for Clock {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock {
    /// Both clocks now.
    #[must_use]
    pub fn now(&self) -> Now {
        let wall_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let mono_ms = self.start.elapsed().as_millis();
        Now { wall_ms: u64::try_from(wall_ms).unwrap_or(0), mono_ms: u64::try_from(mono_ms).unwrap_or(0) }
    }

    /// The moment that is `mono_ms` on the monotonic clock.
    #[must_use]
    pub fn instant(&self, mono_ms: u64) -> Instant {
        self.start + std::time::Duration::from_millis(mono_ms)
    }
}
