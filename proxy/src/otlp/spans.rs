//! The spans of one request, with the attributes of OpenTelemetry's conventions for generative AI.

use std::borrow::Cow;

use opentelemetry::{
    InstrumentationScope, KeyValue, SpanId, TraceFlags, TraceId,
    trace::{SpanContext, SpanKind, Status, TraceState},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use tokio::time::Instant;

use super::ended_span::EndedSpan;
use crate::{
    endpoint::Endpoint,
    telemetry::trace_context::{TraceContext, not_zero},
};

/// The ids of the trace and of the request's own span.
#[derive(Clone, Copy)]
struct Place {
    trace: TraceId,
    request: SpanId,
}

/// Returns the span of the request, then those of its phases that it came to.
pub(super) fn of(ended: &EndedSpan<'_>, trace: &TraceContext) -> Vec<SpanData> {
    let place = Place {
        trace: TraceId::from_bytes(trace.trace),
        request: SpanId::from_bytes(trace.own.unwrap_or_else(not_zero)),
    };
    let mut spans = vec![request(ended, trace, place)];
    for (name, from, to) in phases(ended) {
        let mut span = bare(place, SpanId::from_bytes(not_zero()), name.into());
        span.parent_span_id = place.request;
        span.start_time = (ended.date)(from);
        span.end_time = (ended.date)(to);
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

fn request(ended: &EndedSpan<'_>, trace: &TraceContext, place: Place) -> SpanData {
    let EndedSpan {
        request,
        record,
        status,
        outcome,
        ..
    } = *ended;
    let operation = operation(request.endpoint);
    let name = match &record.model {
        Some(model) => format!("{operation} {model}"),
        None => operation.to_owned(),
    };
    let mut span = bare(place, place.request, name.into());
    span.span_kind = SpanKind::Server;
    if let Some(parent) = trace.parent {
        span.parent_span_id = SpanId::from_bytes(parent);
        span.parent_span_is_remote = true;
    }
    span.start_time = (ended.date)(request.started);
    span.end_time = (ended.date)(ended.at);
    span.attributes = attributes(ended, operation);
    if record.error.is_some() || status >= 500 {
        let description = outcome.into();
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

fn attributes(ended: &EndedSpan<'_>, operation: &'static str) -> Vec<KeyValue> {
    let EndedSpan {
        request, record, ..
    } = *ended;
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let mut all = vec![
        KeyValue::new("gen_ai.operation.name", operation),
        KeyValue::new("http.response.status_code", i64::from(ended.status)),
        KeyValue::new("crucible.request.id", request.id.to_string()),
        KeyValue::new("crucible.endpoint", request.endpoint.as_str()),
        KeyValue::new("crucible.outcome", ended.outcome),
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
    if let Some(first) = record.first_token_at {
        let waited = first.saturating_duration_since(request.started);
        all.push(KeyValue::new(
            "gen_ai.response.time_to_first_chunk",
            waited.as_secs_f64(),
        ));
    }
    if record.error.is_some() {
        all.push(KeyValue::new("error.type", ended.outcome));
    }
    all
}

/// The phases that a request came to, each with its begin and its end.
fn phases(ended: &EndedSpan<'_>) -> Vec<(&'static str, Instant, Instant)> {
    let record = ended.record;
    let end = record.answered_at.unwrap_or(ended.at);
    let mut phases = Vec::new();
    if !record.body_wait.is_zero() {
        let started = ended.request.started;
        phases.push(("receive", started, started + record.body_wait));
    }
    if let Some(queued) = record.queued_at {
        let granted = record.granted_at.unwrap_or(ended.at);
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
