//! The series that exist at 0 before anything is counted: a rate sees no event that made its series.

use super::{
    EMPTY, EVENTS, Metrics, OTLP, STDERR,
    labels::{
        DefaultParam, DisconnectPhase, DroppedParam, EVICTIONS, NONE, OTHER, OUTCOMES, Outcome,
        QUEUE_REASONS, RetryOutcome, RetryReason, TRIGGERS, TimedPhase, TokenType, WHOLE_TOKENS,
        eviction_reason, load_outcome, load_trigger, status,
    },
};
use crate::{
    endpoint::Endpoint,
    error::{AbortCause, ErrorKind, FallbackReason, UpstreamError},
};
use crucible_router::plan::Reason;
use prometheus::GaugeVec;

/// The most engines for which the series of all pairs of engines in [`Metrics::fallback`] exist from the
/// start.
const PAIRED_ENGINES: usize = 4;

impl Metrics {
    /// Makes the series exist that name no engine.
    pub(super) fn prepare(&self) {
        let v = self.vectors();
        for endpoint in Endpoint::OF_CLIENTS {
            v.overhead.with_label_values(&[endpoint.as_str()]);
        }
        for kind in ErrorKind::REJECTED {
            let code = kind.status();
            v.rejected
                .with_label_values(&[NONE, kind.code(), status(&code)]);
        }
        for phase in DisconnectPhase::ALL {
            v.client_disconnects.with_label_values(&[phase.as_str()]);
        }
        for outcome in Outcome::ALL {
            v.reloads.with_label_values(&[outcome.as_str()]);
        }
        v.label_overflow.with_label_values(&["model"]);
        v.connections_evicted.with_label_values(EMPTY);
        v.pages_dropped.with_label_values(EMPTY);
        for sink in [EVENTS, STDERR, OTLP] {
            v.log_dropped.with_label_values(&[sink]);
        }
        for gauge in [
            &v.connections_open,
            &v.connections_limit,
            &v.reload_success,
            &v.reload_timestamp,
            &v.runtime_tasks,
            &v.runtime_workers,
            &v.inspector_on,
            &v.inspector_kept,
        ] {
            gauge.with_label_values(EMPTY);
        }
        v.runtime_busy.with_label_values(EMPTY);
        self.prepare_settings();
        let revision = option_env!("BUILD_REVISION").unwrap_or("unknown");
        v.build_info
            .with_label_values(&[env!("CARGO_PKG_VERSION"), revision])
            .set(1.0);
    }

    /// Makes the series of these engines exist at 0.
    pub fn engines(&self, names: &[&str]) {
        for name in names {
            self.prepare_engine(name);
        }
        if names.len() > PAIRED_ENGINES {
            return;
        }
        for from in names {
            for to in names {
                for reason in FallbackReason::ALL {
                    for outcome in Outcome::ALL {
                        let values = [from, to, reason.as_str(), outcome.as_str()];
                        self.vectors().fallbacks.with_label_values(&values);
                    }
                }
            }
        }
    }

    /// The gauges whose only label is the engine.
    pub(super) fn engine_gauges(&self) -> [&GaugeVec; 12] {
        let v = self.vectors();
        [
            &v.queue_depth,
            &v.queue_limit,
            &v.in_flight,
            &v.in_flight_limit,
            &v.oldest_in_flight,
            &v.models_loaded,
            &v.models_loaded_limit,
            &v.engine_up,
            &v.breaker_state,
            &v.prefill_requests,
            &v.prefill_remaining,
            &v.retry_budget,
        ]
    }

    fn prepare_engine(&self, engine: &str) {
        let v = self.vectors();
        for gauge in self.engine_gauges() {
            gauge.with_label_values(&[engine]);
        }
        v.inter_token.with_label_values(&[engine]);
        v.first_token_ratio.with_label_values(&[engine]);
        v.stream_bytes.with_label_values(&[engine]);
        v.stream_flushes.with_label_values(&[engine]);
        for stream in ["true", "false"] {
            v.request_duration
                .with_label_values(&[Endpoint::Chat.as_str(), engine, stream]);
            for code in ["200", "499", "502", "503", "504"] {
                let values = [Endpoint::Chat.as_str(), engine, OTHER, stream, code];
                v.requests.with_label_values(&values);
            }
        }
        for phase in TimedPhase::ALL {
            v.request_phase.with_label_values(&[engine, phase.as_str()]);
        }
        for cause in AbortCause::ALL {
            v.stream_aborted
                .with_label_values(&[engine, cause.as_str()]);
        }
        for param in DefaultParam::ALL {
            v.defaults_injected
                .with_label_values(&[param.as_str(), engine]);
        }
        for param in DroppedParam::ALL {
            v.params_dropped
                .with_label_values(&[param.as_str(), engine]);
        }
        self.prepare_routing(engine);
        self.prepare_upstream(engine);
        self.prepare_models(engine);
    }

    fn prepare_routing(&self, engine: &str) {
        let v = self.vectors();
        for wait in ["slot", "load"] {
            v.queue_wait.with_label_values(&[engine, wait]);
        }
        for reason in QUEUE_REASONS {
            v.queue_waiting.with_label_values(&[engine, reason]);
        }
        for reason in Reason::ALL {
            v.routed.with_label_values(&[engine, reason.as_str()]);
        }
        for outcome in Outcome::ALL {
            v.health_checks
                .with_label_values(&[engine, outcome.as_str()]);
            v.residency_polls
                .with_label_values(&[engine, outcome.as_str()]);
        }
    }

    fn prepare_upstream(&self, engine: &str) {
        let v = self.vectors();
        v.upstream_connect.with_label_values(&[engine]);
        for reason in RetryReason::ALL {
            for outcome in RetryOutcome::ALL {
                let values = [engine, reason.as_str(), outcome.as_str()];
                v.retries.with_label_values(&values);
            }
        }
        for code in ["200", "400", "500"] {
            v.upstream_responses.with_label_values(&[engine, code]);
        }
        for kind in UpstreamError::ALL {
            v.upstream_errors
                .with_label_values(&[engine, kind.as_str()]);
        }
    }

    fn prepare_models(&self, engine: &str) {
        let v = self.vectors();
        v.time_to_first_token.with_label_values(&[engine, OTHER]);
        v.prefill.with_label_values(&[engine, OTHER]);
        v.output_speed.with_label_values(&[engine, OTHER]);
        v.tokens_estimated.with_label_values(&[engine, OTHER]);
        v.model_load_duration.with_label_values(&[engine, OTHER]);
        for kind in TokenType::ALL {
            v.tokens.with_label_values(&[engine, OTHER, kind.as_str()]);
        }
        for kind in WHOLE_TOKENS {
            v.request_tokens.with_label_values(&[engine, kind.as_str()]);
        }
        for outcome in OUTCOMES.map(load_outcome) {
            for trigger in TRIGGERS.map(load_trigger) {
                v.model_loads
                    .with_label_values(&[engine, OTHER, outcome, trigger]);
            }
        }
        for reason in EVICTIONS.map(eviction_reason) {
            v.model_evictions
                .with_label_values(&[engine, OTHER, reason]);
        }
    }
}
