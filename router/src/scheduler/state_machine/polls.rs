//! The effect of a poll: residents that came, changed or went, and the question whose they are.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    context_size::ContextHistory, engine_state::EngineState, resident::Resident, state::Scheduler,
};
use crate::{
    catalog::ResidentInfo,
    engine::LoadTuple,
    event::EvictionReason,
    scheduler::{
        messages::{Action, EngineFacts},
        persisted::{ContextRecord, OwnedResident, PersistedState},
    },
};

/// The time within which a load that timed out may still end. A resident that appears later was
/// loaded by another.
const ABANDONED_AGE: Duration = Duration::from_mins(10);

// === impl EngineState ===

impl EngineState {
    /// Takes the residents of a listing that counts, and returns those that are gone. Of a model
    /// that is being loaded or unloaded (`moving`) a listing says nothing yet, and a new instance
    /// may be the one that is being loaded.
    fn apply_listing(
        &mut self,
        facts: &EngineFacts,
        moving: Option<&Arc<str>>,
        now: Instant,
    ) -> Vec<Resident> {
        let settled = |r: &Resident| moving.is_none_or(|model| *model != r.info.model);
        for resident in self.residents.iter_mut().filter(|r| settled(r)) {
            let listed = facts
                .residents
                .iter()
                .find(|info| info.instance == resident.info.instance);
            if let Some(info) = listed {
                let model = Arc::clone(&resident.info.model);
                resident.note_reload(facts.kind, info);
                resident.info = info.clone();
                resident.info.model = model;
                resident.assumed = false;
            }
            resident.unlisted = listed.is_none() && !resident.assumed;
        }
        let gone = |r: &mut Resident| r.unlisted && r.permits_out == 0;
        let gone: Vec<Resident> = self.residents.extract_if(.., gone).collect();
        if moving.is_some() {
            return gone;
        }
        for info in &facts.residents {
            let known = |r: &Resident| r.info.instance == info.instance;
            if !self.residents.iter().any(known) {
                let mut resident = Resident::new(info.clone(), now);
                resident.inherit_ownership(&gone, facts.kind);
                self.residents.push(resident);
            }
        }
        gone
    }

    /// The reason why a resident of Crucible's vanished: its time to live, by the engine's own
    /// clock, or another program.
    fn vanish_reason(&self, resident: &Resident, now: Instant) -> EvictionReason {
        let idle = now.saturating_duration_since(resident.idle_since);
        match self.facts.model_ttl {
            // The engine's own clock was told the same.
            Some(ttl) if idle >= ttl && !resident.pinned => EvictionReason::Ttl,
            _ => EvictionReason::External,
        }
    }
}

/// Whether this instance, on this engine, is the load that the record describes.
pub(super) fn is_same_load(
    owned: &OwnedResident,
    facts: &EngineFacts,
    info: &ResidentInfo,
) -> bool {
    owned.url == facts.url && owned.instance == info.instance && owned.context == info.context
}

// === impl Scheduler ===

impl Scheduler {
    /// Takes the facts of all engines. Engines that are not among them are removed.
    pub(super) fn apply_fleet(
        &mut self,
        fleet: Vec<EngineFacts>,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let names: Vec<Arc<str>> = fleet.iter().map(|f| Arc::clone(&f.name)).collect();
        self.retain_engines(&names, actions);
        for facts in fleet {
            self.apply_poll(facts, now, actions);
        }
        self.update_foreign_memory();
    }

    /// Takes the facts of one engine.
    fn apply_poll(&mut self, facts: EngineFacts, now: Instant, actions: &mut Vec<Action>) {
        let name = Arc::clone(&facts.name);
        let moving = self.engine_operation(&name).map(|o| Arc::clone(&o.model));
        let at = self.engine_index(&name).unwrap_or_else(|| {
            self.engines.push(EngineState::new(facts.clone()));
            self.engines.len() - 1
        });
        if self.engines[at].facts.url != facts.url {
            self.detach_residents(at, true);
        }
        let mut went: Vec<Arc<str>> = Vec::new();
        let told = self.engines[at].accepts_listing(&facts);
        if told {
            self.note_lost_residents(at, &facts, moving.as_ref(), now);
        }
        let state = &mut self.engines[at];
        if told {
            let gone = state.apply_listing(&facts, moving.as_ref(), now);
            went.extend(gone.iter().map(|r| Arc::clone(&r.info.model)));
            let owned = gone.iter().filter(|r| r.tuple.is_some());
            for resident in owned {
                self.revision += 1;
                let why = state.vanish_reason(resident, now);
                let model = resident.info.name(state.facts.kind);
                actions.push(Action::evicted(&name, model, why));
            }
        }
        for resident in &mut state.residents {
            let model = &resident.info.model;
            // A load that no poll has seen yet keeps what its order said.
            if facts.residents.iter().any(|info| info.model == *model) {
                resident.pinned = facts.pinned_models.contains(model);
            }
        }
        let pool = Arc::clone(&facts.pool);
        state.facts = facts;
        self.rekey_by_runner(at);
        for model in went {
            self.clear_memory_backoffs(&pool);
            self.clear_memory_ceilings(&pool, &model);
        }
        self.adopt_residents(at, now);
        self.reclaim_lost_residents(at, now);
        self.update_resident_bytes(at);
        if told {
            self.clear_abandoned_loads(at);
        }
    }

    /// Takes residents as Crucible's that an earlier run, or a load that timed out, has left.
    fn adopt_residents(&mut self, at: usize, now: Instant) {
        self.reattach_residents(at);
        let state = &mut self.engines[at];
        for resident in &mut state.residents {
            let same = |o: &OwnedResident| is_same_load(o, &state.facts, &resident.info);
            let key = (
                Arc::clone(&state.facts.name),
                Arc::clone(&resident.info.model),
            );
            if resident.tuple.is_none()
                && state.facts.owns_state
                && resident.permits_out == 0
                && let Some((tuple, since)) = self.timed_out_loads.remove(&key)
                && now.saturating_duration_since(since) < ABANDONED_AGE
            {
                self.revision += 1;
                resident.tuple = Some(tuple);
            }
            if resident.tuple.is_none()
                && let Some(found) = self.adoptable_residents.iter().position(same)
            {
                resident.tuple = Some(self.adoptable_residents.swap_remove(found).tuple);
                resident.pinned = state.facts.pinned_models.contains(&resident.info.model);
            }
        }
        let url = &state.facts.url;
        if state.facts.load_control {
            // What it does not hold by now is gone.
            self.adoptable_residents.retain(|o| o.url != *url);
        }
        for ((_, model), (tokens, configured)) in
            self.restored_contexts.extract_if(|(of, _), _| of == url)
        {
            let key = (Arc::clone(&state.facts.name), model);
            self.context_histories.entry(key).or_insert(ContextHistory {
                largest: tokens,
                configured_then: configured,
                ..ContextHistory::default()
            });
        }
    }

    /// The options with which another Crucible loaded a resident. With other options on a request,
    /// Ollama would load the model anew.
    pub(super) fn owner_options(
        &self,
        state: &EngineState,
        resident: &Resident,
    ) -> Option<LoadTuple> {
        let foreign = resident.tuple.is_none();
        let mut others = self.owner_residents.iter().filter(|_| foreign);
        let of = others.find(|o| is_same_load(o, &state.facts, &resident.info))?;
        Some(of.tuple)
    }

    /// Computes again how many bytes the residents of an engine take.
    pub(super) fn update_resident_bytes(&mut self, at: usize) {
        for i in 0..self.engines[at].residents.len() {
            let state = &self.engines[at];
            let resident = &state.residents[i];
            let size = self.model_size(&state.facts, &resident.info.model);
            let (bytes, _) = size.resident_bytes(&state.facts, resident);
            self.engines[at].residents[i].bytes = bytes;
        }
    }

    /// Takes the state that an earlier run left.
    pub(super) fn restore(&mut self, memory: PersistedState) {
        // What was loaded before that is to be written beside it.
        self.revision += 1;
        self.owner_residents.clear();
        self.adoptable_residents = memory.owned;
        let contexts = memory.contexts.into_iter();
        self.restored_contexts = contexts
            .map(|c| ((c.url, c.model), (c.tokens, c.configured)))
            .collect();
    }

    /// The state that is to outlive this run.
    pub fn persisted_state(&self) -> PersistedState {
        let mut memory = PersistedState {
            owned: self.unattached_residents().cloned().collect(),
            contexts: Vec::new(),
        };
        for state in self.engines.iter().filter(|e| !e.facts.is_child) {
            let facts = &state.facts;
            memory.owned.extend(state.residents.iter().filter_map(|r| {
                Some(OwnedResident {
                    url: Arc::clone(&facts.url),
                    engine: Arc::clone(&facts.name),
                    model: Arc::clone(&r.info.model),
                    instance: Arc::clone(&r.info.instance),
                    context: r.info.context,
                    tuple: r.tuple?,
                })
            }));
        }
        let known = self
            .context_histories
            .iter()
            .filter_map(|((engine, model), history)| {
                let url = Arc::clone(&self.facts(engine)?.url);
                Some((
                    url,
                    Arc::clone(model),
                    (history.largest, history.configured_then),
                ))
            });
        let waiting = self.restored_contexts.iter();
        let waiting = waiting.map(|((u, m), told)| (Arc::clone(u), Arc::clone(m), *told));
        memory.contexts.extend(
            known
                .chain(waiting)
                .filter(|(.., (tokens, _))| *tokens > 0)
                .map(|(url, model, (tokens, configured))| ContextRecord {
                    url,
                    model,
                    tokens,
                    configured,
                }),
        );
        memory
            .contexts
            .sort_by(|a, b| (&a.url, &a.model).cmp(&(&b.url, &b.model)));
        memory
    }

    /// A number that grows whenever [`Self::persisted_state`] changes.
    pub const fn revision(&self) -> u64 {
        self.revision
    }
}
