//! One finished request, counted in each of its families.

use std::time::Duration;

use crucible_router::plan::Reason;
use http::StatusCode;

use super::{
    Metrics,
    families::Collectors,
    labels::{DefaultParam, NONE, TokenType},
    series::{EngineSeries, ModelSeries, RequestOutcome},
};
use crate::{endpoint::Endpoint, usage::Usage};

/// A first token that comes, or was predicted, within this time counts as immediate: the ratio of two
/// such times says nothing.
const NOISE: Duration = Duration::from_millis(50);

/// The facts of a finished request that are counted, once, at its end.
#[derive(Clone, Copy, Debug)]
pub struct RequestRecord<'a> {
    /// The kind of endpoint that it came to.
    pub endpoint: Endpoint,
    /// The engine that answered; `None` if none was reached.
    pub engine: Option<&'a str>,
    /// The engine's name of the model, else what the client sent.
    pub model: &'a str,
    /// Whether the answer was streamed.
    pub stream: bool,
    /// The status that the client got; 499 if it left first.
    pub code: StatusCode,
    /// The time from the request line to the last byte of the answer.
    pub duration: Duration,
    /// The part of it that was Crucible's own, without waits for queue, load and engine.
    pub overhead: Duration,
    /// The time from the request to the first event with content.
    pub first_token: Option<Duration>,
    /// The time to the first token that the plan had predicted.
    pub predicted: Option<Duration>,
    /// The time from the first content event to the last, for the rate of tokens.
    pub output_time: Option<Duration>,
    /// The number of content events, which stands for tokens where `usage` is absent.
    pub content_events: u64,
    /// The token counts that the engine reported.
    pub usage: Option<Usage>,
    /// The bytes that were sent of a streamed answer.
    pub stream_bytes: u64,
    /// The writes in which a streamed answer was sent.
    pub stream_flushes: u64,
    /// The reason of the candidate that it went to.
    pub reason: Option<Reason>,
    /// The names of the parameters that were filled in.
    pub defaults: &'a [&'static str],
}

impl Metrics {
    /// Counts a finished request.
    pub fn request(&self, record: &RequestRecord<'_>) {
        let v = self.vectors();
        let model = self.inner.models.label(record.model);
        let (endpoint, stream, code) = (record.endpoint, record.stream, record.code);
        let mut series = self.inner.series.lock();
        let overhead = series.overhead(v, endpoint);
        overhead.observe(record.overhead.as_secs_f64());
        let engine = series.engine(record.engine.unwrap_or(NONE));
        let duration = engine.duration(v, endpoint, stream);
        duration.observe(record.duration.as_secs_f64());
        let outcome = RequestOutcome {
            endpoint,
            stream,
            code,
        };
        engine.model(model).count(v, outcome);
        if record.engine.is_some() {
            count_routing(v, engine, record);
            count_answer(v, engine, model, record);
        }
    }
}

/// Counts why the request came to its engine, and what was filled in for it.
fn count_routing(v: &Collectors, engine: &EngineSeries, record: &RequestRecord<'_>) {
    if let Some(reason) = record.reason {
        engine.routed(v, reason).inc();
    }
    for name in record.defaults {
        if let Some(param) = DefaultParam::ALL.iter().find(|p| p.as_str() == *name) {
            engine.default(v, *param).inc();
        }
    }
}

/// Counts the times, bytes and tokens of an engine's answer.
fn count_answer(
    v: &Collectors,
    engine: &mut EngineSeries,
    model: &str,
    record: &RequestRecord<'_>,
) {
    if record.stream {
        engine.stream_bytes(v).inc_by(record.stream_bytes);
        engine.stream_flushes(v).inc_by(record.stream_flushes);
    }
    if let Some(wait) = record.first_token
        && let Some(predicted) = record.predicted
    {
        let ratio = wait.max(NOISE).as_secs_f64() / predicted.max(NOISE).as_secs_f64();
        engine.first_token_ratio(v).observe(ratio);
    }
    if let Some(usage) = record.usage {
        for (kind, count) in [
            (TokenType::Prompt, usage.prompt),
            (TokenType::Completion, usage.completion),
        ] {
            engine.request_tokens(v, kind).observe(float(count));
        }
    }
    let series = engine.model(model);
    if let Some(wait) = record.first_token {
        series.first_token(v).observe(wait.as_secs_f64());
    }
    match record.usage {
        Some(usage) => count_usage(v, series, usage, record.output_time),
        None if record.content_events > 0 => series.estimated(v).inc_by(record.content_events),
        None => {}
    }
}

/// Counts the tokens of a model, and how fast they came.
fn count_usage(v: &Collectors, series: &ModelSeries, usage: Usage, output_time: Option<Duration>) {
    let cached = if usage.cached_is_estimated {
        TokenType::CachedEstimated
    } else {
        TokenType::Cached
    };
    for (kind, count) in [
        (TokenType::Prompt, Some(usage.prompt)),
        (TokenType::Completion, Some(usage.completion)),
        (cached, usage.cached),
        (TokenType::Reasoning, usage.reasoning),
    ] {
        if let Some(count) = count {
            series.tokens(v, kind).inc_by(count);
        }
    }
    if let Some(time) = output_time.filter(|t| !t.is_zero())
        && usage.completion > 1
    {
        let speed = float(usage.completion - 1) / time.as_secs_f64();
        series.output_speed(v).observe(speed);
    }
}

/// Exact up to 2^53, far beyond any count here.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}
