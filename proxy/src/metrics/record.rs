//! One finished request.

use std::time::Duration;

use http::StatusCode;

use super::{
    Metrics,
    labels::{Endpoint, NONE, TokenType, flag, status},
};
use crate::relay::transcode::Usage;

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
}

impl Metrics {
    /// Counts a finished request.
    pub fn request(&self, record: &RequestRecord<'_>) {
        let v = self.vectors();
        let endpoint = record.endpoint.as_str();
        let stream = flag(record.stream);
        let engine = record.engine.unwrap_or(NONE);
        let model = self.inner.models.label(record.model);
        v.requests
            .with_label_values(&[endpoint, engine, model, stream, status(&record.code)])
            .inc();
        v.request_duration
            .with_label_values(&[endpoint, engine, stream])
            .observe(record.duration.as_secs_f64());
        v.overhead
            .with_label_values(&[endpoint])
            .observe(record.overhead.as_secs_f64());
        let Some(engine) = record.engine else {
            return;
        };
        if let Some(wait) = record.first_token {
            v.time_to_first_token
                .with_label_values(&[engine, model])
                .observe(wait.as_secs_f64());
            if let Some(predicted) = record.predicted {
                let ratio = wait.max(NOISE).as_secs_f64() / predicted.max(NOISE).as_secs_f64();
                v.first_token_ratio
                    .with_label_values(&[engine])
                    .observe(ratio);
            }
        }
        if record.stream {
            v.stream_bytes
                .with_label_values(&[engine])
                .inc_by(record.stream_bytes);
            v.stream_flushes
                .with_label_values(&[engine])
                .inc_by(record.stream_flushes);
        }
        match record.usage {
            Some(usage) => self.usage(engine, model, usage, record.output_time),
            None if record.content_events > 0 => v
                .tokens_estimated
                .with_label_values(&[engine, model])
                .inc_by(record.content_events),
            None => {}
        }
    }

    fn usage(&self, engine: &str, model: &str, usage: Usage, output_time: Option<Duration>) {
        let v = self.vectors();
        for (kind, count) in [
            (TokenType::Prompt, Some(usage.prompt)),
            (TokenType::Completion, Some(usage.completion)),
            (TokenType::Cached, usage.cached),
            (TokenType::Reasoning, usage.reasoning),
        ] {
            if let Some(count) = count {
                v.tokens
                    .with_label_values(&[engine, model, kind.as_str()])
                    .inc_by(count);
            }
        }
        for (kind, count) in [
            (TokenType::Prompt, usage.prompt),
            (TokenType::Completion, usage.completion),
        ] {
            v.request_tokens
                .with_label_values(&[engine, kind.as_str()])
                .observe(float(count));
        }
        if let Some(time) = output_time.filter(|t| !t.is_zero())
            && usage.completion > 1
        {
            v.output_speed
                .with_label_values(&[engine, model])
                .observe(float(usage.completion - 1) / time.as_secs_f64());
        }
    }
}

/// Exact up to 2^53, far beyond any count here.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}
