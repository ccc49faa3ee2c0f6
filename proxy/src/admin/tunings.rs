//! `GET /crucible/tunings`: the 39 rows as they are found on the engines at this moment.

use std::{path::Path, sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use crucible_config::tuning::TuningReport;
use crucible_router::verify::{self, Remark, probe};
use serde::Serialize;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    reply::{self, or_refuse},
    state::AppState,
};

/// Between two looks for the metric.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// The rows, and what else should be known.
#[derive(Debug, Serialize)]
pub(crate) struct Verified {
    #[serde(flatten)]
    pub(crate) report: TuningReport,
    pub(crate) findings: Vec<Remark>,
}

/// Asks the engines first, for at most 2 s.
pub(super) async fn tunings(State(app): State<AppState>) -> Response {
    app.router.ask_again().await;
    let verified = look(&app).await;
    or_refuse(
        serde_json::to_value(&verified)
            .map(|value| reply::json(&value))
            .map_err(|e| crate::error::Error::new(crate::error::Kind::Internal, e.to_string())),
    )
}

/// Keeps `crucible_tuning_state` up to date until `stop`.
pub(crate) async fn watch(app: AppState, stop: CancellationToken) {
    let looking = async {
        app.router.settled().await;
        loop {
            look(&app).await;
            sleep(LOOK_EVERY).await;
        }
    };
    // Nothing is left behind by a look that was cut short.
    let _: Option<()> = stop.run_until_cancelled(looking).await;
}

/// What is known now; the metric follows.
async fn look(app: &AppState) -> Verified {
    let counters = app.metrics.counters();
    let config = app.config.current();
    let probes = probe::load(&config.state_dir);
    *app.probes.write() = Arc::new(probes.clone());
    let evidence = app
        .router
        .evidence(Path::new("/"), config, Some(counters), probes)
        .await;
    let verified = Verified {
        report: verify::verified(&evidence),
        findings: verify::remarks(&evidence),
    };
    app.metrics.settings(&verified.report);
    verified
}
