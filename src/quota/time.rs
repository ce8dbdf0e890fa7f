//! Minutes, days and months of UTC.

const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 86_400_000;

/// Which minute, day and month it is, each counted without a gap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Windows(pub [u64; 3]);

impl Windows {
    /// Those of a moment, milliseconds since 1970.
    pub(super) const fn at(now_ms: u64) -> Self {
        Self([now_ms / MINUTE_MS, now_ms / DAY_MS, month_of(now_ms / DAY_MS)])
    }
}

/// How long each of them lasts from `now_ms` on, milliseconds.
pub(super) fn left_ms(now_ms: u64) -> [u64; 3] {
    let (day, in_day) = (now_ms / DAY_MS, now_ms % DAY_MS);
    let days = (1..=31).find(|more| month_of(day + more) != month_of(day)).unwrap_or(31);
    [MINUTE_MS - now_ms % MINUTE_MS, DAY_MS - in_day, days * DAY_MS - in_day]
}

/// The month of a day that is counted from 1970: years × 12 + month. The year is taken to begin in March, so that the
/// day that comes every four years is its last.
const fn month_of(day: u64) -> u64 {
    let day = day + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    (era * 400 + year) * 12 + (5 * of_year + 2) / 153
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Days since 1970, by counting.
    fn days() -> impl Iterator<Item = (u64, u64, u64)> {
        let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        (1970..2110).flat_map(move |year| {
            (1..=12).flat_map(move |month| {
                let len = match month {
                    2 => 28 + u64::from(is_leap(year)),
                    4 | 6 | 9 | 11 => 30,
                    _ => 31,
                };
                (1..=len).map(move |day| (year, month, day))
            })
        })
    }

    #[test]
    fn months_are_those_of_the_calendar() {
        let first = month_of(0);
        for (at, (year, month, _)) in days().enumerate() {
            assert_eq!(month_of(at as u64) - first, (year - 1970) * 12 + month - 1, "{year}-{month}");
        }
    }

    #[test]
    fn what_is_left_ends_with_the_window() {
        for now_ms in [0, 1, 59_999, 60_000, 951_782_400_000, 1_709_164_799_999, 1_798_761_599_999] {
            let left = left_ms(now_ms);
            for (at, left) in left.into_iter().enumerate() {
                assert_eq!(Windows::at(now_ms + left - 1).0[at], Windows::at(now_ms).0[at], "{now_ms}");
                assert_eq!(Windows::at(now_ms + left).0[at], Windows::at(now_ms).0[at] + 1, "{now_ms}");
            }
        }
    }
}
