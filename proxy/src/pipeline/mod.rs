//! The inner stack: from a request with a permit to the engine's answer.
//!
//! Applied anew for each candidate of the plan, since what is filled in and which dialect is
//! spoken depend on the engine and the model.

pub(crate) mod answerer;
pub(crate) mod chat;
mod context_length;
pub(crate) mod defaults;
pub(crate) mod demand;
mod growth;
mod overflow;
mod send;
mod silence;
mod translate;
mod vanished;
mod whole;

use std::sync::Arc;

use axum::response::Response;
use bytes::Bytes;
use crucible_config::{
    Config,
    checked::{Key, RequestDefaults},
};
use crucible_router::{permit::Permit, plan::Candidate};
use tower::{Service, ServiceBuilder};

pub(crate) use defaults::Defaults;
pub(crate) use send::Relay;
pub(crate) use translate::{Dialect, Outgoing, Shape};

use crate::{body::peek::Peek, error::Error, request::Exchange, state::AppState};

/// A request that holds its permit.
pub(crate) struct Routed {
    pub(crate) app: AppState,
    pub(crate) config: Arc<Config>,
    pub(crate) exchange: Arc<Exchange>,
    /// As the client sent it, decoded.
    pub(crate) body: Bytes,
    pub(crate) peek: Arc<Peek>,
    pub(crate) candidate: Candidate,
    pub(crate) permit: Permit,
    pub(crate) key: Option<Arc<Key>>,
    /// What is filled in where the client is silent; empty until [`Defaults`].
    pub(crate) defaults: RequestDefaults,
}

/// `Defaults -> Dialect -> Relay`.
pub(crate) fn stack()
-> impl Service<Box<Routed>, Response = Response, Error = Error, Future: Send> + Clone {
    ServiceBuilder::new()
        // What the client left open, decided per engine, model and key.
        .layer(Defaults)
        // The engine's own body: spliced bytes, or a translation for Ollama.
        .layer(Dialect)
        // Sends, judges the first event, streams; the permit lives in the body from here on.
        .service(Relay)
}

/// tower's readiness, which none of these services needs.
pub(crate) type Ready = std::task::Poll<Result<(), Error>>;
