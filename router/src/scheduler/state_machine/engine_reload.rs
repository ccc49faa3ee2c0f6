//! Residents that went behind Crucible's back, and that the engine loaded again by itself.
//!
//! LM Studio (0.3, 0.4) loads a model on request where that is switched on, with the context of the
//! application and not with that of Crucible's load. A request that comes before a poll has noticed
//! that the model went (it crashed, a person ejected it, its time ran out) makes it do that. Such
//! an instance is Crucible's, and is loaded anew with its context once it is idle.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crucible_config::checked::EngineKind;

use super::{
    engine_state::EngineState, memory_fit::MemoryFit, model_queue::ModelQueue,
    ownership::LostResident, resident::Resident, state::Scheduler,
};
use crate::{
    catalog::ResidentInfo,
    scheduler::messages::{EngineFacts, PermitRequest},
};

/// The time after its last use in which a lost resident may come back because of a request of
/// Crucible's.
const LOST_AGE: Duration = Duration::from_mins(1);

// === impl Resident ===

impl Resident {
    /// Takes a listing with another context than before: the instance was loaded anew meanwhile.
    /// With less context, on an engine that does so by itself, it stays Crucible's; else it is
    /// foreign from now on.
    pub(super) fn note_reload(&mut self, kind: EngineKind, now: &ResidentInfo) {
        let Some((has, had)) = now.context.zip(self.info.context) else {
            return;
        };
        if has == had {
            return;
        }
        if has < had && self.tuple.is_some() && kind.profile().residents.reloaded_by_engine {
            self.reloaded_smaller = true;
        } else {
            self.tuple = None;
            self.reloaded_smaller = false;
        }
    }

    /// Takes over what a resident of the same model had that is gone: this new instance, with less
    /// context, is the engine's own reload of it.
    pub(super) fn inherit_ownership(&mut self, gone: &[Self], kind: EngineKind) {
        let before = gone.iter().find(|r| {
            let both = self.info.context.zip(r.info.context);
            r.tuple.is_some() && r.info.model == self.info.model && both.is_some_and(|(n, b)| n < b)
        });
        if let Some(before) = before.filter(|_| kind.profile().residents.reloaded_by_engine) {
            self.tuple = before.tuple;
            self.pinned = before.pinned;
            self.reloaded_smaller = true;
        }
    }
}

// === impl Scheduler ===

impl Scheduler {
    /// Remembers Crucible's residents that a poll lists no longer, or lists with less context,
    /// while they were used or just after. `moving` is the model that is being loaded or unloaded,
    /// of which the listing says nothing.
    pub(super) fn note_lost_residents(
        &mut self,
        at: usize,
        facts: &EngineFacts,
        moving: Option<&Arc<str>>,
        now: Instant,
    ) {
        if !facts.kind.profile().residents.reloaded_by_engine {
            return;
        }
        for resident in &self.engines[at].residents {
            let info = &resident.info;
            let Some((tuple, context)) = resident.tuple.zip(info.context) else {
                continue;
            };
            let mut listed = facts.residents.iter();
            let listed = listed.find(|now| now.instance == info.instance);
            let less = listed.is_none_or(|now| now.context.is_some_and(|has| has < context));
            let idle = now.saturating_duration_since(resident.idle_since);
            let used = resident.permits_out > 0 || idle < LOST_AGE;
            if less && used && !resident.unlisted && moving != Some(&info.model) {
                let key = (Arc::clone(&facts.name), Arc::clone(&info.model));
                let since = now;
                let lost = LostResident {
                    tuple,
                    context,
                    lost_at: since,
                };
                self.lost_residents.insert(key, lost);
            }
        }
    }

    /// Takes instances as Crucible's that appeared with less context after a resident was lost. LM
    /// Studio loads one for each request that finds the model gone, and does not say which of them
    /// serves: so none is taken while any of them may serve.
    pub(super) fn reclaim_lost_residents(&mut self, at: usize, now: Instant) {
        let state = &mut self.engines[at];
        if !state.facts.owns_state {
            return;
        }
        self.lost_residents
            .retain(|_, lost| now.saturating_duration_since(lost.lost_at) < LOST_AGE);
        for r in 0..state.residents.len() {
            let resident = &state.residents[r];
            let key = (
                Arc::clone(&state.facts.name),
                Arc::clone(&resident.info.model),
            );
            let Some(lost) = self.lost_residents.get(&key) else {
                continue;
            };
            let smaller = resident.info.context.is_some_and(|has| has < lost.context);
            let mut own = state.residents.iter().filter(|o| o.info.model == key.1);
            if resident.tuple.is_none()
                && smaller
                && resident.first_seen >= lost.lost_at
                && own.all(|o| o.permits_out == 0)
            {
                self.revision += 1;
                state.residents[r].tuple = Some(lost.tuple);
                state.residents[r].reloaded_smaller = true;
            }
        }
    }

    /// The position of a resident that the engine reloaded with less context, and that has to be
    /// loaded anew before it serves: nothing runs on it, nothing else is being loaded, and there is
    /// room for its context.
    pub(super) fn restorable_resident(
        &self,
        state: &EngineState,
        queue: &ModelQueue,
        request: &PermitRequest,
        now: Instant,
    ) -> Option<usize> {
        let idle = |r: &Resident| {
            r.reloaded_smaller
                && !r.unlisted
                && r.info.model == request.model
                && r.can_unload_now(now)
        };
        let at = state.residents.iter().position(idle)?;
        if !state.facts.load_control || !self.may_start_operation(state) {
            return None;
        }
        let planned = self.planned_load(state, queue, request, now).ok()?;
        let resident = &state.residents[at];
        // No load would give it more.
        if state
            .context_per_request(resident)
            .is_none_or(|has| has >= planned.context)
        {
            return None;
        }
        let instance = &resident.info.instance;
        let room = self.memory_fit(state, request.kind, planned.bytes, Some(instance), now);
        matches!(
            room,
            MemoryFit::Fits | MemoryFit::FitsAlone | MemoryFit::AfterEviction(_)
        )
        .then_some(at)
    }
}
