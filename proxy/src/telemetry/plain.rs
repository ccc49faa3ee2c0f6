//! A log line as text: `time LEVEL message name=value ...`.
//!
//! There is one for each request. It reads as tracing-subscriber's own form does, which goes
//! through the formatting machinery of the standard library for each field and each digit.

use std::{
    fmt::Debug,
    io::Write as _,
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::layer::{Context, Layer};

use super::lines::Lines;

/// Room for most lines.
const ROOM: usize = 512;

const DIM: &[u8] = b"\x1b[2m";
const PLAIN: &[u8] = b"\x1b[0m";

/// Writes each event as a line.
#[derive(Debug)]
pub(super) struct Text {
    lines: Lines,
    clock: Clock,
    colours: bool,
}

/// UTC with microseconds; what changes once a second is written once a second.
#[derive(Debug, Default)]
struct Clock(Mutex<Second>);

#[derive(Debug, Default)]
struct Second {
    since_1970: Option<u64>,
    /// Up to the dot before the fraction.
    text: String,
}

struct Line(Vec<u8>);

/// The level's name and, on a terminal, its colour.
const fn level(of: Level) -> (&'static [u8], &'static [u8]) {
    match of {
        Level::ERROR => (b"ERROR", b"\x1b[31m"),
        Level::WARN => (b" WARN", b"\x1b[33m"),
        Level::INFO => (b" INFO", b"\x1b[32m"),
        Level::DEBUG => (b"DEBUG", b"\x1b[34m"),
        Level::TRACE => (b"TRACE", b"\x1b[35m"),
    }
}

// === impl Text ===

impl Text {
    pub(super) fn new(lines: Lines, colours: bool) -> Self {
        Self {
            lines,
            clock: Clock::default(),
            colours,
        }
    }

    fn coloured(&self, line: &mut Line, colour: &[u8], write: impl FnOnce(&mut Line)) {
        if self.colours {
            line.put(colour);
        }
        write(line);
        if self.colours {
            line.put(PLAIN);
        }
    }
}

impl<S: Subscriber> Layer<S> for Text {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line(Vec::with_capacity(ROOM));
        self.coloured(&mut line, DIM, |line| self.clock.write(line));
        line.put(b" ");
        let (name, colour) = level(*event.metadata().level());
        self.coloured(&mut line, colour, |line| line.put(name));
        event.record(&mut line);
        line.put(b"\n");
        // It takes a line whole or drops it.
        let _ = (&self.lines).write(&line.0);
    }
}

// === impl Line ===

impl Line {
    fn put(&mut self, text: &[u8]) {
        self.0.extend_from_slice(text);
    }

    fn put_number(&mut self, number: u64) {
        self.put(itoa::Buffer::new().format(number).as_bytes());
    }

    /// The digits behind a point; `one` is what they are parts of, and in front of them it keeps
    /// their zeros.
    fn put_parts(&mut self, one: u32, parts: u32) {
        self.put(b".");
        self.put(&itoa::Buffer::new().format(one + parts).as_bytes()[1..]);
    }

    /// A field's name, if it has one to show; gives whether its value is shown.
    fn begin(&mut self, field: &Field) -> bool {
        let name = field.name();
        // Where a library logged it (tracing-log); targets are not shown either.
        if name.starts_with("log.") {
            return false;
        }
        self.put(b" ");
        if name != "message" {
            self.put(name.as_bytes());
            self.put(b"=");
        }
        true
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if self.begin(field) {
            // A vector takes everything.
            let _ = write!(self.0, "{value:?}");
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let plain = |b: &u8| matches!(b, b' '..=b'~') && !matches!(b, b'"' | b'\\');
        if field.name() != "message" && !value.as_bytes().iter().all(plain) {
            return self.record_debug(field, &value);
        }
        if self.begin(field) {
            let quote: &[u8] = if field.name() == "message" {
                b""
            } else {
                b"\""
            };
            self.put(quote);
            self.put(value.as_bytes());
            self.put(quote);
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if self.begin(field) {
            self.put_number(value);
        }
    }

    /// With three digits: all of them are seconds.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be a small positive number"
    )]
    fn record_f64(&mut self, field: &Field, value: f64) {
        if !(0.0..1e9).contains(&value) {
            return self.record_debug(field, &value);
        }
        if self.begin(field) {
            let millis = (value * 1000.0) as u64;
            self.put_number(millis / 1000);
            self.put_parts(1000, (millis % 1000) as u32);
        }
    }
}

// === impl Clock ===

impl Clock {
    fn write(&self, line: &mut Line) {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        let mut second = self.0.lock();
        if second.since_1970 != Some(now.as_secs()) {
            let whole = SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs());
            let text = humantime::format_rfc3339_seconds(whole).to_string();
            *second = Second {
                since_1970: Some(now.as_secs()),
                text: text.trim_end_matches('Z').to_owned(),
            };
        }
        line.put(second.text.as_bytes());
        drop(second);
        line.put_parts(1_000_000, now.subsec_micros());
        line.put(b"Z");
    }
}

#[cfg(test)]
mod tests {
    use tracing::subscriber::with_default;
    use tracing_subscriber::{layer::SubscriberExt as _, registry};

    use super::*;

    fn written_as(colours: bool, log: impl FnOnce()) -> String {
        let lines = Lines::default();
        let subscriber = registry().with(Text::new(lines.clone(), colours));
        with_default(subscriber, log);
        String::from_utf8(lines.waiting()).unwrap()
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
}
