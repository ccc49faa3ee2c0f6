//! Operations that no request needs: idle models are unloaded, pinned ones are kept alive,
//! duplicate instances are removed, and at the end everything that Crucible loaded is unloaded.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    engine_state::EngineState, model_key::deadline_after, resident::Resident, state::Scheduler,
};
use crate::{
    event::{EvictionReason, LoadTrigger},
    scheduler::messages::{Action, LoadCommand},
};

/// The idle time after which a duplicate instance is unloaded.
const DUPLICATE_IDLE: Duration = Duration::from_secs(30);

/// An operation that is due on one engine.
enum MaintenanceTask {
    /// Unload the resident at this position.
    Unload(usize, EvictionReason),
    /// Tell the engine again to keep the resident at this position.
    KeepAlive(usize),
}

// === impl EngineState ===

impl EngineState {
    /// Returns the time at which an idle resident that Crucible loaded has been idle for its time
    /// to live; `None` where it stays.
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

    /// Returns the time at which Ollama is told again to keep a pinned model, because the load set
    /// the engine's own clock.
    fn keep_alive_due(&self, resident: &Resident) -> Option<Instant> {
        let own = resident.tuple.is_some() && resident.pinned && resident.permits_out == 0;
        let ttl = self
            .facts
            .model_ttl
            .filter(|_| own && self.facts.kind.profile().residents.renewed)?;
        deadline_after(
            resident.keep_alive_sent.max(resident.idle_since),
            ttl / 5 * 4,
        )
    }

    /// The time at which a duplicate is unloaded. LM Studio (0.3, 0.4) names the second instance of
    /// a model `key:2`, and loads several of one model for concurrent first requests. A duplicate
    /// is one beside an instance with at least its context.
    fn duplicate_ends(&self, resident: &Resident) -> Option<Instant> {
        let info = &resident.info;
        let numbered = info.instance.strip_prefix(&*info.model);
        let duplicate = numbered.is_some_and(|n| n.starts_with(':'));
        let idle = resident.permits_out == 0 && !resident.unlisted;
        // Else it may be another Crucible's.
        let may = self.facts.owns_state || resident.tuple.is_some();
        if !self.facts.kind.profile().residents.identifiers || !duplicate || !idle || !may {
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

    /// Returns the first task that is due on this engine; `None` where none is.
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
                return Some(MaintenanceTask::KeepAlive(at));
            }
        }
        None
    }

    /// Returns the load command that only keeps a resident loaded.
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
    /// The times at which a task, or the next load of a pinned model, may be due.
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

    /// Starts one task on every engine that may start one.
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
                Some(MaintenanceTask::KeepAlive(at)) => {
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

    /// Whether a resident is unloaded when Crucible ends: those of a child process always, others
    /// if Crucible loaded them, they are idle, and that is configured.
    fn unloads_at_exit(&self, state: &EngineState, resident: &Resident) -> bool {
        let unload = self.draining == Some(true) && resident.permits_out == 0;
        resident.tuple.is_some() && (state.facts.is_child || unload)
    }

    /// Whether a resident is still to be unloaded before the end and has not been tried.
    pub(super) fn has_exit_unloads(&self) -> bool {
        self.engines.iter().any(|state| {
            let tried = |r: &Resident| r.unload_backoff.not_before.is_some();
            let mut residents = state.residents.iter();
            residents.any(|r| self.unloads_at_exit(state, r) && !tried(r))
        })
    }

    /// Starts the unloads before the end of Crucible.
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
