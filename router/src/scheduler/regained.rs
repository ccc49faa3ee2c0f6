//! What was ours, went behind Crucible's back, and was loaded again by the engine itself.
//!
//! LM Studio (0.3, 0.4) loads a model on request where that is switched on, with the application's
//! context and not with the one that Crucible loaded it with. A request that comes before a poll has
//! noticed that the model went (it crashed, a person ejected it, its time ran out) does that. Such an
//! instance is not a person's: it is ours, and is loaded anew with its context once it is idle.

use std::time::Instant;

use crucible_config::checked::EngineKind;

use super::{
    line::Line,
    room::Room,
    state::{EngineState, Resident, Scheduler},
    types::Arrival,
};
use crate::catalog::ResidentInfo;

// === impl Resident ===

impl Resident {
    /// A poll tells that it has another context than before, so that it was loaded anew meanwhile. With
    /// less, where the engine does so by itself, it stays ours; else it is what it is now.
    pub(super) fn loaded_anew(&mut self, kind: EngineKind, now: &ResidentInfo) {
        let Some((has, had)) = now.context.zip(self.info.context) else {
            return;
        };
        if has == had {
            return;
        }
        if has < had && self.tuple.is_some() && kind == EngineKind::Lmstudio {
            self.shrunk = true;
        } else {
            self.tuple = None;
            self.shrunk = false;
        }
    }

    /// A new instance, listed for the first time where one of ours of the same model is gone.
    pub(super) fn in_place_of(&mut self, gone: &[Self], kind: EngineKind) {
        let before = gone.iter().find(|r| {
            let both = self.info.context.zip(r.info.context);
            r.tuple.is_some() && r.info.model == self.info.model && both.is_some_and(|(n, b)| n < b)
        });
        if let Some(before) = before.filter(|_| kind == EngineKind::Lmstudio) {
            self.tuple = before.tuple;
            self.pinned = before.pinned;
            self.shrunk = true;
        }
    }
}

// === impl Scheduler ===

impl Scheduler {
    /// The resident of that model that is to be loaded anew before it serves again: nothing runs on it,
    /// nothing else is being loaded, and there is room for its context.
    pub(super) fn restores(
        &self,
        state: &EngineState,
        line: &Line,
        arrival: &Arrival,
        now: Instant,
    ) -> Option<usize> {
        let idle = |r: &Resident| {
            r.shrunk && !r.vanished && r.info.model == arrival.model && r.may_go(now)
        };
        let at = state.residents.iter().position(idle)?;
        if !state.facts.load_control || !self.may_operate(state) {
            return None;
        }
        let planned = self.planned(state, line, arrival, now).ok()?;
        let resident = &state.residents[at];
        // No load would give it more.
        if state
            .room(resident)
            .is_none_or(|has| has >= planned.context)
        {
            return None;
        }
        let instance = &resident.info.instance;
        let room = self.room(state, planned.bytes, Some(instance), now);
        matches!(room, Room::Fits | Room::Alone | Room::Evict(_)).then_some(at)
    }
}
