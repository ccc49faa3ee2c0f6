//! `crucible serve`.

use crucible_config::Live;
use tokio::runtime::{Builder, Runtime};

use super::{Common, Failure, ServeArgs, output::say, sources};
use crate::{instance::Instance, signals::Signals, telemetry::Telemetry};

pub(super) fn run(common: &Common, args: &ServeArgs) -> Result<(), Failure> {
    let config = sources::load(common, args)?;
    let _telemetry = Telemetry::start(&config.current().log);
    runtime()?.block_on(async {
        let signals = Signals::listen().map_err(|e| Failure::wrong(format!("signals: {e}")))?;
        let instance = start(config).await?;
        instance.run(signals).await;
        Ok(())
    })
}

/// Starts an instance and says where it listens, on stdout, right after binding.
pub(super) async fn start(config: Live) -> Result<Instance, Failure> {
    let instance = Instance::start(config)
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

/// Task polls between two looks at the sockets.
const EVENT_INTERVAL: u32 = 16;

/// The runtime of every command that talks to engines.
pub(super) fn runtime() -> Result<Runtime, Failure> {
    Builder::new_multi_thread()
        // Streams that are always ready must not keep the others from their sockets: measured,
        // tokio's 61 polls between looks at the sockets are tens of milliseconds in a burst.
        .event_interval(EVENT_INTERVAL)
        .enable_all()
        .build()
        .map_err(|e| Failure::wrong(format!("no runtime: {e}")))
}
