//! Log lines on stderr: written by a thread of their own, dropped rather than waited for.
//!
//! A full disk, a closed pipe or a reader that sleeps must never hold up a request.

mod lines;

use std::{
    fmt,
    io::{self, IsTerminal as _},
};

use crucible_config::checked::{Log, LogFormat};
use tracing::field::Field;
use tracing_subscriber::{
    EnvFilter,
    field::MakeExt as _,
    fmt::format::{Writer, debug_fn},
};

pub use lines::Dropped;

use self::lines::{Flush, Lines};

/// Keeps the log thread alive; dropping it writes what is left.
pub struct Telemetry {
    _flush: Flush,
    dropped: Dropped,
}

/// `name=value`; the message alone.
fn plain(to: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    match field.name() {
        "message" => write!(to, "{value:?}"),
        name => {
            to.write_str(name)?;
            write!(to, "={value:?}")
        }
    }
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
        let builder = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(writer)
            .with_target(false);
        let started = match log.format {
            // A line a request: the plain form costs a third of the one that styles each field.
            LogFormat::Text => builder
                .with_ansi(io::stderr().is_terminal())
                .fmt_fields(debug_fn(plain).delimited(" "))
                .try_init(),
            LogFormat::Json => builder.json().flatten_event(true).try_init(),
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
