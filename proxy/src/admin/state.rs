//! `GET /crucible/state`: engines, pools, queue and the requests in flight at this moment.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use crucible_documents::{
    StateDoc, seconds,
    state::{InFlightDoc, InstanceDoc},
};
use crucible_router::view::View;
use tokio::time::Instant;

use super::prefixes;
use crate::{endpoint::Endpoint, reply, request::ActiveRequest, state::AppState};

pub(super) async fn state(State(app): State<AppState>) -> Response {
    reply::document(&now(&app))
}

/// The state of this moment.
pub(super) fn now(app: &AppState) -> StateDoc {
    let view = app.router.fresh_view();
    let now = Instant::now();
    let mut state = StateDoc::of(&view);
    state.instance = Some(InstanceDoc::new(env!("CARGO_PKG_VERSION"), app.started));
    for resident in state.pools.iter_mut().flat_map(|pool| &mut pool.residents) {
        resident.prompts = app.ledger.recent().of(&resident.engine, &resident.names);
    }
    state.prefixes = prefixes::shown(app);
    state.in_flight = app
        .active
        .all()
        .iter()
        .filter(|active| active.endpoint != Endpoint::Admin)
        .map(|active| in_flight(active, &view, now))
        .collect();
    state
}

fn in_flight(active: &ActiveRequest, view: &View, now: Instant) -> InFlightDoc {
    let record = active.facts();
    InFlightDoc {
        request_id: active.id.clone(),
        client: Some(record.client.as_str())
            .filter(|client| !client.is_empty())
            .map(Arc::from),
        engine: record.engine.clone(),
        model: record.model.clone(),
        reason: record.reason,
        phase: record.phase.as_str().to_owned(),
        since_s: seconds(now - active.started),
        tokens: active.tokens(),
        prefill: AppState::prefill(active, view, now),
    }
}
