//! The spans of one request, with the attributes of OpenTelemetry's conventions for generative AI.

use std::borrow::Cow;

use opentelemetry::{
    InstrumentationScope, KeyValue, SpanId, TraceFlags, TraceId,
    trace::{SpanContext, SpanKind, Status, TraceState},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use tokio::time::Instant;

use crate::{
    endpoint::Endpoint,
    request::ClosedRequest,
    telemetry::trace_context::{TraceContext, not_zero},
};

/// The ids of the trace and of the request's own span.
#[derive(Clone, Copy)]
struct Place {
    trace: TraceId,
    request: SpanId,
}

/// Returns the span of the request, then those of its phases that it came to.
pub(super) fn of(closed: &ClosedRequest<'_>, trace: &TraceContext) -> Vec<SpanData> {
    let place = Place {
        trace: TraceId::from_bytes(trace.trace),
        request: SpanId::from_bytes(trace.own.unwrap_or_else(not_zero)),
    };
    let mut spans = vec![request(closed, trace, place)];
    for (name, from, to) in phases(closed) {
        let mut span = bare(place, SpanId::from_bytes(not_zero()), name.into());
        span.parent_span_id = place.request;
        span.start_time = closed.ended.wall_at(from);
        span.end_time = closed.ended.wall_at(to);
        spans.push(span);
    }
    spans
}

fn bare(place: Place, id: SpanId, name: Cow<'static, str>) -> SpanData {
    let context = SpanContext::new(
        place.trace,
        id,
        TraceFlags::SAMPLED,
        false,
        TraceState::NONE,
    );
    let scope = InstrumentationScope::builder("crucible").with_version(env!("CARGO_PKG_VERSION"));
    SpanData {
        span_context: context,
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name,
        start_time: std::time::UNIX_EPOCH,
        end_time: std::time::UNIX_EPOCH,
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: scope.build(),
    }
}

fn request(closed: &ClosedRequest<'_>, trace: &TraceContext, place: Place) -> SpanData {
    let request = closed.request;
    let operation = operation(request.endpoint);
    let name = match &closed.facts.model {
        Some(model) => format!("{operation} {model}"),
        None => operation.to_owned(),
    };
    let mut span = bare(place, place.request, name.into());
    span.span_kind = SpanKind::Server;
    if let Some(parent) = trace.parent {
        span.parent_span_id = SpanId::from_bytes(parent);
        span.parent_span_is_remote = true;
    }
    span.start_time = closed.ended.wall_at(request.started);
    span.end_time = closed.ended.wall_at(closed.ended.monotonic);
    span.attributes = attributes(closed, operation);
    if closed.ending.error().is_some() || closed.status.is_server_error() {
        let description = closed.outcome().into();
        span.status = Status::Error { description };
    }
    span
}

/// The word of the conventions for what is asked at an endpoint.
fn operation(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Chat | Endpoint::Responses | Endpoint::Messages => "chat",
        Endpoint::Completions => "text_completion",
        Endpoint::Embeddings => "embeddings",
        Endpoint::Rerank
        | Endpoint::Models
        | Endpoint::Native
        | Endpoint::Admin
        | Endpoint::Other => endpoint.as_str(),
    }
}

fn attributes(closed: &ClosedRequest<'_>, operation: &'static str) -> Vec<KeyValue> {
    let (request, record) = (closed.request, &closed.facts);
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let mut all = vec![
        KeyValue::new("gen_ai.operation.name", operation),
        KeyValue::new(
            "http.response.status_code",
            i64::from(closed.status.as_u16()),
        ),
        KeyValue::new("crucible.request.id", request.id.to_string()),
        KeyValue::new("crucible.endpoint", request.endpoint.as_str()),
        KeyValue::new("crucible.outcome", closed.outcome()),
        KeyValue::new("crucible.stream", record.stream),
    ];
    if let Some(asked) = record.asked_model.as_deref().or(record.model.as_deref()) {
        all.push(KeyValue::new("gen_ai.request.model", asked.to_string()));
    }
    if let Some(model) = &record.model {
        all.push(KeyValue::new("gen_ai.response.model", model.to_string()));
    }
    if let Some(engine) = &record.engine {
        all.push(KeyValue::new("crucible.engine", engine.to_string()));
    }
    if let Some(reason) = record.reason {
        all.push(KeyValue::new("crucible.reason", reason.as_str()));
    }
    if let Some(key) = &record.key {
        all.push(KeyValue::new("crucible.key", key.to_string()));
    }
    if let Some(most) = record.max_tokens {
        all.push(KeyValue::new("gen_ai.request.max_tokens", count(most)));
    }
    if let Some(usage) = record.usage {
        all.push(KeyValue::new(
            "gen_ai.usage.input_tokens",
            count(usage.prompt),
        ));
        all.push(KeyValue::new(
            "gen_ai.usage.output_tokens",
            count(usage.completion),
        ));
        if let Some(cached) = usage.cached {
            all.push(KeyValue::new(
                "gen_ai.usage.cache_read.input_tokens",
                count(cached),
            ));
        }
    }
    if let Some(waited) = closed.first_token {
        all.push(KeyValue::new(
            "gen_ai.response.time_to_first_chunk",
            waited.as_secs_f64(),
        ));
    }
    if closed.ending.error().is_some() {
        all.push(KeyValue::new("error.type", closed.outcome()));
    }
    all
}

/// The phases that a request came to, each with its begin and its end.
fn phases(closed: &ClosedRequest<'_>) -> Vec<(&'static str, Instant, Instant)> {
    let record = &closed.facts;
    let ended = closed.ended.monotonic;
    let end = record.answered_at.unwrap_or(ended);
    let mut phases = Vec::new();
    if !record.body_wait.is_zero() {
        let started = closed.request.started;
        phases.push(("receive", started, started + record.body_wait));
    }
    if let Some((first, present)) = record.first_tried_at.zip(record.queued_at) {
        phases.push(("failed", first, present));
    }
    if let Some(queued) = record.queued_at {
        let granted = record.granted_at.unwrap_or(ended);
        phases.push(("queue", queued, granted));
        phases.extend(
            record
                .load
                .map(|(from, to)| ("load", from.max(queued), to.min(granted))),
        );
    }
    if let Some(sent) = record.sent_at {
        let first = record.first_token_at;
        phases.push(("prefill", sent, first.unwrap_or(end)));
        phases.extend(first.map(|first| ("generate", first, end)));
    }
    phases.retain(|(_, from, to)| from <= to);
    phases
}
