//! The tuned sampling defaults, as a layer: temperature, `top_p` and the two penalties are filled in
//! where the request is silent.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use crucible_config::{
    Config,
    checked::{ClientKey, FilledValue, RequestDefaults},
};
use crucible_router::{
    handle::RouterHandle,
    plan::Candidate,
    verify::{evidence::Probes, probe::rewards_repetition},
};
use tower::{Layer, Service};

use crate::{
    body::peek::PeekedBody,
    dialect::chat::{ChatRequest, RequestTask},
    pipeline::routed_request::RoutedRequest,
};

/// Fills in configured sampling values that the request leaves open. A value of `null` is left
/// open; 0 is a value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DefaultsLayer;

/// The service that [`DefaultsLayer`] makes: it fills the request in and hands it to the service inside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DefaultsService<S>(S);

// === impl DefaultsLayer ===

impl<S> Layer<S> for DefaultsLayer {
    type Service = DefaultsService<S>;

    fn layer(&self, inner: S) -> DefaultsService<S> {
        DefaultsService(inner)
    }
}

// === impl DefaultsService ===

impl<S: Service<Box<RoutedRequest>, Error = crate::error::Error>> Service<Box<RoutedRequest>>
    for DefaultsService<S>
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, mut routed: Box<RoutedRequest>) -> S::Future {
        let probes = Arc::clone(&routed.app.probes.read());
        routed.defaults = request_defaults(
            &routed.app.router,
            &routed.config,
            &probes,
            &routed.chat,
            &routed.candidate,
            routed.key.as_deref(),
        );
        self.0.call(routed)
    }
}

/// Returns the values to fill in for a request to this candidate, each with its origin: those
/// configured for the engine, the model and the client's key, as far as the request leaves them
/// open and the engine applies them correctly. Embeddings and rankings get none.
pub(crate) fn request_defaults(
    router: &RouterHandle,
    config: &Config,
    probes: &Probes,
    chat: &ChatRequest,
    candidate: &Candidate,
    key: Option<&ClientKey>,
) -> RequestDefaults {
    let samples = match chat.task {
        RequestTask::Chat | RequestTask::Completion => true,
        RequestTask::Embedding | RequestTask::Rerank => false,
    };
    let engine = router.engine_config(&candidate.engine);
    let Some(engine) = engine.filter(|_| samples) else {
        return RequestDefaults::default();
    };
    let mut configured = config.request_defaults(&engine, &candidate.model, key);
    if rewards_repetition(probes, &engine.name) {
        configured.frequency_penalty = None;
    }
    gaps(
        &chat.body,
        &chat.peek,
        configured,
        !router.is_mlx(candidate),
    )
}

/// Returns the configured values that the request leaves open. LM Studio's MLX engine ignores
/// penalties (0.4, `mlx_engine/generate.py`), so it gets none (`honours_penalties` is false).
fn gaps(
    body: &[u8],
    peek: &PeekedBody,
    configured: RequestDefaults,
    honours_penalties: bool,
) -> RequestDefaults {
    let gap = |name: &str, filled: Option<FilledValue<f64>>| {
        filled.filter(|_| peek.raw(body, name).is_none())
    };
    let penalty = |name: &str, filled| gap(name, filled).filter(|_| honours_penalties);
    RequestDefaults {
        temperature: gap("temperature", configured.temperature),
        top_p: gap("top_p", configured.top_p),
        frequency_penalty: penalty("frequency_penalty", configured.frequency_penalty),
        presence_penalty: penalty("presence_penalty", configured.presence_penalty),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use crucible_config::checked::DefaultSource;

    use super::*;

    #[test]
    fn mlx_gets_no_penalties_and_what_is_sent_is_no_gap() {
        let body =
            Bytes::from_static(br#"{"model":"m","messages":[1],"temperature":0,"top_p":null}"#);
        let peek = PeekedBody::of(&body, 64).unwrap();
        let value = |value| {
            Some(FilledValue {
                value,
                from: DefaultSource::Profile,
            })
        };
        let configured = RequestDefaults {
            temperature: value(0.3),
            top_p: value(0.8),
            frequency_penalty: value(0.1),
            presence_penalty: value(0.2),
        };
        let filled = |honours_penalties| {
            let gaps = gaps(&body, &peek, configured, honours_penalties);
            [
                gaps.temperature,
                gaps.top_p,
                gaps.frequency_penalty,
                gaps.presence_penalty,
            ]
            .map(|gap| gap.map(|filled| filled.value))
        };
        assert_eq!(filled(true), [None, Some(0.8), Some(0.1), Some(0.2)]);
        assert_eq!(filled(false), [None, Some(0.8), None, None]);
    }
}
