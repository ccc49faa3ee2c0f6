//! From samples to the table: value with spread, ratio to nginx, target, met or not.

use std::{collections::BTreeMap, fmt::Write};

use serde::Serialize;

use crate::{case::Case, load::Sample, stats::Spread, subject::BenchSubject};

/// All that a run measured.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Results {
    /// One sample a round.
    #[serde(serialize_with = "by_name")]
    pub(crate) samples: BTreeMap<(Case, BenchSubject), Vec<Sample>>,
    /// Seconds from start to the first good answer, each start.
    pub(crate) ready: BTreeMap<BenchSubject, Vec<f64>>,
    /// Resident bytes after the start, each start.
    pub(crate) idle: BTreeMap<BenchSubject, Vec<f64>>,
}

/// One line of the table.
struct Row {
    what: &'static str,
    unit: &'static str,
    value: fn(&Results, BenchSubject) -> Option<Spread>,
    target: Target,
}

/// The 'first release' column of the targets.
#[derive(Clone, Copy)]
enum Target {
    /// At most this many times nginx.
    OfNginx(f64),
    /// At most this many times nginx, each less what `direct` takes.
    AddedOfNginx(f64),
    /// At most this, in the row's unit.
    AtMost(f64),
    /// Translated at most this many times passed through.
    OfPassThrough(f64),
}

const ROWS: [Row; 16] = [
    Row::new(
        "CPU per request, 2 KiB, 64 connections",
        "us",
        Target::OfNginx(1.8),
        |r, k| r.spread(Case::SmallC64, k, per_request),
    ),
    Row::new(
        "CPU per request, 64 KiB, 16 connections",
        "us",
        Target::OfNginx(1.6),
        |r, k| r.spread(Case::BigC16, k, per_request),
    ),
    Row::new(
        "CPU per chunk, 200 streams",
        "us",
        Target::OfNginx(1.25),
        |r, k| r.spread(Case::Stream200, k, per_chunk),
    ),
    Row::new(
        "CPU per chunk, burst",
        "us",
        Target::OfNginx(1.5),
        |r, k| r.spread(Case::Burst16, k, per_chunk),
    ),
    Row::new(
        "p50, 1 connection, one core (added)",
        "us",
        Target::AddedOfNginx(2.5),
        |r, k| r.spread(Case::SmallC1, k, |s| s.latency_p50),
    ),
    Row::new(
        "chunk delay p50, 200 streams",
        "us",
        Target::OfNginx(1.5),
        |r, k| r.spread(Case::Stream200, k, |s| s.delay_p50),
    ),
    Row::new(
        "chunk delay p99, 200 streams",
        "us",
        Target::OfNginx(1.5),
        |r, k| r.spread(Case::Stream200, k, |s| s.delay_p99),
    ),
    Row::new(
        "time to first token p99, 200 streams",
        "us",
        Target::OfNginx(2.0),
        |r, k| r.spread(Case::Stream200, k, |s| s.first_p99),
    ),
    Row::new(
        "chunk delay p99, burst",
        "us",
        Target::OfNginx(4.0),
        |r, k| r.spread(Case::Burst16, k, |s| s.delay_p99),
    ),
    Row::new("memory idle", "MiB", Target::AtMost(20.0), |r, k| {
        Spread::of(r.idle.get(&k)?.iter().map(|bytes| mib(*bytes)))
    }),
    Row::new(
        "memory with 200 streams",
        "MiB",
        Target::AtMost(48.0),
        |r, k| {
            if k == BenchSubject::Direct {
                return None;
            }
            r.spread(Case::Stream200, k, |s| mib(s.rss_peak as f64))
        },
    ),
    Row::new("start to ready", "s", Target::AtMost(0.2), |r, k| {
        Spread::of(r.ready.get(&k)?.iter().copied())
    }),
    Row::new(
        "memory per idle stream, 1,000 streams",
        "KiB",
        Target::AtMost(40.0),
        |r, k| {
            r.spread(Case::Idle1000, k, |s| {
                s.rss_peak.saturating_sub(s.rss_before) as f64 / 1024.0 / s.requests as f64
            })
        },
    ),
    Row::new(
        "Ollama's native API: CPU per chunk, 200 streams",
        "us",
        Target::OfPassThrough(1.6),
        |r, k| r.translated(k, BenchSubject::Translated),
    ),
    Row::new(
        "Responses: CPU per chunk, 200 streams",
        "us",
        Target::OfPassThrough(1.6),
        |r, k| r.translated(k, BenchSubject::Responses),
    ),
    Row::new(
        "Messages: CPU per chunk, 200 streams",
        "us",
        Target::OfPassThrough(1.6),
        |r, k| r.translated(k, BenchSubject::Messages),
    ),
];

fn per_request(sample: &Sample) -> f64 {
    sample.cpu_us / sample.requests as f64
}

fn per_chunk(sample: &Sample) -> f64 {
    sample.cpu_us / sample.chunks as f64
}

fn mib(bytes: f64) -> f64 {
    bytes / (1024.0 * 1024.0)
}

fn by_name<S: serde::Serializer>(
    samples: &BTreeMap<(Case, BenchSubject), Vec<Sample>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(
        samples
            .iter()
            .map(|((case, kind), s)| (format!("{} {}", case.name(), kind.name()), s)),
    )
}

// === impl Results ===

impl Results {
    fn spread(
        &self,
        case: Case,
        kind: BenchSubject,
        of: impl Fn(&Sample) -> f64,
    ) -> Option<Spread> {
        // A round with failed requests measured something else.
        let whole = self
            .samples
            .get(&(case, kind))?
            .iter()
            .filter(|s| s.errors == 0);
        Spread::of(whole.map(of))
    }

    /// The CPU per chunk of a translated stream, in the column of Crucible.
    fn translated(&self, column: BenchSubject, kind: BenchSubject) -> Option<Spread> {
        if column != BenchSubject::Crucible {
            return None;
        }
        self.spread(Case::Stream200, kind, per_chunk)
    }

    /// Requests that failed, with an example each; a run with any is not a measurement.
    pub(crate) fn errors(&self) -> Vec<String> {
        let mut errors = Vec::new();
        for ((case, kind), samples) in &self.samples {
            let count: usize = samples.iter().map(|s| s.errors).sum();
            if let Some(first) = samples.iter().find_map(|s| s.first_error.as_ref()) {
                errors.push(format!(
                    "{}, {}: {count} failed: {first}",
                    case.name(),
                    kind.name()
                ));
            }
        }
        errors
    }

    /// The table in Markdown.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::from(
            "| | direct | nginx | Crucible | ratio | target | |\n|---|---|---|---|---|---|---|\n",
        );
        for row in &ROWS {
            let [direct, nginx, crucible] = [
                BenchSubject::Direct,
                BenchSubject::Nginx,
                BenchSubject::Crucible,
            ]
            .map(|kind| (row.value)(self, kind));
            if direct.is_none() && nginx.is_none() && crucible.is_none() {
                continue;
            }
            let verdict = row.verdict(self, direct, nginx, crucible);
            let (ratio, met) = match verdict {
                Some((ratio, met)) => (
                    format!("{ratio:.2}"),
                    if met { "met" } else { "**not met**" },
                ),
                None => ("-".into(), "-"),
            };
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "| {} ({}) | {} | {} | {} | {ratio} | {} | {met} |",
                row.what,
                row.unit,
                show(direct),
                show(nginx),
                show(crucible),
                row.target.text(row.unit),
            );
        }
        text
    }
}

fn show(spread: Option<Spread>) -> String {
    let Some(Spread { median, min, max }) = spread else {
        return "-".into();
    };
    let digits = if median >= 100.0 {
        0
    } else if median >= 1.0 {
        1
    } else {
        3
    };
    format!("{median:.digits$} ({min:.digits$}..{max:.digits$})")
}

// === impl Row ===

impl Row {
    const fn new(
        what: &'static str,
        unit: &'static str,
        target: Target,
        value: fn(&Results, BenchSubject) -> Option<Spread>,
    ) -> Self {
        Self {
            what,
            unit,
            value,
            target,
        }
    }

    /// The number that is compared with the target, and whether it is met.
    fn verdict(
        &self,
        results: &Results,
        direct: Option<Spread>,
        nginx: Option<Spread>,
        crucible: Option<Spread>,
    ) -> Option<(f64, bool)> {
        let crucible = crucible?.median;
        let (value, limit) = match self.target {
            Target::OfNginx(limit) => (crucible / nginx?.median, limit),
            Target::AddedOfNginx(limit) => {
                let direct = direct?.median;
                ((crucible - direct) / (nginx?.median - direct), limit)
            }
            Target::OfPassThrough(limit) => {
                let passed = results.spread(Case::Stream200, BenchSubject::Crucible, per_chunk)?;
                (crucible / passed.median, limit)
            }
            Target::AtMost(limit) => {
                let ratio = nginx.map_or(f64::NAN, |nginx| crucible / nginx.median);
                return Some((ratio, crucible <= limit));
            }
        };
        Some((value, value <= limit))
    }
}

// === impl Target ===

impl Target {
    fn text(self, unit: &str) -> String {
        match self {
            Self::OfNginx(limit) => format!("<= {limit} x nginx"),
            Self::AddedOfNginx(limit) => format!("added <= {limit} x nginx's"),
            Self::AtMost(limit) => format!("<= {limit} {unit}"),
            Self::OfPassThrough(limit) => format!("<= {limit} x pass-through"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(nginx_us: f64, crucible_us: f64) -> Results {
        let mut results = Results::default();
        for (kind, cpu_us) in [
            (BenchSubject::Nginx, nginx_us),
            (BenchSubject::Crucible, crucible_us),
        ] {
            let sample = Sample {
                requests: 1,
                cpu_us,
                ..Sample::default()
            };
            results.samples.insert((Case::SmallC64, kind), vec![sample]);
        }
        results
    }

    #[test]
    fn a_target_is_judged_by_the_ratio_to_nginx() {
        let met = results(50.0, 75.0).markdown();
        assert!(met.contains("| 1.50 | <= 1.8 x nginx | met |"), "{met}");
        let missed = results(50.0, 100.0).markdown();
        assert!(
            missed.contains("| 2.00 | <= 1.8 x nginx | **not met** |"),
            "{missed}"
        );
    }

    #[test]
    fn the_added_time_is_what_is_above_direct() {
        let mut results = Results::default();
        for (kind, p50) in [
            (BenchSubject::Direct, 60.0),
            (BenchSubject::Nginx, 110.0),
            (BenchSubject::Crucible, 160.0),
        ] {
            let sample = Sample {
                latency_p50: p50,
                ..Sample::default()
            };
            results.samples.insert((Case::SmallC1, kind), vec![sample]);
        }
        let table = results.markdown();
        assert!(
            table.contains("| 2.00 | added <= 2.5 x nginx's | met |"),
            "{table}"
        );
    }

    #[test]
    fn failed_requests_are_named_and_not_measured() {
        let mut results = results(1.0, 1.0);
        assert_eq!(results.errors(), Vec::<String>::new());
        for sample in results.samples.values_mut().flatten() {
            sample.errors = 3;
            sample.first_error = Some("status 503".into());
        }
        assert_eq!(results.errors().len(), 2);
        assert!(results.errors()[0].contains("3 failed: status 503"));
        assert!(
            !results.markdown().contains("CPU per request"),
            "not a measurement"
        );
    }
}
