//! RFC 3339 instants as engines write them, to unix seconds.

use std::time::{Duration, SystemTime};

/// Unix seconds of `2026-01-02T03:04:05.678-07:00`; fractions are dropped. `None` for anything
/// else.
pub(crate) fn parse_rfc3339(text: &str) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let rest = text.get(19..)?;
    let zone = rest.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    let offset = match zone.as_bytes().first()? {
        b'Z' | b'z' => 0,
        sign @ (b'+' | b'-') => {
            let hours = zone.get(1..3)?.parse::<i64>().ok()?;
            let minutes = zone.get(4..6)?.parse::<i64>().ok()?;
            let seconds = hours * 3600 + minutes * 60;
            if *sign == b'-' { -seconds } else { seconds }
        }
        _ => return None,
    };
    Some(days_since_epoch(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset)
}

/// `None` where the system's clock cannot hold it, or for a year so far away that it means
/// "never" (Ollama writes one centuries ahead).
pub(crate) fn to_system_time(unix: i64) -> Option<SystemTime> {
    const YEAR_2200: u64 = 7_258_118_400;
    let seconds = u64::try_from(unix).ok().filter(|s| *s < YEAR_2200)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// Days of the proleptic Gregorian calendar; years begin in March, so that leap days come last.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
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
