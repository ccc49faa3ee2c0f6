//! The command `crucible serve`, and the server that `crucible try` starts.

use std::net::SocketAddr;

use crucible_cli::{
    CommandFailure, CommonArgs, ServerLauncher, StartedServer, output::write_stdout, runtime,
    signals::InstanceSignals, sources,
};
use crucible_config::{LiveConfig, checked::LogSettings};

use crate::{instance::Instance, server::descriptors, telemetry::Telemetry};

/// The launcher of a server in a process that was prepared for it. Dropping it writes the rest of
/// the log.
pub(super) struct InstanceLauncher {
    telemetry: Telemetry,
}

/// Runs `crucible serve` until a signal ends it. The error is a configuration or an address that
/// cannot be used.
pub(super) fn run(common: &CommonArgs) -> Result<(), CommandFailure> {
    let config = sources::load_here(common)?;
    let current = config.current();
    let launcher = InstanceLauncher::prepare(&current.log, current.limits.connections)?;
    runtime()?.block_on(async {
        let signals = InstanceSignals::listen()
            .map_err(|e| CommandFailure::wrong(format!("signals: {e}")))?;
        let instance = launcher.start(config).await?;
        instance.run(signals).await;
        Ok(())
    })
}

// === impl InstanceLauncher ===

impl InstanceLauncher {
    /// Reserves file descriptors for that many connections and starts the log. Both must happen
    /// while there is only one thread, so before a runtime.
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

impl ServerLauncher for InstanceLauncher {
    type Server = Instance;

    /// Starts an instance and, right after binding, writes the addresses at which it listens to
    /// stdout.
    async fn start(&self, config: LiveConfig) -> Result<Instance, CommandFailure> {
        let instance = Instance::start(config, self.telemetry.lost())
            .await
            .map_err(|e| CommandFailure::wrong(e.to_string()))?;
        for addr in instance.addrs() {
            write_stdout(&format!("listening on http://{addr}"));
        }
        if let Some(addr) = instance.metrics_addr() {
            write_stdout(&format!("metrics listening on http://{addr}"));
        }
        Ok(instance)
    }
}

// === impl Instance ===

impl StartedServer for Instance {
    fn addrs(&self) -> &[SocketAddr] {
        self.addrs()
    }

    async fn run(self, signals: InstanceSignals) {
        self.run(signals).await;
    }

    async fn end(self) {
        self.end().await;
    }
}
