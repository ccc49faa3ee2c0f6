//! `GET /crucible/tunings`: the 39 rows with what is known of them.
//!
//! Reading values back from engines comes with the verification of settings; what Crucible itself
//! enforces is told from its own state, and everything else says honestly that nobody looked.

use axum::{extract::State, response::Response};
use crucible_config::tuning::{self, State as RowState};
use serde_json::json;

use crate::app::{App, respond};

/// The evidence of a row that nobody has read back.
const NOT_READ: &str = "not read back yet";

pub(super) async fn tunings(State(app): State<App>) -> Response {
    let config = app.config.current();
    let mut report = tuning::report(&config);
    for row in &mut report.tunings {
        row.state = Some(RowState::Unverifiable);
        row.evidence = Some(NOT_READ.to_owned());
    }
    match serde_json::to_value(&report) {
        Ok(value) => respond::json(&value),
        Err(error) => respond::json(&json!({ "error": error.to_string() })),
    }
}
