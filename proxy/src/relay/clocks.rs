//! The time budgets of one answer, as a pure function of what happened when.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Error, Kind};

/// A budget that was missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missed {
    /// No first token.
    FirstToken,
    /// Too long a gap after it.
    Idle,
}

/// What the clocks are set to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budgets {
    /// From sending the request to its first token.
    pub(crate) first_token: Duration,
    /// Between the engine's bytes after the first token.
    pub(crate) idle: Duration,
    /// Between bytes to a waiting client; `None` where the form has no comments.
    pub(crate) heartbeat: Option<Duration>,
}

/// The clocks of one answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clocks {
    budgets: Budgets,
    sent_at: Instant,
    first_token: bool,
    /// The engine's last byte, or the moment from which silence is the engine's own.
    heard_at: Instant,
    /// The last byte towards the client.
    spoke_at: Instant,
}

/// What to do at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing before this.
    At(Instant),
    /// Tell the client that all is well.
    Heartbeat,
    /// Give up.
    Missed(Missed),
}

// === impl Missed ===

impl From<Missed> for Error {
    fn from(missed: Missed) -> Self {
        match missed {
            Missed::FirstToken => Self::new(
                Kind::FirstTokenTimeout,
                "the engine gave no first token within timeouts.first_token",
            ),
            Missed::Idle => Self::new(
                Kind::IdleTimeout,
                "the engine fell silent for longer than timeouts.idle",
            ),
        }
    }
}

// === impl Clocks ===

impl Clocks {
    pub(super) fn new(budgets: Budgets, sent_at: Instant) -> Self {
        Self {
            budgets,
            sent_at,
            first_token: false,
            heard_at: sent_at,
            spoke_at: sent_at,
        }
    }

    /// Bytes of the engine came, or its silence has a known cause (another request's prompt).
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard_at = now;
    }

    /// A content event came.
    pub(super) fn token(&mut self) {
        self.first_token = true;
    }

    /// So much of the silence was not the engine's: the client did not read.
    pub(super) fn excuse(&mut self, silence: Duration) {
        self.heard_at += silence;
    }

    /// Bytes went to the client.
    pub(super) fn spoke(&mut self, now: Instant) {
        self.spoke_at = now;
    }

    /// A missed budget, else a heartbeat that is due, else when to look again.
    pub(super) fn due(&self, now: Instant) -> Due {
        let (limit, missed) = if self.first_token {
            (self.heard_at + self.budgets.idle, Missed::Idle)
        } else {
            (self.sent_at + self.budgets.first_token, Missed::FirstToken)
        };
        if now >= limit {
            return Due::Missed(missed);
        }
        match self.budgets.heartbeat.map(|every| self.spoke_at + every) {
            Some(beat) if now >= beat => Due::Heartbeat,
            Some(beat) => Due::At(limit.min(beat)),
            None => Due::At(limit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGETS: Budgets = Budgets {
        first_token: Duration::from_secs(300),
        idle: Duration::from_secs(30),
        heartbeat: Some(Duration::from_secs(10)),
    };

    #[test]
    fn the_first_token_has_a_budget_of_its_own_and_the_gap_another() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut clocks = Clocks::new(BUDGETS, start);
        clocks.spoke(at(299));
        assert_eq!(clocks.due(at(299)), Due::At(at(300)));
        assert_eq!(clocks.due(at(300)), Due::Missed(Missed::FirstToken));
        clocks.token();
        clocks.heard(at(100));
        clocks.spoke(at(125));
        assert_eq!(clocks.due(at(129)), Due::At(at(130)));
        assert_eq!(clocks.due(at(130)), Due::Missed(Missed::Idle));
    }

    #[test]
    fn a_heartbeat_is_no_progress_of_the_engine() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut clocks = Clocks::new(BUDGETS, start);
        assert_eq!(clocks.due(at(10)), Due::Heartbeat);
        clocks.spoke(at(10));
        assert_eq!(clocks.due(at(11)), Due::At(at(20)));
        clocks.spoke(at(299));
        assert_eq!(clocks.due(at(300)), Due::Missed(Missed::FirstToken));
    }

    #[test]
    fn silence_that_was_not_the_engines_is_excused() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut clocks = Clocks::new(BUDGETS, start);
        clocks.token();
        clocks.heard(at(1));
        clocks.excuse(Duration::from_secs(28));
        clocks.spoke(at(55));
        assert_eq!(clocks.due(at(58)), Due::At(at(59)));
    }
}
