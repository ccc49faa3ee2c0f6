//! The metrics: one Prometheus registry behind typed calls, so that no call site spells a label.
//!
//! Every family stands in the table of `families.rs` ([`FAMILIES`]), whose head shows how one is
//! added. A request is counted once, when it has ended ([`Metrics::request`]); gauges follow guards
//! ([`Metrics::in_flight`]) or, at each scrape, the router's view. After [`Metrics::new`] nothing
//! here fails or waits for anything but a short lock:
//!
//! ```
//! use crucible::metrics::{ExpositionFormat, Metrics, Outcome};
//!
//! let metrics = Metrics::new()?;
//! metrics.config_reloaded(Outcome::Error, std::time::SystemTime::now());
//! let text = metrics.encode(ExpositionFormat::Text)?;
//! assert!(text.contains("crucible_config_reloads_total{outcome=\"error\"} 1"));
//! # Ok::<(), prometheus::Error>(())
//! ```

mod docs;
mod exposition;
mod families;
mod family;
mod guard;
mod label_sets;
pub(crate) mod labels;
mod machine;
mod machine_watch;
mod observe;
mod open_metrics;
mod prepare;
mod record;
mod request_record;
mod runtime;
mod series;
mod settings;
mod view;
mod view_series;

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant, SystemTime},
};

use crucible_router::view::View;
use http::StatusCode;
use parking_lot::Mutex;
use prometheus::{Registry, TextEncoder};

pub(crate) use self::machine_watch::MachineWatch;
pub use self::{
    docs::document,
    exposition::ExpositionFormat,
    families::FAMILIES,
    family::{Emitter, Family, FamilyType, Unit},
    guard::{ConnectionGuard, InFlightGuard, StreamClock},
    label_sets::{Label, LabelValues},
    labels::{
        DefaultParam, DisconnectPhase, DroppedParam, Outcome, RetryOutcome, RetryReason,
        TimedPhase, TokenType,
    },
    request_record::{PhaseTimes, RequestRecord},
};
use self::{
    families::Collectors,
    guard::Starts,
    labels::{ModelNames, NONE, OTHER, status},
    series::RequestSeries,
    view_series::ViewSeries,
};
use crate::{
    error::{AbortCause, ErrorKind, FallbackReason, UpstreamError},
    telemetry::LostLines,
};

const EMPTY: &[&str] = &[];
/// The word of the event log among the logs that may lose lines.
const EVENTS: &str = "events";
/// The word of the log on stderr among them.
const STDERR: &str = "stderr";
/// The label of the spans for a collector.
const OTLP: &str = "otlp";

/// All metrics of an instance behind `/metrics`, with one typed call for each thing that is
/// counted. Clones share them.
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
    shown: Mutex<ViewSeries>,
    series: Mutex<RequestSeries>,
    /// The count of lines that the log on stderr lost.
    log: OnceLock<LostLines>,
}

// === impl Metrics ===

impl Metrics {
    /// Registers every family of the table with a registry of its own.
    ///
    /// # Errors
    /// The table contradicts itself, for example by two families of one name.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let vectors = Collectors::register(&registry)?;
        let metrics = Self {
            inner: Arc::new(Inner {
                registry,
                vectors,
                models: ModelNames::default(),
                starts: Arc::default(),
                since: Instant::now(),
                shown: Mutex::default(),
                series: Mutex::default(),
                log: OnceLock::new(),
            }),
        };
        metrics.prepare();
        Ok(metrics)
    }

    fn vectors(&self) -> &Collectors {
        &self.inner.vectors
    }

    /// Gives all models of the view series of their own if `model` has none yet. It is called
    /// before `model` is counted. At most 200 models get series, so the label of `model` may still
    /// be `other` afterwards.
    pub(crate) fn admit_models_of_view(&self, model: &str, view: &View) {
        if self.inner.models.label(model) == OTHER {
            self.known_models(view.models());
        }
    }

    /// The label of a model that an engine has, which gets series of its own where there is room: the first load
    /// may come before the first scrape.
    fn listed<'a>(&self, model: &'a Arc<str>) -> &'a str {
        if self.inner.models.label(model) == OTHER {
            self.known_models(std::iter::once(model));
        }
        self.inner.models.label(model)
    }

    /// Gives these models series of their own. No more than 200 models have one; those above that
    /// are counted as `other`.
    pub fn known_models<'a>(&self, names: impl Iterator<Item = &'a Arc<str>>) {
        let refused = self.inner.models.admit(names);
        if refused > 0 {
            self.vectors()
                .label_overflow
                .with_label_values(&["model"])
                .inc_by(refused);
        }
    }

    /// Counts a request that went on to the engine `to`, a later candidate of its plan, because
    /// `from` did not answer it, for this reason. `outcome` tells whether `to` answered.
    pub fn fallback(&self, from: &str, to: &str, reason: FallbackReason, outcome: Outcome) {
        self.vectors()
            .fallbacks
            .with_label_values(&[from, to, reason.as_str(), outcome.as_str()])
            .inc();
    }

    /// Counts an error that Crucible answered with; `code` is the status that the client got.
    pub fn rejected(&self, engine: Option<&str>, kind: ErrorKind, code: StatusCode) {
        self.vectors()
            .rejected
            .with_label_values(&[engine.unwrap_or(NONE), kind.code(), status(&code)])
            .inc();
    }

    /// Counts a request that was due to be sent a second time.
    pub(crate) fn retry(&self, engine: &str, reason: RetryReason, outcome: RetryOutcome) {
        self.vectors()
            .retries
            .with_label_values(&[engine, reason.as_str(), outcome.as_str()])
            .inc();
    }

    /// Counts a new connection to an engine, and the time that it took.
    pub(crate) fn connected(&self, engine: &str, took: Duration) {
        self.vectors()
            .upstream_connect
            .with_label_values(&[engine])
            .observe(took.as_secs_f64());
    }

    /// Shows how many requests to an engine may be sent a second time now.
    pub(crate) fn set_retry_budget(&self, engine: &str, remaining: u32) {
        self.vectors()
            .retry_budget
            .with_label_values(&[engine])
            .set(f64::from(remaining));
    }

    /// Counts an answer of an engine, when its headers have come.
    pub fn upstream_response(&self, engine: &str, code: StatusCode) {
        self.vectors()
            .upstream_responses
            .with_label_values(&[engine, status(&code)])
            .inc();
    }

    /// Counts a failure of an engine on the data path.
    pub fn upstream_error(&self, engine: &str, kind: UpstreamError) {
        self.vectors()
            .upstream_errors
            .with_label_values(&[engine, kind.as_str()])
            .inc();
    }

    /// Counts a stream that did not reach its proper end.
    pub fn stream_aborted(&self, engine: &str, cause: AbortCause) {
        self.vectors()
            .stream_aborted
            .with_label_values(&[engine, cause.as_str()])
            .inc();
    }

    /// Counts a client that left before the end of its answer.
    pub fn client_disconnected(&self, phase: DisconnectPhase) {
        self.vectors()
            .client_disconnects
            .with_label_values(&[phase.as_str()])
            .inc();
    }

    /// Counts a parameter that was left out because the engine does not understand it.
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

    /// Counts a client's connection as open until the guard drops.
    pub fn connection(&self) -> ConnectionGuard {
        ConnectionGuard::new(self.vectors().connections_open.with_label_values(EMPTY))
    }

    /// Counts a connection that was closed because a new one needed its slot.
    pub fn connection_evicted(&self) {
        self.vectors()
            .connections_evicted
            .with_label_values(EMPTY)
            .inc();
    }

    /// Counts a reader of the events that was given up because it did not read.
    pub fn page_dropped(&self) {
        self.vectors().pages_dropped.with_label_values(EMPTY).inc();
    }

    /// Returns a clock that measures the gaps between the events of one stream of this engine.
    pub fn stream_clock(&self, engine: &str) -> StreamClock {
        StreamClock::new(
            self.vectors()
                .inter_token
                .with_label_values(&[engine])
                .local(),
        )
    }

    /// Counts lines of the event log that were lost.
    pub fn events_dropped(&self, lines: u64) {
        self.vectors()
            .log_dropped
            .with_label_values(&[EVENTS])
            .inc_by(lines);
    }

    /// Counts spans that did not reach their collector.
    pub(crate) fn spans_dropped(&self, spans: usize) {
        self.vectors()
            .log_dropped
            .with_label_values(&[OTLP])
            .inc_by(u64::try_from(spans).unwrap_or(u64::MAX));
    }

    /// Counts what the log on stderr loses from now on; a second call changes nothing.
    pub(crate) fn watch_log(&self, log: LostLines) {
        self.inner.log.get_or_init(|| log);
    }

    /// Sets the gauge of the most connections that clients may have open at once.
    pub fn set_connections_limit(&self, limit: u32) {
        self.vectors()
            .connections_limit
            .with_label_values(EMPTY)
            .set(f64::from(limit));
    }

    /// Sets the gauges that a configuration is in effect and since when. The count of reloads
    /// stays, because a start is no reload.
    pub fn config_loaded(&self, at: SystemTime) {
        let v = self.vectors();
        v.reload_success.with_label_values(EMPTY).set(1.0);
        v.reload_timestamp.with_label_values(EMPTY).set(
            at.duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default()
                .as_secs_f64(),
        );
    }

    /// Counts a reload; after an error the former configuration, and its time, stay.
    pub fn config_reloaded(&self, outcome: Outcome, at: SystemTime) {
        let v = self.vectors();
        v.reloads.with_label_values(&[outcome.as_str()]).inc();
        match outcome {
            Outcome::Ok => self.config_loaded(at),
            Outcome::Error => v.reload_success.with_label_values(EMPTY).set(0.0),
        }
    }

    /// Returns the body of the answer to a scrape, in this format.
    ///
    /// # Errors
    /// The encoder refuses a family.
    pub fn encode(&self, format: ExpositionFormat) -> prometheus::Result<String> {
        if let Some(log) = self.inner.log.get() {
            let lost = self.vectors().log_dropped.with_label_values(&[STDERR]);
            lost.inc_by(log.take());
        }
        let families = self.inner.registry.gather();
        let mut body = String::with_capacity(64 * 1024);
        match format {
            ExpositionFormat::Text => TextEncoder::new().encode_utf8(&families, &mut body)?,
            ExpositionFormat::OpenMetrics => open_metrics::encode(&families, &mut body)
                .map_err(|error| prometheus::Error::Msg(error.to_string()))?,
        }
        Ok(body)
    }
}

#[cfg(test)]
mod tests;
