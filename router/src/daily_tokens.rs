//! Daily limits on tokens, one for each client key that has `tokens_per_day`.
//!
//! A day is one of the machine's time zone. The tokens of a request are those of its prompt and its answer;
//! they are charged when it has ended, so a request that begins below the limit is answered to its end and
//! the next one is refused.

use std::{collections::HashMap, sync::Arc, time::Duration};

use crucible_config::checked::ClientKey;
use jiff::{Timestamp, ZonedDateTime, civil::Date, tz::TimeZone};
use parking_lot::Mutex;

/// The tokens that each client key has used today.
#[derive(Debug)]
pub struct DailyTokens {
    zone: TimeZone,
    day: Mutex<DayOfTokens>,
}

/// One day's sums.
#[derive(Debug, Default)]
struct DayOfTokens {
    date: Option<Date>,
    used: HashMap<Arc<str>, u64>,
}

/// A key that has used its tokens of the day.
#[derive(Clone, Debug, PartialEq)]
pub struct SpentDay {
    /// The tokens that the key has used today.
    pub used: u64,
    /// The tokens that it may use in a day.
    pub limit: u64,
    /// The moment at which the next day begins, for people: `2026-11-29 00:00 +01:00`.
    pub ends: String,
    /// The time until then.
    pub wait: Duration,
}

// === impl DailyTokens ===

impl DailyTokens {
    /// Begins with nothing used; days are those of the time zone.
    pub fn new(zone: TimeZone) -> Self {
        Self {
            zone,
            day: Mutex::default(),
        }
    }

    /// Begins with nothing used; days are those of this machine. Where it tells no time zone they are those of UTC,
    /// which is said if one of the keys counts days.
    pub fn of_this_machine(keys: &[Arc<ClientKey>]) -> Self {
        let zone = TimeZone::system();
        if zone.is_unknown() && keys.iter().any(|key| key.tokens_per_day.is_some()) {
            tracing::warn!(
                "this machine tells no time zone that is known: the days of tokens_per_day are those of UTC"
            );
        }
        Self::new(zone)
    }

    /// Charges tokens that were used at a moment. Those of another day than `now` count for nothing.
    pub fn charge(&self, key: &Arc<str>, tokens: u64, at: Timestamp, now: Timestamp) {
        let today = self.zone.to_datetime(now).date();
        if self.zone.to_datetime(at).date() != today {
            return;
        }
        let mut day = self.day.lock();
        day.turn_to(today);
        let used = day.used.entry(Arc::clone(key)).or_default();
        *used = used.saturating_add(tokens);
    }

    /// Returns whether a key may send another request.
    ///
    /// # Errors
    /// The key has a limit and has used it; the error says until when.
    pub fn check(&self, key: &ClientKey, now: Timestamp) -> Result<(), SpentDay> {
        let Some(limit) = key.tokens_per_day else {
            return Ok(());
        };
        let today = now.to_zoned_datetime(self.zone.clone());
        let used = {
            let mut day = self.day.lock();
            day.turn_to(today.date());
            day.used.get(&key.name).copied().unwrap_or_default()
        };
        if used < limit {
            return Ok(());
        }
        let tomorrow = today.tomorrow().and_then(|next| next.start_of_day());
        Err(SpentDay {
            used,
            limit,
            ends: tomorrow
                .as_ref()
                .map_or_else(|_| "midnight".to_owned(), to_the_minute),
            wait: tomorrow
                .ok()
                .and_then(|next| Duration::try_from(next.timestamp().duration_since(now)).ok())
                .unwrap_or_default(),
        })
    }
}

// === impl DayOfTokens ===

impl DayOfTokens {
    /// Forgets the sums of another day.
    fn turn_to(&mut self, date: Date) {
        if self.date != Some(date) {
            self.date = Some(date);
            self.used.clear();
        }
    }
}

fn to_the_minute(at: &ZonedDateTime) -> String {
    at.strftime("%Y-%m-%d %H:%M %:z").to_string()
}

#[cfg(test)]
mod tests {
    use crucible_config::checked::{Class, ModelDefaults};

    use super::*;

    fn key(tokens_per_day: Option<u64>) -> ClientKey {
        ClientKey {
            name: "laptop".into(),
            sha256: [0; 32],
            rate: None,
            tokens_per_day,
            class: Class::default(),
            defaults: ModelDefaults::default(),
            context: None,
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_key_is_refused_from_its_limit_to_the_next_midnight_of_the_time_zone() {
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let tokens = DailyTokens::new(berlin);
        let (laptop, now) = (key(Some(100)), at("2026-11-28T21:00:00Z"));
        tokens.charge(&laptop.name, 99, now, now);
        assert_eq!(tokens.check(&laptop, now), Ok(()));
        tokens.charge(&laptop.name, 51, now, now);
        let spent = tokens.check(&laptop, now).unwrap_err();
        assert_eq!((spent.used, spent.limit), (150, 100));
        assert_eq!(spent.ends, "2026-11-29 00:00 +01:00");
        assert_eq!(spent.wait, Duration::from_secs(2 * 3600));
        assert_eq!(tokens.check(&key(None), now), Ok(()));
        assert_eq!(tokens.check(&laptop, at("2026-11-28T23:00:00Z")), Ok(()));
    }

    #[test]
    fn tokens_of_yesterday_do_not_count_today() {
        let tokens = DailyTokens::new(TimeZone::UTC);
        let (laptop, now) = (key(Some(100)), at("2026-11-28T00:00:01Z"));
        tokens.charge(&laptop.name, 500, at("2026-11-27T23:59:59Z"), now);
        assert_eq!(tokens.check(&laptop, now), Ok(()));
    }
}
