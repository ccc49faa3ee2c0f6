//! Health of an engine and the circuit breaker of its data path: pure state machines with `now`
//! as argument.
//!
//! The first success is up at once and the first failure of an engine never seen is down at once;
//! later changes need several in a row. The breaker judges only what requests met, and who met it.

mod breaker;
mod clients;
mod silence;

use std::time::Duration;

use crate::view::Health;

pub use self::{
    breaker::{Breaker, Pass},
    silence::Silence,
};

/// Failed polls in a row until an engine that was up is down.
pub const DOWN_AFTER: u32 = 3;
/// Successful polls in a row until an engine that went down is up again.
pub const UP_AFTER: u32 = 2;
/// Failed requests in a row that open the breaker.
pub const OPEN_AFTER: u32 = 5;
/// First wait of an open breaker.
pub const OPEN_MIN: Duration = Duration::from_secs(1);
/// Longest wait of an open breaker.
pub const OPEN_MAX: Duration = Duration::from_secs(30);
/// Longest time that an engine is left alone because it asks for that.
pub const SPARED_MAX: Duration = Duration::from_mins(1);
/// Silent requests in a row that make an engine wedged.
pub const WEDGED_AFTER: u32 = 2;
/// A probe that was never reported stops counting after this.
pub const PROBE_EXPIRES: Duration = Duration::from_mins(1);

/// Counts polls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pulse {
    health: Health,
    ever_up: bool,
    failures: u32,
    successes: u32,
}

/// How a request to an engine went, as far as the engine is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The first complete event of its answer came: enough for a probe, but it may still break off.
    Began,
    /// It answered to the end.
    Answered,
    /// It refused this request for what it asks, or had no such model: it is there, and whether it
    /// can answer is not known.
    Refused,
    /// No connection, or one that broke before anything of an answer came.
    ConnectFailed,
    /// A 5xx, a body that is no answer, or an answer that broke off after it had begun. A request can
    /// cause all of these by what it asks.
    ServerFailed,
    /// It took the request and said nothing, or nothing more, within its time. A long prompt can
    /// cause that.
    Silent,
    /// It asks to be left alone for so long.
    Busy(Duration),
    /// Nothing is known: the client left first.
    Abandoned,
}

/// What Crucible found when it asked an engine for one token itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It answers.
    Well,
    /// It fails that too; `silent`: by saying nothing.
    Failing {
        /// It said nothing within its time.
        silent: bool,
    },
    /// It could not be asked: no permit came free, or its model is gone.
    Nothing,
}

// === impl Pulse ===

impl Pulse {
    /// The state.
    pub fn health(&self) -> Health {
        self.health
    }

    /// It has been up in this process.
    pub fn ever_up(&self) -> bool {
        self.ever_up
    }

    /// Failed polls in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Counts one poll.
    #[must_use]
    pub fn polled(mut self, ok: bool) -> Self {
        if ok {
            self.failures = 0;
            self.successes = self.successes.saturating_add(1);
            let back = self.health != Health::Down || self.successes >= UP_AFTER;
            if !self.ever_up || back {
                self.health = Health::Up;
                self.ever_up = true;
            }
        } else {
            self.successes = 0;
            self.failures = self.failures.saturating_add(1);
            let down = !self.ever_up || self.health == Health::Down || self.failures >= DOWN_AFTER;
            self.health = if down { Health::Down } else { Health::Degraded };
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(polls: &[bool]) -> Health {
        polls
            .iter()
            .fold(Pulse::default(), |p, ok| p.polled(*ok))
            .health()
    }

    #[test]
    fn first_impressions_count_at_once() {
        assert_eq!(after(&[]), Health::Unknown);
        assert_eq!(after(&[true]), Health::Up);
        assert_eq!(after(&[false]), Health::Down);
        assert_eq!(after(&[false, false, true]), Health::Up);
    }

    #[test]
    fn later_changes_need_several_in_a_row() {
        assert_eq!(after(&[true, false]), Health::Degraded);
        assert_eq!(after(&[true, false, false]), Health::Degraded);
        assert_eq!(after(&[true, false, false, false]), Health::Down);
        assert_eq!(after(&[true, false, false, true]), Health::Up);
        assert_eq!(after(&[true, false, false, false, true]), Health::Down);
        assert_eq!(after(&[true, false, false, false, true, true]), Health::Up);
        assert_eq!(
            after(&[true, false, false, false, true, false, true]),
            Health::Down
        );
    }
}
