//! Crucible's own log: lines on stderr, and one span per request that says which request a line
//! belongs to.
//!
//! [`Telemetry::start`] puts together tracing-subscriber's `fmt` layer, in the text form of
//! `text` or as JSON, a filter made of `log.level`, and a writer that never blocks: a full disk, a
//! closed pipe or a reader that sleeps costs lines, which are counted, and holds up no request.
//!
//! # The span of a request
//!
//! `request_span` is opened with the request's record and closed when that is written to the
//! metrics. While the answer is made, the span is entered, so that every line that is logged on the
//! way, also in the router or a library, names the request:
//!
//! ```text
//! 2026-11-28T12:00:00.000000Z  WARN attempt failed, the next candidate is tried engine=gpu id=req_1 endpoint="chat"
//! ```
//!
//! Its phases (`body`, `plan`, `permit`, `send`, `relay`) are spans of level DEBUG below it. With
//! `log.level = "debug"` each says when it ends how long it worked and how long it waited; at coarser
//! levels they do not exist and cost one relaxed load each.

mod stderr;
mod text;
pub(crate) mod trace_context;
mod writer;

use std::io::{self, IsTerminal as _};

use crucible_config::checked::{LogFormat, LogSettings};
use tracing::{Level, Metadata, Span};
use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, Targets, filter_fn},
    fmt::{
        self,
        format::{FmtSpan, JsonFields},
    },
    layer::SubscriberExt as _,
    registry,
    util::SubscriberInitExt as _,
};

pub use writer::LostLines;

use self::{
    text::{FieldsAtStart, TextFields, TextFormat},
    writer::{FlushOnDrop, LogWriter},
};
use crate::endpoint::Endpoint;

/// The targets of Crucible's own lines begin with this.
const OWN_TARGETS: &str = "crucible";

/// Keeps the log thread alive; when it is dropped, the lines that still wait are written.
pub struct Telemetry {
    _flush: FlushOnDrop,
    lost: LostLines,
}

/// The span of one request, which is entered while its answer is made.
pub(crate) fn request_span(id: &str, endpoint: Endpoint) -> Span {
    tracing::info_span!("request", id, endpoint = endpoint.as_str())
}

/// Whether a line may be written at any level that is asked for. Libraries dump what they send and
/// read at their finer levels (hyper whole bodies, tungstenite whole messages), with the keys and
/// prompts in it, so that only their lines from INFO up pass.
fn is_harmless(line: &Metadata<'_>) -> bool {
    line.target().starts_with(OWN_TARGETS) || *line.level() <= Level::INFO
}

/// The filter that `log.level` asks for: a level, or `TARGET=LEVEL`, or several of both with commas.
/// The configuration has checked it; what can still not be read counts as `info`.
fn targets(level: &str) -> Targets {
    let directives: Vec<_> = level.split(',').map(str::trim).collect();
    let targets = directives.join(",").parse();
    targets.unwrap_or_else(|_| Targets::new().with_default(LevelFilter::INFO))
}

// === impl Telemetry ===

impl Telemetry {
    /// Starts the log of this process. A second call in one process leaves the settings of the first.
    ///
    /// Errors: the system has no thread left.
    pub fn start(log: &LogSettings) -> io::Result<Self> {
        let (writer, flush) = if stderr::is_closed() {
            LogWriter::start(stderr::ClosedStderr)?
        } else {
            LogWriter::start(stderr::RawStderr)?
        };
        let lost = writer.lost();
        let targets = targets(&log.level);
        // Only DEBUG shows phases, and only then is it worth while to keep the time of a span.
        let ends = if targets.would_enable(module_path!(), &Level::DEBUG) {
            FmtSpan::CLOSE
        } else {
            FmtSpan::NONE
        };
        let layer = match log.format {
            LogFormat::Text => fmt::layer()
                .with_span_events(ends)
                .event_format(TextFormat)
                .fmt_fields(FieldsAtStart(TextFields))
                .with_ansi(io::stderr().is_terminal())
                .with_writer(writer)
                .boxed(),
            LogFormat::Json => fmt::layer()
                .json()
                .flatten_event(true)
                .with_target(false)
                .with_span_list(false)
                .fmt_fields(FieldsAtStart(JsonFields::new()))
                .with_span_events(ends)
                .with_writer(writer)
                .boxed(),
        };
        let started = registry()
            .with(targets)
            .with(filter_fn(is_harmless))
            .with(layer)
            .try_init();
        if let Err(error) = started {
            tracing::debug!(%error, "logging was already started");
        }
        Ok(Self {
            _flush: flush,
            lost,
        })
    }

    /// The count of lines that were lost.
    pub fn lost(&self) -> LostLines {
        self.lost.clone()
    }
}

#[cfg(test)]
mod tests;
