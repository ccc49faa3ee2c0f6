//! Log lines on stderr: written by a thread of their own, dropped rather than waited for.
//!
//! A full disk, a closed pipe or a reader that sleeps must never hold up a request.

mod lines;
mod plain;

use std::io::{self, IsTerminal as _};

use crucible_config::checked::{Log, LogFormat};
use tracing_subscriber::{EnvFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _};

pub use lines::Dropped;

use self::{
    lines::{Flush, Lines},
    plain::Text,
};

/// Keeps the log thread alive; dropping it writes what is left.
pub struct Telemetry {
    _flush: Flush,
    dropped: Dropped,
}

// === impl Telemetry ===

impl Telemetry {
    /// Starts logging. A second call in one process leaves the first one's settings.
    ///
    /// Errors: the system has no thread left.
    pub fn start(log: &Log) -> io::Result<Self> {
        let (writer, flush) = Lines::start(io::stderr())?;
        let dropped = writer.dropped();
        let filter = EnvFilter::try_new(&log.level).unwrap_or_else(|_| EnvFilter::new("info"));
        let filtered = tracing_subscriber::registry().with(filter);
        let started = match log.format {
            LogFormat::Text => filtered
                .with(Text::new(writer, io::stderr().is_terminal()))
                .try_init(),
            LogFormat::Json => {
                let json = tracing_subscriber::fmt::layer().json().flatten_event(true);
                filtered
                    .with(json.with_target(false).with_writer(writer))
                    .try_init()
            }
        };
        if let Err(error) = started {
            tracing::debug!(%error, "logging was already started");
        }
        Ok(Self {
            _flush: flush,
            dropped,
        })
    }

    /// Lines that were dropped.
    pub fn dropped(&self) -> Dropped {
        self.dropped.clone()
    }
}
