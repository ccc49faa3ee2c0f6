//! `OpenMetrics` 1.0.0, which the client library does not write.
//!
//! It differs from Prometheus' text in the names of counters (`# TYPE` without `_total`), in units, in
//! escaped quotes, in bounds of buckets that are always written as decimals (`le="1.0"`), and in the end
//! `# EOF`, by which a scraper knows a whole answer. Exemplars and times of creation are left out.
//! Source: the specification, `OpenMetrics 1.0.0`.

use std::fmt::{self, Write};

use prometheus::proto::{Histogram, LabelPair, Metric, MetricFamily, MetricType};

use super::{families::FAMILIES, family::Unit};

/// The suffix of a counter's samples, which its family does not have.
const TOTAL: &str = "_total";

/// Writes the families and the end.
///
/// # Errors
/// None: a `String` takes everything.
pub(super) fn encode(families: &[MetricFamily], out: &mut String) -> fmt::Result {
    for family in families {
        let name = family.name();
        let kind = family.get_field_type();
        let base = match kind {
            MetricType::COUNTER => name.strip_suffix(TOTAL).unwrap_or(name),
            _ => name,
        };
        writeln!(out, "# TYPE {base} {}", type_word(kind))?;
        if let Some(unit) = unit(name, base) {
            writeln!(out, "# UNIT {base} {unit}")?;
        }
        write!(out, "# HELP {base} ")?;
        escaped(out, family.help())?;
        out.push('\n');
        for metric in family.get_metric() {
            match kind {
                MetricType::COUNTER => {
                    let value = metric.get_counter().get_value();
                    sample(out, base, TOTAL, metric.get_label(), None, value)?;
                }
                MetricType::HISTOGRAM => histogram(out, base, metric)?,
                _ => {
                    let value = metric.get_gauge().get_value();
                    sample(out, base, "", metric.get_label(), None, value)?;
                }
            }
        }
    }
    out.write_str("# EOF\n")
}

/// The word for a type; the vectors of the table are of these three.
fn type_word(kind: MetricType) -> &'static str {
    match kind {
        MetricType::COUNTER => "counter",
        MetricType::HISTOGRAM => "histogram",
        _ => "gauge",
    }
}

/// The unit of a family, where its name ends with it, as the specification asks.
fn unit(name: &str, base: &str) -> Option<&'static str> {
    let family = FAMILIES.iter().find(|family| family.name == name)?;
    let unit = match family.unit {
        Unit::None => return None,
        Unit::Seconds | Unit::UnixSeconds => "seconds",
        Unit::Bytes => "bytes",
        Unit::Tokens => "tokens",
        Unit::TokensPerSecond => "tokens_per_second",
        Unit::Ratio => "ratio",
        Unit::Celsius => "celsius",
        Unit::Watts => "watts",
        Unit::Joules => "joules",
    };
    let stem = base.strip_suffix(unit)?;
    stem.ends_with('_').then_some(unit)
}

fn histogram(out: &mut String, name: &str, metric: &Metric) -> fmt::Result {
    let histogram: &Histogram = metric.get_histogram();
    let labels = metric.get_label();
    let count = histogram.get_sample_count();
    for bucket in histogram.get_bucket() {
        let (bound, below) = (bucket.upper_bound(), bucket.cumulative_count());
        sample(out, name, "_bucket", labels, Some(bound), below)?;
    }
    sample(out, name, "_bucket", labels, Some(f64::INFINITY), count)?;
    sample(out, name, "_count", labels, None, count)?;
    let sum = histogram.get_sample_sum();
    sample(out, name, "_sum", labels, None, sum)
}

/// Writes one line: name, labels with the bound of a bucket where it is one, value.
fn sample(
    out: &mut String,
    name: &str,
    suffix: &str,
    labels: &[LabelPair],
    bound: Option<f64>,
    value: impl SampleValue,
) -> fmt::Result {
    write!(out, "{name}{suffix}")?;
    let mut before = '{';
    for label in labels {
        write!(out, "{before}{}=\"", label.name())?;
        escaped(out, label.value())?;
        out.push('"');
        before = ',';
    }
    if let Some(bound) = bound {
        write!(out, "{before}le=\"")?;
        bound.write(out)?;
        out.push('"');
        before = ',';
    }
    if before == ',' {
        out.push('}');
    }
    out.push(' ');
    value.write(out)?;
    out.push('\n');
    Ok(())
}

/// Writes text with backslashes, quotes and line feeds escaped.
fn escaped(out: &mut String, text: &str) -> fmt::Result {
    for c in text.chars() {
        match c {
            '\\' => out.write_str("\\\\")?,
            '"' => out.write_str("\\\"")?,
            '\n' => out.write_str("\\n")?,
            _ => out.write_char(c)?,
        }
    }
    Ok(())
}

/// A number as the format writes it.
trait SampleValue: Copy {
    fn write(self, out: &mut String) -> fmt::Result;
}

impl SampleValue for f64 {
    fn write(self, out: &mut String) -> fmt::Result {
        if self.is_nan() {
            out.write_str("NaN")
        } else if self.is_infinite() {
            let sign = if self > 0.0 { '+' } else { '-' };
            write!(out, "{sign}Inf")
        } else {
            // The shortest decimal that reads as this number, always with a point or an exponent.
            write!(out, "{self:?}")
        }
    }
}

impl SampleValue for u64 {
    fn write(self, out: &mut String) -> fmt::Result {
        write!(out, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use prometheus::{CounterVec, GaugeVec, HistogramOpts, HistogramVec, Opts, Registry};

    use super::*;

    #[test]
    fn each_type_is_written_as_the_specification_has_it() {
        let registry = Registry::new();
        let counter = CounterVec::new(
            Opts::new("crucible_stream_bytes_total", "Bytes \"of\" a\nline \\."),
            &["engine"],
        )
        .unwrap();
        counter.with_label_values(&["a\"b\\c\nd"]).inc_by(2.5);
        let gauge = GaugeVec::new(Opts::new("crucible_build_info", "Always 1."), &[]).unwrap();
        gauge.with_label_values::<&str>(&[]).set(1.0);
        let histogram = HistogramVec::new(
            HistogramOpts::new("crucible_overhead_seconds", "Own time.")
                .buckets(vec![0.000_25, 1.0]),
            &["endpoint"],
        )
        .unwrap();
        histogram.with_label_values(&["chat"]).observe(0.5);
        registry.register(Box::new(counter)).unwrap();
        registry.register(Box::new(gauge)).unwrap();
        registry.register(Box::new(histogram)).unwrap();
        let mut text = String::new();
        encode(&registry.gather(), &mut text).unwrap();
        let expected = r#"# TYPE crucible_build_info gauge
# HELP crucible_build_info Always 1.
crucible_build_info 1.0
# TYPE crucible_overhead_seconds histogram
# UNIT crucible_overhead_seconds seconds
# HELP crucible_overhead_seconds Own time.
crucible_overhead_seconds_bucket{endpoint="chat",le="0.00025"} 0
crucible_overhead_seconds_bucket{endpoint="chat",le="1.0"} 1
crucible_overhead_seconds_bucket{endpoint="chat",le="+Inf"} 1
crucible_overhead_seconds_count{endpoint="chat"} 1
crucible_overhead_seconds_sum{endpoint="chat"} 0.5
# TYPE crucible_stream_bytes counter
# UNIT crucible_stream_bytes bytes
# HELP crucible_stream_bytes Bytes \"of\" a\nline \\.
crucible_stream_bytes_total{engine="a\"b\\c\nd"} 2.5
# EOF
"#;
        assert_eq!(text, expected);
    }

    #[test]
    fn numbers_that_are_none_are_words() {
        for (value, text) in [
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (1e300, "1e300"),
            (0.0, "0.0"),
        ] {
            let mut out = String::new();
            value.write(&mut out).unwrap();
            assert_eq!(out, text);
        }
    }
}
