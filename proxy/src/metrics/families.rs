//! The one table of metric families.
//!
//! A family stands here once, with its name, type, buckets, labels, unit, the part of Crucible that
//! writes it, and its meaning. Made from the table are [`FAMILIES`], the registered vectors
//! ([`Collectors`]), the page `docs/metrics.md`, and the tests of the dashboards and of every exported
//! label value. Names, labels and buckets are stable. No label is ever a request id, a path, a key, a
//! user, an address, a prompt or the text of an error: each value of a label is a time series for as
//! long as the process runs, so values come from a closed set or from the configuration.
//!
//! # Adding a metric
//!
//! To count, say, how often an answer was cut at its token limit, per engine and endpoint:
//!
//! 1. One entry in the table. The field's name is how the code calls it:
//!
//!    ```text
//!    answers_cut: Counter "crucible_answers_cut_total" [ENGINE, ENDPOINT] None by Ledger:
//!        "Answers that ended at their token limit.";
//!    ```
//!
//!    A label that no family has yet is a constant in `label_sets.rs`; its words are those of an enum.
//! 2. Its emission, where the event happens, by a typed method of [`Metrics`](super::Metrics):
//!
//!    ```text
//!    self.vectors().answers_cut.with_label_values(&[engine, endpoint.as_str()]).inc();
//!    ```
//!
//! 3. Its series at 0 before the first event, in `prepare.rs`, so that a rate sees the first one.
//! 4. `UPDATE_DOCS=1 cargo test -p crucible metrics::docs`, which writes the page anew. The tests then
//!    ask for a chart, or for a reason why there is none.

use prometheus::{CounterVec, GaugeVec, HistogramVec, IntCounterVec, Registry};

use super::{
    family::{Emitter, Family, FamilyType, FamilyVector as _, Unit},
    label_sets::{
        ABORT_CAUSE, DEFAULT_PARAM, DISCONNECT_PHASE, DROPPED_PARAM, ENDPOINT, ENERGY_SOURCE,
        ENGINE, ENGINE_KIND, ENGINE_VERSION, ERROR_CODE, EVICTION_REASON, FALLBACK_REASON,
        FROM_ENGINE, GPU, LABEL, LOAD_OUTCOME, LOAD_TRIGGER, MODEL, OUTCOME, POOL, QUEUE_REASON,
        REQUEST_PHASE, RETRY_OUTCOME, RETRY_REASON, REVISION, ROUTE_REASON, SETTING, SETTING_STATE,
        SINK, STATUS, STREAM, TO_ENGINE, TOKEN_TYPE, UPSTREAM_ERROR, VERSION, WAIT_REASON,
        WHOLE_TYPE,
    },
};

const DURATION: &[f64] = &[
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0,
];
const OVERHEAD: &[f64] = &[
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5,
];
const FIRST_TOKEN: &[f64] = &[
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0,
];
const CONNECT: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];
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

/// The table's form: `field: Type(BUCKETS) "name" [LABELS] Unit by Emitter: "meaning";`, where a
/// `FloatCounter` is a counter of seconds or other values that are not whole numbers.
macro_rules! families {
    (
        $($field:ident: $kind:ident $(($buckets:ident))? $name:literal [$($label:ident),*]
            $unit:ident by $emitter:ident: $help:literal;)*
    ) => {
        /// Every family, in the order of the docs.
        pub static FAMILIES: &[Family] = &[
            $(Family {
                name: $name,
                kind: families!(@type $kind),
                unit: Unit::$unit,
                labels: &[$($label),*],
                buckets: families!(@buckets $($buckets)?),
                emitter: Emitter::$emitter,
                help: $help,
            },)*
        ];

        /// The vector of each family of the table.
        #[derive(Debug)]
        pub(super) struct Collectors {
            $(pub(super) $field: families!(@vector $kind),)*
        }

        impl Collectors {
            /// Registers all of them. An error means that two families have one name.
            pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
                let mut families = FAMILIES.iter();
                Ok(Self {
                    // The fields stand in the order of the table.
                    $($field: <families!(@vector $kind)>::register(
                        registry,
                        families.next().ok_or_else(missing)?,
                    )?,)*
                })
            }
        }
    };
    (@buckets) => { &[] };
    (@buckets $buckets:ident) => { $buckets };
    (@type FloatCounter) => { FamilyType::Counter };
    (@type $kind:ident) => { FamilyType::$kind };
    (@vector Counter) => { IntCounterVec };
    (@vector FloatCounter) => { CounterVec };
    (@vector Gauge) => { GaugeVec };
    (@vector Histogram) => { HistogramVec };
}

fn missing() -> prometheus::Error {
    prometheus::Error::Msg("the table has fewer families than vectors".to_owned())
}

families! {
    requests: Counter "crucible_requests_total" [ENDPOINT, ENGINE, MODEL, STREAM, STATUS] None by Ledger:
        "Finished requests; engine is none if it never reached one, code is 499 if the client left first.";
    request_duration: Histogram(DURATION) "crucible_request_duration_seconds" [ENDPOINT, ENGINE, STREAM] Seconds by Ledger:
        "From the request line read to the last byte to the client.";
    overhead: Histogram(OVERHEAD) "crucible_overhead_seconds" [ENDPOINT] Seconds by Ledger:
        "Own time: total without waits for the client's body, queue, load and engine.";
    time_to_first_token: Histogram(FIRST_TOKEN) "crucible_time_to_first_token_seconds" [ENGINE, MODEL] Seconds by Ledger:
        "From the request to the first event with content, queue and load included.";
    first_token_ratio: Histogram(RATIO) "crucible_first_token_prediction_ratio" [ENGINE] Ratio by Ledger:
        "Time to first token by the predicted one; 1 is as predicted, 2 took twice as long.";
    inter_token: Histogram(GAP) "crucible_inter_token_seconds" [ENGINE] Seconds by Pipeline:
        "Gaps between content events of a stream (an event may hold more than one token).";
    prefill: Histogram(FIRST_TOKEN) "crucible_prefill_seconds" [ENGINE, MODEL] Seconds by Ledger:
        "From the moment at which the request was sent to the engine to the first event with content: the prompt is read.";
    prefill_requests: Gauge "crucible_prefill_requests" [ENGINE] None by Requests:
        "Requests whose prompt the engine reads now.";
    prefill_remaining: Gauge "crucible_prefill_remaining_seconds" [ENGINE] Seconds by Requests:
        "The longest time that one of those prompts is expected to take yet.";
    request_phase: FloatCounter "crucible_request_phase_seconds_total" [ENGINE, REQUEST_PHASE] Seconds by Ledger:
        "Time of the ended requests by what it was spent on; receive is the wait for the client's body, failed the attempts that failed before the last one, own is Crucible's own time.";
    output_speed: Histogram(SPEED) "crucible_output_tokens_per_second" [ENGINE, MODEL] TokensPerSecond by Ledger:
        "Per finished stream: completion tokens after the first, by the time since the first.";
    tokens: Counter "crucible_tokens_total" [ENGINE, MODEL, TOKEN_TYPE] Tokens by Ledger:
        "Tokens as the engine counted them; cached and cached_estimated are part of prompt, reasoning part of completion.";
    tokens_estimated: Counter "crucible_tokens_estimated_total" [ENGINE, MODEL] Tokens by Ledger:
        "Content events of answers for which the engine told no usage.";
    request_tokens: Histogram(TOKENS) "crucible_request_tokens" [ENGINE, WHOLE_TYPE] Tokens by Ledger:
        "Tokens per request, as the engine counted them.";
    queue_wait: Histogram(WAIT) "crucible_queue_wait_seconds" [ENGINE, WAIT_REASON] Seconds by RouterEvent:
        "Wait for a permit, zero waits included; reason is load if a load was part of it.";
    queue_depth: Gauge "crucible_queue_depth" [ENGINE] None by RouterView:
        "Requests that wait for a permit.";
    queue_waiting: Gauge "crucible_queue_waiting" [ENGINE, QUEUE_REASON] None by RouterView:
        "Requests that wait for a permit, by what they wait for: a slot of a loaded model, a load, or the swap of one model for another.";
    queue_limit: Gauge "crucible_queue_limit" [ENGINE] None by RouterView:
        "Bound of the queue.";
    in_flight: Gauge "crucible_requests_in_flight" [ENGINE] None by Pipeline:
        "Requests that the engine works on.";
    in_flight_limit: Gauge "crucible_in_flight_limit" [ENGINE] None by RouterView:
        "Permits of the engine's residents together (of one, if none is loaded).";
    oldest_in_flight: Gauge "crucible_oldest_in_flight_seconds" [ENGINE] Seconds by RouterView:
        "Age of the oldest request that the engine works on.";
    model_loads: Counter "crucible_model_loads_total" [ENGINE, MODEL, LOAD_OUTCOME, LOAD_TRIGGER] None by RouterEvent:
        "Loads that ended.";
    model_load_duration: Histogram(LOAD) "crucible_model_load_duration_seconds" [ENGINE, MODEL] Seconds by RouterEvent:
        "Duration of loads that succeeded.";
    model_evictions: Counter "crucible_model_evictions_total" [ENGINE, MODEL, EVICTION_REASON] None by RouterEvent:
        "Models that left memory while Crucible ran; external is one that vanished without Crucible.";
    model_loaded: Gauge "crucible_model_loaded" [ENGINE, MODEL] None by RouterView:
        "1 while the model is loaded.";
    models_loaded: Gauge "crucible_models_loaded" [ENGINE] None by RouterView:
        "Loaded models.";
    models_loaded_limit: Gauge "crucible_models_loaded_limit" [ENGINE] None by Settings:
        "Most generation models that Crucible keeps loaded.";
    model_memory: Gauge "crucible_model_memory_bytes" [ENGINE, MODEL] Bytes by RouterView:
        "Memory of a loaded model, where the engine tells it.";
    model_expires: Gauge "crucible_model_expires_timestamp_seconds" [ENGINE, MODEL] UnixSeconds by RouterView:
        "When the engine will unload a loaded model by itself, unix seconds; absent where it says nothing.";
    residency_polls: Counter "crucible_residency_polls_total" [ENGINE, OUTCOME] None by RouterEvent:
        "Looks at what an engine holds loaded, for engines that list it.";
    pool_budget: Gauge "crucible_pool_budget_bytes" [POOL] Bytes by RouterView:
        "Memory that the models of a pool may use together; absent where it is unknown.";
    pool_used: Gauge "crucible_pool_used_bytes" [POOL] Bytes by RouterView:
        "Memory that the loaded models of a pool are counted with.";
    pool_loading: Gauge "crucible_pool_loading" [POOL] None by RouterView:
        "1 while a model is loaded into the pool.";
    routed: Counter "crucible_routed_total" [ENGINE, ROUTE_REASON] None by Ledger:
        "Routed requests by the reason of the candidate that was chosen.";
    fallbacks: Counter "crucible_fallbacks_total" [FROM_ENGINE, TO_ENGINE, FALLBACK_REASON, OUTCOME] None by Pipeline:
        "Attempts of a later candidate, before the first byte to the client.";
    retries: Counter "crucible_retries_total" [ENGINE, RETRY_REASON, RETRY_OUTCOME] None by Pipeline:
        "Requests that were due to be sent a second time, because the engine had closed the idle connection that they took.";
    retry_budget: Gauge "crucible_retry_budget_remaining" [ENGINE] None by RouterView:
        "Requests that may be sent a second time at this moment; it grows by one with every fifth request up to its bound.";
    rejected: Counter "crucible_rejected_total" [ENGINE, ERROR_CODE, STATUS] None by Ledger:
        "Errors before an answer that are no engine's fault; reason is the error code of the body. What engines failed with is in crucible_upstream_errors_total and crucible_model_loads_total.";
    upstream_connect: Histogram(CONNECT) "crucible_upstream_connect_duration_seconds" [ENGINE] Seconds by Pipeline:
        "Time to open a connection to the engine, TLS included; new connections only.";
    upstream_responses: Counter "crucible_upstream_responses_total" [ENGINE, STATUS] None by Pipeline:
        "Responses of engines by status, before any retelling.";
    upstream_errors: Counter "crucible_upstream_errors_total" [ENGINE, UPSTREAM_ERROR] None by Pipeline:
        "Failures of engines on the data path.";
    stream_aborted: Counter "crucible_stream_aborted_total" [ENGINE, ABORT_CAUSE] None by Ledger:
        "Streams that did not reach their proper end after the 200 was sent.";
    client_disconnects: Counter "crucible_client_disconnects_total" [DISCONNECT_PHASE] None by Ledger:
        "Clients that left before the end of their answer.";
    stream_bytes: Counter "crucible_stream_bytes_total" [ENGINE] Bytes by Ledger:
        "Bytes of streamed answers.";
    stream_flushes: Counter "crucible_stream_flushes_total" [ENGINE] None by Ledger:
        "Writes of streamed answers; bytes by flushes is the coalescing in effect.";
    defaults_injected: Counter "crucible_defaults_injected_total" [DEFAULT_PARAM, ENGINE] None by Ledger:
        "Parameters that were filled in.";
    params_dropped: Counter "crucible_params_dropped_total" [DROPPED_PARAM, ENGINE] None by Ledger:
        "Parameters that the engine does not understand and that were left out.";
    engine_up: Gauge "crucible_engine_up" [ENGINE] None by RouterView:
        "1 while the engine answers its health checks.";
    health_checks: Counter "crucible_engine_health_checks_total" [ENGINE, OUTCOME] None by RouterEvent:
        "Health checks of engines.";
    breaker_state: Gauge "crucible_engine_breaker_state" [ENGINE] None by RouterView:
        "Circuit breaker: 0 closed, 1 open, 2 half-open.";
    engine_memory_limit: Gauge "crucible_engine_memory_limit_bytes" [ENGINE] Bytes by RouterView:
        "Memory limit that the operating system enforces on an engine that Crucible started; absent for others.";
    engine_info: Gauge "crucible_engine_info" [ENGINE, ENGINE_KIND, ENGINE_VERSION] None by RouterView:
        "Always 1.";
    connections_open: Gauge "crucible_connections_open" [] None by Server:
        "Open client connections.";
    connections_limit: Gauge "crucible_connections_limit" [] None by Instance:
        "Bound of client connections.";
    connections_evicted: Counter "crucible_connections_evicted_total" [] None by Server:
        "Client connections, idle or slow with their headers, that were closed for new ones, because all places were taken.";
    pages_dropped: Counter "crucible_pages_dropped_total" [] None by Ledger:
        "Readers of GET /crucible/events, such as open pages, that were given up because they did not read.";
    reload_success: Gauge "crucible_config_last_reload_success" [] None by Instance:
        "1 if the configuration was read without problems the last time.";
    reload_timestamp: Gauge "crucible_config_last_reload_timestamp_seconds" [] UnixSeconds by Instance:
        "When the configuration in effect was read, unix seconds.";
    reloads: Counter "crucible_config_reloads_total" [OUTCOME] None by Instance:
        "Reloads of the configuration.";
    label_overflow: Counter "crucible_label_overflow_total" [LABEL] None by Metrics:
        "Names that were folded into other because the bound of label values was reached.";
    tuning_state: Gauge "crucible_tuning_state" [SETTING, SETTING_STATE] None by Settings:
        "1 for the state in which a setting was found last; looked at every 30 s.";
    log_dropped: Counter "crucible_log_dropped_total" [SINK] None by Logs:
        "Lines that a log lost: they came faster than they were written, or the disk refused them, or stderr is closed; of otlp: spans that the collector did not take.";
    gpu_memory_used: Gauge "crucible_gpu_memory_used_bytes" [GPU] Bytes by Machine:
        "Memory of a graphics card that is in use, by any process.";
    gpu_memory_total: Gauge "crucible_gpu_memory_total_bytes" [GPU] Bytes by Machine:
        "Memory of a graphics card.";
    gpu_memory_limit: Gauge "crucible_gpu_memory_limit_bytes" [GPU] Bytes by Machine:
        "The share of a graphics card's memory that models may use: gpu_memory_fraction of it.";
    gpu_utilization: Gauge "crucible_gpu_utilization_ratio" [GPU] Ratio by Machine:
        "Share of the last moment in which a graphics card was busy, 0 to 1.";
    gpu_temperature: Gauge "crucible_gpu_temperature_celsius" [GPU] Celsius by Machine:
        "Temperature of a graphics card.";
    gpu_power: Gauge "crucible_gpu_power_watts" [GPU] Watts by Machine:
        "Power that a graphics card draws now.";
    energy: FloatCounter "crucible_energy_joules_total" [ENERGY_SOURCE] Joules by Machine:
        "Energy that a graphics card or a processor package used since the first scrape.";
    host_memory_used: Gauge "crucible_host_memory_used_bytes" [] Bytes by Machine:
        "Main memory in use that cannot be reclaimed, of the machine, or of the control group where its limit is smaller.";
    host_memory_total: Gauge "crucible_host_memory_total_bytes" [] Bytes by Machine:
        "Main memory of the machine, or the limit of the control group where that is smaller.";
    runtime_tasks: Gauge "crucible_runtime_alive_tasks" [] None by Runtime:
        "Tasks of Crucible's runtime that have not ended; a connection is one, an engine's poll another.";
    runtime_busy: FloatCounter "crucible_runtime_busy_seconds_total" [] Seconds by Runtime:
        "Time in which the runtime's workers were busy, all workers together.";
    runtime_workers: Gauge "crucible_runtime_workers" [] None by Runtime:
        "Worker threads of Crucible's runtime.";
    inspector_on: Gauge "crucible_inspector_on" [] None by Runtime:
        "1 while the inspector keeps requests with their bodies, else 0.";
    inspector_kept: Gauge "crucible_inspector_kept_bytes" [] Bytes by Runtime:
        "Memory of the bodies that the inspector keeps.";
    build_info: Gauge "crucible_build_info" [VERSION, REVISION] None by Instance:
        "Always 1.";
    process_cpu: FloatCounter "process_cpu_seconds_total" [] Seconds by Process:
        "User and system time of Crucible's process.";
    process_resident: Gauge "process_resident_memory_bytes" [] Bytes by Process:
        "Resident memory of Crucible's process.";
    process_virtual: Gauge "process_virtual_memory_bytes" [] Bytes by Process:
        "Virtual memory of Crucible's process.";
    process_open_fds: Gauge "process_open_fds" [] None by Process:
        "Open file descriptors of Crucible's process.";
    process_max_fds: Gauge "process_max_fds" [] None by Process:
        "The most file descriptors that Crucible's process may have open.";
    process_start_time: Gauge "process_start_time_seconds" [] UnixSeconds by Process:
        "When Crucible's process was started, unix seconds.";
    process_threads: Gauge "process_threads" [] None by Process:
        "Threads of Crucible's process.";
}
