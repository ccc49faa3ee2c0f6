//! The numbers by which documents write durations and moments.

use std::time::{Duration, SystemTime};

/// Returns the seconds as a number, rounded to whole milliseconds.
pub fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

/// Whole seconds since 1970; `None` for a moment before that.
pub(crate) fn unix_seconds(time: SystemTime) -> Option<u64> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.ok().map(|since| since.as_secs())
}

/// Whole milliseconds since 1970; `None` for a moment before that.
pub(crate) fn unix_millis(time: SystemTime) -> Option<u64> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_rounded_to_milliseconds() {
        let written = |micros| seconds(Duration::from_micros(micros));
        assert_eq!(serde_json::json!(written(1_234_567)).to_string(), "1.235");
        assert_eq!(serde_json::json!(written(3_000_000)).to_string(), "3.0");
    }

    #[test]
    fn a_moment_before_1970_is_no_number() {
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(unix_seconds(before), None);
        assert_eq!(unix_seconds(SystemTime::UNIX_EPOCH), Some(0));
    }
}
