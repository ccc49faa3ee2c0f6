//! A command's own look at the engines, for the case that no instance is running.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crucible_config::{Config, LiveConfig};
use crucible_router::{discovery, event::Silent, handle::RouterHandle, state_dir::StateDir};
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::CommandFailure;

/// The longest wait for the engines' lists of models.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// Asks the engines of the configuration what they have, for a command that finds no running instance.
///
/// A router of the command's own asks each engine once, loads and unloads nothing, and keeps no state.
/// Once each has answered or failed, or after 5 seconds, `question` is called with that router and its
/// answer is returned.
///
/// # Errors
/// The router cannot start.
pub async fn look<T>(
    config: &LiveConfig,
    question: impl AsyncFnOnce(&RouterHandle) -> T,
) -> Result<T, CommandFailure> {
    look_as(config, (*config.current()).clone(), question).await
}

/// Does the same as [`look`], with `source` in place of the configuration in force.
pub(crate) async fn look_as<T>(
    config: &LiveConfig,
    mut source: Config,
    question: impl AsyncFnOnce(&RouterHandle) -> T,
) -> Result<T, CommandFailure> {
    let tracker = TaskTracker::new();
    let cancel = CancellationToken::new();
    // Nothing is warmed, and what a running instance loaded stays its own.
    source.tuning.lmstudio.model_warmup = false;
    source.state_dir = PathBuf::new();
    let source = Arc::new(source);
    let router = RouterHandle::start(
        Arc::new(move || Arc::clone(&source)),
        Arc::new(StateDir::claim(Path::new(""))),
        config.subscribe(),
        // There an instance may run.
        discovery::places(Path::new("/"), &config.current().listen),
        Arc::new(Silent),
        &tracker,
        cancel.clone(),
    );
    router.recall(&config.current().state_dir);
    router.recall_contexts(&config.current().state_dir);
    // What has not answered by then shows as unknown.
    let _ = timeout(LOOK_TIMEOUT, router.settled()).await;
    router.fresh_view();
    let answer = question(&router).await;
    cancel.cancel();
    tracker.close();
    let _ = timeout(LOOK_TIMEOUT, tracker.wait()).await;
    Ok(answer)
}
