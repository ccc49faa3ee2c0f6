//! The request between its plan and its answer.

use std::sync::Arc;

use crucible_config::{Config, checked::ClientKey};
use crucible_router::{demand::Demand, plan::Plan};
use tokio::time::Instant;

use super::context_retry::ContextRetry;
use crate::{dialect::chat::ChatRequest, request::ActiveRequest, state::AppState};

/// A request whose plan is made, with the changes that its attempts so far have made to it.
pub(super) struct PlannedRequest {
    /// The state of the instance.
    pub(super) app: AppState,
    /// The configuration that the request was received under.
    pub(super) config: Arc<Config>,
    /// The record of the request.
    pub(super) active: Arc<ActiveRequest>,
    /// The request in the middle format, shortened where an engine asked for that.
    pub(super) chat: ChatRequest,
    /// The facts about the request that plan and scheduler decide by.
    pub(super) demand: Demand,
    /// The candidates for the request, the best one first.
    pub(super) plan: Plan,
    /// The attempt with more context, where an engine found the prompt too long.
    pub(super) too_long: Option<ContextRetry>,
    /// The most tokens of the answer, where it was shortened because the engine has no room for
    /// more beside the prompt.
    pub(super) shortened: Option<u64>,
    /// The position in the plan of a candidate that was tried once more because its model had
    /// vanished from the engine.
    pub(super) asked_again: Option<usize>,
    /// The client's key; `None` where it has none.
    pub(super) key: Option<Arc<ClientKey>>,
    /// The moment at which the headers of a stream go out at the latest; `None` for an answer that
    /// is no stream.
    pub(super) commit_at: Option<Instant>,
}
