//! What Crucible counts: one registry, typed calls, no strings of labels at call sites.
//!
//! The table of families is [`FAMILIES`]; `docs/metrics.md` and the dashboards' tests derive from
//! it. A request is written once, at its end ([`Metrics::request`]); gauges follow guards or
//! the router's `View`. Nothing here blocks or fails after [`Metrics::new`].

mod alike;
mod collectors;
mod docs;
mod families;
mod guard;
pub(crate) mod labels;
mod record;
mod settings;
mod view;

use std::{
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant, SystemTime},
};

use crucible_router::{
    event::{Event, Observer},
    plan::Reason,
    view::View,
};
use http::StatusCode;
use prometheus::{Encoder, Registry, TextEncoder};

use self::{
    alike::Alike,
    collectors::Collectors,
    guard::Starts,
    labels::{
        EVICTIONS, ModelNames, NONE, OTHER, OUTCOMES, TRIGGERS, eviction_reason, load_outcome,
        load_trigger, status,
    },
    view::Shown,
};
pub use self::{
    docs::document,
    families::{FAMILIES, Family, FamilyType},
    guard::{ConnectionGuard, InFlightGuard, StreamClock},
    labels::{
        AbortCause, DefaultParam, DroppedParam, Endpoint, FallbackReason, Outcome, Phase,
        TokenType, UpstreamError,
    },
    record::RequestRecord,
};
use crate::{error::Kind, telemetry::Dropped};

/// Engines up to this number get all pairs of [`Metrics::fallback`] pre-created.
const PAIRED_ENGINES: usize = 4;
const EMPTY: &[&str] = &[];
/// Logs that may lose lines.
const EVENTS: &str = "events";
const STDERR: &str = "stderr";

/// All metrics; clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    registry: Registry,
    vectors: Collectors,
    models: ModelNames,
    starts: Arc<Starts>,
    since: Instant,
    shown: Mutex<Shown>,
    /// The series of the request before.
    last: parking_lot::Mutex<Option<Alike>>,
    /// Of the log on stderr.
    log: OnceLock<Dropped>,
}

// === impl Metrics ===

impl Metrics {
    /// Registers every family. An error means that the table contradicts itself.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let vectors = Collectors::register(&registry)?;
        #[cfg(target_os = "linux")]
        registry.register(Box::new(
            prometheus::process_collector::ProcessCollector::for_self(),
        ))?;
        let metrics = Self {
            inner: Arc::new(Inner {
                registry,
                vectors,
                models: ModelNames::default(),
                starts: Arc::default(),
                since: Instant::now(),
                shown: Mutex::default(),
                last: parking_lot::Mutex::default(),
                log: OnceLock::new(),
            }),
        };
        metrics.prepare();
        Ok(metrics)
    }

    fn vectors(&self) -> &Collectors {
        &self.inner.vectors
    }

    /// Series that exist without any engine, at 0.
    fn prepare(&self) {
        let v = self.vectors();
        for endpoint in Endpoint::ALL {
            v.overhead.with_label_values(&[endpoint.as_str()]);
        }
        for kind in Kind::ALL {
            let code = kind.status();
            v.rejected
                .with_label_values(&[NONE, kind.code(), status(&code)]);
        }
        for phase in Phase::ALL {
            v.client_disconnects.with_label_values(&[phase.as_str()]);
        }
        for outcome in Outcome::ALL {
            v.reloads.with_label_values(&[outcome.as_str()]);
        }
        v.label_overflow.with_label_values(&["model"]);
        for sink in [EVENTS, STDERR] {
            v.log_dropped.with_label_values(&[sink]);
        }
        for gauge in [
            &v.connections_open,
            &v.connections_limit,
            &v.reload_success,
            &v.reload_timestamp,
        ] {
            gauge.with_label_values(EMPTY);
        }
        self.prepare_settings();
        let revision = option_env!("CRUCIBLE_REVISION").unwrap_or("unknown");
        v.build_info
            .with_label_values(&[env!("CARGO_PKG_VERSION"), revision])
            .set(1.0);
    }

    /// Makes every series of these engines exist at 0, so that rates see the first event.
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

    fn prepare_engine(&self, engine: &str) {
        let v = self.vectors();
        for gauge in [
            &v.queue_depth,
            &v.queue_limit,
            &v.in_flight,
            &v.in_flight_limit,
            &v.oldest_in_flight,
            &v.models_loaded,
            &v.models_loaded_limit,
            &v.engine_up,
            &v.breaker_state,
        ] {
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
        for wait in ["slot", "load"] {
            v.queue_wait.with_label_values(&[engine, wait]);
        }
        for reason in Reason::ALL {
            v.routed.with_label_values(&[engine, reason.as_str()]);
        }
        for code in ["200", "400", "500"] {
            v.upstream_responses.with_label_values(&[engine, code]);
        }
        for kind in UpstreamError::ALL {
            v.upstream_errors
                .with_label_values(&[engine, kind.as_str()]);
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
        for outcome in Outcome::ALL {
            v.health_checks
                .with_label_values(&[engine, outcome.as_str()]);
        }
        self.prepare_models(engine);
    }

    fn prepare_models(&self, engine: &str) {
        let v = self.vectors();
        v.time_to_first_token.with_label_values(&[engine, OTHER]);
        v.output_speed.with_label_values(&[engine, OTHER]);
        v.tokens_estimated.with_label_values(&[engine, OTHER]);
        v.model_load_duration.with_label_values(&[engine, OTHER]);
        for kind in TokenType::ALL {
            v.tokens.with_label_values(&[engine, OTHER, kind.as_str()]);
        }
        for kind in [TokenType::Prompt, TokenType::Completion] {
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

    /// Gives the catalogue's models series of their own before this one is counted.
    pub(crate) fn know(&self, model: &str, view: &View) {
        if self.inner.models.label(model) == OTHER {
            self.known_models(view.models());
        }
    }

    /// Gives these models series of their own, up to 200.
    pub fn known_models<'a>(&self, names: impl Iterator<Item = &'a Arc<str>>) {
        let refused = self.inner.models.admit(names);
        if refused > 0 {
            self.vectors()
                .label_overflow
                .with_label_values(&["model"])
                .inc_by(refused);
        }
    }

    /// A later candidate was tried.
    pub fn fallback(&self, from: &str, to: &str, reason: FallbackReason, outcome: Outcome) {
        self.vectors()
            .fallbacks
            .with_label_values(&[from, to, reason.as_str(), outcome.as_str()])
            .inc();
    }

    /// Crucible answered with an error; `code` is the status that the client got.
    pub fn rejected(&self, engine: Option<&str>, kind: Kind, code: StatusCode) {
        self.vectors()
            .rejected
            .with_label_values(&[engine.unwrap_or(NONE), kind.code(), status(&code)])
            .inc();
    }

    /// An engine's headers came.
    pub fn upstream_response(&self, engine: &str, code: StatusCode) {
        self.vectors()
            .upstream_responses
            .with_label_values(&[engine, status(&code)])
            .inc();
    }

    /// An engine failed.
    pub fn upstream_error(&self, engine: &str, kind: UpstreamError) {
        self.vectors()
            .upstream_errors
            .with_label_values(&[engine, kind.as_str()])
            .inc();
    }

    /// A stream did not reach its end.
    pub fn stream_aborted(&self, engine: &str, cause: AbortCause) {
        self.vectors()
            .stream_aborted
            .with_label_values(&[engine, cause.as_str()])
            .inc();
    }

    /// A client left.
    pub fn client_disconnected(&self, phase: Phase) {
        self.vectors()
            .client_disconnects
            .with_label_values(&[phase.as_str()])
            .inc();
    }

    /// A parameter was left out.
    pub fn param_dropped(&self, engine: &str, param: DroppedParam) {
        self.vectors()
            .params_dropped
            .with_label_values(&[param.as_str(), engine])
            .inc();
    }

    /// Counts a request as in flight until the guard drops.
    pub fn in_flight(&self, engine: &str) -> InFlightGuard {
        InFlightGuard::new(
            self.vectors().in_flight.with_label_values(&[engine]),
            Arc::clone(&self.inner.starts),
            engine,
            Instant::now(),
        )
    }

    /// Counts a client connection as open until the guard drops.
    pub fn connection(&self) -> ConnectionGuard {
        ConnectionGuard::new(self.vectors().connections_open.with_label_values(EMPTY))
    }

    /// A clock for one stream of this engine.
    pub fn stream_clock(&self, engine: &str) -> StreamClock {
        StreamClock::new(
            self.vectors()
                .inter_token
                .with_label_values(&[engine])
                .local(),
        )
    }

    /// Lines of the event log that were lost.
    pub fn events_dropped(&self, lines: u64) {
        self.vectors()
            .log_dropped
            .with_label_values(&[EVENTS])
            .inc_by(lines);
    }

    /// Counts what the log on stderr loses; the first one asked stays.
    pub(crate) fn watch_log(&self, log: Dropped) {
        self.inner.log.get_or_init(|| log);
    }

    /// Bound of client connections.
    pub fn set_connections_limit(&self, limit: u32) {
        self.vectors()
            .connections_limit
            .with_label_values(EMPTY)
            .set(f64::from(limit));
    }

    /// Most generation models that are kept loaded on this engine.
    pub fn set_models_loaded_limit(&self, engine: &str, limit: u32) {
        self.vectors()
            .models_loaded_limit
            .with_label_values(&[engine])
            .set(f64::from(limit));
    }

    /// The configuration was read at start: no reload, but in effect.
    pub fn config_loaded(&self, at: SystemTime) {
        let v = self.vectors();
        v.reload_success.with_label_values(EMPTY).set(1.0);
        v.reload_timestamp.with_label_values(EMPTY).set(
            at.duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default()
                .as_secs_f64(),
        );
    }

    /// The configuration was read again; on an error the former one stays in effect.
    pub fn config_reloaded(&self, outcome: Outcome, at: SystemTime) {
        let v = self.vectors();
        v.reloads.with_label_values(&[outcome.as_str()]).inc();
        match outcome {
            Outcome::Ok => self.config_loaded(at),
            Outcome::Error => v.reload_success.with_label_values(EMPTY).set(0.0),
        }
    }

    /// The scrape: content type and body in text format 0.0.4.
    pub fn encode(&self) -> prometheus::Result<(String, Vec<u8>)> {
        if let Some(log) = self.inner.log.get() {
            let lost = self.vectors().log_dropped.with_label_values(&[STDERR]);
            lost.inc_by(log.take());
        }
        let encoder = TextEncoder::new();
        let mut body = Vec::with_capacity(64 * 1024);
        encoder.encode(&self.inner.registry.gather(), &mut body)?;
        Ok((encoder.format_type().to_owned(), body))
    }

    fn waited(&self, engine: &str, loaded: bool, waited: Duration) {
        self.vectors()
            .queue_wait
            .with_label_values(&[engine, if loaded { "load" } else { "slot" }])
            .observe(waited.as_secs_f64());
    }
}

// === impl Observer ===

impl Observer for Metrics {
    fn observe(&self, event: &Event) {
        let v = self.vectors();
        match event {
            Event::Load {
                engine,
                model,
                outcome,
                trigger,
                took,
            } => {
                let (outcome, trigger) = (load_outcome(*outcome), load_trigger(*trigger));
                let model = self.inner.models.label(model);
                v.model_loads
                    .with_label_values(&[&**engine, model, outcome, trigger])
                    .inc();
                if outcome == "ok" {
                    v.model_load_duration
                        .with_label_values(&[&**engine, model])
                        .observe(took.as_secs_f64());
                }
            }
            Event::Evicted {
                engine,
                model,
                reason,
            } => v
                .model_evictions
                .with_label_values(&[
                    &**engine,
                    self.inner.models.label(model),
                    eviction_reason(*reason),
                ])
                .inc(),
            Event::Granted {
                engine,
                waited,
                loaded,
            } => self.waited(engine, *loaded, *waited),
            // Seen by what failed, in the log and in the state.
            Event::Wedged { .. } => {}
            Event::HealthCheck { engine, ok } => {
                let outcome = if *ok { Outcome::Ok } else { Outcome::Error };
                v.health_checks
                    .with_label_values(&[&**engine, outcome.as_str()])
                    .inc();
            }
        }
    }
}

#[cfg(test)]
mod tests;
