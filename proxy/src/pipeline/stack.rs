//! The inner stack, which takes a request with a permit to the engine's answer.
//!
//! It is applied anew for each candidate of the plan, because the values that are filled in and the
//! format of the request depend on the engine and the model:
//!
//! ```text
//! RoutedRequest      the client's chat request, the candidate and its permit
//!   DefaultsLayer    "temperature" is absent          -> 0.6, as the model's block says
//!   TranslateLayer   the engine is an Ollama          -> POST /api/chat with `options`
//!   SendService      the first event has come         -> the answer, whose body holds the permit
//! ```

use axum::response::Response;
use tower::{Service, ServiceBuilder};

use super::{
    defaults::DefaultsLayer, engine_request::EngineRequest, routed_request::RoutedRequest,
    send::SendService, translate::TranslateLayer,
};
use crate::error::Error;

/// Returns the inner stack: `DefaultsLayer`, `TranslateLayer` and `SendService`, in this order.
pub(super) fn stack()
-> impl Service<Box<RoutedRequest>, Response = Response, Error = Error, Future: Send> + Clone {
    // Sends, judges the first event, streams; the permit lives in the body from here on.
    around(SendService)
}

/// Wraps the layers of the inner stack around the service that sends.
fn around<S>(
    send: S,
) -> impl Service<Box<RoutedRequest>, Response = Response, Error = Error, Future: Send> + Clone
where
    S: Service<EngineRequest, Response = Response, Error = Error, Future: Send> + Clone,
{
    ServiceBuilder::new()
        // The sampling values that the client left open, decided per engine, model and key.
        .layer(DefaultsLayer)
        // The engine's own body: spliced bytes, or a translation for Ollama.
        .layer(TranslateLayer)
        .service(send)
}

#[cfg(test)]
mod tests;
