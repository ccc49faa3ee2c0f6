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
    /// The model may have to call tools.
    pub(super) fn calls_tools(&self) -> bool {
        self.demand.tools && !self.demand.tool_choice_none
    }

    /// Known not to be trained for the tools that the request offers.
    pub(super) fn is_untrained(&self, model: &ModelInfo) -> bool {
        self.calls_tools() && model.capabilities.trained_for_tools == Some(false)
    }

    /// Puts trained models first among places that are equal otherwise: a pin and the place of a
    /// conversation's earlier turns stand.
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
