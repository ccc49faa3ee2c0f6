//! `docs/metrics.md`, made from the table of families.

use std::fmt::Write;

use super::{
    families::FAMILIES,
    label_sets::{Label, LabelValues},
};

const HEAD: &str = "# Metrics

`GET /metrics` in Prometheus' text format 0.0.4, or in OpenMetrics 1.0.0 where the header `Accept` asks for it,
as Prometheus does. Only requests of clients are counted as such: no scrape, no probe, no page of Crucible
itself and no preflight of a browser. This page is made from the table in
`proxy/src/metrics/families.rs`; a test keeps both equal (`UPDATE_DOCS=1 cargo test -p crucible
metrics::docs` writes it anew). Names, labels and buckets are stable.

Series of engines and of closed words start at 0; those of models start with `other`. The values that
each label may take stand below the families. `reason` of `crucible_routed_total` is the word of the
header `x-crucible-reason`, that of `crucible_rejected_total` the `code` of the error. When a reload removes an
engine, its gauges go and its counters and histograms stay: what was counted has happened.

Every word of every label is counted by the real program in a test, in front of a real Prometheus
(`tests/e2e/prometheus/every_word.rs` names the scene of each). Graphics cards, energy, the control group and the
memory limit of a child are proved with stand-ins: a library in place of NVIDIA's, and folders in place of
`/sys` and `/proc`.

| name | type | unit | labels | written | meaning |
|---|---|---|---|---|---|
";

const LABELS: &str = "
## Labels

| label | of | values |
|---|---|---|
";

const TAIL: &str = "
## In OpenTelemetry's words

| OpenTelemetry (GenAI, in development) | here |
|---|---|
| `gen_ai.server.request.duration` | `crucible_request_duration_seconds` |
| `gen_ai.server.time_to_first_token` | `crucible_time_to_first_token_seconds` |
| `gen_ai.server.time_per_output_token` | 1 / `crucible_output_tokens_per_second` |
| `gen_ai.client.token.usage` (input, output) | `crucible_request_tokens` (prompt, completion) |
";

/// The labels in the order in which the table names them first, each with the families that have it; of
/// a label that many families have, no family is named.
fn labels() -> Vec<(Label, Vec<String>)> {
    const MOST_NAMED: usize = 4;

    let mut labels: Vec<(Label, Vec<String>)> = Vec::new();
    for family in FAMILIES {
        for label in family.labels {
            let name = format!("`{}`", family.name);
            match labels.iter_mut().find(|(known, _)| known == label) {
                Some((_, families)) => families.push(name),
                None => labels.push((*label, vec![name])),
            }
        }
    }
    for (_, families) in &mut labels {
        if families.len() > MOST_NAMED {
            *families = vec!["many".to_owned()];
        }
    }
    labels
}

/// The values of a label in words.
fn values(of: LabelValues) -> String {
    match of {
        LabelValues::Bounded(meaning) => meaning.to_owned(),
        LabelValues::Words(words) => {
            let mut words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
            // Two kinds of error share a code.
            words.dedup();
            words.join(", ")
        }
    }
}

/// The page `docs/metrics.md`.
pub fn document() -> String {
    let mut page = String::from(HEAD);
    for family in FAMILIES {
        let labels: Vec<_> = family.label_names().collect();
        // Writing to a string cannot fail.
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} | {} | {} |",
            family.name,
            family.kind.as_str(),
            family.unit.as_str(),
            labels.join(", "),
            family.emitter.as_str(),
            family.help
        );
    }
    page.push_str(LABELS);
    for (label, families) in labels() {
        let _ = writeln!(
            page,
            "| `{}` | {} | {} |",
            label.name,
            families.join(", "),
            values(label.values)
        );
    }
    page.push_str("\n## Buckets\n\n| name | upper bounds |\n|---|---|\n");
    for family in FAMILIES.iter().filter(|f| !f.buckets.is_empty()) {
        let bounds: Vec<_> = family.buckets.iter().map(ToString::to_string).collect();
        let _ = writeln!(page, "| `{}` | {} |", family.name, bounds.join(", "));
    }
    page.push_str(TAIL);
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_in_docs_equals_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, document()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), document());
    }
}
