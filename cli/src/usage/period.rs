//! The period that an account covers.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};

/// A period that begins at a moment and ends now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct UsagePeriod {
    /// The first millisecond since 1970 that belongs to the period.
    begin_ms: u64,
}

// === impl UsagePeriod ===

impl UsagePeriod {
    /// Reads the begin of a period: a day in this time zone, or a time before `now`; everything where none is
    /// given.
    ///
    /// # Errors
    /// A sentence that says what was found and what can be written.
    pub(super) fn since(
        text: Option<&str>,
        now: Timestamp,
        zone: &TimeZone,
    ) -> Result<Self, String> {
        let Some(text) = text.map(str::trim) else {
            return Ok(Self { begin_ms: 0 });
        };
        let begin = match text.parse::<Date>() {
            Ok(day) => day
                .to_zoned_datetime(zone.clone())
                .ok()
                .map(|at| at.timestamp()),
            Err(_) => humantime::parse_duration(text)
                .ok()
                .and_then(|ago| before(now, ago)),
        };
        let begin = begin.ok_or_else(|| {
            format!(
                "--since: '{text}' is neither a day nor a time before now; write for example 2026-11-01, \
                 24h or 7d"
            )
        })?;
        Ok(Self {
            begin_ms: u64::try_from(begin.as_millisecond()).unwrap_or_default(),
        })
    }

    /// Returns whether a moment, in milliseconds since 1970, belongs to the period.
    pub(super) const fn holds(self, at_ms: u64) -> bool {
        at_ms >= self.begin_ms
    }
}

fn before(now: Timestamp, ago: Duration) -> Option<Timestamp> {
    now.checked_sub(SignedDuration::try_from(ago).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_its_midnight_in_the_time_zone_of_the_machine() {
        let now: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let since = |text| UsagePeriod::since(text, now, &berlin).map(|p| p.begin_ms);
        let ms = |text: &str| {
            let at: Timestamp = text.parse().unwrap();
            u64::try_from(at.as_millisecond()).unwrap()
        };
        assert_eq!(since(None), Ok(0));
        assert_eq!(since(Some("2026-11-01")), Ok(ms("2026-10-31T23:00:00Z")));
        assert_eq!(since(Some("2026-07-01")), Ok(ms("2026-06-30T22:00:00Z")));
        assert_eq!(since(Some("24h")), Ok(ms("2026-11-27T12:00:00Z")));
        assert_eq!(since(Some(" 7d ")), Ok(ms("2026-11-21T12:00:00Z")));
        for wrong in ["", "yesterday", "2026-13-01", "-1h", "999999999y"] {
            let error = since(Some(wrong)).unwrap_err();
            assert!(error.contains("2026-11-01"), "{wrong}: {error}");
        }
    }
}
