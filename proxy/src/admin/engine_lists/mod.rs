//! The lists and descriptions in the engines' own formats, over the models of all engines: what clients of
//! Ollama and LM Studio read before they ask a model.

mod at_length;
mod body;
mod listed_now;
mod lmstudio;
mod ollama;
mod pull;

use axum::{
    Router as Routes,
    routing::{get, post},
};

use crate::state::AppState;

/// The paths of the main listener that list and describe models.
pub(super) fn paths() -> Routes<AppState> {
    Routes::new()
        .route("/api/tags", get(ollama::tags))
        .route("/api/show", post(ollama::show))
        .route("/api/ps", get(ollama::processes))
        .route("/api/version", get(ollama::version))
        .route("/api/status", get(ollama::status))
        .route("/api/pull", post(pull::handle))
        .route("/api/v0/models", get(lmstudio::v0_list))
        .route("/api/v0/models/{*id}", get(lmstudio::v0_one))
        .route("/api/v1/models", get(lmstudio::v1_list))
        .route("/api/v1/models/{*id}", get(lmstudio::v1_one))
}
