//! `crucible serve`.

use crucible_config::{Live, checked::Log};
use tokio::runtime::{Builder, Runtime};

use super::{Common, Failure, output::say, sources};
use crate::{
    instance::Instance,
    server::descriptors,
    signals::Signals,
    telemetry::{Dropped, Telemetry},
};

pub(super) fn run(common: &Common) -> Result<(), Failure> {
    let config = sources::load_here(common)?;
    let current = config.current();
    let telemetry = prepare(&current.log, current.limits.connections)?;
    runtime()?.block_on(async {
        let signals = Signals::listen().map_err(|e| Failure::wrong(format!("signals: {e}")))?;
        let instance = start(config, telemetry.dropped()).await?;
        instance.run(signals).await;
        Ok(())
    })
}

/// What comes before a runtime: the descriptors, while there is only one thread, and the log.
pub(super) fn prepare(log: &Log, connections: usize) -> Result<Telemetry, Failure> {
    let reserved = descriptors::reserve(connections);
    let telemetry =
        Telemetry::start(log).map_err(|e| Failure::wrong(format!("no log thread: {e}")))?;
    if let Err(shortage) = reserved {
        tracing::warn!("{shortage}");
    }
    Ok(telemetry)
}

/// Starts an instance and says where it listens, on stdout, right after binding.
pub(super) async fn start(config: Live, log: Dropped) -> Result<Instance, Failure> {
    let instance = Instance::start(config, log)
        .await
        .map_err(|e| Failure::wrong(e.to_string()))?;
    for addr in instance.addrs() {
        say(&format!("listening on http://{addr}"));
    }
    if let Some(addr) = instance.metrics_addr() {
        say(&format!("metrics listening on http://{addr}"));
    }
    Ok(instance)
}

/// The runtime of every command that talks to engines.
pub(super) fn runtime() -> Result<Runtime, Failure> {
    Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::wrong(format!("no runtime: {e}")))
}
