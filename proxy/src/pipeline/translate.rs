//! The engine's own dialect: spliced bytes where it speaks OpenAI, a translation for Ollama.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::SystemTime,
};

use bytes::Bytes;
use crucible_config::checked::EngineKind;
use futures_util::future::{Either, Ready as Immediately, ready};
use tower::{Layer, Service};

use crate::{
    dialect::{
        chat::{EngineTranscoder, chained},
        engine::{
            call_ids::CallIds,
            ollama::{
                request::to_ollama,
                response::{Before, OllamaAggregate, OllamaStream},
            },
            openai::{passthrough::Passthrough, request, tool_choice},
        },
    },
    error::Error,
    pipeline::{
        engine_request::{AnswerShape, EngineRequest},
        routed_request::RoutedRequest,
    },
    relay::upstream::Prompt,
};

/// The layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TranslateLayer;

/// [`TranslateLayer`] around the relay.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TranslateService<S>(S);

struct EngineBody {
    body: Bytes,
    shape: AnswerShape,
    defaults: Vec<&'static str>,
    notes: Vec<String>,
    dropped: Vec<&'static str>,
    path: &'static str,
    may_call_tools: bool,
}

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

fn prepare(routed: Box<RoutedRequest>) -> Result<EngineRequest, Error> {
    let spoken = match routed.permit.kind {
        EngineKind::Ollama => translate(&routed)?,
        EngineKind::Lmstudio | EngineKind::Llamacpp | EngineKind::Openai => splice(&routed)?,
    };
    let prompt = Prompt {
        base: routed.permit.base_url.clone(),
        path: spoken.path,
        token: routed.permit.token.clone(),
        hops: routed.active.note(|record| Arc::clone(&record.hops)),
        body: spoken.body,
    };
    let mut notes = spoken.notes;
    notes.extend(policy(&routed));
    let mut defaults = spoken.defaults;
    if routed.permit.context.is_some() {
        defaults.push("context");
    }
    Ok(EngineRequest {
        routed,
        prompt,
        shape: spoken.shape,
        defaults,
        notes,
        dropped: spoken.dropped,
        may_call_tools: spoken.may_call_tools,
    })
}

/// What became of a client's wishes that are Crucible's to decide: a context of its own would load
/// the model anew for each client, and residency has its clock.
fn policy(routed: &RoutedRequest) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(asked) = routed.chat.peek.num_ctx(&routed.chat.body)
        && let Some(has) = routed.permit.context
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

fn splice(routed: &RoutedRequest) -> Result<EngineBody, Error> {
    let edited = request::edit(
        &routed.chat.body,
        &routed.chat.peek,
        &routed.permit.instance,
        &routed.defaults,
        routed.permit.kind,
    )?;
    let shape = if routed.chat.peek.stream {
        let stream = Passthrough::new(
            routed.permit.kind,
            edited.injected_usage,
            routed.config.limits.event,
        );
        streamed(routed, stream.with_ids(CallIds::new(edited.call_ids)))
    } else {
        AnswerShape::Whole(edited.call_ids)
    };
    Ok(EngineBody {
        body: edited.body,
        shape,
        defaults: edited.defaults,
        notes: edited.notes,
        dropped: Vec::new(),
        path: "/v1/chat/completions",
        may_call_tools: routed.chat.peek.has_tools(&routed.chat.body)
            && !tool_choice::is_none(&routed.chat.body, &routed.chat.peek),
    })
}

fn translate(routed: &RoutedRequest) -> Result<EngineBody, Error> {
    let translated = to_ollama(
        &routed.chat.body,
        &routed.chat.peek,
        &routed.permit.model,
        &routed.permit.tuple,
        &routed.defaults,
        routed.app.router.capabilities(&routed.candidate),
    )?;
    let before = Before {
        call_ids: translated.call_ids,
        hides_thinking: translated.hides_thinking,
    };
    let asked = routed
        .chat
        .peek
        .model
        .as_deref()
        .unwrap_or(&routed.permit.model);
    let cap = routed.config.limits.event;
    let shape = if routed.chat.peek.stream {
        let stream = OllamaStream::new(asked, created(), translated.include_usage, cap);
        streamed(routed, stream.after(before))
    } else {
        let whole = OllamaAggregate::new(asked, created(), cap);
        AnswerShape::Aggregate(Box::new(whole.after(before)))
    };
    Ok(EngineBody {
        body: translated.body,
        shape,
        defaults: translated.defaults,
        notes: translated.notes,
        dropped: translated.dropped,
        path: "/api/chat",
        may_call_tools: translated.has_tools,
    })
}

/// A streamed answer: the engine's transcoder, and the client's behind it where it needs one.
fn streamed(routed: &RoutedRequest, engine: impl EngineTranscoder + 'static) -> AnswerShape {
    let client = routed.active.dialect.transcoder(&routed.chat);
    AnswerShape::Stream(chained(Box::new(engine), client))
}

/// Unix seconds, for `created`.
fn created() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |d| d.as_secs())
}
