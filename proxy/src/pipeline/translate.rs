//! The engine's own dialect: spliced bytes where it speaks OpenAI, a translation for Ollama.

use std::{
    collections::HashSet,
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
        engine::{
            call_ids::CallIds,
            ollama::{
                request::to_ollama,
                response::{Before, OllamaAggregate, OllamaStream},
            },
            openai::{passthrough::Passthrough, request, tool_choice},
        },
        transcode::Transcode,
    },
    error::Error,
    pipeline::{Ready, Routed},
    relay::upstream::Prompt,
};

/// The layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialect;

/// [`Dialect`] around the relay.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Speak<S>(S);

/// How the engine's answer becomes the client's.
pub(crate) enum Shape {
    /// Events as they come.
    Stream(Box<dyn Transcode>),
    /// The engine streams, the client wants one JSON (Ollama is always asked to stream).
    Aggregate(Box<dyn Transcode>),
    /// One JSON, as the engine wrote it. These ids of tool calls are taken.
    Whole(HashSet<String>),
}

/// A request ready to be sent.
pub(crate) struct Outgoing {
    pub(crate) routed: Box<Routed>,
    pub(crate) prompt: Prompt,
    pub(crate) shape: Shape,
    /// Names of what was filled in, the context included.
    pub(crate) defaults: Vec<&'static str>,
    /// What was clamped or dropped.
    pub(crate) notes: Vec<String>,
    /// Names of the parameters that were left out.
    pub(crate) dropped: Vec<&'static str>,
    /// The answer may be a tool call, of which an engine may send nothing until it is whole.
    pub(crate) may_call_tools: bool,
}

struct Spoken {
    body: Bytes,
    shape: Shape,
    defaults: Vec<&'static str>,
    notes: Vec<String>,
    dropped: Vec<&'static str>,
    path: &'static str,
    may_call_tools: bool,
}

// === impl Dialect ===

impl<S> Layer<S> for Dialect {
    type Service = Speak<S>;

    fn layer(&self, inner: S) -> Speak<S> {
        Speak(inner)
    }
}

// === impl Speak ===

impl<S: Service<Outgoing, Error = Error>> Service<Box<Routed>> for Speak<S> {
    type Response = S::Response;
    type Error = Error;
    type Future = Either<S::Future, Immediately<Result<S::Response, Error>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Ready {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, routed: Box<Routed>) -> Self::Future {
        match prepare(routed) {
            Ok(outgoing) => Either::Left(self.0.call(outgoing)),
            Err(error) => Either::Right(ready(Err(error))),
        }
    }
}

fn prepare(routed: Box<Routed>) -> Result<Outgoing, Error> {
    let spoken = match routed.permit.kind {
        EngineKind::Ollama => translate(&routed)?,
        EngineKind::Lmstudio | EngineKind::Llamacpp | EngineKind::Openai => splice(&routed)?,
    };
    let prompt = Prompt {
        base: routed.permit.base_url.clone(),
        path: spoken.path,
        token: routed.permit.token.clone(),
        hops: routed.exchange.note(|record| Arc::clone(&record.hops)),
        body: spoken.body,
    };
    let mut notes = spoken.notes;
    notes.extend(policy(&routed));
    let mut defaults = spoken.defaults;
    if routed.permit.context.is_some() {
        defaults.push("context");
    }
    Ok(Outgoing {
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
fn policy(routed: &Routed) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(asked) = routed.peek.num_ctx(&routed.body)
        && let Some(has) = routed.permit.context
        && has != asked
    {
        notes.push(format!("num_ctx {asked}: the context is {has}"));
    }
    if routed.peek.raw_bytes(&routed.body, "keep_alive").is_some() {
        notes.push("keep_alive is Crucible's: see tuning.lmstudio.model_ttl".to_owned());
    }
    notes
}

fn splice(routed: &Routed) -> Result<Spoken, Error> {
    let edited = request::edit(
        &routed.body,
        &routed.peek,
        &routed.permit.instance,
        &routed.defaults,
        routed.permit.kind,
    )?;
    let shape = if routed.peek.stream {
        let stream = Passthrough::new(
            routed.permit.kind,
            edited.injected_usage,
            routed.config.limits.event,
        );
        Shape::Stream(Box::new(stream.with_ids(CallIds::new(edited.call_ids))))
    } else {
        Shape::Whole(edited.call_ids)
    };
    Ok(Spoken {
        body: edited.body,
        shape,
        defaults: edited.defaults,
        notes: edited.notes,
        dropped: Vec::new(),
        path: "/v1/chat/completions",
        may_call_tools: routed.peek.has_tools(&routed.body)
            && !tool_choice::is_none(&routed.body, &routed.peek),
    })
}

fn translate(routed: &Routed) -> Result<Spoken, Error> {
    let translated = to_ollama(
        &routed.body,
        &routed.peek,
        &routed.permit.model,
        &routed.permit.tuple,
        &routed.defaults,
        routed.app.router.capabilities(&routed.candidate),
    )?;
    let before = Before {
        call_ids: translated.call_ids,
        hides_thinking: translated.hides_thinking,
    };
    let asked = routed.peek.model.as_deref().unwrap_or(&routed.permit.model);
    let cap = routed.config.limits.event;
    let shape = if routed.peek.stream {
        let stream = OllamaStream::new(asked, created(), translated.include_usage, cap);
        Shape::Stream(Box::new(stream.after(before)))
    } else {
        let whole = OllamaAggregate::new(asked, created(), cap);
        Shape::Aggregate(Box::new(whole.after(before)))
    };
    Ok(Spoken {
        body: translated.body,
        shape,
        defaults: translated.defaults,
        notes: translated.notes,
        dropped: translated.dropped,
        path: "/api/chat",
        may_call_tools: translated.has_tools,
    })
}

/// Unix seconds, for `created`.
fn created() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |d| d.as_secs())
}
