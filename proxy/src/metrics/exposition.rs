//! The formats of a scrape, and which of them a scraper gets.

use http::{HeaderMap, header};

/// The format in which metrics are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExpositionFormat {
    /// Prometheus' text format 0.0.4.
    #[default]
    Text,
    /// `OpenMetrics` 1.0.0, which Prometheus asks for first.
    OpenMetrics,
}

/// How much a scraper wants each format, in thousandths. `None` is a format that it did not name.
#[derive(Clone, Copy, Debug, Default)]
struct FormatPreference {
    text: Option<u16>,
    open_metrics: Option<u16>,
}

// === impl ExpositionFormat ===

impl ExpositionFormat {
    /// The format that the headers `Accept` of a request ask for: `OpenMetrics` where they name it and want
    /// nothing more, else text. A version other than 1.0.0 of `OpenMetrics`, or other than 0.0.4 of the
    /// text, is a format of which nothing is known here.
    pub fn of_accept(headers: &HeaderMap) -> Self {
        let mut wanted = FormatPreference::default();
        for value in headers.get_all(header::ACCEPT) {
            // Types are ASCII; what is not is no type.
            for range in value.to_str().unwrap_or_default().split(',') {
                wanted.add(range);
            }
        }
        match wanted.open_metrics {
            Some(quality) if quality > 0 && quality >= wanted.text.unwrap_or(0) => {
                Self::OpenMetrics
            }
            _ => Self::Text,
        }
    }

    /// The value of the header `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

// === impl FormatPreference ===

impl FormatPreference {
    /// Takes one media range, such as `text/plain;version=0.0.4;q=0.5`.
    fn add(&mut self, range: &str) {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let (mut version, mut quality) = (None, 1000);
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "version" => version = Some(value),
                "q" => quality = thousandths(value),
                _ => {}
            }
        }
        let (known, of) = match kind.to_ascii_lowercase().as_str() {
            "application/openmetrics-text" => ("1.0.0", &mut self.open_metrics),
            "text/plain" => ("0.0.4", &mut self.text),
            _ => return,
        };
        if version.is_none_or(|version| version == known) {
            *of = Some(of.unwrap_or(0).max(quality));
        }
    }
}

/// A quality from 0 to 1 in thousandths; what is none counts as 0.
fn thousandths(quality: &str) -> u16 {
    let quality: f64 = quality.parse().unwrap_or(0.0);
    let of = |n: &u16| f64::from(*n) <= quality * 1000.0 + 0.5;
    // Three digits at most, of which none is lost.
    (0..=1000_u16).rev().find(of).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_goes_to_who_wants_it_at_least_as_much_as_text() {
        use ExpositionFormat::{OpenMetrics, Text};

        for (accept, format) in [
            ("", Text),
            ("*/*", Text),
            ("text/html, application/xhtml+xml, */*;q=0.8", Text),
            ("application/openmetrics-text", OpenMetrics),
            ("APPLICATION/OpenMetrics-Text; Version=1.0.0", OpenMetrics),
            // Prometheus 2.42 and 3.
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;\
                 q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                OpenMetrics,
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                 text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                OpenMetrics,
            ),
            ("application/openmetrics-text;version=0.0.1", Text),
            ("application/openmetrics-text;q=0.4,text/plain;q=0.5", Text),
            (
                "text/plain;q=0.499,application/openmetrics-text;q=0.5",
                OpenMetrics,
            ),
            ("application/openmetrics-text;q=0, text/plain;q=0", Text),
            ("application/openmetrics-text;q=nan", Text),
            (
                "application/openmetrics-text;version=\"1.0.0\"",
                OpenMetrics,
            ),
            (";;;=,q=1,application/openmetrics-text;q", OpenMetrics),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            assert_eq!(ExpositionFormat::of_accept(&headers), format, "{accept}");
        }
        assert_eq!(ExpositionFormat::of_accept(&HeaderMap::new()), Text);
    }

    #[test]
    fn all_headers_of_the_name_count() {
        let mut headers = HeaderMap::new();
        headers.append(header::ACCEPT, "text/plain;q=0.1".parse().unwrap());
        let open = "application/openmetrics-text;q=0.2".parse().unwrap();
        headers.append(header::ACCEPT, open);
        let format = ExpositionFormat::of_accept(&headers);
        assert_eq!(format, ExpositionFormat::OpenMetrics);
    }
}
