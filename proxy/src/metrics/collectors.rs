//! The families as collectors of one registry; no global one.

use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, core::Collector,
};

use super::families::{self as f, Family};

macro_rules! collectors {
    ($($field:ident: $type:ty = $make:ident($family:ident),)*) => {
        /// One vector per family of the table.
        #[derive(Debug)]
        pub(super) struct Collectors { $(pub(super) $field: $type,)* }

        impl Collectors {
            /// Registers all of them.
            pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
                Ok(Self { $($field: $make(registry, &f::$family)?,)* })
            }
        }
    };
}

collectors! {
    requests: IntCounterVec = counter(REQUESTS),
    request_duration: HistogramVec = histogram(REQUEST_DURATION),
    overhead: HistogramVec = histogram(OVERHEAD_TIME),
    time_to_first_token: HistogramVec = histogram(TIME_TO_FIRST_TOKEN),
    first_token_ratio: HistogramVec = histogram(FIRST_TOKEN_RATIO),
    inter_token: HistogramVec = histogram(INTER_TOKEN),
    output_speed: HistogramVec = histogram(OUTPUT_SPEED),
    tokens: IntCounterVec = counter(TOKENS_USED),
    tokens_estimated: IntCounterVec = counter(TOKENS_ESTIMATED),
    request_tokens: HistogramVec = histogram(REQUEST_TOKENS),
    queue_wait: HistogramVec = histogram(QUEUE_WAIT),
    queue_depth: GaugeVec = gauge(QUEUE_DEPTH),
    queue_limit: GaugeVec = gauge(QUEUE_LIMIT),
    in_flight: GaugeVec = gauge(IN_FLIGHT),
    in_flight_limit: GaugeVec = gauge(IN_FLIGHT_LIMIT),
    oldest_in_flight: GaugeVec = gauge(OLDEST_IN_FLIGHT),
    model_loads: IntCounterVec = counter(MODEL_LOADS),
    model_load_duration: HistogramVec = histogram(MODEL_LOAD_DURATION),
    model_evictions: IntCounterVec = counter(MODEL_EVICTIONS),
    model_loaded: GaugeVec = gauge(MODEL_LOADED),
    models_loaded: GaugeVec = gauge(MODELS_LOADED),
    models_loaded_limit: GaugeVec = gauge(MODELS_LOADED_LIMIT),
    model_memory: GaugeVec = gauge(MODEL_MEMORY),
    routed: IntCounterVec = counter(ROUTED),
    fallbacks: IntCounterVec = counter(FALLBACKS),
    rejected: IntCounterVec = counter(REJECTED),
    upstream_responses: IntCounterVec = counter(UPSTREAM_RESPONSES),
    upstream_errors: IntCounterVec = counter(UPSTREAM_ERRORS),
    stream_aborted: IntCounterVec = counter(STREAM_ABORTED),
    client_disconnects: IntCounterVec = counter(CLIENT_DISCONNECTS),
    stream_bytes: IntCounterVec = counter(STREAM_BYTES),
    stream_flushes: IntCounterVec = counter(STREAM_FLUSHES),
    defaults_injected: IntCounterVec = counter(DEFAULTS_INJECTED),
    params_dropped: IntCounterVec = counter(PARAMS_DROPPED),
    engine_up: GaugeVec = gauge(ENGINE_UP),
    health_checks: IntCounterVec = counter(HEALTH_CHECKS),
    breaker_state: GaugeVec = gauge(BREAKER_STATE),
    engine_info: GaugeVec = gauge(ENGINE_INFO),
    connections_open: GaugeVec = gauge(CONNECTIONS_OPEN),
    connections_limit: GaugeVec = gauge(CONNECTIONS_LIMIT),
    connections_evicted: IntCounterVec = counter(CONNECTIONS_EVICTED),
    reload_success: GaugeVec = gauge(RELOAD_SUCCESS),
    reload_timestamp: GaugeVec = gauge(RELOAD_TIMESTAMP),
    reloads: IntCounterVec = counter(RELOADS),
    label_overflow: IntCounterVec = counter(LABEL_OVERFLOW),
    tuning_state: GaugeVec = gauge(TUNING_STATE),
    log_dropped: IntCounterVec = counter(LOG_DROPPED),
    build_info: GaugeVec = gauge(BUILD_INFO),
}

fn counter(registry: &Registry, family: &Family) -> prometheus::Result<IntCounterVec> {
    let opts = Opts::new(family.name, family.help);
    added(registry, IntCounterVec::new(opts, family.labels)?)
}

fn gauge(registry: &Registry, family: &Family) -> prometheus::Result<GaugeVec> {
    let opts = Opts::new(family.name, family.help);
    added(registry, GaugeVec::new(opts, family.labels)?)
}

fn histogram(registry: &Registry, family: &Family) -> prometheus::Result<HistogramVec> {
    let opts = HistogramOpts::new(family.name, family.help).buckets(family.buckets.to_vec());
    added(registry, HistogramVec::new(opts, family.labels)?)
}

fn added<C: Collector + Clone + 'static>(registry: &Registry, vector: C) -> prometheus::Result<C> {
    registry.register(Box::new(vector.clone()))?;
    Ok(vector)
}
