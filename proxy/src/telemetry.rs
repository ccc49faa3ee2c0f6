//! Log lines on stderr: written by a thread of their own, dropped rather than waited for.
//!
//! A full disk, a closed pipe or a reader that sleeps must never hold up a request.

use std::io::{self, IsTerminal as _};

use crucible_config::checked::{Log, LogFormat};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

/// Lines that may wait for stderr before new ones are dropped.
const LINES: usize = 16_384;

/// Keeps the log thread alive; dropping it writes what is left.
pub struct Telemetry {
    _worker: WorkerGuard,
    dropped: ErrorCounter,
}

// === impl Telemetry ===

impl Telemetry {
    /// Starts logging. A second call in one process leaves the first one's settings.
    pub fn start(log: &Log) -> Self {
        let (writer, worker) = NonBlockingBuilder::default()
            .buffered_lines_limit(LINES)
            .lossy(true)
            .thread_name("log")
            .finish(io::stderr());
        let dropped = writer.error_counter();
        let filter = EnvFilter::try_new(&log.level).unwrap_or_else(|_| EnvFilter::new("info"));
        let builder = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(writer)
            .with_target(false);
        let started = match log.format {
            LogFormat::Text => builder.with_ansi(io::stderr().is_terminal()).try_init(),
            LogFormat::Json => builder.json().flatten_event(true).try_init(),
        };
        if let Err(error) = started {
            tracing::debug!(%error, "logging was already started");
        }
        Self {
            _worker: worker,
            dropped,
        }
    }

    /// Lines dropped so far.
    pub fn dropped(&self) -> ErrorCounter {
        self.dropped.clone()
    }
}
