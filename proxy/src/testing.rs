//! An application without sockets of its own, for tests of the stacks, and values that many tests need.

use std::{path::Path, sync::Arc, time::Duration};

use crucible_config::{ConfigFlags, ConfigSources, LiveConfig};
use crucible_router::{discovery, handle::RouterHandle, state_dir::StateDir};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    events::{self, LoggedObserver, Timeline},
    ledger::{LedgerSinks, RecentLoads},
    metrics::Metrics,
    state::AppState,
    upstream::Upstream,
    usage::PromptProgress,
};

/// An application that knows no engine and looks for none.
pub(crate) fn app_without_engines() -> AppState {
    app("")
}

/// An application with this configuration, to which a folder of state of its own is added. Its tasks
/// end with the runtime of the test.
pub(crate) fn app(toml: &str) -> AppState {
    let folder = tempfile::tempdir().unwrap().keep();
    let file = folder.join("crucible.toml");
    let state_dir = folder.join("state");
    std::fs::write(&file, format!("state_dir = {state_dir:?}\n{toml}")).unwrap();
    let sources = ConfigSources {
        file: Some(file),
        places: Vec::new(),
        environment: Vec::new(),
        flags: ConfigFlags::default(),
    };
    let (config, _) = LiveConfig::new(sources).unwrap();
    let current = config.current();
    let metrics = Metrics::new().unwrap();
    let (events, _) = events::configured(&current, &metrics);
    let observer = LoggedObserver {
        observer: metrics.clone(),
        events: events.clone(),
        last: Arc::new(RecentLoads::default()),
        timeline: Timeline::default(),
    };
    let source = config.clone();
    let router = RouterHandle::start(
        Arc::new(move || source.current()),
        Arc::new(StateDir::claim(&current.state_dir)),
        config.subscribe(),
        discovery::places(Path::new("/nowhere"), &[]),
        Arc::new(observer),
        &TaskTracker::new(),
        CancellationToken::new(),
    );
    AppState::new(
        config,
        router,
        metrics.clone(),
        Upstream::new(Duration::from_secs(2), metrics),
        CancellationToken::new(),
        CancellationToken::new(),
        LedgerSinks {
            events,
            ..LedgerSinks::default()
        },
    )
}

/// A number of seconds.
pub(crate) const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A report of an engine on how far it has read a prompt, in tokens and milliseconds.
pub(crate) const fn progress(
    total: u32,
    cached: u32,
    processed: u32,
    time_ms: u32,
) -> PromptProgress {
    PromptProgress {
        total,
        cached,
        processed,
        time_ms,
    }
}
