//! The request that is sent to an engine.

use std::sync::Arc;

use super::routed_request::RoutedRequest;
use crate::{
    dialect::engine::AnswerShape, inspector::SentToEngine, metrics::DroppedParam, upstream::Prompt,
    usage::SlotReadings,
};

/// A request that is written in the engine's format and ready to be sent.
pub(crate) struct EngineRequest {
    /// The request as the client sent it, with its permit.
    pub(crate) routed: Box<RoutedRequest>,
    /// The HTTP request for the engine.
    pub(crate) prompt: Prompt,
    /// The way in which the engine's answer is read.
    pub(crate) shape: AnswerShape,
    /// The names of the values that were filled in, with `context` where Crucible chose it.
    pub(crate) defaults: Vec<&'static str>,
    /// Sentences for `x-crucible-note`: what was clamped, dropped or respelled.
    pub(crate) notes: Vec<String>,
    /// The names of the request's parameters that the engine does not understand, which are left
    /// out.
    pub(crate) dropped: Vec<DroppedParam>,
    /// Whether the answer may be a tool call, of which some engines send nothing until it is whole.
    pub(crate) may_call_tools: bool,
    /// The store for readings of the engine's slots, where its answer does not say how much of the
    /// prompt was cached.
    pub(crate) slots: Option<Arc<SlotReadings>>,
}

// === impl EngineRequest ===

impl EngineRequest {
    /// Returns the request as the inspector keeps it: without addresses and tokens.
    pub(super) fn inspected(&self) -> SentToEngine<'_> {
        SentToEngine {
            engine: &self.routed.permit.engine,
            model: &self.routed.permit.model,
            path: self.prompt.path,
            defaults: &self.defaults,
            notes: &self.notes,
            body: &self.prompt.body,
        }
    }
}
