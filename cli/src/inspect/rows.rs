//! The kept requests as a list: a heading and one line for each.

use crucible_documents::inspector::{InspectedEndDoc, InspectedRowDoc};

use super::text::{local_time, plain};
use crate::output::client_name;

/// The characters of an id that a list shows; its beginning names a request.
const ID: usize = 12;

/// The heading of a list.
pub(super) fn heading() -> String {
    line([
        "time",
        "request",
        "client",
        "answered by",
        "prompt",
        "cached",
        "answer",
        "since the turn before",
    ])
}

/// Whether another of these requests has the same id, which clients choose.
pub(super) fn has_twin(row: &InspectedRowDoc, rows: &[InspectedRowDoc]) -> bool {
    rows.iter()
        .any(|other| other.number != row.number && other.request_id == row.request_id)
}

/// A request on one line, with its number where its id does not name it.
pub(super) fn row(row: &InspectedRowDoc, has_twin: bool) -> String {
    let id: String = if has_twin || *row.request_id == *"last" {
        format!("#{}", row.number)
    } else {
        row.request_id.chars().take(ID).collect()
    };
    let client = client_name(&row.client);
    let time = local_time(row.at_ms);
    let Some(end) = &row.ended else {
        return line([&time, &id, client, "is answered", "", "", "", ""]);
    };
    let prompt = end
        .prompt_tokens
        .map_or_else(String::new, |tokens| tokens.to_string());
    let mut change = row.change.to_string();
    if end.outcome != "ok" {
        change = format!(
            "{} {}{}{change}",
            end.status,
            end.outcome,
            if change.is_empty() { "" } else { "; " }
        );
    }
    line([
        &time,
        &id,
        client,
        &answerer(end),
        &prompt,
        &share(end),
        &end.output_tokens.to_string(),
        &change,
    ])
}

fn line(cells: [&str; 8]) -> String {
    let [time, id, client, answerer, prompt, cached, answer, change] = cells.map(plain);
    let line = format!(
        "{time:8}  {id:ID$}  {client:22}  {answerer:24}  {prompt:>7}  {cached:>6}  {answer:>6}  {change}"
    );
    line.trim_end().to_owned()
}

pub(super) fn answerer(end: &InspectedEndDoc) -> String {
    match (&end.engine, &end.model) {
        (Some(engine), Some(model)) => format!("{engine}/{model}"),
        _ => "-".to_owned(),
    }
}

/// The cached share of the prompt, `about` where it is estimated.
pub(super) fn share(end: &InspectedEndDoc) -> String {
    let about = if end.cached_is_estimated { "~" } else { "" };
    let share = end.cached_share();
    share.map_or_else(
        || "-".to_owned(),
        |share| format!("{about}{:.0} %", (share * 100.0).floor()),
    )
}
