//! The health of engines: what polls, requests and Crucible's own probes say about each. These are
//! pure state machines that take the time as an argument.
//!
//! - [`PollHealth`] counts polls: the first success is up at once, and the first failure of an
//!   engine that was never up is down at once; later changes need several in a row.
//! - [`CircuitBreaker`] judges requests, and which clients met their failures: an engine that fails
//!   them gets none for a while.
//! - [`WedgeDetector`] finds engines that answer polls but no requests.

mod circuit_breaker;
mod distinct_clients;
mod wedge_detector;

use std::time::Duration;

use crate::view::Health;

pub use self::{
    circuit_breaker::{BreakerPass, CircuitBreaker},
    wedge_detector::WedgeDetector,
};

/// Failed polls in a row until an engine that was up is down.
pub const DOWN_AFTER: u32 = 3;
/// Successful polls in a row until an engine that went down is up again.
pub const UP_AFTER: u32 = 2;
/// Failed requests in a row that open the breaker.
pub const OPEN_AFTER: u32 = 5;
/// The first wait of an open breaker.
pub const OPEN_MIN: Duration = Duration::from_secs(1);
/// The longest wait of an open breaker.
pub const OPEN_MAX: Duration = Duration::from_secs(30);
/// The longest time for which an engine gets no requests because it asks for that.
pub const SPARED_MAX: Duration = Duration::from_mins(1);
/// Silent requests in a row that make an engine wedged.
pub const WEDGED_AFTER: u32 = 2;
/// The time after which a probe that was never reported stops counting.
pub const PROBE_EXPIRES: Duration = Duration::from_mins(1);

/// The health of an engine by its polls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PollHealth {
    /// The present state.
    health: Health,
    /// Whether it has been up in this process.
    ever_up: bool,
    /// Failed polls in a row.
    failures: u32,
    /// Successful polls in a row.
    successes: u32,
}

/// The outcome of a request to an engine, as far as the engine is to blame for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestOutcome {
    /// The first complete event of its answer came. That is enough for a probe, but the answer may
    /// still break off.
    Began,
    /// The request was answered to the end.
    Answered,
    /// The engine refused this request for what it asks, or had no such model: the engine is there,
    /// and whether it can answer is not known.
    Refused,
    /// There was no connection, or it broke before anything of an answer came.
    ConnectFailed,
    /// A 5xx, a body that is no answer, or an answer that broke off after it had begun. A request
    /// can cause all of these by what it asks.
    ServerFailed,
    /// The engine took the request and said nothing, or nothing more, within its time. A long
    /// prompt can cause that.
    Silent,
    /// The engine asks to get no requests for so long.
    Busy(Duration),
    /// Nothing is known, because the client left first.
    Abandoned,
}

/// The result of Crucible's own probe, a request for one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeResult {
    /// The engine answers.
    Answers,
    /// The engine fails the probe too.
    Failing {
        /// Whether it fails by saying nothing within its time.
        silent: bool,
    },
    /// The engine could not be asked: no permit came free, or its model is gone.
    Unknown,
}

// === impl PollHealth ===

impl PollHealth {
    /// Returns the state of the engine by its last polls.
    pub fn health(&self) -> Health {
        self.health
    }

    /// Whether it has been up in this process.
    pub fn ever_up(&self) -> bool {
        self.ever_up
    }

    /// Failed polls in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// The health after one more poll.
    #[must_use]
    pub fn after_poll(mut self, ok: bool) -> Self {
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
            .fold(PollHealth::default(), |p, ok| p.after_poll(*ok))
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
