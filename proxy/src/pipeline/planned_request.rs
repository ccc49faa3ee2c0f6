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
    /// The candidate's engine found the prompt too long for its context.
    pub(super) too_long: Option<ContextRetry>,
    /// Tokens that the engine has room for beside the prompt, where the request asked for more.
    pub(super) shortened: Option<u64>,
    /// The place in the plan of what had gone from its engine and was asked once more.
    pub(super) asked_again: Option<usize>,
    pub(super) key: Option<Arc<ClientKey>>,
    /// When the headers of a stream go out at the latest.
    pub(super) commit_at: Option<Instant>,
}
