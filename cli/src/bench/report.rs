//! The result of a benchmark as a table, as JSON and as Markdown. The functions are pure.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::{
    stats::{BenchMetric, DifferenceVerdict, METRICS, RunSample, SampleSummary, percent},
    variant::{BenchVariant, FixedSetting},
};
use crate::output::table;

/// All that a benchmark measured, with the engine, the model and the machine.
pub(super) struct BenchReport {
    /// Titles and values that describe the engine, the model and the machine.
    pub(super) facts: Vec<(&'static str, String)>,
    /// The settings that were compared, in the order of the report.
    pub(super) variants: Vec<BenchVariant>,
    /// The options that the engine received, for each variant.
    pub(super) options: Vec<Value>,
    /// The samples of each variant, in the order of the runs.
    pub(super) samples: Vec<Vec<RunSample>>,
    /// The names of the variants that the engine refused, each with its message.
    pub(super) refused: Vec<(String, String)>,
    /// The settings that could not vary on this engine, each with its reason.
    pub(super) fixed: Vec<FixedSetting>,
    /// The reason why the benchmark ended before all rounds were done.
    pub(super) ended: Option<String>,
    /// The block that `--tune` found, with comments; `None` without `--tune`.
    pub(super) tuned: Option<String>,
}

// === impl BenchReport ===

impl BenchReport {
    fn summary(&self, variant: usize, metric: &BenchMetric) -> Option<SampleSummary> {
        SampleSummary::of(self.samples.get(variant)?.iter().filter_map(metric.of))
    }

    /// Returns the verdict and the change in percent against the variant with which this one is
    /// compared.
    fn compared(
        &self,
        variant: usize,
        metric: &BenchMetric,
    ) -> Option<(DifferenceVerdict, Option<f64>)> {
        let other = self.variants.get(variant)?.against?;
        let (own, other) = (self.summary(variant, metric)?, self.summary(other, metric)?);
        let verdict = own.against(&other, metric.more_is_better);
        Some((verdict, percent(own.median, other.median)))
    }

    /// Returns the table: the heading, then one row for each variant.
    fn rows(&self) -> Vec<Vec<String>> {
        let mut rows = vec![vec!["variant".to_owned(), "runs".to_owned()]];
        rows[0].extend(METRICS.iter().map(|m| m.title.to_owned()));
        for (index, variant) in self.variants.iter().enumerate() {
            let runs = self.samples.get(index).map_or(0, Vec::len);
            let mut row = vec![variant.name.clone(), runs.to_string()];
            row.extend(METRICS.iter().map(|metric| {
                self.summary(index, metric).map_or_else(
                    || "-".to_owned(),
                    |s| {
                        let [median, min, max] = [s.median, s.min, s.max].map(|v| v / metric.unit);
                        format!("{median:.1} ({min:.1}..{max:.1})")
                    },
                )
            }));
            rows.push(row);
        }
        rows
    }

    /// Returns one sentence for each compared variant.
    fn verdicts(&self) -> Vec<String> {
        let mut out = Vec::new();
        for (index, variant) in self.variants.iter().enumerate() {
            let Some(other) = variant.against.and_then(|i| self.variants.get(i)) else {
                continue;
            };
            let parts: Vec<String> = METRICS
                .iter()
                .filter_map(|metric| {
                    let (verdict, change) = self.compared(index, metric)?;
                    let change = change.map_or_else(String::new, |p| format!(" ({p:+.0} %)"));
                    Some(format!("{} {}{change}", metric.title, verdict.word()))
                })
                .collect();
            if !parts.is_empty() {
                out.push(format!(
                    "{} versus {}: {}",
                    variant.name,
                    other.name,
                    parts.join(", ")
                ));
            }
        }
        out
    }

    /// Returns the report for a terminal.
    pub(super) fn text(&self) -> String {
        let mut out = format!(
            "{}\n\n{}\n\n{}\n",
            table(
                &self
                    .facts
                    .iter()
                    .map(|(title, value)| vec![(*title).to_owned(), value.clone()])
                    .collect::<Vec<_>>()
            ),
            table(&self.rows()),
            self.verdicts().join("\n"),
        );
        for fixed in &self.fixed {
            let _ = write!(out, "\nnot varied: {} ({})", fixed.setting, fixed.why);
        }
        for (name, words) in &self.refused {
            let _ = write!(out, "\nrefused: {name}: {words}");
        }
        if let Some(ended) = &self.ended {
            let _ = write!(out, "\nended early: {ended}");
        }
        if let Some(tuned) = &self.tuned {
            let _ = write!(out, "\n\n{tuned}");
        }
        out
    }

    /// Returns the report for scripts, with values in seconds, bytes and tokens per second.
    pub(super) fn json(&self) -> Value {
        let facts: Map<String, Value> = self
            .facts
            .iter()
            .map(|(title, value)| ((*title).to_owned(), json!(value)))
            .collect();
        let variants: Vec<Value> = self
            .variants
            .iter()
            .enumerate()
            .map(|(index, variant)| {
                let metrics: Map<String, Value> = METRICS
                    .iter()
                    .map(|metric| {
                        let compared = self.compared(index, metric);
                        let value = json!({
                            "summary": self.summary(index, metric),
                            "verdict": compared.map(|(verdict, _)| verdict),
                            "change_percent": compared.and_then(|(_, change)| change),
                        });
                        (metric.key.to_owned(), value)
                    })
                    .collect();
                json!({
                    "name": variant.name,
                    "options": self.options.get(index),
                    "against": variant.against.and_then(|i| self.variants.get(i)).map(|v| &v.name),
                    "metrics": metrics,
                    "runs": self.samples.get(index),
                })
            })
            .collect();
        let refused: Vec<Value> = self
            .refused
            .iter()
            .map(|(name, words)| json!({"name": name, "error": words}))
            .collect();
        json!({
            "measured": facts, "variants": variants, "not_varied": self.fixed,
            "refused": refused, "ended_early": self.ended, "tuned": self.tuned,
        })
    }

    /// Returns the report in Markdown, for a file. The plot is Mermaid's `xychart-beta`, which
    /// GitHub and GitLab draw.
    pub(super) fn markdown(&self) -> String {
        let mut out = String::from("# What the profile is worth\n\n| | |\n|---|---|\n");
        for (title, value) in &self.facts {
            let _ = writeln!(out, "| {title} | {value} |");
        }
        out.push_str(
            "\nMedian (smallest..largest) of the runs; runs of the variants took turns.\n\n",
        );
        let rows = self.rows();
        for (index, row) in rows.iter().enumerate() {
            let _ = writeln!(out, "| {} |", row.join(" | "));
            if index == 0 {
                let _ = writeln!(out, "|{}", "---|".repeat(row.len()));
            }
        }
        let bars: Vec<(String, f64)> = self
            .variants
            .iter()
            .enumerate()
            .filter_map(|(i, v)| Some((v.name.clone(), self.summary(i, &METRICS[0])?.median)))
            .collect();
        if bars.len() > 1 {
            let names: Vec<String> = bars.iter().map(|(name, _)| format!("\"{name}\"")).collect();
            let values: Vec<String> = bars.iter().map(|(_, v)| format!("{v:.1}")).collect();
            let _ = write!(
                out,
                "\n```mermaid\nxychart-beta horizontal\n  title \"{}, median\"\n  \
                 x-axis [{}]\n  y-axis \"tokens per second\" 0 --> {:.0}\n  bar [{}]\n```\n",
                METRICS[0].title,
                names.join(", "),
                bars.iter().map(|(_, v)| *v).fold(1.0, f64::max) * 1.1,
                values.join(", "),
            );
        }
        let verdicts = self.verdicts();
        if !verdicts.is_empty() {
            out.push_str("\n## Differences\n\n");
        }
        for line in verdicts {
            let _ = writeln!(out, "- {line}");
        }
        out.push_str("\n## Not varied\n\n");
        for fixed in &self.fixed {
            let _ = writeln!(out, "- {}: {}", fixed.setting, fixed.why);
        }
        for (name, words) in &self.refused {
            let _ = writeln!(out, "- {name}: refused by the engine: {words}");
        }
        if let Some(ended) = &self.ended {
            let _ = writeln!(out, "\nEnded early: {ended}.");
        }
        if let Some(tuned) = &self.tuned {
            let _ = writeln!(out, "\n## Tuning\n\n```toml\n{tuned}\n```");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use crucible_router::engine::LoadTuple;

    use super::*;
    use crate::bench::variant::BenchSetting;

    fn sample(rate: f64) -> RunSample {
        RunSample {
            first_token_s: 0.5,
            prompt_per_s: 100.0,
            generated_per_s: rate,
            load_s: Some(1.0),
            memory_bytes: None,
            tokens_per_s: rate,
        }
    }

    fn report() -> BenchReport {
        let named = |name: &str, against| BenchVariant {
            name: name.to_owned(),
            setting: BenchSetting::of(LoadTuple::default()),
            against,
        };
        BenchReport {
            facts: vec![("model", "m".to_owned())],
            variants: vec![named("defaults", None), named("profile", Some(0))],
            options: vec![json!({"parallel": 1}); 2],
            samples: vec![
                [10.0, 11.0, 12.0, 13.0].map(sample).to_vec(),
                [20.0, 22.0, 24.0, 26.0].map(sample).to_vec(),
            ],
            refused: Vec::new(),
            fixed: vec![FixedSetting {
                setting: "parallel",
                why: "it is so",
            }],
            ended: None,
            tuned: None,
        }
    }

    #[test]
    fn the_three_forms_tell_the_same() {
        let report = report();
        let text = report.text();
        assert!(text.contains("23.0 (20.0..26.0)"), "{text}");
        let sentence = "profile versus defaults: generated tok/s better (+100 %), \
                    prompt tok/s within the noise (+0 %)";
        assert!(text.contains(sentence), "{text}");
        assert!(text.contains("not varied: parallel"), "{text}");
        let json = report.json();
        let metric = &json["variants"][1]["metrics"]["generated_per_s"];
        assert_eq!(metric["verdict"], "better");
        assert_eq!(metric["summary"]["median"], 23.0);
        assert_eq!(json["variants"][1]["against"], "defaults");
        assert_eq!(json["variants"][1]["options"]["parallel"], 1);
        let memory = &json["variants"][1]["metrics"]["memory_bytes"];
        assert_eq!(memory["summary"], Value::Null);
        let markdown = report.markdown();
        assert!(markdown.contains(sentence), "{markdown}");
        assert!(markdown.contains("bar [11.5, 23.0]"), "{markdown}");
    }

    #[test]
    fn a_variant_without_runs_shows_as_such() {
        let mut report = report();
        report.samples[1].clear();
        report.ended = Some("the time limit".to_owned());
        report.refused = vec![("mmap off".to_owned(), "invalid argument".to_owned())];
        let text = report.text();
        assert!(
            text.contains("refused: mmap off: invalid argument"),
            "{text}"
        );
        assert!(text.contains("profile   0     -"), "{text}");
        assert!(!text.contains("versus"), "{text}");
        assert!(text.contains("ended early: the time limit"), "{text}");
    }
}
