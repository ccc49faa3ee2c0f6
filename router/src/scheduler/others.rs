//! What other programs hold of the graphics cards: a desktop, a game. It is theirs, so a pool may have
//! no more than what is free and what models hold already.
//!
//! It is reckoned when the cards were read while nothing was being loaded or unloaded, and kept until the
//! next such reading: in between, an engine's memory comes and goes before it is told.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    standing::Scope,
    state::{EngineState, Scheduler},
    types::{Cards, Facts},
};

/// An engine gives memory back some time after it said that a model was unloaded.
const SETTLES: Duration = Duration::from_secs(2);

/// The cards of the machine, and what others hold of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Others {
    /// Bytes of all cards.
    total: u64,
    /// Bytes that are neither free nor held by a model that is known.
    held: u64,
}

// === impl Scheduler ===

impl Scheduler {
    /// Takes what was read of the cards.
    pub(super) fn note_others(&mut self) {
        let here = || self.engines.iter().filter(|e| e.facts.cards.is_some());
        let Some(cards) = here().find_map(|e| e.facts.cards) else {
            self.others_hold = None;
            return;
        };
        let busy = self.operations.values().any(|o| {
            let facts = self.facts(&o.engine);
            facts.is_some_and(|facts| facts.cards.is_some())
        });
        let open = here().any(|e| e.given_up() > 0);
        let early = self.settled.is_some_and(|at| cards.at < at + SETTLES);
        if busy || open || early {
            return;
        }
        let ours = here().map(EngineState::held).fold(0, u64::saturating_add);
        let Cards { total, free, .. } = cards;
        let held = total.saturating_sub(free).saturating_sub(ours);
        self.others_hold = Some(Others { total, held });
    }

    /// An operation of that engine ended: what is free settles from now on.
    pub(super) fn unsettle(&mut self, engine: &str, now: Instant) {
        if self
            .facts(engine)
            .is_some_and(|facts| facts.cards.is_some())
        {
            self.settled = Some(now);
        }
    }

    /// Bytes of the cards that other programs hold, for an engine that computes there.
    pub(super) fn held_by_others(&self, of: &Facts) -> Option<u64> {
        of.cards?;
        Some(self.others_hold?.held)
    }

    /// The budget of a scope at this moment: no more than is free and what its models hold. A budget
    /// that is more than all cards have is of other memory, as that of a processor's own graphics.
    pub(super) fn budget_now(&self, scope: Scope, of: &Facts) -> Option<u64> {
        let budget = self.budget(scope, of)?;
        let (Scope::Pool, Some(_), Some(others)) = (scope, of.cards, self.others_hold) else {
            return Some(budget);
        };
        if budget > others.total {
            return Some(budget);
        }
        let elsewhere = self.engines.iter().filter(|e| {
            e.facts.cards.is_some()
                && !Arc::ptr_eq(&e.facts.pool, &of.pool)
                && e.facts.pool != of.pool
        });
        let elsewhere = elsewhere
            .map(EngineState::held)
            .fold(0, u64::saturating_add);
        let left = others
            .total
            .saturating_sub(others.held)
            .saturating_sub(elsewhere);
        Some(budget.min(left))
    }
}
