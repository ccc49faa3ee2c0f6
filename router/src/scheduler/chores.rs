//! What nobody asked for: idle models go, pinned ones are kept, duplicates are reaped, and at the
//! end everything of ours goes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crucible_config::checked::EngineKind;

use super::{
    state::{EngineState, Resident, Scheduler, after},
    types::{Action, Order},
};
use crate::event::{EvictionReason, LoadTrigger};

/// A duplicate instance is idle this long before it goes.
const DUPLICATE_IDLE: Duration = Duration::from_secs(30);

enum Chore {
    Unload(usize, EvictionReason),
    Renew(usize),
}

// === impl EngineState ===

impl EngineState {
    /// When an idle resident of ours has been so for its time to live.
    fn expires(&self, resident: &Resident) -> Option<Instant> {
        let own = resident.tuple.is_some() && !resident.pinned && resident.active == 0;
        let at = after(resident.idle_since, self.facts.ttl.filter(|_| own)?)?;
        Some(resident.unload.not_before.map_or(at, |retry| retry.max(at)))
    }

    /// When Ollama is told again to keep a pinned model: its own clock was set by the load.
    fn renews(&self, resident: &Resident) -> Option<Instant> {
        let own = resident.tuple.is_some() && resident.pinned && resident.active == 0;
        let ttl = self
            .facts
            .ttl
            .filter(|_| own && self.facts.kind == EngineKind::Ollama)?;
        after(resident.renewed.max(resident.idle_since), ttl / 5 * 4)
    }

    /// LM Studio names the second instance of a model `key:2`; concurrent first requests make it
    /// load several (seen on 0.3 and 0.4). One that another instance outdoes goes when idle.
    fn reaped(&self, resident: &Resident) -> Option<Instant> {
        let info = &resident.info;
        let numbered = info.instance.strip_prefix(&*info.model);
        let duplicate = numbered.is_some_and(|n| n.starts_with(':'));
        let idle = resident.active == 0 && !resident.vanished;
        // Else it may be another Crucible's.
        let may = self.facts.owner || resident.tuple.is_some();
        if self.facts.kind != EngineKind::Lmstudio || !duplicate || !idle || !may {
            return None;
        }
        let outdone = |r: &Resident| {
            r.info.model == info.model
                && r.info.instance < info.instance
                && !r.vanished
                && r.info.context >= info.context
        };
        if !self.residents.iter().any(outdone) {
            return None;
        }
        let at = after(resident.idle_since, DUPLICATE_IDLE)?;
        Some(resident.unload.not_before.map_or(at, |retry| retry.max(at)))
    }

    fn chore(&self, now: Instant) -> Option<Chore> {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        for (at, resident) in self.residents.iter().enumerate() {
            if due(self.expires(resident)) && !self.wanted(&resident.info.model) {
                return Some(Chore::Unload(at, EvictionReason::Ttl));
            }
            if due(self.reaped(resident)) {
                return Some(Chore::Unload(at, EvictionReason::Duplicate));
            }
            if due(self.renews(resident)) {
                return Some(Chore::Renew(at));
            }
        }
        None
    }

    fn renewal(&self, resident: &Resident) -> Option<Order> {
        Some(Order {
            engine: Arc::clone(&self.facts.name),
            model: Arc::clone(&resident.info.model),
            name: Arc::clone(resident.info.name(self.facts.kind)),
            kind: resident.info.kind,
            tuple: resident.tuple?,
            configured: None,
            needed: None,
            permits: self.facts.permits,
            budget: self.facts.load_budget,
            pinned: true,
            over_budget: None,
            trigger: LoadTrigger::Pin,
        })
    }
}

// === impl Scheduler ===

impl Scheduler {
    /// When a chore or a retry of a pinned model's load may be due.
    pub(super) fn chores_due(&self) -> impl Iterator<Item = Instant> {
        let controlled = self.engines.iter().filter(|e| e.facts.load_control);
        let residents = controlled.flat_map(|e| e.residents.iter().map(move |r| (e, r)));
        let chores = residents.flat_map(|(e, r)| [e.expires(r), e.reaped(r), e.renews(r)]);
        let pins = self.pins.iter().filter_map(|(place, pin)| {
            let tried = self.engine(&place.0)?.tried(&place.1, &pin.name);
            self.failures.get(&tried)
        });
        chores.flatten().chain(pins.map(|f| f.until))
    }

    pub(super) fn chores(&mut self, now: Instant, actions: &mut Vec<Action>) {
        for e in 0..self.engines.len() {
            let state = &self.engines[e];
            if !state.facts.load_control || !self.may_operate(state) {
                continue;
            }
            match state.chore(now) {
                Some(Chore::Unload(at, why)) => {
                    self.begin_unload(e, at, why, None, now, actions);
                }
                Some(Chore::Renew(at)) => {
                    let order = state.renewal(&state.residents[at]);
                    self.engines[e].residents[at].renewed = now;
                    if let Some(order) = order {
                        self.begin_load(e, order, 0, now, actions);
                    }
                }
                None => {}
            }
        }
    }

    fn leaves_with_us(&self, state: &EngineState, resident: &Resident) -> bool {
        let unload = self.draining == Some(true) && resident.active == 0;
        resident.tuple.is_some() && (state.facts.spawned || unload)
    }

    /// Something of ours is still resident and worth a try.
    pub(super) fn any_to_unload(&self) -> bool {
        self.engines.iter().any(|state| {
            let tried = |r: &Resident| r.unload.not_before.is_some();
            let mut residents = state.residents.iter();
            residents.any(|r| self.leaves_with_us(state, r) && !tried(r))
        })
    }

    /// At the end, what Crucible loaded goes; a child always.
    pub(super) fn unload_all(&mut self, now: Instant, actions: &mut Vec<Action>) {
        for e in 0..self.engines.len() {
            let state = &self.engines[e];
            let leaves =
                |r: &Resident| self.leaves_with_us(state, r) && r.unload.not_before.is_none();
            if let Some(at) = state.residents.iter().position(leaves)
                && self.may_operate(state)
            {
                self.begin_unload(e, at, EvictionReason::Exit, None, now, actions);
            }
        }
    }
}
