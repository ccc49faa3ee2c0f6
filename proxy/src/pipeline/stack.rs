//! The inner stack: from a request with a permit to the engine's answer.
//!
//! It is applied anew for each candidate of the plan, since the values that are filled in and the
//! format that is written depend on the engine and the model.

use axum::response::Response;
use tower::{Service, ServiceBuilder};

use super::{
    defaults::DefaultsLayer, engine_request::EngineRequest, routed_request::RoutedRequest,
    send::SendService, translate::TranslateLayer,
};
use crate::error::Error;

/// `DefaultsLayer -> TranslateLayer -> SendService`.
pub(super) fn stack()
-> impl Service<Box<RoutedRequest>, Response = Response, Error = Error, Future: Send> + Clone {
    // Sends, judges the first event, streams; the permit lives in the body from here on.
    around(SendService)
}

/// The layers around the service that sends.
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
