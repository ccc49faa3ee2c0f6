//! Which context a request would get, without sending it.

use std::path::Path;

use crucible_config::checked::FilledValue;

use super::{RouterHandle, permit_request::permit_request};
use crate::{demand::Demand, plan::Candidate, scheduler::ContextReason, shared_weights};

/// The context of a request at one candidate.
#[derive(Clone, Copy, Debug)]
pub struct ContextGiven {
    /// What is configured, before any growth.
    pub configured: FilledValue<u64>,
    /// Tokens that prompt and answer need.
    pub needed: u64,
    /// Tokens that it would have.
    pub given: u64,
    /// Why so many.
    pub because: ContextReason,
}

// === impl RouterHandle ===

impl RouterHandle {
    /// The context that a candidate would get: that of what is loaded, or what it would be loaded
    /// with, the remembered and the grown ones included; `None` where its engine is gone or does not
    /// report contexts.
    pub fn context_given(&self, candidate: &Candidate, demand: &Demand) -> Option<ContextGiven> {
        let fleet = self.0.fleet.view();
        let mut engines = fleet.engines.iter();
        let engine = engines.find(|e| e.config.name == candidate.engine)?;
        let config = (self.0.config)();
        let learned = self.0.predictor.current();
        let request = permit_request(&config, engine, &learned, candidate, demand);
        let needed = request.prompt_tokens.saturating_add(request.answer_tokens);
        let (given, because) = self.0.scheduler.preview_context(request)?;
        Some(ContextGiven {
            configured: shared_weights::context(
                &config,
                &engine.config,
                &engine.models,
                &candidate.model,
                demand.key.as_deref(),
            ),
            needed,
            given,
            because,
        })
    }

    /// Takes the largest contexts of an earlier run from its `state_dir`, and nothing else: for one
    /// that only looks.
    pub fn recall_contexts(&self, folder: &Path) {
        if !folder.as_os_str().is_empty() {
            self.0.scheduler.recall_contexts(folder);
        }
    }
}
