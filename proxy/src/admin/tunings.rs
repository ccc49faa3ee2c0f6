//! `GET /crucible/tunings`: the 39 rows as they are found on the engines at this moment.

use std::{path::Path, sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use crucible_documents::VerifiedDoc;
use crucible_router::verify::{self, probe};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::prefixes;
use crate::{reply, state::AppState};

/// The time between two looks for the metric.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Answers with the rows as they are after the engines were asked, which takes at most 2 s.
pub(super) async fn tunings(State(app): State<AppState>) -> Response {
    app.router.ask_again().await;
    reply::document(&look(&app).await)
}

/// Keeps the metric `crucible_tuning_state` up to date until `stop` is cancelled.
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

/// Verifies all rows by what is known now, and sets the metric.
async fn look(app: &AppState) -> VerifiedDoc {
    let counters = app.metrics.counters();
    let config = app.config.current();
    let probes = probe::load(&config.state_dir);
    *app.probes.write() = Arc::new(probes.clone());
    let evidence = app
        .router
        .evidence(Path::new("/"), config, Some(counters), probes)
        .await;
    let report = verify::verified(&evidence);
    app.metrics.settings(&report);
    let mut verified = VerifiedDoc::new(report, verify::engine_faults(&evidence));
    verified.findings.extend(prefixes::findings(app));
    verified
}
