//! The tasks of an instance, and what ends them.

use std::sync::Arc;

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    admin::{live, tunings},
    pipeline::prompt_watch,
    state::AppState,
};

/// The tasks of an instance, and the tokens that end them, in the order of the drain.
#[derive(Default)]
pub(super) struct InstanceTasks {
    /// One task for each connection of a client.
    pub(super) connections: TaskTracker,
    pub(super) background: TaskTracker,
    /// Nothing new is accepted.
    pub(super) stop: CancellationToken,
    /// Streams end with an error.
    pub(super) ending: CancellationToken,
    /// Connections are cut.
    pub(super) kill: CancellationToken,
    /// The router and the tasks in the background end.
    pub(super) router: CancellationToken,
}

// === impl InstanceTasks ===

impl InstanceTasks {
    /// Starts the tasks that look after the state while it is served.
    pub(super) fn watch_over(&self, app: &AppState) {
        let (background, stop) = (&self.background, &self.router);
        background.spawn(prompt_watch::run(app.clone(), stop.clone()));
        background.spawn(live::run(app.clone(), stop.clone()));
        background.spawn(app.inspector.clone().run(stop.clone()));
        background.spawn(tunings::watch(app.clone(), stop.clone()));
        background.spawn(Arc::clone(&app.ledger).run(stop.clone()));
    }
}
