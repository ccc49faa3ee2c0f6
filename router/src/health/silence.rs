//! Whether an engine is wedged: it answers its polls and no request.

use super::{Found, Outcome, WEDGED_AFTER, clients::Clients};
use crate::{client::ClientId, view::Health};

/// Counts requests that an engine took without an end, though it answers its polls: it is wedged,
/// and only a restart may help. So is Ollama 0.33 once its scheduler waits for ever.
///
/// One client's long prompts are silence too: it takes two clients, or Crucible's own probe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Silence {
    silent: u32,
    clients: Clients,
    /// Crucible's own probe met it too.
    confirmed: bool,
}

// === impl Silence ===

impl Silence {
    /// It takes requests and answers none.
    pub fn wedged(&self) -> bool {
        self.silent >= WEDGED_AFTER && (self.clients.several() || self.confirmed)
    }

    /// One client met enough of it: only a probe of Crucible's own can tell.
    pub fn suspected(&self) -> bool {
        self.silent >= WEDGED_AFTER && !self.wedged()
    }

    /// Counts how a request went to an engine whose polls are in that state.
    pub fn report(&mut self, client: &ClientId, outcome: Outcome, health: Health) {
        match outcome {
            Outcome::Answered => *self = Self::default(),
            Outcome::Silent if health == Health::Up => {
                self.silent = self.silent.saturating_add(1);
                self.clients.add(client);
            }
            _ => {}
        }
    }

    /// Takes what Crucible found itself.
    pub fn found(&mut self, found: Found) {
        match found {
            Found::Well => *self = Self::default(),
            Found::Failing { silent } => self.confirmed |= silent,
            Found::Nothing => {}
        }
    }

    /// Counts a poll: an engine that went down comes back as another process.
    pub fn polled(&mut self, health: Health) {
        if health == Health::Down {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_answers_polls_but_no_request_is_wedged() {
        let (a, b) = (ClientId::of_key("a"), ClientId::of_key("b"));
        let silent = |s: &Silence, client, health| {
            let mut next = s.clone();
            next.report(client, Outcome::Silent, health);
            next
        };
        let with = |s: &Silence, act: &dyn Fn(&mut Silence)| {
            let mut next = s.clone();
            act(&mut next);
            next
        };
        let once = silent(&Silence::default(), &a, Health::Up);
        assert!(!once.wedged() && !once.suspected());
        // One client's long prompts alone prove nothing.
        let twice = silent(&once, &a, Health::Up);
        assert!(!twice.wedged() && twice.suspected());
        assert!(!with(&twice, &|s| s.found(Found::Nothing)).wedged());
        assert!(!with(&twice, &|s| s.found(Found::Failing { silent: false })).wedged());
        assert_eq!(with(&twice, &|s| s.found(Found::Well)), Silence::default());
        let sure = with(&twice, &|s| s.found(Found::Failing { silent: true }));
        let other = silent(
            &with(&once, &|s| s.report(&b, Outcome::Began, Health::Up)),
            &b,
            Health::Up,
        );
        for wedged in [sure, other] {
            assert!(wedged.wedged() && !wedged.suspected());
            // It is still the same process, and may be silent again.
            assert!(with(&wedged, &|s| s.polled(Health::Degraded)).wedged());
            assert!(!with(&wedged, &|s| s.polled(Health::Down)).wedged());
            assert!(!with(&wedged, &|s| s.report(&a, Outcome::Answered, Health::Up)).wedged());
        }
        // Who answers no polls either is down, not wedged.
        assert!(!silent(&once, &b, Health::Degraded).wedged());
        assert!(!with(&once, &|s| s.report(&b, Outcome::ServerFailed, Health::Up)).wedged());
    }
}
