//! The one table of metric families: registration, `docs/metrics.md` and the tests of the
//! dashboards derive from it.
//!
//! Names, labels and buckets are stable. Never a label: request id, path, key, user, address,
//! prompt or error text.

/// What a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FamilyType {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Buckets, sum and count.
    Histogram,
}

/// One metric family.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Family {
    /// Full name.
    pub name: &'static str,
    /// Counter, gauge or histogram.
    pub kind: FamilyType,
    /// Label names, in order.
    pub labels: &'static [&'static str],
    /// Upper bounds without `+Inf`; empty unless a histogram. Seconds, tokens or tokens/s.
    pub buckets: &'static [f64],
    /// One sentence.
    pub help: &'static str,
}

impl FamilyType {
    /// Prometheus' word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

impl Family {
    /// Whether the client library's process collector fills it (Linux only).
    pub fn is_process(&self) -> bool {
        self.name.starts_with("process_")
    }
}

const DURATION: &[f64] = &[
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0,
];
const OVERHEAD: &[f64] = &[
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5,
];
const FIRST_TOKEN: &[f64] = &[
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0,
];
const RATIO: &[f64] = &[
    0.1, 0.25, 0.5, 0.67, 0.8, 0.9, 1.1, 1.25, 1.5, 2.0, 4.0, 10.0,
];
const GAP: &[f64] = &[
    0.005, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
const SPEED: &[f64] = &[
    1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 60.0, 80.0, 100.0, 150.0, 200.0, 400.0,
];
const TOKENS: &[f64] = &[
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
];
const WAIT: &[f64] = &[
    0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0,
];
const LOAD: &[f64] = &[
    0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 300.0,
];

macro_rules! families {
    ($($id:ident $kind:ident $name:literal [$($label:literal)*] $($buckets:ident)? : $help:literal;)*) => {
        $(pub(super) static $id: Family = Family {
            name: $name,
            kind: FamilyType::$kind,
            labels: &[$($label),*],
            buckets: families!(@buckets $($buckets)?),
            help: $help,
        };)*

        /// Every family, in the order of the docs.
        pub static FAMILIES: &[&Family] = &[$(&$id),*];
    };
    (@buckets) => { &[] };
    (@buckets $buckets:ident) => { $buckets };
}

families! {
    REQUESTS Counter "crucible_requests_total" ["endpoint" "engine" "model" "stream" "code"]:
        "Finished requests; engine is none if it never reached one, code is 499 if the client left first.";
    REQUEST_DURATION Histogram "crucible_request_duration_seconds" ["endpoint" "engine" "stream"] DURATION:
        "From the request line read to the last byte to the client.";
    OVERHEAD_TIME Histogram "crucible_overhead_seconds" ["endpoint"] OVERHEAD:
        "Own time: total without waits for queue, load and engine.";
    TIME_TO_FIRST_TOKEN Histogram "crucible_time_to_first_token_seconds" ["engine" "model"] FIRST_TOKEN:
        "From the request to the first event with content, queue and load included.";
    FIRST_TOKEN_RATIO Histogram "crucible_first_token_prediction_ratio" ["engine"] RATIO:
        "Time to first token by the predicted one; 1 is as predicted, 2 took twice as long.";
    INTER_TOKEN Histogram "crucible_inter_token_seconds" ["engine"] GAP:
        "Gaps between content events of a stream (an event may hold more than one token).";
    OUTPUT_SPEED Histogram "crucible_output_tokens_per_second" ["engine" "model"] SPEED:
        "Per finished stream: completion tokens after the first, by the time since the first.";
    TOKENS_USED Counter "crucible_tokens_total" ["engine" "model" "type"]:
        "Tokens as the engine counted them; cached is part of prompt, reasoning part of completion.";
    TOKENS_ESTIMATED Counter "crucible_tokens_estimated_total" ["engine" "model"]:
        "Content events of answers for which the engine told no usage.";
    REQUEST_TOKENS Histogram "crucible_request_tokens" ["engine" "type"] TOKENS:
        "Tokens per request, as the engine counted them.";
    QUEUE_WAIT Histogram "crucible_queue_wait_seconds" ["engine" "reason"] WAIT:
        "Wait for a permit, zero waits included; reason is load if a load was part of it.";
    QUEUE_DEPTH Gauge "crucible_queue_depth" ["engine"]: "Requests that wait for a permit.";
    QUEUE_LIMIT Gauge "crucible_queue_limit" ["engine"]: "Bound of the queue.";
    IN_FLIGHT Gauge "crucible_requests_in_flight" ["engine"]: "Requests that the engine works on.";
    IN_FLIGHT_LIMIT Gauge "crucible_in_flight_limit" ["engine"]:
        "Permits of the engine's residents together (of one, if none is loaded).";
    OLDEST_IN_FLIGHT Gauge "crucible_oldest_in_flight_seconds" ["engine"]:
        "Age of the oldest request that the engine works on.";
    MODEL_LOADS Counter "crucible_model_loads_total" ["engine" "model" "outcome" "trigger"]:
        "Loads that ended.";
    MODEL_LOAD_DURATION Histogram "crucible_model_load_duration_seconds" ["engine" "model"] LOAD:
        "Duration of loads that succeeded.";
    MODEL_EVICTIONS Counter "crucible_model_evictions_total" ["engine" "model" "reason"]:
        "Models that left memory; external is one that vanished without Crucible.";
    MODEL_LOADED Gauge "crucible_model_loaded" ["engine" "model"]: "1 while the model is loaded.";
    MODELS_LOADED Gauge "crucible_models_loaded" ["engine"]: "Loaded models.";
    MODELS_LOADED_LIMIT Gauge "crucible_models_loaded_limit" ["engine"]:
        "Most generation models that Crucible keeps loaded.";
    MODEL_MEMORY Gauge "crucible_model_memory_bytes" ["engine" "model"]:
        "Memory of a loaded model, where the engine tells it.";
    ROUTED Counter "crucible_routed_total" ["engine" "reason"]:
        "Routed requests by the reason of the candidate that was chosen.";
    FALLBACKS Counter "crucible_fallbacks_total" ["from_engine" "to_engine" "reason" "outcome"]:
        "Attempts of a later candidate, before the first byte to the client.";
    REJECTED Counter "crucible_rejected_total" ["engine" "reason" "code"]:
        "Errors that Crucible answered; reason is the error code of the body.";
    UPSTREAM_RESPONSES Counter "crucible_upstream_responses_total" ["engine" "code"]:
        "Responses of engines by status, before any retelling.";
    UPSTREAM_ERRORS Counter "crucible_upstream_errors_total" ["engine" "kind"]:
        "Failures of engines on the data path.";
    STREAM_ABORTED Counter "crucible_stream_aborted_total" ["engine" "cause"]:
        "Streams that did not reach their proper end after the 200 was sent.";
    CLIENT_DISCONNECTS Counter "crucible_client_disconnects_total" ["phase"]:
        "Clients that left before the end of their answer.";
    STREAM_BYTES Counter "crucible_stream_bytes_total" ["engine"]: "Bytes of streamed answers.";
    STREAM_FLUSHES Counter "crucible_stream_flushes_total" ["engine"]:
        "Writes of streamed answers; bytes by flushes is the coalescing in effect.";
    DEFAULTS_INJECTED Counter "crucible_defaults_injected_total" ["param" "engine"]:
        "Parameters that were filled in.";
    PARAMS_DROPPED Counter "crucible_params_dropped_total" ["param" "engine"]:
        "Parameters that the engine does not understand and that were left out.";
    ENGINE_UP Gauge "crucible_engine_up" ["engine"]: "1 while the engine answers its health checks.";
    HEALTH_CHECKS Counter "crucible_engine_health_checks_total" ["engine" "outcome"]:
        "Health checks of engines.";
    BREAKER_STATE Gauge "crucible_engine_breaker_state" ["engine"]:
        "Circuit breaker: 0 closed, 1 open, 2 half-open.";
    ENGINE_INFO Gauge "crucible_engine_info" ["engine" "kind" "version"]: "Always 1.";
    CONNECTIONS_OPEN Gauge "crucible_connections_open" []: "Open client connections.";
    CONNECTIONS_LIMIT Gauge "crucible_connections_limit" []: "Bound of client connections.";
    CONNECTIONS_EVICTED Counter "crucible_connections_evicted_total" []:
        "Client connections, idle or slow with their headers, that were closed for new ones, because all places were taken.";
    RELOAD_SUCCESS Gauge "crucible_config_last_reload_success" []:
        "1 if the configuration was read without problems the last time.";
    RELOAD_TIMESTAMP Gauge "crucible_config_last_reload_timestamp_seconds" []:
        "When the configuration in effect was read, unix seconds.";
    RELOADS Counter "crucible_config_reloads_total" ["outcome"]: "Reloads of the configuration.";
    LABEL_OVERFLOW Counter "crucible_label_overflow_total" ["label"]:
        "Names that were folded into other because the bound of label values was reached.";
    TUNING_STATE Gauge "crucible_tuning_state" ["setting" "state"]:
        "1 for the state in which a setting was found last; looked at every 30 s.";
    LOG_DROPPED Counter "crucible_log_dropped_total" ["sink"]:
        "Lines that a log lost: they came faster than they were written, or the disk refused them, or stderr is closed.";
    BUILD_INFO Gauge "crucible_build_info" ["version" "revision"]: "Always 1.";
    PROCESS_CPU Counter "process_cpu_seconds_total" []: "Total user and system CPU time spent in seconds.";
    PROCESS_RESIDENT Gauge "process_resident_memory_bytes" []: "Resident memory size in bytes.";
    PROCESS_VIRTUAL Gauge "process_virtual_memory_bytes" []: "Virtual memory size in bytes.";
    PROCESS_FDS Gauge "process_open_fds" []: "Number of open file descriptors.";
    PROCESS_MAX_FDS Gauge "process_max_fds" []: "Maximum number of open file descriptors.";
    PROCESS_START Gauge "process_start_time_seconds" []:
        "Start time of the process since unix epoch in seconds.";
    PROCESS_THREADS Gauge "process_threads" []: "Number of OS threads in the process.";
}
