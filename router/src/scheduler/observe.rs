//! What polls tell: residents that came, changed or went, and whose they are.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    fit::Mark,
    memory::{Context, Memory, Owned},
    state::{EngineState, Resident, Scheduler, evicted},
    types::{Action, Facts},
};
use crate::{catalog::ResidentInfo, engine::Tuple, event::EvictionReason};

/// A load that was given up may end this much later; what comes then was loaded by another.
const ABANDONED: Duration = Duration::from_mins(10);

// === impl EngineState ===

impl EngineState {
    /// Takes the residents of a poll that counts; gives what is gone. Of a model that is being loaded or
    /// unloaded the list says nothing yet, and what is new may be what is being loaded.
    fn compare(&mut self, facts: &Facts, moving: Option<&Arc<str>>, now: Instant) -> Vec<Resident> {
        let settled = |r: &Resident| moving.is_none_or(|model| *model != r.info.model);
        for resident in self.residents.iter_mut().filter(|r| settled(r)) {
            let listed = facts
                .residents
                .iter()
                .find(|info| info.instance == resident.info.instance);
            if let Some(info) = listed {
                let model = Arc::clone(&resident.info.model);
                resident.loaded_anew(facts.kind, info);
                resident.info = info.clone();
                resident.info.model = model;
                resident.assumed = false;
            }
            resident.vanished = listed.is_none() && !resident.assumed;
        }
        let gone = |r: &mut Resident| r.vanished && r.active == 0;
        let gone: Vec<Resident> = self.residents.extract_if(.., gone).collect();
        if moving.is_some() {
            return gone;
        }
        for info in &facts.residents {
            let known = |r: &Resident| r.info.instance == info.instance;
            if !self.residents.iter().any(known) {
                let mut resident = Resident::new(info.clone(), now);
                resident.in_place_of(&gone, facts.kind);
                self.residents.push(resident);
            }
        }
        gone
    }

    /// Why a resident of ours that vanished did.
    fn why_gone(&self, resident: &Resident, now: Instant) -> EvictionReason {
        let idle = now.saturating_duration_since(resident.idle_since);
        match self.facts.ttl {
            // The engine's own clock was told the same.
            Some(ttl) if idle >= ttl && !resident.pinned => EvictionReason::Ttl,
            _ => EvictionReason::External,
        }
    }
}

/// It is that load.
pub(super) fn is_of(owned: &Owned, facts: &Facts, info: &ResidentInfo) -> bool {
    owned.url == facts.url && owned.instance == info.instance && owned.context == info.context
}

// === impl Scheduler ===

impl Scheduler {
    pub(super) fn observe(&mut self, fleet: Vec<Facts>, now: Instant, actions: &mut Vec<Action>) {
        let names: Vec<Arc<str>> = fleet.iter().map(|f| Arc::clone(&f.name)).collect();
        self.remove_all_but(&names, actions);
        for facts in fleet {
            self.observe_one(facts, now, actions);
        }
        self.note_others();
    }

    fn observe_one(&mut self, facts: Facts, now: Instant, actions: &mut Vec<Action>) {
        let name = Arc::clone(&facts.name);
        let moving = self.operation_of(&name).map(|o| Arc::clone(&o.model));
        let at = self.index(&name).unwrap_or_else(|| {
            self.engines.push(EngineState::new(facts.clone()));
            self.engines.len() - 1
        });
        if self.engines[at].facts.url != facts.url {
            self.depart(at, true);
        }
        let mut went: Vec<Arc<str>> = Vec::new();
        let told = self.engines[at].believes(&facts);
        if told {
            self.lose(at, &facts, moving.as_ref(), now);
        }
        let state = &mut self.engines[at];
        if told {
            let gone = state.compare(&facts, moving.as_ref(), now);
            went.extend(gone.iter().map(|r| Arc::clone(&r.info.model)));
            let owned = gone.iter().filter(|r| r.tuple.is_some());
            for resident in owned {
                self.revision += 1;
                let why = state.why_gone(resident, now);
                let model = resident.info.name(state.facts.kind);
                actions.push(evicted(&name, model, why));
            }
        }
        for resident in &mut state.residents {
            let model = &resident.info.model;
            // A load that no poll has seen yet keeps what its order said.
            if facts.residents.iter().any(|info| info.model == *model) {
                resident.pinned = facts.pinned.contains(model);
            }
        }
        let pool = Arc::clone(&facts.pool);
        state.facts = facts;
        self.regroup(at);
        for model in went {
            self.memory_came_free(&pool);
            self.forget_refused_growth(&pool, &model);
        }
        self.take_over(at, now);
        self.regain(at, now);
        self.measure_residents(at);
        if told {
            self.settle_given_up(at);
        }
    }

    /// What an earlier run loaded is ours.
    fn take_over(&mut self, at: usize, now: Instant) {
        self.take_over_departed(at);
        let state = &mut self.engines[at];
        for resident in &mut state.residents {
            let same = |o: &Owned| is_of(o, &state.facts, &resident.info);
            let place = (
                Arc::clone(&state.facts.name),
                Arc::clone(&resident.info.model),
            );
            if resident.tuple.is_none()
                && state.facts.owner
                && resident.active == 0
                && let Some((tuple, since)) = self.abandoned.remove(&place)
                && now.saturating_duration_since(since) < ABANDONED
            {
                self.revision += 1;
                resident.tuple = Some(tuple);
            }
            if resident.tuple.is_none()
                && let Some(found) = self.adoptable.iter().position(same)
            {
                resident.tuple = Some(self.adoptable.swap_remove(found).tuple);
                resident.pinned = state.facts.pinned.contains(&resident.info.model);
            }
        }
        let url = &state.facts.url;
        if state.facts.load_control {
            // What it does not hold by now is gone.
            self.adoptable.retain(|o| o.url != *url);
        }
        for ((_, model), (tokens, configured)) in self.remembered.extract_if(|(of, _), _| of == url)
        {
            let place = (Arc::clone(&state.facts.name), model);
            self.marks.entry(place).or_insert(Mark {
                context: tokens,
                configured,
                ..Mark::default()
            });
        }
    }

    /// What another Crucible loaded this with: with other options on a request Ollama would load it
    /// anew.
    pub(super) fn tuple_of_others(
        &self,
        state: &EngineState,
        resident: &Resident,
    ) -> Option<Tuple> {
        let foreign = resident.tuple.is_none();
        let mut others = self.others.iter().filter(|_| foreign);
        let of = others.find(|o| is_of(o, &state.facts, &resident.info))?;
        Some(of.tuple)
    }

    /// The bytes of what an engine holds.
    pub(super) fn measure_residents(&mut self, at: usize) {
        for i in 0..self.engines[at].residents.len() {
            let state = &self.engines[at];
            let resident = &state.residents[i];
            let size = self.size_of(&state.facts, &resident.info.model);
            let (bytes, _) = size.of_resident(&state.facts, resident);
            self.engines[at].residents[i].bytes = bytes;
        }
    }

    pub(super) fn adopt(&mut self, memory: Memory) {
        // What was loaded before that is to be written beside it.
        self.revision += 1;
        self.others.clear();
        self.adoptable = memory.owned;
        let contexts = memory.contexts.into_iter();
        self.remembered = contexts
            .map(|c| ((c.url, c.model), (c.tokens, c.configured)))
            .collect();
    }

    /// What is to outlive this run.
    pub fn memory(&self) -> Memory {
        let mut memory = Memory {
            owned: self.homeless().cloned().collect(),
            contexts: Vec::new(),
        };
        for state in self.engines.iter().filter(|e| !e.facts.spawned) {
            let facts = &state.facts;
            memory.owned.extend(state.residents.iter().filter_map(|r| {
                Some(Owned {
                    url: Arc::clone(&facts.url),
                    engine: Arc::clone(&facts.name),
                    model: Arc::clone(&r.info.model),
                    instance: Arc::clone(&r.info.instance),
                    context: r.info.context,
                    tuple: r.tuple?,
                })
            }));
        }
        let known = self.marks.iter().filter_map(|((engine, model), mark)| {
            let url = Arc::clone(&self.facts(engine)?.url);
            Some((url, Arc::clone(model), (mark.context, mark.configured)))
        });
        let waiting = self.remembered.iter();
        let waiting = waiting.map(|((u, m), told)| (Arc::clone(u), Arc::clone(m), *told));
        memory.contexts.extend(
            known
                .chain(waiting)
                .filter(|(.., (tokens, _))| *tokens > 0)
                .map(|(url, model, (tokens, configured))| Context {
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

    /// Grows when [`Self::memory`] changes.
    pub const fn revision(&self) -> u64 {
        self.revision
    }
}
