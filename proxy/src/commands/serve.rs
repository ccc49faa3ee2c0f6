//! `crucible serve`, and the server that `crucible try` starts.

use std::net::SocketAddr;

use crucible_cli::{
    CommandFailure, CommonArgs, ServerLauncher, StartedServer, output::say, runtime,
    signals::Signals, sources,
};
use crucible_config::{Live, checked::LogSettings};

use crate::{instance::Instance, server::descriptors, telemetry::Telemetry};

/// Starts a server in a process that was prepared for it; dropping it writes what is left of the log.
pub(super) struct Launcher {
    telemetry: Telemetry,
}

pub(super) fn run(common: &CommonArgs) -> Result<(), CommandFailure> {
    let config = sources::load_here(common)?;
    let current = config.current();
    let launcher = Launcher::prepare(&current.log, current.limits.connections)?;
    runtime()?.block_on(async {
        let signals =
            Signals::listen().map_err(|e| CommandFailure::wrong(format!("signals: {e}")))?;
        let instance = launcher.start(config).await?;
        instance.run(signals).await;
        Ok(())
    })
}

// === impl Launcher ===

impl Launcher {
    /// Reserves file descriptors for that many connections while there is only one thread, and starts
    /// the log; both must come before a runtime.
    pub(super) fn prepare(log: &LogSettings, connections: usize) -> Result<Self, CommandFailure> {
        let reserved = descriptors::reserve(connections);
        let telemetry = Telemetry::start(log)
            .map_err(|e| CommandFailure::wrong(format!("no log thread: {e}")))?;
        if let Err(shortage) = reserved {
            tracing::warn!("{shortage}");
        }
        Ok(Self { telemetry })
    }
}

impl ServerLauncher for Launcher {
    type Server = Instance;

    /// Starts an instance and says where it listens, on stdout, right after binding.
    async fn start(&self, config: Live) -> Result<Instance, CommandFailure> {
        let instance = Instance::start(config, self.telemetry.lost())
            .await
            .map_err(|e| CommandFailure::wrong(e.to_string()))?;
        for addr in instance.addrs() {
            say(&format!("listening on http://{addr}"));
        }
        if let Some(addr) = instance.metrics_addr() {
            say(&format!("metrics listening on http://{addr}"));
        }
        Ok(instance)
    }
}

// === impl Instance ===

impl StartedServer for Instance {
    fn addrs(&self) -> &[SocketAddr] {
        self.addrs()
    }

    async fn run(self, signals: Signals) {
        self.run(signals).await;
    }

    async fn end(self) {
        self.end().await;
    }
}
