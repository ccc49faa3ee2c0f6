//! Crucible's own pages: health, metrics, models, state, explain, tunings and the page for a
//! browser.

pub(crate) mod endpoints;
mod engine_lists;
mod explain;
mod health;
mod inspect;
pub(crate) mod live;
mod metrics;
mod models;
mod page;
mod prefixes;
mod refused;
mod state;
pub(crate) mod tunings;

use axum::{
    Router as Routes,
    routing::{any, get, post},
};

pub(crate) use explain::explain;

use crate::state::AppState;

/// The paths of the main listener.
pub(crate) fn paths() -> Routes<AppState> {
    Routes::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/health", get(health::llamacpp))
        .route("/metrics", get(metrics::scrape))
        .route("/crucible/state", get(state::state))
        .route("/crucible/events", get(live::events))
        .route("/crucible/tunings", get(tunings::tunings))
        .route("/crucible/explain", post(explain::handle))
        .route(
            "/crucible/inspect",
            get(inspect::list)
                .post(inspect::switch)
                .delete(inspect::off),
        )
        .route("/crucible/inspect/{*id}", get(inspect::one))
        .route("/v1/models", get(models::list))
        .route("/v1/models/sse", any(endpoints::unknown_path))
        .route("/v1/models/{*id}", get(models::one))
        .route("/", get(page::page))
        .route("/crucible/page/{part}", get(page::part))
        .merge(engine_lists::paths())
}

/// The paths of `metrics_listen`: those that a scraper and a person need, and none that answers
/// prompts.
pub(crate) fn metrics_paths() -> Routes<AppState> {
    Routes::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::scrape))
        .route("/crucible/state", get(state::state))
        .route("/crucible/events", get(live::events_without_inspector))
        .route("/crucible/tunings", get(tunings::tunings))
        .route("/crucible/page/{part}", get(page::part))
        .route("/", get(page::page_without_prompts))
}
