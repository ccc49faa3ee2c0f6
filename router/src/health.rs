//! Health of an engine and the circuit breaker of its data path: pure state machines with `now`
//! as argument.
//!
//! The first success is up at once and the first failure of an engine never seen is down at once;
//! later changes need several in a row. The breaker judges only what requests met.

use std::time::{Duration, Instant};

use crate::view::{Breaker as Position, Health};

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
    /// Its answer has begun: enough for a probe, but it may still break off.
    Began,
    /// It answered to the end (also with an error that is the client's fault).
    Answered,
    /// No connection.
    ConnectFailed,
    /// A 5xx, or the answer was cut.
    ServerFailed,
    /// It took the request and said nothing, or nothing more, within its time.
    Silent,
    /// Nothing is known: the client left first.
    Abandoned,
}

/// Counts requests that an engine took without an end, though it answers its polls: it is wedged,
/// and only a restart may help. So is Ollama 0.33 once its scheduler waits for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Silence(u32);

/// Refuses requests to an engine that fails them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Breaker {
    failures: u32,
    opened: u32,
    until: Option<Instant>,
    probe: Option<Instant>,
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

// === impl Silence ===

impl Silence {
    /// It takes requests and answers none.
    pub fn wedged(self) -> bool {
        self.0 >= WEDGED_AFTER
    }

    /// Counts how a request went to an engine whose polls are in that state.
    #[must_use]
    pub fn reported(self, outcome: Outcome, health: Health) -> Self {
        match outcome {
            Outcome::Answered => Self::default(),
            Outcome::Silent if health == Health::Up => Self(self.0.saturating_add(1)),
            _ => self,
        }
    }

    /// Counts a poll: an engine that went down comes back as another process.
    #[must_use]
    pub fn polled(self, health: Health) -> Self {
        match health {
            Health::Down => Self::default(),
            _ => self,
        }
    }
}

// === impl Breaker ===

impl Breaker {
    /// Where it stands.
    pub fn position(&self, now: Instant) -> Position {
        match self.until {
            None => Position::Closed,
            Some(until) if now < until => Position::Open,
            Some(_) => Position::HalfOpen,
        }
    }

    /// When an open breaker lets a probe through.
    pub fn opens_in(&self, now: Instant) -> Option<Duration> {
        self.until.map(|until| until.saturating_duration_since(now))
    }

    /// Whether a request may pass; half open, the first one becomes the probe.
    pub fn try_pass(&mut self, now: Instant) -> bool {
        match self.position(now) {
            Position::Closed => true,
            Position::Open => false,
            Position::HalfOpen => {
                let busy = self
                    .probe
                    .is_some_and(|since| now.saturating_duration_since(since) < PROBE_EXPIRES);
                if !busy {
                    self.probe = Some(now);
                }
                !busy
            }
        }
    }

    /// Counts how a request went.
    pub fn report(&mut self, outcome: Outcome, now: Instant) {
        match outcome {
            Outcome::Answered => *self = Self::default(),
            Outcome::Began => {
                if self.position(now) == Position::HalfOpen {
                    // The next wait is longer unless an answer comes to its end.
                    *self = Self {
                        opened: self.opened,
                        ..Self::default()
                    };
                }
            }
            Outcome::Abandoned => self.probe = None,
            Outcome::ConnectFailed | Outcome::ServerFailed | Outcome::Silent => {
                self.failures = self.failures.saturating_add(1);
                let due = match self.position(now) {
                    Position::Closed => self.failures >= OPEN_AFTER,
                    // Requests sent before it opened say nothing new.
                    Position::Open => false,
                    Position::HalfOpen => true,
                };
                if due {
                    let wait = OPEN_MIN
                        .saturating_mul(1 << self.opened.min(5))
                        .min(OPEN_MAX);
                    self.opened = self.opened.saturating_add(1);
                    self.until = Some(now + wait);
                    self.probe = None;
                }
            }
        }
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
    fn an_engine_that_answers_polls_but_no_request_is_wedged() {
        let silent = |s: Silence, health| s.reported(Outcome::Silent, health);
        let once = silent(Silence::default(), Health::Up);
        assert!(!once.wedged());
        let twice = silent(once.reported(Outcome::Began, Health::Up), Health::Up);
        assert!(twice.wedged());
        // It is still the same process, and may be silent again.
        assert!(twice.polled(Health::Degraded).wedged());
        assert!(!twice.polled(Health::Down).wedged());
        assert!(!twice.reported(Outcome::Answered, Health::Up).wedged());
        // Who answers no polls either is down, not wedged.
        assert!(!silent(once, Health::Degraded).wedged());
        assert!(!once.reported(Outcome::ServerFailed, Health::Up).wedged());
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

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..OPEN_AFTER {
            assert!(breaker.try_pass(now));
            breaker.report(Outcome::ConnectFailed, now);
        }
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row_only() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..3 {
            for _ in 1..OPEN_AFTER {
                breaker.report(Outcome::ServerFailed, now);
            }
            breaker.report(Outcome::Answered, now);
        }
        assert_eq!(breaker.position(now), Position::Closed);
        assert_eq!(opened(now).position(now), Position::Open);
        assert!(!opened(now).try_pass(now));
    }

    #[test]
    fn one_probe_decides() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = now + OPEN_MIN;
        assert_eq!(breaker.position(later), Position::HalfOpen);
        assert!(breaker.try_pass(later));
        assert!(!breaker.try_pass(later));
        breaker.report(Outcome::ServerFailed, later);
        assert_eq!(breaker.opens_in(later), Some(OPEN_MIN * 2));
        let again = later + OPEN_MIN * 2;
        assert!(breaker.try_pass(again));
        breaker.report(Outcome::Answered, again);
        assert_eq!(breaker, Breaker::default());
    }

    #[test]
    fn answers_that_begin_and_break_off_open_it_again() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..OPEN_AFTER {
            assert_eq!(breaker.position(now), Position::Closed);
            breaker.report(Outcome::Began, now);
            breaker.report(Outcome::ServerFailed, now);
        }
        assert_eq!(breaker.position(now), Position::Open);
        let later = now + OPEN_MIN;
        assert!(breaker.try_pass(later));
        breaker.report(Outcome::Began, later);
        assert_eq!(breaker.position(later), Position::Closed);
        for _ in 0..OPEN_AFTER {
            breaker.report(Outcome::ServerFailed, later);
        }
        assert_eq!(breaker.opens_in(later), Some(OPEN_MIN * 2));
        breaker.report(Outcome::Answered, later);
        assert_eq!(breaker, Breaker::default());
    }

    #[test]
    fn a_probe_whose_client_left_makes_room() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = now + OPEN_MIN;
        assert!(breaker.try_pass(later));
        breaker.report(Outcome::Abandoned, later);
        assert!(breaker.try_pass(later));
        assert!(breaker.try_pass(later + PROBE_EXPIRES));
    }

    #[test]
    fn the_wait_has_a_limit() {
        let mut now = Instant::now();
        let mut breaker = opened(now);
        for _ in 0..10 {
            now += OPEN_MAX;
            assert!(breaker.try_pass(now));
            breaker.report(Outcome::ConnectFailed, now);
        }
        assert_eq!(breaker.opens_in(now), Some(OPEN_MAX));
    }
}
