//! Models that were trained to call tools go before others that only can.
//!
//! LM Studio's `trained_for_tool_use` says no more than that: it gives every other model a default
//! way to call tools, so the flag never refuses a request.

use super::{
    Reason,
    order::is_available,
    scope::{ModelMatch, PlanScope},
};
use crate::catalog::ModelInfo;

// === impl PlanScope ===

impl PlanScope<'_> {
    /// Whether the request offers tools and lets the model call them.
    pub(super) fn calls_tools(&self) -> bool {
        self.demand.tools && !self.demand.tool_choice_none
    }

    /// Whether the request offers tools and the engine reports that the model was not trained to
    /// call any.
    pub(super) fn is_untrained(&self, model: &ModelInfo) -> bool {
        self.calls_tools() && model.capabilities.trained_for_tools == Some(false)
    }

    /// Moves models that were trained to call tools before others, where the first match was not. A
    /// first match that is pinned, or that a rule or the conversation's earlier turns chose, stays
    /// first.
    pub(super) fn prefer_trained(&self, hits: &mut [ModelMatch<'_>]) {
        let Some(first) = hits.first().copied() else {
            return;
        };
        if matches!(first.reason, Reason::Pinned | Reason::Sticky | Reason::Rule)
            || !self.is_untrained(first.model)
        {
            return;
        }
        hits.sort_by_key(|hit| (!is_available(hit.engine), self.is_untrained(hit.model)));
        let is_first = |hit: &ModelMatch<'_>| {
            hit.engine.name == first.engine.name && hit.model.id == first.model.id
        };
        if is_first(&hits[0]) {
            return;
        }
        hits[0].reason = match first.reason {
            found @ (Reason::Alias | Reason::Prefixed) => found,
            _ => Reason::Capability,
        };
        if let Some(later) = hits.iter_mut().find(|hit| is_first(hit)) {
            later.reason = Reason::Device;
        }
    }
}
