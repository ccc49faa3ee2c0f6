//! The counting of a finished request in each of its families.

use std::time::Duration;

use super::{
    Metrics,
    families::Collectors,
    family::float,
    labels::{DefaultParam, NONE, TimedPhase, TokenType, WHOLE_TOKENS},
    request_record::{PhaseTimes, RequestRecord},
    series::{EngineSeries, ModelSeries, RequestCountLabels},
};
use crate::usage::Usage;

/// A first token that comes, or was predicted, within this time counts as immediate: the ratio of two
/// such times says nothing.
const NOISE: Duration = Duration::from_millis(50);

impl Metrics {
    /// Counts a finished request.
    pub fn request(&self, record: &RequestRecord<'_>) {
        let v = self.vectors();
        let model = self.inner.models.label(record.model);
        let (endpoint, stream, code) = (record.endpoint, record.stream, record.code);
        let mut series = self.inner.series.lock();
        let overhead = series.overhead(v, endpoint);
        overhead.observe(record.phases.own.as_secs_f64());
        let engine = series.engine(record.engine.unwrap_or(NONE));
        let duration = engine.duration(v, endpoint, stream);
        duration.observe(record.duration.as_secs_f64());
        let outcome = RequestCountLabels {
            endpoint,
            stream,
            code,
        };
        engine.model(model).count(v, outcome);
        count_phases(v, engine, &record.phases);
        if record.engine.is_some() {
            count_routing(v, engine, record);
            count_answer(v, engine, model, record);
        }
    }
}

/// Counts what the time of the request was spent on.
fn count_phases(v: &Collectors, engine: &EngineSeries, phases: &PhaseTimes) {
    for phase in TimedPhase::ALL {
        let spent = phases.of(*phase);
        if !spent.is_zero() {
            engine.phase(v, *phase).inc_by(spent.as_secs_f64());
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
        for (kind, count) in WHOLE_TOKENS
            .into_iter()
            .zip([usage.prompt, usage.completion])
        {
            engine.request_tokens(v, kind).observe(float(count));
        }
    }
    let series = engine.model(model);
    if let Some(wait) = record.first_token {
        series.first_token(v).observe(wait.as_secs_f64());
    }
    if let Some(took) = record.prefill {
        series.prefill(v).observe(took.as_secs_f64());
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
