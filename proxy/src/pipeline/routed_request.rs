//! The request that the inner stack serves, with its permit.

use std::sync::Arc;

use crucible_config::{
    Config,
    checked::{ClientKey, RequestDefaults},
};
use crucible_router::{permit::Permit, plan::Candidate};

use crate::{dialect::chat::ChatRequest, request::ActiveRequest, state::AppState};

/// A request that holds the permit of one candidate.
pub(crate) struct RoutedRequest {
    /// The state of the instance.
    pub(crate) app: AppState,
    /// The configuration that the request was received under.
    pub(crate) config: Arc<Config>,
    /// The record of the request.
    pub(crate) active: Arc<ActiveRequest>,
    /// The request in the middle format.
    pub(crate) chat: ChatRequest,
    /// The engine and the model that the permit is for.
    pub(crate) candidate: Candidate,
    /// The permit, which is given back when it is dropped.
    pub(crate) permit: Permit,
    /// The client's key; `None` where it has none.
    pub(crate) key: Option<Arc<ClientKey>>,
    /// The values that are filled in where the client leaves them open; empty until the
    /// `DefaultsLayer` has run.
    pub(crate) defaults: RequestDefaults,
}
