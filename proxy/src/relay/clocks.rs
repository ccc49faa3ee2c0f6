//! The time limits of one answer, as a pure function of the moments at which things happened.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Error, ErrorKind};

/// The time limit of an answer that its engine has missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missed {
    /// The first token did not come in time.
    FirstToken,
    /// The engine fell silent for too long after the first token.
    Idle,
    /// The engine was silent for too long, even for a tool call that is being written.
    ToolCall,
}

/// The time limits of one answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budgets {
    /// The most time to the first token, from sending the request or from the last report that the
    /// engine has read on in the prompt.
    pub(crate) first_token: Duration,
    /// The most time from sending the request to its first token, however much the engine reports; at
    /// least `first_token`.
    pub(crate) longest_prefill: Duration,
    /// The most time between two bytes of the engine after the first token. Where `tool_call` is
    /// longer, the engine is asked after this time whether it is at work, and again after each such
    /// time.
    pub(crate) idle: Duration,
    /// The most time between two bytes of an engine that may be writing a tool call and says that
    /// it is at work; `None` where the answer cannot be a tool call.
    pub(crate) tool_call: Option<Duration>,
    /// The time without bytes after which a waiting client gets a heartbeat; `None` where it gets
    /// none.
    pub(crate) heartbeat: Option<Duration>,
}

/// The clocks of one answer, for the first token, for the gaps after it, and for heartbeats to the
/// client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clocks {
    budgets: Budgets,
    sent_at: Instant,
    /// The moment of sending, or the last one at which the engine is known to have read on in the prompt.
    read_at: Instant,
    /// An event of the engine has come.
    begun: bool,
    first_token: bool,
    /// The moment of the engine's last byte, or a later one up to which its silence is excused.
    heard_at: Instant,
    /// The moment of the last question since then that found the engine at work.
    looked_at: Option<Instant>,
    /// The moment of the last byte to the client.
    spoke_at: Instant,
}

/// The thing that is due at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DueClock {
    /// Nothing is due before this moment.
    At(Instant),
    /// A heartbeat for the client is due.
    Heartbeat,
    /// A look at the engine is due.
    Look,
    /// A budget is missed, and the answer is given up.
    Missed(Missed),
}

// === impl Missed ===

impl From<Missed> for Error {
    fn from(missed: Missed) -> Self {
        match missed {
            Missed::FirstToken => Self::new(
                ErrorKind::FirstTokenTimeout,
                "the engine gave no first token within timeouts.first_token",
            ),
            Missed::Idle => Self::new(
                ErrorKind::IdleTimeout,
                "the engine fell silent for longer than timeouts.idle",
            ),
            Missed::ToolCall => Self::new(
                ErrorKind::IdleTimeout,
                "the engine fell silent for longer than timeouts.tool_call",
            ),
        }
    }
}

// === impl Clocks ===

impl Clocks {
    /// Starts the clocks of an answer to a request that was sent at `sent_at` and of which nothing
    /// has come.
    pub(super) fn new(budgets: Budgets, sent_at: Instant) -> Self {
        Self {
            budgets,
            sent_at,
            read_at: sent_at,
            begun: false,
            first_token: false,
            heard_at: sent_at,
            looked_at: None,
            spoke_at: sent_at,
        }
    }

    /// Notes that bytes of the engine came, or that its silence is excused, such as by another
    /// request's prompt.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard_at = now;
        self.looked_at = None;
    }

    /// Notes that a question found the engine at work.
    pub(super) fn looked(&mut self, now: Instant) {
        self.looked_at = Some(now);
    }

    /// Notes that the engine read on in the prompt at `at`, and returns whether that is news.
    pub(super) fn read_on(&mut self, at: Instant) -> bool {
        let is_news = at > self.read_at;
        self.read_at = self.read_at.max(at);
        is_news
    }

    /// Notes that an event came.
    pub(super) fn begun(&mut self) {
        self.begun = true;
    }

    /// Notes that a content event came, and returns whether it is the first.
    pub(super) fn token(&mut self) -> bool {
        !std::mem::replace(&mut self.first_token, true)
    }

    /// Notes that this process did not run for an unknown time, as in a suspended machine: each
    /// time limit starts anew.
    pub(super) fn stood_still(&mut self, now: Instant) {
        self.sent_at = now;
        self.read_at = now;
        self.heard(now);
    }

    /// Excuses a part of the engine's silence, in which the client did not read.
    pub(super) fn excuse(&mut self, silence: Duration) {
        self.heard_at += silence;
        self.looked_at = self.looked_at.map(|at| at + silence);
    }

    /// Notes that bytes went to the client.
    pub(super) fn spoke(&mut self, now: Instant) {
        self.spoke_at = now;
    }

    /// Returns the thing that is due: first a missed time limit, then a heartbeat, then a question
    /// to the engine; else the moment at which to ask again.
    pub(super) fn due(&self, now: Instant) -> DueClock {
        let Budgets {
            first_token,
            longest_prefill,
            idle,
            tool_call,
            heartbeat,
        } = self.budgets;
        // Who allows a longer gap in any answer allows it here too.
        let longer = tool_call.filter(|gap| *gap > idle);
        let first_at = (self.read_at + first_token).min(self.sent_at + longest_prefill);
        let first = (first_at, Missed::FirstToken);
        let gap = match longer {
            Some(gap) => (self.heard_at + gap, Missed::ToolCall),
            None => (self.heard_at + idle, Missed::Idle),
        };
        // A call may be the first thing that an engine writes.
        let may_be_writing = longer.is_some() && (self.begun || self.first_token);
        let (limit, missed) = match (self.first_token, may_be_writing) {
            (true, _) => gap,
            (false, true) if gap.0 > first.0 => gap,
            (false, _) => first,
        };
        if now >= limit {
            return DueClock::Missed(missed);
        }
        let beat = heartbeat.map(|every| self.spoke_at + every);
        if beat.is_some_and(|at| now >= at) {
            return DueClock::Heartbeat;
        }
        let look = may_be_writing.then(|| self.looked_at.unwrap_or(self.heard_at) + idle);
        if look.is_some_and(|at| now >= at) {
            return DueClock::Look;
        }
        DueClock::At([look, beat].into_iter().flatten().fold(limit, Instant::min))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGETS: Budgets = Budgets {
        first_token: Duration::from_secs(300),
        longest_prefill: Duration::from_secs(600),
        idle: Duration::from_secs(30),
        tool_call: None,
        heartbeat: Some(Duration::from_secs(10)),
    };

    #[test]
    fn the_first_token_is_awaited_while_the_prompt_is_read_but_not_for_ever() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut clocks = Clocks::new(BUDGETS, start);
        clocks.spoke(at(600));
        assert!(clocks.read_on(at(200)));
        assert!(!clocks.read_on(at(200)) && !clocks.read_on(at(100)));
        assert_eq!(clocks.due(at(499)), DueClock::At(at(500)));
        assert_eq!(clocks.due(at(500)), DueClock::Missed(Missed::FirstToken));
        assert!(clocks.read_on(at(450)));
        assert_eq!(clocks.due(at(599)), DueClock::At(at(600)));
        assert_eq!(clocks.due(at(600)), DueClock::Missed(Missed::FirstToken));
        clocks.stood_still(at(600));
        assert_eq!(clocks.due(at(601)), DueClock::At(at(610)));
    }

    #[test]
    fn the_first_token_has_a_budget_of_its_own_and_the_gap_another() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut clocks = Clocks::new(BUDGETS, start);
        clocks.spoke(at(299));
        assert_eq!(clocks.due(at(299)), DueClock::At(at(300)));
        assert_eq!(clocks.due(at(300)), DueClock::Missed(Missed::FirstToken));
        clocks.token();
        clocks.heard(at(100));
        clocks.spoke(at(125));
        assert_eq!(clocks.due(at(129)), DueClock::At(at(130)));
        assert_eq!(clocks.due(at(130)), DueClock::Missed(Missed::Idle));
    }

    #[test]
    fn a_heartbeat_is_no_progress_of_the_engine() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut clocks = Clocks::new(BUDGETS, start);
        assert_eq!(clocks.due(at(10)), DueClock::Heartbeat);
        clocks.spoke(at(10));
        assert_eq!(clocks.due(at(11)), DueClock::At(at(20)));
        clocks.spoke(at(299));
        assert_eq!(clocks.due(at(300)), DueClock::Missed(Missed::FirstToken));
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
        assert_eq!(clocks.due(at(58)), DueClock::At(at(59)));
    }

    #[test]
    fn a_pause_of_the_process_is_no_silence_of_the_engine() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut clocks = Clocks::new(BUDGETS, start);
        clocks.stood_still(at(400));
        clocks.spoke(at(699));
        assert_eq!(clocks.due(at(699)), DueClock::At(at(700)));
        assert_eq!(clocks.due(at(700)), DueClock::Missed(Missed::FirstToken));
        clocks.token();
        clocks.heard(at(700));
        clocks.stood_still(at(800));
        clocks.spoke(at(829));
        assert_eq!(clocks.due(at(829)), DueClock::At(at(830)));
        assert_eq!(clocks.due(at(830)), DueClock::Missed(Missed::Idle));
    }

    #[test]
    fn a_silence_that_may_be_a_tool_call_is_looked_into_again_and_again() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let budgets = Budgets {
            tool_call: Some(Duration::from_secs(80)),
            heartbeat: None,
            ..BUDGETS
        };
        let mut clocks = Clocks::new(budgets, start);
        assert_eq!(clocks.due(at(100)), DueClock::At(at(300)));
        clocks.token();
        clocks.heard(at(100));
        assert_eq!(clocks.due(at(129)), DueClock::At(at(130)));
        assert_eq!(clocks.due(at(130)), DueClock::Look);
        clocks.looked(at(131));
        assert_eq!(clocks.due(at(131)), DueClock::At(at(161)));
        assert_eq!(clocks.due(at(161)), DueClock::Look);
        clocks.looked(at(162));
        assert_eq!(clocks.due(at(179)), DueClock::At(at(180)));
        assert_eq!(clocks.due(at(180)), DueClock::Missed(Missed::ToolCall));
        clocks.heard(at(200));
        assert_eq!(clocks.due(at(201)), DueClock::At(at(230)));
        let mut clocks = Clocks::new(budgets, start);
        clocks.begun();
        clocks.heard(at(1));
        assert_eq!(clocks.due(at(31)), DueClock::Look);
        clocks.looked(at(290));
        assert_eq!(clocks.due(at(300)), DueClock::Missed(Missed::FirstToken));
        clocks.heard(at(290));
        assert_eq!(clocks.due(at(319)), DueClock::At(at(320)));
        assert_eq!(clocks.due(at(370)), DueClock::Missed(Missed::ToolCall));
        let impatient = Budgets {
            tool_call: Some(Duration::from_secs(10)),
            ..budgets
        };
        let mut clocks = Clocks::new(impatient, start);
        clocks.token();
        assert_eq!(clocks.due(at(29)), DueClock::At(at(30)));
        assert_eq!(clocks.due(at(30)), DueClock::Missed(Missed::Idle));
    }
}
