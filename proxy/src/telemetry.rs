//! Log lines on stderr: written by a thread of their own, dropped rather than waited for.
//!
//! A full disk, a closed pipe or a reader that sleeps must never hold up a request.

mod lines;
mod plain;
mod sink;

use std::io::{self, IsTerminal as _};

use crucible_config::checked::{Log, LogFormat};
use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter, filter::filter_fn, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

pub use lines::Dropped;

use self::{
    lines::{Flush, Lines},
    plain::Text,
};

/// Begins the targets of Crucible's own lines.
const OWN: &str = "crucible";

/// Whether a line may be written at any level that is asked for. Libraries dump what they send and
/// read at their finer levels (hyper whole bodies, tungstenite whole messages), keys and prompts with
/// it, so only their plain words pass.
fn is_harmless(line: &Metadata<'_>) -> bool {
    line.target().starts_with(OWN) || *line.level() <= Level::INFO
}

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
        let (writer, flush) = if sink::is_closed() {
            Lines::start(sink::Nowhere)?
        } else {
            Lines::start(sink::Stderr)?
        };
        let dropped = writer.dropped();
        let filter = EnvFilter::try_new(&log.level).unwrap_or_else(|_| EnvFilter::new("info"));
        let filtered = tracing_subscriber::registry()
            .with(filter)
            .with(filter_fn(is_harmless));
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
