//! The names that no engine lists and another model answers for.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// A name that another model answers for is not asked for again for this long: polls will show it.
const REMEMBERED: Duration = Duration::from_mins(1);
/// The number of names above which all are forgotten.
const NAMES: usize = 256;

/// The names that no engine lists and another model answers for, each with the time of the last question.
#[derive(Debug, Default)]
pub(super) struct StandIns(Mutex<HashMap<String, Instant>>);

// === impl StandIns ===

impl StandIns {
    /// Notes a name. Returns `false` where that was done a short while ago.
    pub(super) fn is_new(&self, name: &str, now: Instant) -> bool {
        let mut names = self.0.lock();
        let known = names.get(name);
        if known.is_some_and(|asked| now.saturating_duration_since(*asked) < REMEMBERED) {
            return false;
        }
        if names.len() >= NAMES {
            names.clear();
        }
        names.insert(name.to_owned(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_another_model_answers_for_is_asked_for_once_a_minute() {
        let (names, now) = (StandIns::default(), Instant::now());
        assert!(names.is_new("a", now) && names.is_new("b", now));
        assert!(!names.is_new("a", now + Duration::from_secs(59)));
        assert!(names.is_new("a", now + Duration::from_secs(61)));
        for n in 0..2 * NAMES {
            names.is_new(&n.to_string(), now);
        }
        assert!(names.0.lock().len() <= NAMES);
    }
}
