//! The request between its plan and its answer.

use std::sync::Arc;

use crucible_config::{Config, checked::ClientKey};
use crucible_router::{demand::Demand, plan::Plan};
use tokio::time::Instant;

use super::growth::ContextRetry;
use crate::{dialect::chat::ChatRequest, request::ActiveRequest, state::AppState};

/// A request whose plan is made, and what its attempts so far have changed about it.
pub(super) struct PlannedRequest {
    pub(super) app: AppState,
    pub(super) config: Arc<Config>,
    pub(super) active: Arc<ActiveRequest>,
    /// The request in the middle format, shortened where an engine asked for that.
    pub(super) chat: ChatRequest,
    pub(super) demand: Demand,
    pub(super) plan: Plan,
    /// The retry with more context, where an engine found the prompt too long.
    pub(super) too_long: Option<ContextRetry>,
    /// The tokens to which the answer was shortened, where the engine has no room for more beside
    /// the prompt.
    pub(super) shortened: Option<u64>,
    /// The place in the plan of a candidate whose model had gone from its engine and that was asked
    /// once more.
    pub(super) asked_again: Option<usize>,
    pub(super) key: Option<Arc<ClientKey>>,
    /// The moment at which the headers of a stream go out at the latest.
    pub(super) commit_at: Option<Instant>,
}
