//! A log line as text: `time LEVEL message name=value ...`.
//!
//! There is one for each request. It reads as tracing-subscriber's own form does, which goes
//! through the formatting machinery of the standard library for each field and each digit.

use std::{
    fmt::{self, Debug},
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{FormatFields, format::Writer, time::FormatTime},
};

/// Fields of events and spans.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields;

/// UTC with microseconds; what changes once a second is written once a second.
#[derive(Debug, Default)]
pub(super) struct Clock(Mutex<Second>);

#[derive(Debug, Default)]
struct Second {
    since_1970: Option<u64>,
    /// Up to the dot before the fraction.
    text: String,
}

struct Names<'a, 'w> {
    to: &'a mut Writer<'w>,
    first: bool,
    result: fmt::Result,
}

// === impl Fields ===

impl<'w> FormatFields<'w> for Fields {
    fn format_fields<R: RecordFields>(&self, mut to: Writer<'w>, fields: R) -> fmt::Result {
        let mut names = Names {
            to: &mut to,
            first: true,
            result: Ok(()),
        };
        fields.record(&mut names);
        names.result
    }
}

// === impl Names ===

impl Names<'_, '_> {
    fn put(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        if self.result.is_ok() {
            self.result = self.begin(field.name()).and_then(|()| value(self.to));
        }
    }

    fn begin(&mut self, name: &str) -> fmt::Result {
        if !std::mem::take(&mut self.first) {
            self.to.write_char(' ')?;
        }
        if name != "message" {
            self.to.write_str(name)?;
            self.to.write_char('=')?;
        }
        Ok(())
    }
}

impl Visit for Names<'_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, |to| write!(to, "{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, |to| {
            if field.name() == "message" {
                return to.write_str(value);
            }
            let plain = |b: &u8| matches!(b, b' '..=b'~') && !matches!(b, b'"' | b'\\');
            if value.as_bytes().iter().all(plain) {
                to.write_char('"')?;
                to.write_str(value)?;
                to.write_char('"')
            } else {
                write!(to, "{value:?}")
            }
        });
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, |to| to.write_str(itoa::Buffer::new().format(value)));
    }
}

// === impl Clock ===

impl FormatTime for Clock {
    fn format_time(&self, to: &mut Writer<'_>) -> fmt::Result {
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
        to.write_str(&second.text)?;
        // A one in front keeps the zeros.
        let mut digits = itoa::Buffer::new();
        let fraction = digits.format(1_000_000 + now.subsec_micros());
        to.write_char('.')?;
        to.write_str(&fraction[1..])?;
        to.write_char('Z')
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tracing::subscriber::with_default;
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Seen {
        fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Seen {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    fn written(log: impl FnOnce()) -> String {
        let seen = Seen::default();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(seen.clone())
            .with_target(false)
            .with_ansi(false)
            .with_timer(Clock::default())
            .fmt_fields(Fields)
            .finish();
        with_default(subscriber, log);
        let text = seen.0.lock().clone();
        String::from_utf8(text).unwrap()
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
                yes = true,
                "the message"
            );
        });
        let (_, rest) = line.split_once("Z  INFO ").unwrap();
        assert_eq!(
            rest,
            "the message id=req_1 engine=\"a\" odd=\"q\\\"\\n\u{e9}\" status=200 some=7 minus=-1 \
             yes=true\n"
        );
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
