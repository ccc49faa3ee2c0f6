//! The layer that writes a request in the format of its engine.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::{Either, Ready as Immediately, ready};
use tower::{Layer, Service};

use crate::{
    dialect::{
        chat::{SharedRequest, chained},
        engine::{AnswerShape, EngineTarget, format_of, passthrough},
    },
    error::Error,
    pipeline::{engine_request::EngineRequest, routed_request::RoutedRequest},
    upstream::Prompt,
};

/// Writes a request in the format of its engine and hands it to the service that sends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TranslateLayer;

/// The service that [`TranslateLayer`] makes: it writes the engine's request and hands it to the service inside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TranslateService<S>(S);

// === impl TranslateLayer ===

impl<S> Layer<S> for TranslateLayer {
    type Service = TranslateService<S>;

    fn layer(&self, inner: S) -> TranslateService<S> {
        TranslateService(inner)
    }
}

// === impl TranslateService ===

impl<S: Service<EngineRequest, Error = Error>> Service<Box<RoutedRequest>> for TranslateService<S> {
    type Response = S::Response;
    type Error = Error;
    type Future = Either<S::Future, Immediately<Result<S::Response, Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, routed: Box<RoutedRequest>) -> Self::Future {
        match prepare(routed) {
            Ok(outgoing) => Either::Left(self.0.call(outgoing)),
            Err(error) => Either::Right(ready(Err(error))),
        }
    }
}

/// Writes the request in the format of its engine. Where the client's format is another one, the
/// transcoder of the client follows that of the engine.
fn prepare(mut routed: Box<RoutedRequest>) -> Result<EngineRequest, Error> {
    let permit = &routed.permit;
    let target = EngineTarget {
        model: &permit.model,
        instance: &permit.instance,
        context: permit.whole_context,
        tuple: &permit.tuple,
        defaults: &routed.defaults,
        prefix: routed.config.prefix,
        capabilities: &|| routed.app.router.capabilities(&routed.candidate),
        event_limit: routed.config.limits.event,
    };
    let shared = shared_with_engine(&routed);
    let call = match shared {
        Some(shared) => passthrough::write(shared, &routed.chat, permit.kind, &target)?,
        None => format_of(permit.kind).write(&routed.chat, &target)?,
    };
    let shape = match call.answer {
        AnswerShape::Stream(engine) if !call.is_clients => {
            let writer = routed.chat.writer.as_ref();
            AnswerShape::Stream(chained(engine, writer.map(|writer| writer.transcoder())))
        }
        as_it_is => as_it_is,
    };
    let prompt = Prompt {
        engine: Arc::clone(&permit.engine),
        address: permit.address.clone(),
        path: call.path,
        token: permit.token.clone(),
        hops: routed.active.note(|record| Arc::clone(&record.hops)),
        trace: routed.active.trace_headers(),
        body: call.body,
    };
    let mut notes = call.notes;
    if !call.is_clients
        && let Some(native) = &routed.chat.native
    {
        notes.extend(native.lost.iter().map(ToString::to_string));
    }
    notes.extend(policy(&routed));
    let mut defaults = call.defaults;
    if permit.context.is_some() {
        defaults.push("context");
    }
    if call.is_clients {
        routed.chat.writer = None;
    }
    Ok(EngineRequest {
        routed,
        prompt,
        shape,
        defaults,
        notes,
        dropped: call.dropped,
        may_call_tools: call.may_call_tools,
        slots: call.slots,
    })
}

/// Returns the request in its client's own format, where the configuration (`passthrough`) says
/// that the engine takes it as it is.
fn shared_with_engine(routed: &RoutedRequest) -> Option<&SharedRequest> {
    let shared = routed.chat.shared.as_ref()?;
    let engine = routed.app.router.engine_config(&routed.permit.engine)?;
    let takes = |name: &String| name == shared.format.name();
    engine.passthrough.iter().any(takes).then_some(shared)
}

/// Returns the notes on wishes that Crucible does not follow. A context for one client would load
/// the model anew, and the time for which a model stays loaded is the same for all.
fn policy(routed: &RoutedRequest) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(asked) = routed.chat.peek.num_ctx(&routed.chat.body)
        && let Some(has) = routed.permit.context_share
        && has != asked
    {
        notes.push(format!("num_ctx {asked}: the context is {has}"));
    }
    if routed
        .chat
        .peek
        .raw_bytes(&routed.chat.body, "keep_alive")
        .is_some()
    {
        notes.push("keep_alive is Crucible's: see tuning.lmstudio.model_ttl".to_owned());
    }
    notes
}
