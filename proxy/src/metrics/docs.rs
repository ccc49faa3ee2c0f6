//! `docs/metrics.md`, made from the table of families.

use std::fmt::Write;

use super::families::FAMILIES;

const HEAD: &str = "# Metrics

`GET /metrics` in Prometheus' text format 0.0.4. This page is made from the table in
`proxy/src/metrics/families.rs`; a test keeps both equal (`UPDATE_DOCS=1 cargo test -p crucible
metrics::docs` writes it anew). Names, labels and buckets are stable.

Label values: `engine` is a configured name, or `none` where no engine was reached. `model` is a
name that an engine lists, at most 200 of them, else `other`. `endpoint` is chat, completions,
embeddings, models, responses, messages, native, admin or other. `code` is the HTTP status; 499
is a client that left first. `reason` of `crucible_routed_total` is the word of the header
`x-crucible-reason`; `reason` of `crucible_rejected_total` is the error's code. Series of engines
and closed words start at 0; those of models start with `other`. `process_*` is for Linux only.

| name | type | labels | meaning |
|---|---|---|---|
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

/// The page.
pub fn document() -> String {
    let mut page = String::from(HEAD);
    for family in FAMILIES {
        // Writing to a string cannot fail.
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} |",
            family.name,
            family.kind.as_str(),
            family.labels.join(", "),
            family.help
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
