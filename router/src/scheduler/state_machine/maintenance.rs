//! What nobody asked for: idle models go, pinned ones are kept, duplicates are reaped, and at the
//! end everything of ours goes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crucible_config::checked::EngineKind;

use super::state::{EngineState, Resident, Scheduler, deadline_after};
use crate::{
    event::{EvictionReason, LoadTrigger},
    scheduler::messages::{Action, LoadCommand},
};

/// A duplicate instance is idle this long before it goes.
const DUPLICATE_IDLE: Duration = Duration::from_secs(30);

enum MaintenanceTask {
    Unload(usize, EvictionReason),
    Renew(usize),
}

// === impl EngineState ===

impl EngineState {
    /// When an idle resident of ours has been so for its time to live.
    fn ttl_ends(&self, resident: &Resident) -> Option<Instant> {
        let own = resident.tuple.is_some() && !resident.pinned && resident.permits_out == 0;
        let at = deadline_after(resident.idle_since, self.facts.model_ttl.filter(|_| own)?)?;
        Some(
            resident
                .unload_backoff
                .not_before
                .map_or(at, |retry| retry.max(at)),
        )
    }

    /// When Ollama is told again to keep a pinned model: its own clock was set by the load.
    fn keep_alive_due(&self, resident: &Resident) -> Option<Instant> {
        let own = resident.tuple.is_some() && resident.pinned && resident.permits_out == 0;
        let ttl = self
            .facts
            .model_ttl
            .filter(|_| own && self.facts.kind == EngineKind::Ollama)?;
        deadline_after(
            resident.keep_alive_sent.max(resident.idle_since),
            ttl / 5 * 4,
        )
    }

    /// LM Studio names the second instance of a model `key:2`; concurrent first requests make it
    /// load several (seen on 0.3 and 0.4). One that another instance outdoes goes when idle.
    fn duplicate_ends(&self, resident: &Resident) -> Option<Instant> {
        let info = &resident.info;
        let numbered = info.instance.strip_prefix(&*info.model);
        let duplicate = numbered.is_some_and(|n| n.starts_with(':'));
        let idle = resident.permits_out == 0 && !resident.unlisted;
        // Else it may be another Crucible's.
        let may = self.facts.owns_state || resident.tuple.is_some();
        if self.facts.kind != EngineKind::Lmstudio || !duplicate || !idle || !may {
            return None;
        }
        let outdone = |r: &Resident| {
            r.info.model == info.model
                && r.info.instance < info.instance
                && !r.unlisted
                && r.info.context >= info.context
        };
        if !self.residents.iter().any(outdone) {
            return None;
        }
        let at = deadline_after(resident.idle_since, DUPLICATE_IDLE)?;
        Some(
            resident
                .unload_backoff
                .not_before
                .map_or(at, |retry| retry.max(at)),
        )
    }

    fn due_task(&self, now: Instant) -> Option<MaintenanceTask> {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        for (at, resident) in self.residents.iter().enumerate() {
            if due(self.ttl_ends(resident)) && !self.has_waiters_for(&resident.info.model) {
                return Some(MaintenanceTask::Unload(at, EvictionReason::Ttl));
            }
            if due(self.duplicate_ends(resident)) {
                return Some(MaintenanceTask::Unload(at, EvictionReason::Duplicate));
            }
            if due(self.keep_alive_due(resident)) {
                return Some(MaintenanceTask::Renew(at));
            }
        }
        None
    }

    fn keep_alive_command(&self, resident: &Resident) -> Option<LoadCommand> {
        Some(LoadCommand {
            engine: Arc::clone(&self.facts.name),
            model: Arc::clone(&resident.info.model),
            name: Arc::clone(resident.info.name(self.facts.kind)),
            kind: resident.info.kind,
            tuple: resident.tuple?,
            configured_context: None,
            needed_context: None,
            permits: self.facts.permits_per_resident,
            timeout: self.facts.load_timeout,
            pin: true,
            over_budget_bytes: None,
            trigger: LoadTrigger::Pin,
        })
    }
}

// === impl Scheduler ===

impl Scheduler {
    /// When a chore or a retry of a pinned model's load may be due.
    pub(super) fn maintenance_deadlines(&self) -> impl Iterator<Item = Instant> {
        let controlled = self.engines.iter().filter(|e| e.facts.load_control);
        let residents = controlled.flat_map(|e| e.residents.iter().map(move |r| (e, r)));
        let chores =
            residents.flat_map(|(e, r)| [e.ttl_ends(r), e.duplicate_ends(r), e.keep_alive_due(r)]);
        let pins = self.pinned_requests.iter().filter_map(|(key, pin)| {
            let tried = self.engine(&key.0)?.backoff_key(&key.1, &pin.name);
            self.load_backoffs.get(&tried)
        });
        chores.flatten().chain(pins.map(|f| f.retry_at))
    }

    pub(super) fn run_maintenance(&mut self, now: Instant, actions: &mut Vec<Action>) {
        for e in 0..self.engines.len() {
            let state = &self.engines[e];
            if !state.facts.load_control || !self.may_start_operation(state) {
                continue;
            }
            match state.due_task(now) {
                Some(MaintenanceTask::Unload(at, why)) => {
                    self.begin_unload(e, at, why, None, now, actions);
                }
                Some(MaintenanceTask::Renew(at)) => {
                    let order = state.keep_alive_command(&state.residents[at]);
                    self.engines[e].residents[at].keep_alive_sent = now;
                    if let Some(order) = order {
                        self.begin_load(e, order, 0, now, actions);
                    }
                }
                None => {}
            }
        }
    }

    fn unloads_at_exit(&self, state: &EngineState, resident: &Resident) -> bool {
        let unload = self.draining == Some(true) && resident.permits_out == 0;
        resident.tuple.is_some() && (state.facts.is_child || unload)
    }

    /// Something of ours is still resident and worth a try.
    pub(super) fn has_exit_unloads(&self) -> bool {
        self.engines.iter().any(|state| {
            let tried = |r: &Resident| r.unload_backoff.not_before.is_some();
            let mut residents = state.residents.iter();
            residents.any(|r| self.unloads_at_exit(state, r) && !tried(r))
        })
    }

    /// At the end, what Crucible loaded goes; a child always.
    pub(super) fn start_exit_unloads(&mut self, now: Instant, actions: &mut Vec<Action>) {
        for e in 0..self.engines.len() {
            let state = &self.engines[e];
            let leaves = |r: &Resident| {
                self.unloads_at_exit(state, r) && r.unload_backoff.not_before.is_none()
            };
            if let Some(at) = state.residents.iter().position(leaves)
                && self.may_start_operation(state)
            {
                self.begin_unload(e, at, EvictionReason::Exit, None, now, actions);
            }
        }
    }
}
