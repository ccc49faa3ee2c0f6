//! The circuit breaker: an engine that fails its requests is left alone for a while.
//!
//! What a request may cause by what it asks (a 5xx, an answer that breaks off, silence) opens it only
//! where two clients met it, or where Crucible's own probe of the engine meets it after one client
//! did: nobody can take an engine from the others. What no request causes (no connection) counts
//! whoever meets it. An engine that asks to be left alone (429) is, which says nothing of its health.

use std::time::{Duration, Instant};

use super::{
    Found, OPEN_AFTER, OPEN_MAX, OPEN_MIN, Outcome, PROBE_EXPIRES, SPARED_MAX, clients::Clients,
};
use crate::{
    client::ClientId,
    view::{Breaker as Position, LeftAlone},
};

/// Leave to send a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// As to any engine that is well.
    Free,
    /// The one request that a half-open breaker lets through.
    Probe(u64),
}

/// Refuses requests to an engine that fails them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Breaker {
    /// Since the last answer.
    failures: Failures,
    /// Times that it opened without an answer that came to its end in between.
    opened: u32,
    /// While it is not closed: when the next probe may pass.
    until: Option<Instant>,
    /// The request that passed half open.
    probe: Option<Turn>,
    /// Whose probe made it open again.
    reopened_by: Option<ClientId>,
    /// Who was refused since it opened.
    refused: Clients,
    /// The probe of Crucible's own that runs.
    own: Option<Turn>,
    /// None of these before.
    own_after: Option<Instant>,
    /// The engine asked to be left alone until then.
    spared: Option<Instant>,
    /// Number of the next probe.
    next: u64,
}

/// Failures in a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Failures {
    /// Of the connection.
    unreached: u32,
    /// That the request may have caused.
    failed: u32,
    /// Who met these.
    clients: Clients,
    /// Crucible's own probe met one too.
    confirmed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Turn {
    number: u64,
    since: Instant,
}

// === impl Failures ===

impl Failures {
    fn enough(&self) -> bool {
        self.unreached.saturating_add(self.failed) >= OPEN_AFTER
    }

    /// Nobody's requests alone can be the cause.
    fn proven(&self) -> bool {
        self.unreached >= OPEN_AFTER || self.clients.several() || self.confirmed
    }
}

// === impl Turn ===

impl Turn {
    fn runs(self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < PROBE_EXPIRES
    }
}

// === impl Breaker ===

impl Breaker {
    /// Where it stands.
    pub fn position(&self, now: Instant) -> Position {
        if self.spared.is_some_and(|until| now < until) {
            return Position::Open;
        }
        self.position_by_failures(now)
    }

    fn position_by_failures(&self, now: Instant) -> Position {
        match self.until {
            None => Position::Closed,
            Some(until) if now < until => Position::Open,
            Some(_) => Position::HalfOpen,
        }
    }

    /// Until when no request passes, if that is known.
    pub fn left_alone(&self, now: Instant) -> Option<LeftAlone> {
        let spared = self.spared.filter(|until| now < *until);
        let open = self.until.filter(|until| now < *until);
        let until = spared.max(open)?;
        Some(LeftAlone {
            until,
            remaining: until.saturating_duration_since(now),
            asked: spared == Some(until),
            then: self.position_by_failures(until),
        })
    }

    /// Whether a request of that client may pass; half open, the first one becomes the probe.
    pub fn try_pass(&mut self, client: &ClientId, now: Instant) -> Result<Pass, LeftAlone> {
        if let Some(left_alone) = self.left_alone(now) {
            self.refused.add(client);
            return Err(left_alone);
        }
        if self.until.is_none() {
            return Ok(Pass::Free);
        }
        if [self.probe, self.own].iter().flatten().any(|p| p.runs(now)) {
            self.refused.add(client);
            return Err(LeftAlone {
                until: now,
                remaining: Duration::ZERO,
                asked: false,
                then: Position::HalfOpen,
            });
        }
        let turn = self.turn(now);
        self.probe = Some(turn);
        Ok(Pass::Probe(turn.number))
    }

    /// Counts how a request went. True: only a probe of Crucible's own can tell whose fault it is.
    pub fn report(
        &mut self,
        client: &ClientId,
        pass: Pass,
        outcome: Outcome,
        now: Instant,
    ) -> bool {
        let probing = self.probe.is_some_and(|p| pass == Pass::Probe(p.number));
        match outcome {
            Outcome::Answered => self.heal(0),
            Outcome::Began => {
                if self.position_by_failures(now) == Position::HalfOpen {
                    // The next wait is longer unless an answer comes to its end.
                    self.heal(self.opened);
                }
            }
            Outcome::Abandoned | Outcome::Refused | Outcome::Busy(_) => {
                if probing {
                    self.probe = None;
                }
                if outcome != Outcome::Abandoned && self.until.is_none() {
                    self.failures.unreached = 0;
                }
                if let Outcome::Busy(wait) = outcome {
                    self.spared = self.spared.max(Some(now + wait.min(SPARED_MAX)));
                }
            }
            Outcome::ConnectFailed | Outcome::ServerFailed | Outcome::Silent => {
                let alone = outcome == Outcome::ConnectFailed;
                return match self.position_by_failures(now) {
                    Position::Closed => self.failed(client, alone, now),
                    // Requests sent before it opened say nothing new.
                    Position::Open => false,
                    Position::HalfOpen => probing && self.probe_failed(client, alone, now),
                };
            }
        }
        false
    }

    /// Takes a turn for a probe of Crucible's own, if none runs and one may.
    pub fn ask_itself(&mut self, now: Instant) -> Option<u64> {
        let early = self.own_after.is_some_and(|after| now < after);
        if early || self.own.is_some_and(|own| own.runs(now)) {
            return None;
        }
        let turn = self.turn(now);
        self.own = Some(turn);
        Some(turn.number)
    }

    /// Takes what Crucible's own probe found. Nothing, where a client's answer came before.
    pub fn found(&mut self, number: u64, found: Found, now: Instant) {
        if self.own.take_if(|own| own.number == number).is_none() {
            return;
        }
        match found {
            // What fails one client's requests and answers Crucible is well.
            Found::Well => self.heal(self.opened),
            Found::Failing { .. } => {
                self.failures.confirmed = true;
                let due = match self.position_by_failures(now) {
                    Position::Closed => self.failures.enough(),
                    Position::Open => false,
                    Position::HalfOpen => true,
                };
                if due {
                    self.open(now);
                }
            }
            Found::Nothing => {}
        }
        self.own_after = Some(now + OPEN_MIN);
    }

    fn failed(&mut self, client: &ClientId, alone: bool, now: Instant) -> bool {
        let failures = &mut self.failures;
        if alone {
            failures.unreached = failures.unreached.saturating_add(1);
        } else {
            failures.failed = failures.failed.saturating_add(1);
            failures.clients.add(client);
        }
        if failures.enough() && failures.proven() {
            self.open(now);
            return false;
        }
        self.failures.enough()
    }

    /// The engine was known to fail, so one more failure is enough; unless the same client's probe
    /// failed the last time too, and others wait.
    fn probe_failed(&mut self, client: &ClientId, alone: bool, now: Instant) -> bool {
        self.probe = None;
        let again = self.reopened_by.as_ref() == Some(client);
        if !alone && again && self.refused.other_than(client) {
            return true;
        }
        self.reopened_by = Some(client.clone()).filter(|_| !alone);
        self.open(now);
        false
    }

    fn open(&mut self, now: Instant) {
        let wait = OPEN_MIN
            .saturating_mul(1 << self.opened.min(5))
            .min(OPEN_MAX);
        self.opened = self.opened.saturating_add(1);
        self.until = Some(now + wait);
        self.probe = None;
        self.own = None;
    }

    /// It answers again; what it asked for itself stays.
    fn heal(&mut self, opened: u32) {
        *self = Self {
            opened,
            own_after: self.own_after,
            spared: self.spared,
            next: self.next,
            ..Self::default()
        };
    }

    fn turn(&mut self, now: Instant) -> Turn {
        self.next = self.next.wrapping_add(1);
        Turn {
            number: self.next,
            since: now,
        }
    }
}

#[cfg(test)]
mod tests;
