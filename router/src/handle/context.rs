//! The context that a request would get, found without sending it.

use std::{path::Path, sync::Arc};

use crucible_config::checked::{ClientKey, FilledValue};

use super::{RouterHandle, permit_request::permit_request};
use crate::{
    catalog::ModelKind,
    demand::Demand,
    measurements::Measurements,
    plan::{Candidate, Reason},
    refusal::Refusal,
    scheduler::ContextReason,
    shared_weights,
};

/// A prompt that no model can have: its refusal names the limit.
const PROMPT_BEYOND_ALL: u64 = 1 << 40;

/// The context of a request at one candidate.
#[derive(Clone, Copy, Debug)]
pub struct ContextGiven {
    /// The configured context, before any growth.
    pub configured: FilledValue<u64>,
    /// The tokens that prompt and answer need.
    pub needed: u64,
    /// The tokens that it would have.
    pub given: u64,
    /// The reason for that number of tokens.
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

    /// The most tokens that prompt and answer of a request for this model can have together: what it is
    /// loaded with, or what it may be loaded anew with for a longer prompt, bounded by the model, by
    /// `context.max` and by the memory of its pool. `key` is the client's. `None` for a model that is not
    /// there, and for an embedding model of unknown length.
    pub fn context_limit(
        &self,
        engine: &str,
        model: &str,
        key: Option<&Arc<ClientKey>>,
    ) -> Option<u64> {
        let fleet = self.0.fleet.view();
        let mut engines = fleet.engines.iter();
        let status = engines.find(|e| &*e.config.name == engine)?;
        let known = status.models.iter().find(|m| &*m.id == model)?;
        if known.kind == ModelKind::Embedding {
            return known.max_context;
        }
        let candidate = Candidate {
            engine: Arc::clone(&status.config.name),
            model: Arc::clone(&known.id),
            reason: Reason::Exact,
            predicted: None,
        };
        let config = (self.0.config)();
        // Nothing learned makes a prompt longer than it is said to be.
        let learned = Measurements::default();
        let request = |prompt: u64| {
            let demand = Demand {
                key: key.cloned(),
                prompt_tokens: prompt,
                max_tokens: Some(1),
                ..Demand::default()
            };
            permit_request(&config, status, &learned, &candidate, &demand)
        };
        let most = request(1).context_limit();
        let limit_of = |prompt: u64| match self.0.scheduler.try_context(request(prompt)) {
            Some(Err(Refusal::ContextExceeded { limit, .. })) => limit,
            Some(Ok((given, _))) => given,
            // Not for its length, or nobody tells: what a load may have is all that is known.
            Some(Err(_)) | None => most,
        };
        // The refusal of a prompt of any length names the limit; below it memory may refuse one as well.
        let limit = limit_of(PROMPT_BEYOND_ALL);
        let limit = limit_of(limit.saturating_sub(1)).min(limit);
        Some(known.max_context.map_or(limit, |max| limit.min(max)))
    }

    /// Takes the largest contexts of an earlier run from its `state_dir`, and nothing else: for one
    /// that only looks.
    pub fn recall_contexts(&self, folder: &Path) {
        if !folder.as_os_str().is_empty() {
            self.0.scheduler.recall_contexts(folder);
        }
    }
}
