//! Instants as engines write them (RFC 3339), read by the `jiff` crate.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;

/// The Unix seconds of an instant such as `2026-01-02T03:04:05.678-07:00`; fractions of a second are
/// dropped. Gives `None` where the text is no instant.
pub(crate) fn parse_rfc3339(text: &str) -> Option<i64> {
    let instant: Timestamp = text.parse().ok()?;
    Some(instant.as_second())
}

/// Returns the instant of these Unix seconds as the system's clock has it: until when Ollama keeps a
/// model, for example. `None` before 1970, and from the year 2200 on, which means "never" (Ollama writes
/// one centuries ahead).
pub(crate) fn to_system_time(unix: i64) -> Option<SystemTime> {
    const YEAR_2200: u64 = 7_258_118_400;
    let seconds = u64::try_from(unix).ok().filter(|s| *s < YEAR_2200)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_in_any_zone() {
        let cases = [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-03-01T00:00:00Z", Some(951_868_800)),
            ("2024-02-29T12:00:00.123456789Z", Some(1_709_208_000)),
            ("2024-02-29T05:00:00-07:00", Some(1_709_208_000)),
            ("0001-01-01T00:00:00Z", Some(-62_135_596_800)),
            ("soon", None),
            ("2024-13-01T00:00:00Z", None),
            ("2024-02-29T05:00:00", None),
            ("2023-02-29T05:00:00Z", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_rfc3339(text), expected, "{text}");
        }
    }

    #[test]
    fn centuries_ahead_is_never() {
        assert!(to_system_time(1_709_208_000).is_some());
        let never = parse_rfc3339("2318-01-01T00:00:00Z").unwrap();
        assert_eq!(to_system_time(never), None);
        assert_eq!(to_system_time(-1), None);
    }
}
