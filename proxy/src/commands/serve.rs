//! The command `crucible serve`, and the server that `crucible try` starts.

use std::{net::SocketAddr, thread, time::Duration};

use crucible_cli::{
    CommandFailure, CommonArgs, ServerLauncher, StartedServer, output::write_stdout, runtime,
    signals::InstanceSignals, sources,
};
use crucible_config::{LiveConfig, checked::LogSettings};
use tokio::{sync::oneshot, time::timeout};

use crate::{instance::Instance, server::descriptors, telemetry::Telemetry};

/// The longest time that the start waits for its lines on stdout to be read.
const WRITE_BUDGET: Duration = Duration::from_secs(1);

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
        let clients = instance.addrs().iter();
        let mut lines: Vec<_> = clients
            .map(|addr| format!("listening on http://{addr}"))
            .collect();
        let metrics = instance.metrics_addr();
        lines.extend(metrics.map(|addr| format!("metrics listening on http://{addr}")));
        write_unless_blocked(lines).await;
        Ok(instance)
    }
}

/// Writes lines to stdout and waits for that a short time only: a pipe that is full and that nobody reads
/// holds up neither requests nor signals.
async fn write_unless_blocked(lines: Vec<String>) {
    let (done, written) = oneshot::channel();
    let write = move || {
        for line in &lines {
            write_stdout(line);
        }
        // The start may have gone on without it.
        let _ = done.send(());
    };
    let writer = thread::Builder::new().name("stdout".to_owned());
    // A system that gives no thread has no place for the lines either.
    if writer.spawn(write).is_ok() {
        let _ = timeout(WRITE_BUDGET, written).await;
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
