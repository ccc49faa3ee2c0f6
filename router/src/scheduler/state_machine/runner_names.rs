//! Names that are one model in memory, because one runner answers to all of them.
//!
//! The scheduler keeps everything by the name of a model's runner (`ModelInfo::runner`), so that
//! names over the same weights are one resident and one entry in the budget. It may become known
//! late which names share a runner. Where another name of a runner is loaded with other options,
//! only requests with the same options are granted; for others the runner is loaded anew.

use std::sync::Arc;

use super::{
    context_size::ContextHistory, engine_state::EngineState, model_key::ModelKey,
    resident::Resident, resident_match::ResidentMatch, state::Scheduler,
};
use crate::{engine::LoadTuple, refusal::Refusal, scheduler::messages::PermitRequest};

// === impl EngineState ===

impl EngineState {
    /// Returns the name of the runner that serves a name; the name itself where no other is known.
    pub(super) fn runner_of<'a>(&'a self, name: &'a Arc<str>) -> &'a Arc<str> {
        let mut models = self.facts.models.iter();
        let found = models.find(|m| m.id == *name);
        found.map_or(name, |m| &m.runner)
    }

    /// Whether a resident has the options that a load by that name would have.
    pub(super) fn has_options_of(&self, resident: &Resident, name: &Arc<str>) -> bool {
        let held = resident.info.name(self.facts.kind);
        held == name || self.option_variant(held) == self.option_variant(name)
    }

    /// Returns the number of the load options in which a name differs from others of its runner; 0
    /// where it does not.
    pub(super) fn option_variant(&self, name: &Arc<str>) -> u64 {
        self.facts
            .option_variants
            .get(name)
            .copied()
            .unwrap_or_default()
    }

    /// Returns the key under which failed loads are kept. Names of one runner share their failures
    /// only where their load options are the same.
    pub(super) fn backoff_key(&self, model: &Arc<str>, name: &Arc<str>) -> ModelKey {
        match self.option_variant(name) {
            0 => self.model_key(model),
            _ => self.model_key(name),
        }
    }

    /// Returns the load options in a model's own description. A resident that a person loaded by
    /// that name has them, and a request by another name must ask for the same.
    pub(super) fn described_options(&self, name: &str) -> LoadTuple {
        let Some(model) = self.facts.models.iter().find(|m| *m.id == *name) else {
            return LoadTuple::default();
        };
        let told = |key: &str| model.load.get(key).map(|value| value.trim());
        LoadTuple {
            batch: told("num_batch").and_then(|n| n.parse().ok()),
            threads: told("num_thread").and_then(|n| n.parse().ok()),
            gpu_layers: told("num_gpu").and_then(|n| n.parse().ok()),
            mmap: told("use_mmap").and_then(|on| on.parse().ok()),
            ..LoadTuple::default()
        }
    }

    /// Matches a request whose model is loaded with the options of another name.
    pub(super) fn match_other_options(&self, at: usize, request: &PermitRequest) -> ResidentMatch {
        let resident = &self.residents[at];
        let held = resident.info.name(self.facts.kind);
        let (engine, model) = (Arc::clone(&request.engine), Arc::clone(&request.name));
        if resident.pinned && resident.tuple.is_some() {
            let message = format!(
                "it has the weights of '{held}', which is pinned and was loaded with other options"
            );
            return ResidentMatch::Unavailable(Refusal::LoadFailed {
                engine,
                model,
                message,
                retry_after: 60,
            });
        }
        if !self.may_unload(resident) || !self.facts.load_control {
            return ResidentMatch::Unavailable(Refusal::Blocked {
                engine,
                model,
                blocker: Arc::clone(held),
                blocker_engine: Arc::clone(&self.facts.name),
                retry_after: 30,
            });
        }
        ResidentMatch::NeedsOtherOptions(at)
    }
}

// === impl Scheduler ===

impl Scheduler {
    /// Moves everything that was kept by a name to the name of its runner, as soon as that is
    /// known.
    pub(super) fn rekey_by_runner(&mut self, at: usize) {
        let models = Arc::clone(&self.engines[at].facts.models);
        for model in models.iter().filter(|m| m.runner != m.id) {
            let state = &mut self.engines[at];
            for resident in &mut state.residents {
                if resident.info.model == model.id {
                    resident.info.model = Arc::clone(&model.runner);
                }
            }
            let (old, new) = (state.model_key(&model.id), state.model_key(&model.runner));
            let own = state.option_variant(&model.id) != 0;
            self.rekey(&old, &new);
            if !own && let Some(failure) = self.load_backoffs.remove(&old) {
                self.load_backoffs.entry(new).or_insert(failure);
            }
        }
    }

    /// Moves what is kept for one model to another key; what is already kept there wins.
    fn rekey(&mut self, old: &ModelKey, new: &ModelKey) {
        if let Some(history) = self.context_histories.remove(old) {
            let larger = |kept: &ContextHistory| kept.largest >= history.largest;
            if !self.context_histories.get(new).is_some_and(larger) {
                self.context_histories.insert(new.clone(), history);
            }
        }
        if let Some(pin) = self.pinned_requests.remove(old) {
            self.pinned_requests.entry(new.clone()).or_insert_with(|| {
                let mut pin = PermitRequest::clone(&pin);
                pin.model = Arc::clone(&new.1);
                Arc::new(pin)
            });
        }
        if let Some(took) = self.load_times.remove(old) {
            self.load_times.entry(new.clone()).or_insert(took);
        }
        if let Some(bytes) = self.measured_sizes.remove(old) {
            self.measured_sizes.entry(new.clone()).or_insert(bytes);
        }
    }
}
