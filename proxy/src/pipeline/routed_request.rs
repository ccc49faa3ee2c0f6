//! The request that the inner stack serves.

use std::sync::Arc;

use crucible_config::{
    Config,
    checked::{ClientKey, RequestDefaults},
};
use crucible_router::{permit::Permit, plan::Candidate};

use crate::{dialect::chat::ChatRequest, request::ActiveRequest, state::AppState};

/// A request that holds the permit of one candidate.
pub(crate) struct RoutedRequest {
    pub(crate) app: AppState,
    pub(crate) config: Arc<Config>,
    pub(crate) active: Arc<ActiveRequest>,
    /// The request in the middle format.
    pub(crate) chat: ChatRequest,
    pub(crate) candidate: Candidate,
    pub(crate) permit: Permit,
    pub(crate) key: Option<Arc<ClientKey>>,
    /// The values that are filled in where the client is silent; empty until the `DefaultsLayer`.
    pub(crate) defaults: RequestDefaults,
}
