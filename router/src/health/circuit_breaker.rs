//! The circuit breaker of an engine: an engine that fails its requests gets none for a while.
//!
//! Failures that a request may cause by what it asks (a 5xx, an answer that breaks off, silence)
//! open it only where two clients met them, or where Crucible's own probe meets one after one
//! client did: so no client can take an engine from the others. Failures that no request causes (no
//! connection) count whoever meets them. An engine that asks to get no requests (429) gets none,
//! which says nothing of its health.

use std::time::{Duration, Instant};

use super::{
    OPEN_AFTER, OPEN_MAX, OPEN_MIN, PROBE_EXPIRES, ProbeResult, RequestOutcome, SPARED_MAX,
    distinct_clients::DistinctClients,
};
use crate::{
    client::ClientId,
    view::{BreakerState, Cooldown},
};

/// The right to send a request to an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerPass {
    /// The breaker is closed: the request passes like any other.
    Closed,
    /// The one request that a half-open breaker lets through, by its number.
    Probe(u64),
}

/// The circuit breaker of one engine. It opens after [`OPEN_AFTER`] failures in a row, for a wait
/// that doubles from [`OPEN_MIN`] to [`OPEN_MAX`], and is half open after it: then one probe
/// passes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CircuitBreaker {
    /// The failures since the last answer.
    failures: FailureCounts,
    /// The number of times that it opened without a whole answer in between.
    times_opened: u32,
    /// While it is not closed: the time at which the next probe may pass.
    open_until: Option<Instant>,
    /// The client's request that passed half open and was not reported yet.
    client_probe: Option<ProbeTurn>,
    /// The client whose probe failed last.
    last_failed_prober: Option<ClientId>,
    /// The clients that were refused since it opened.
    refused_clients: DistinctClients,
    /// The probe of Crucible's own that runs.
    own_probe: Option<ProbeTurn>,
    /// The time before which no further one begins.
    no_own_probe_before: Option<Instant>,
    /// The time until which the engine asked to get no requests.
    spared_until: Option<Instant>,
    /// The number of the last probe.
    next_number: u64,
}

/// Failures in a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct FailureCounts {
    /// Failures of the connection.
    connect: u32,
    /// Failures that the request may have caused.
    answer: u32,
    /// The clients that met those.
    of_clients: DistinctClients,
    /// Whether Crucible's own probe met one too.
    confirmed_by_probe: bool,
}

/// A probe that was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ProbeTurn {
    /// The number of the probe.
    number: u64,
    /// The time at which it was begun.
    since: Instant,
}

// === impl FailureCounts ===

impl FailureCounts {
    /// Whether there are enough of them to open the breaker.
    fn are_enough(&self) -> bool {
        self.connect.saturating_add(self.answer) >= OPEN_AFTER
    }

    /// Whether no single client's requests can be their cause.
    fn are_proven(&self) -> bool {
        self.connect >= OPEN_AFTER || self.of_clients.are_several() || self.confirmed_by_probe
    }
}

// === impl ProbeTurn ===

impl ProbeTurn {
    /// Whether it still counts as running.
    fn is_running(self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < PROBE_EXPIRES
    }
}

// === impl CircuitBreaker ===

impl CircuitBreaker {
    /// The state of the breaker. It counts as open where the engine itself asked to get no
    /// requests.
    pub fn state(&self, now: Instant) -> BreakerState {
        if self.spared_until.is_some_and(|until| now < until) {
            return BreakerState::Open;
        }
        self.state_by_failures(now)
    }

    /// The state by failures alone.
    fn state_by_failures(&self, now: Instant) -> BreakerState {
        match self.open_until {
            None => BreakerState::Closed,
            Some(until) if now < until => BreakerState::Open,
            Some(_) => BreakerState::HalfOpen,
        }
    }

    /// The time for which no request passes, if that is known.
    pub fn cooldown(&self, now: Instant) -> Option<Cooldown> {
        let spared = self.spared_until.filter(|until| now < *until);
        let open = self.open_until.filter(|until| now < *until);
        let until = spared.max(open)?;
        Some(Cooldown {
            until,
            remaining: until.saturating_duration_since(now),
            engine_asked: spared == Some(until),
            state_after: self.state_by_failures(until),
        })
    }

    /// Whether a request of that client may pass. Half open, the first one becomes the probe.
    pub fn try_pass(&mut self, client: &ClientId, now: Instant) -> Result<BreakerPass, Cooldown> {
        if let Some(left_alone) = self.cooldown(now) {
            self.refused_clients.add(client);
            return Err(left_alone);
        }
        if self.open_until.is_none() {
            return Ok(BreakerPass::Closed);
        }
        if [self.client_probe, self.own_probe]
            .iter()
            .flatten()
            .any(|p| p.is_running(now))
        {
            self.refused_clients.add(client);
            return Err(Cooldown {
                until: now,
                remaining: Duration::ZERO,
                engine_asked: false,
                state_after: BreakerState::HalfOpen,
            });
        }
        let turn = self.next_turn(now);
        self.client_probe = Some(turn);
        Ok(BreakerPass::Probe(turn.number))
    }

    /// Takes the outcome of a request that passed. Returns whether only a probe of Crucible's own
    /// can tell whose fault a failure is.
    pub fn report(
        &mut self,
        client: &ClientId,
        pass: BreakerPass,
        outcome: RequestOutcome,
        now: Instant,
    ) -> bool {
        let probing = self
            .client_probe
            .is_some_and(|p| pass == BreakerPass::Probe(p.number));
        match outcome {
            RequestOutcome::Answered => self.close(0),
            RequestOutcome::Began => {
                if self.state_by_failures(now) == BreakerState::HalfOpen {
                    // The next wait is longer unless an answer comes to its end.
                    self.close(self.times_opened);
                }
            }
            RequestOutcome::Abandoned | RequestOutcome::Refused | RequestOutcome::Busy(_) => {
                if probing {
                    self.client_probe = None;
                }
                if outcome != RequestOutcome::Abandoned && self.open_until.is_none() {
                    self.failures.connect = 0;
                }
                if let RequestOutcome::Busy(wait) = outcome {
                    self.spared_until = self.spared_until.max(Some(now + wait.min(SPARED_MAX)));
                }
            }
            RequestOutcome::ConnectFailed
            | RequestOutcome::ServerFailed
            | RequestOutcome::Silent => {
                let alone = outcome == RequestOutcome::ConnectFailed;
                return match self.state_by_failures(now) {
                    BreakerState::Closed => self.count_failure(client, alone, now),
                    // Requests sent before it opened say nothing new.
                    BreakerState::Open => false,
                    BreakerState::HalfOpen => probing && self.probe_failed(client, alone, now),
                };
            }
        }
        false
    }

    /// Begins a probe of Crucible's own, if none runs and one may; returns its number.
    pub fn begin_own_probe(&mut self, now: Instant) -> Option<u64> {
        let early = self.no_own_probe_before.is_some_and(|after| now < after);
        if early || self.own_probe.is_some_and(|own| own.is_running(now)) {
            return None;
        }
        let turn = self.next_turn(now);
        self.own_probe = Some(turn);
        Some(turn.number)
    }

    /// Takes the result of Crucible's own probe. It counts for nothing where a client's answer came
    /// before.
    pub fn end_own_probe(&mut self, number: u64, found: ProbeResult, now: Instant) {
        if self.own_probe.take_if(|own| own.number == number).is_none() {
            return;
        }
        match found {
            // What fails one client's requests and answers Crucible is well.
            ProbeResult::Answers => self.close(self.times_opened),
            ProbeResult::Failing { .. } => {
                self.failures.confirmed_by_probe = true;
                let due = match self.state_by_failures(now) {
                    BreakerState::Closed => self.failures.are_enough(),
                    BreakerState::Open => false,
                    BreakerState::HalfOpen => true,
                };
                if due {
                    self.open(now);
                }
            }
            ProbeResult::Unknown => {}
        }
        self.no_own_probe_before = Some(now + OPEN_MIN);
    }

    /// Counts a failure while closed; `alone`: of the connection. Returns whether only a probe of
    /// Crucible's own can tell whose fault it is.
    fn count_failure(&mut self, client: &ClientId, alone: bool, now: Instant) -> bool {
        let failures = &mut self.failures;
        if alone {
            failures.connect = failures.connect.saturating_add(1);
        } else {
            failures.answer = failures.answer.saturating_add(1);
            failures.of_clients.add(client);
        }
        if failures.are_enough() && failures.are_proven() {
            self.open(now);
            return false;
        }
        self.failures.are_enough()
    }

    /// Takes the failure of a client's probe. The engine was known to fail, so one more failure is
    /// enough; unless the same client's probe failed the last time too, and others wait.
    fn probe_failed(&mut self, client: &ClientId, alone: bool, now: Instant) -> bool {
        self.client_probe = None;
        let again = self.last_failed_prober.as_ref() == Some(client);
        if !alone && again && self.refused_clients.include_other_than(client) {
            return true;
        }
        self.last_failed_prober = Some(client.clone()).filter(|_| !alone);
        self.open(now);
        false
    }

    /// Opens the breaker for its next wait.
    fn open(&mut self, now: Instant) {
        let wait = OPEN_MIN
            .saturating_mul(1 << self.times_opened.min(5))
            .min(OPEN_MAX);
        self.times_opened = self.times_opened.saturating_add(1);
        self.open_until = Some(now + wait);
        self.client_probe = None;
        self.own_probe = None;
    }

    /// Closes the breaker; what the engine asked for itself stays.
    fn close(&mut self, opened: u32) {
        *self = Self {
            times_opened: opened,
            no_own_probe_before: self.no_own_probe_before,
            spared_until: self.spared_until,
            next_number: self.next_number,
            ..Self::default()
        };
    }

    /// A new probe.
    fn next_turn(&mut self, now: Instant) -> ProbeTurn {
        self.next_number = self.next_number.wrapping_add(1);
        ProbeTurn {
            number: self.next_number,
            since: now,
        }
    }
}

#[cfg(test)]
mod tests;
