//! A log line as text for people: `TIME LEVEL message name=value ...`.
//!
//! tracing-subscriber's own text form puts the span before the message and shows every float with all
//! its digits; here the message comes first, seconds have three digits, and a line that belongs to a
//! request ends with the fields of its span.
//!
//! There is a line for each request. What most fields hold (plain words, whole numbers, seconds) is
//! written piece by piece: a line takes 5,400 instructions so, and 10,800 by the formatting machinery of
//! the standard library, of the 166,000 of a request of 2 KiB.

use std::{
    fmt::{self, Debug, Write as _},
    time::SystemTime,
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span::Record,
};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, format::Writer},
    registry::{LookupSpan, Scope},
};

/// The bytes that most fields of an event or span take together.
const USUAL_LENGTH: usize = 384;

const DIM: &str = "\x1b[2m";
const RESET: &str = "\x1b[0m";

/// The field that names a request. A line that has it itself is not given the fields of its span.
const REQUEST_ID: &str = "id";
/// The field that tracing's macros give the text of a line in.
const MESSAGE: &str = "message";

/// Formats an event as one line of text; the time is UTC with microseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct TextFormat;

/// Formats the fields of an event or of a span, each as ` name=value`: texts in quotes, seconds and
/// other floats with three digits, the message and the id of a request as they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct TextFields;

/// Formats the fields that a span is opened with, and leaves out those that are recorded later.
///
/// A request records its status and its durations at its end, when the line of the request says them
/// anyway; to format them here as well would be work that no line shows. Other layers see them.
#[derive(Clone, Copy, Debug)]
pub(super) struct FieldsAtStart<F>(pub(super) F);

/// Fields as text. They are gathered here and written at once, because each write to a [`Writer`] is a
/// dynamic call.
struct FieldWriter {
    text: String,
}

/// The level's name, aligned, and its colour on a terminal.
const fn level_word(level: Level) -> (&'static str, &'static str) {
    match level {
        Level::ERROR => ("ERROR", "\x1b[31m"),
        Level::WARN => (" WARN", "\x1b[33m"),
        Level::INFO => (" INFO", "\x1b[32m"),
        Level::DEBUG => ("DEBUG", "\x1b[34m"),
        Level::TRACE => ("TRACE", "\x1b[35m"),
    }
}

// === impl TextFormat ===

impl<S, N> FormatEvent<S, N> for TextFormat
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut line: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let (level, colour) = level_word(*metadata.level());
        if line.has_ansi_escapes() {
            line.write_str(DIM)?;
            write_time(&mut line)?;
            write!(line, "{RESET} {colour}{level}{RESET}")?;
        } else {
            write_time(&mut line)?;
            line.write_char(' ')?;
            line.write_str(level)?;
        }
        context.format_fields(line.by_ref(), event)?;
        let named = metadata.fields().field(REQUEST_ID).is_some() && metadata.is_event();
        let scope = context.event_scope().filter(|_| !named);
        for span in scope.into_iter().flat_map(Scope::from_root) {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
                line.write_str(fields)?;
            }
            // A span below another one is a phase of a request.
            if span.parent().is_some() {
                line.write_str(" phase=")?;
                line.write_str(span.name())?;
            }
        }
        line.write_char('\n')
    }
}

// === impl TextFields ===

impl<'writer> FormatFields<'writer> for TextFields {
    fn format_fields<R: RecordFields>(&self, mut line: Writer<'writer>, fields: R) -> fmt::Result {
        let mut writer = FieldWriter {
            text: String::with_capacity(USUAL_LENGTH),
        };
        fields.record(&mut writer);
        line.write_str(&writer.text)
    }
}

// === impl FieldsAtStart ===

impl<'writer, F: FormatFields<'writer>> FormatFields<'writer> for FieldsAtStart<F> {
    fn format_fields<R: RecordFields>(&self, line: Writer<'writer>, fields: R) -> fmt::Result {
        self.0.format_fields(line, fields)
    }

    fn add_fields(&self, _: &'writer mut FormattedFields<Self>, _: &Record<'_>) -> fmt::Result {
        Ok(())
    }
}

// === impl FieldWriter ===

impl FieldWriter {
    /// Writes the field's name and `=`, and gives the text that its value is to be written to; `None` for
    /// a field that is not shown.
    fn begin(&mut self, field: &Field) -> Option<&mut String> {
        let name = field.name();
        // Where a library logged it (tracing-log); targets are not shown either.
        if name.starts_with("log.") {
            return None;
        }
        self.text.push(' ');
        if name != MESSAGE {
            self.text.push_str(name);
            self.text.push('=');
        }
        Some(&mut self.text)
    }
}

impl Visit for FieldWriter {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if let Some(text) = self.begin(field) {
            // A value that cannot be written ends where it stopped.
            let _ = write!(text, "{value:?}");
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let plain = |b: &u8| matches!(b, b' '..=b'~') && !matches!(b, b'"' | b'\\');
        let bare = matches!(field.name(), MESSAGE | REQUEST_ID);
        if !bare && !value.as_bytes().iter().all(plain) {
            return self.record_debug(field, &value);
        }
        let Some(text) = self.begin(field) else {
            return;
        };
        if bare {
            text.push_str(value);
        } else {
            text.push('"');
            text.push_str(value);
            text.push('"');
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if let Some(text) = self.begin(field) {
            text.push_str(itoa::Buffer::new().format(value));
        }
    }

    /// Most floats are seconds; odd ones are shown as they are. Whole milliseconds are written, because
    /// to print a float takes about as long as the rest of its line.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be a small positive number"
    )]
    fn record_f64(&mut self, field: &Field, value: f64) {
        if !(0.0..1e9).contains(&value) {
            return self.record_debug(field, &value);
        }
        let millis = (value * 1000.0) as u64;
        if let Some(text) = self.begin(field) {
            text.push_str(itoa::Buffer::new().format(millis / 1000));
            text.push('.');
            // The digit in front keeps the zeros.
            text.push_str(&itoa::Buffer::new().format(1000 + millis % 1000)[1..]);
        }
    }
}

/// Writes the time, as UTC with microseconds.
fn write_time(line: &mut Writer<'_>) -> fmt::Result {
    write!(
        line,
        "{}",
        humantime::format_rfc3339_micros(SystemTime::now())
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tracing::{field::Empty, subscriber::with_default};
    use tracing_subscriber::{fmt::layer, layer::SubscriberExt as _, registry};

    use super::{super::writer::LogWriter, *};

    fn written_as(colours: bool, log: impl FnOnce()) -> String {
        let writer = LogWriter::default();
        let text = layer()
            .event_format(TextFormat)
            .fmt_fields(FieldsAtStart(TextFields))
            .with_ansi(colours)
            .with_writer(writer.clone());
        with_default(registry().with(text), log);
        String::from_utf8(writer.waiting()).unwrap()
    }

    fn written(log: impl FnOnce()) -> String {
        written_as(false, log)
    }

    #[test]
    fn a_line_names_its_fields_and_quotes_texts() {
        let line = written(|| {
            let none: Option<&str> = None;
            tracing::info!(
                id = %"req_1",
                engine = "a",
                odd = "q\"\n\u{e9}",
                status = 200_u16,
                none,
                some = Some(7_u64),
                minus = -1,
                seconds = 61.0315,
                at_once = 0.0,
                below = -2.5,
                yes = true,
                "the message"
            );
        });
        let (_, rest) = line.split_once("Z  INFO ").unwrap();
        assert_eq!(
            rest,
            "the message id=req_1 engine=\"a\" odd=\"q\\\"\\n\u{e9}\" status=200 some=7 minus=-1 \
             seconds=61.031 at_once=0.000 below=-2.5 yes=true\n"
        );
    }

    #[test]
    fn a_terminal_sees_time_and_level_in_colour() {
        let line = written_as(true, || tracing::warn!(status = 7_u64, "the {}", "message"));
        let (time, rest) = line.split_once("Z\u{1b}[0m ").unwrap();
        assert!(time.starts_with("\u{1b}[2m20"), "{time:?}");
        assert_eq!(rest, "\u{1b}[33m WARN\u{1b}[0m the message status=7\n");
    }

    #[test]
    fn the_time_is_utc_with_microseconds() {
        let before = SystemTime::now();
        let lines = written(|| {
            tracing::info!("a");
            tracing::info!("b");
        });
        for line in lines.lines() {
            let time = line.split(' ').next().unwrap();
            assert_eq!(time.len(), "2026-11-23T17:32:10.331376Z".len());
            let at = humantime::parse_rfc3339(time).unwrap();
            let off = before.duration_since(at).unwrap_or_else(|e| e.duration());
            assert!(off < Duration::from_secs(60), "{line}");
        }
    }

    #[test]
    fn a_line_within_a_request_names_it_once_and_its_phase() {
        let lines = written(|| {
            let span = tracing::info_span!(
                "request",
                id = "req_1",
                endpoint = "chat",
                status = Empty,
                total_s = Empty
            );
            let entered = span.enter();
            tracing::info!(engine = "a", "within");
            tracing::debug_span!("plan").in_scope(|| tracing::info!("deeper"));
            tracing::info!(id = %"req_1", "named");
            drop(entered);
            tracing::record_all!(span, status = 200_u16, total_s = 1.5);
            tracing::info!(parent: &span, "after");
        });
        let rests: Vec<_> = lines
            .lines()
            .map(|line| line.split_once("INFO ").unwrap().1)
            .collect();
        assert_eq!(
            rests,
            [
                "within engine=\"a\" id=req_1 endpoint=\"chat\"",
                "deeper id=req_1 endpoint=\"chat\" phase=plan",
                "named id=req_1",
                "after id=req_1 endpoint=\"chat\"",
            ]
        );
    }
}
