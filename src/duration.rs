//! Durations as people write them on the command line and in the configuration: `500ms`, `10s`, `5m`, `24h`, `7d`.

use std::time::Duration;

/// Reads a whole number and its unit: `ms`, `s`, `m`, `h` or `d`.
///
/// # Errors
/// What is expected instead, as one sentence without a full stop.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("{text:?} is not a duration: write a whole number and ms, s, m, h or d, such as 500ms or 24h");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit_ms).map(Duration::from_millis).ok_or_else(|| format!("{text:?} is too long a duration"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read() {
        let read = |text| parse(text).ok();
        assert_eq!(read("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(read("10s"), Some(Duration::from_secs(10)));
        assert_eq!(read("5m"), Some(Duration::from_secs(300)));
        assert_eq!(read("24h"), Some(Duration::from_secs(86_400)));
        assert_eq!(read("7d"), Some(Duration::from_secs(604_800)));
        assert_eq!(read("0s"), Some(Duration::ZERO));
    }

    #[test]
    fn what_is_not_a_duration_is_refused_with_an_example() {
        for text in ["", "10", "s", "-1s", "1.5s", "1 s", "10S", "10sec", "99999999999999999999s", "99999999999999999d"]
        {
            let error = parse(text).expect_err(text);
            assert!(error.contains("duration"), "{error}");
        }
    }
}
