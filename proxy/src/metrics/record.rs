//! One finished request.

use std::time::Duration;

use crucible_router::plan::Reason;
use http::StatusCode;

use super::{
    Metrics,
    alike::Alike,
    collectors::Collectors,
    labels::{DefaultParam, TokenType},
};
use crate::{endpoint::Endpoint, usage::Usage};

/// Below this a first token is at once, however much was predicted.
const NOISE: Duration = Duration::from_millis(50);

/// Everything that is counted once, at the end of a request.
#[derive(Clone, Copy, Debug)]
pub struct RequestRecord<'a> {
    /// Where it came to.
    pub endpoint: Endpoint,
    /// The engine that answered; `None` if none was reached.
    pub engine: Option<&'a str>,
    /// The engine's name of the model, else what the client sent.
    pub model: &'a str,
    /// The answer was streamed.
    pub stream: bool,
    /// Status for the client; 499 if it left first.
    pub code: StatusCode,
    /// Request line read to last byte.
    pub duration: Duration,
    /// Of these Crucible's own time.
    pub overhead: Duration,
    /// Request to first event with content.
    pub first_token: Option<Duration>,
    /// What the plan had said of it.
    pub predicted: Option<Duration>,
    /// First content event to the end of the stream, for the rate of tokens.
    pub output_time: Option<Duration>,
    /// Content events seen; counted as an estimate where `usage` is absent.
    pub content_events: u64,
    /// What the engine told.
    pub usage: Option<Usage>,
    /// Bytes sent of a streamed answer.
    pub stream_bytes: u64,
    /// Writes of a streamed answer.
    pub stream_flushes: u64,
    /// Why it went to its engine.
    pub reason: Option<Reason>,
    /// Parameters that were filled in.
    pub defaults: &'a [&'static str],
}

impl Metrics {
    /// Counts a finished request.
    pub fn request(&self, record: &RequestRecord<'_>) {
        let v = self.vectors();
        let model = self.inner.models.label(record.model);
        let mut last = self.inner.last.lock();
        let alike = match &mut *last {
            Some(last) if last.is(record, model) => last,
            last => last.insert(Alike::new(v, record, model)),
        };
        alike.requests.inc();
        alike.duration.observe(record.duration.as_secs_f64());
        alike.overhead.observe(record.overhead.as_secs_f64());
        if record.engine.is_some() {
            answered(v, alike, record);
        }
    }
}

/// What only a request has that came to an engine.
fn answered(v: &Collectors, alike: &Alike, record: &RequestRecord<'_>) {
    if let Some(reason) = record.reason {
        alike.routed(v, reason).inc();
    }
    for name in record.defaults {
        if let Some(param) = DefaultParam::ALL.iter().find(|p| p.as_str() == *name) {
            alike.default(v, *param).inc();
        }
    }
    if let Some(wait) = record.first_token {
        alike.first_token(v).observe(wait.as_secs_f64());
        if let Some(predicted) = record.predicted {
            let ratio = wait.max(NOISE).as_secs_f64() / predicted.max(NOISE).as_secs_f64();
            alike.first_token_ratio(v).observe(ratio);
        }
    }
    if record.stream {
        alike.stream_bytes(v).inc_by(record.stream_bytes);
        alike.stream_flushes(v).inc_by(record.stream_flushes);
    }
    match record.usage {
        Some(usage) => used(v, alike, usage, record.output_time),
        None if record.content_events > 0 => alike.estimated(v).inc_by(record.content_events),
        None => {}
    }
}

fn used(v: &Collectors, alike: &Alike, usage: Usage, output_time: Option<Duration>) {
    for (kind, count) in [
        (TokenType::Prompt, Some(usage.prompt)),
        (TokenType::Completion, Some(usage.completion)),
        (TokenType::Cached, usage.cached),
        (TokenType::Reasoning, usage.reasoning),
    ] {
        if let Some(count) = count {
            alike.tokens(v, kind).inc_by(count);
        }
    }
    for (kind, count) in [
        (TokenType::Prompt, usage.prompt),
        (TokenType::Completion, usage.completion),
    ] {
        alike.request_tokens(v, kind).observe(float(count));
    }
    if let Some(time) = output_time.filter(|t| !t.is_zero())
        && usage.completion > 1
    {
        let speed = float(usage.completion - 1) / time.as_secs_f64();
        alike.output_speed(v).observe(speed);
    }
}

/// Exact up to 2^53, far beyond any count here.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}
