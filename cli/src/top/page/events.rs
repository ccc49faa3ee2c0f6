//! Loads, evictions and answers of the last minutes, the newest first.

use crucible_documents::{
    EndingClass,
    timeline::{AnsweredRequest, TimelineEntry},
};
use jiff::tz::TimeZone;

use super::{
    super::{
        watched::WatchedInstance,
        words::{count, duration, rate},
    },
    pane::{PaneCell, PaneColumn, PaneKind, PaneRow, TextTone, TopPane, detail, some_detail},
};
use crate::output::{plural, time_of_day};

const COLUMNS: &[PaneColumn] = &[
    PaneColumn::text("", (8, 8), 0),
    PaneColumn::text("what", (8, 8), 1),
    PaneColumn::text("model", (12, 16), 2),
    PaneColumn::number("took", 8, 3),
    PaneColumn::number("first", 7, 6),
    PaneColumn::number("tok/s", 6, 5),
    PaneColumn::number("prompt", 6, 7),
    PaneColumn::number("answer", 6, 8),
    PaneColumn::rest("outcome", (8, 12), 4),
];

pub(super) fn pane(watched: &WatchedInstance, zone: &TimeZone) -> TopPane {
    let counted =
        |of: fn(&TimelineEntry) -> bool| watched.entries.iter().filter(|entry| of(entry)).count();
    let answers = counted(|entry| matches!(entry, TimelineEntry::Answer(_)));
    let loads = counted(|entry| matches!(entry, TimelineEntry::Load { .. }));
    let evictions = watched.entries.len() - answers - loads;
    let (answers, loads, evictions) = (
        plural(answers, "answer", "answers"),
        plural(loads, "load", "loads"),
        plural(evictions, "eviction", "evictions"),
    );
    TopPane {
        kind: PaneKind::Events,
        titles: vec![
            format!("Last 15 minutes: {answers}, {loads}, {evictions}"),
            "Last 15 minutes".to_owned(),
            "Events".to_owned(),
        ],
        columns: COLUMNS,
        rows: watched
            .entries
            .iter()
            .rev()
            .map(|entry| row(entry, zone))
            .collect(),
        empty: PaneCell::new("Nothing happened yet.").in_tone(TextTone::Muted),
    }
}

/// The moment so many seconds later.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float is cut at the bounds of the integer, and less than nothing is nothing"
)]
fn later(at_ms: u64, seconds: f64) -> u64 {
    at_ms.saturating_add((seconds * 1000.0) as u64)
}

fn row(entry: &TimelineEntry, zone: &TimeZone) -> PaneRow {
    match entry {
        TimelineEntry::Load {
            at_ms,
            took_s,
            engine,
            model,
            outcome,
            trigger,
        } => loaded((engine, model), (*at_ms, *took_s), (outcome, trigger), zone),
        TimelineEntry::Eviction {
            at_ms,
            engine,
            model,
            reason,
        } => evicted((engine, model), *at_ms, reason, zone),
        TimelineEntry::Answer(answer) => answered(answer, zone),
    }
}

fn loaded(
    (engine, model): (&str, &str),
    (at_ms, took_s): (u64, f64),
    (outcome, trigger): (&str, &str),
    zone: &TimeZone,
) -> PaneRow {
    let ended = time_of_day(later(at_ms, took_s), zone);
    let (what, tone, why) = if outcome == "ok" {
        ("loaded", TextTone::Plain, format!("for a {trigger}"))
    } else {
        ("no load", TextTone::Bad, outcome.to_owned())
    };
    let mut numbers = <[String; 5]>::default();
    numbers[0] = duration(took_s);
    let what = PaneCell::new(what).in_tone(tone);
    let mut cells = cells(&ended, what, place(engine, model), &numbers);
    cells.push(PaneCell::new(&why).in_tone(tone));
    PaneRow {
        key: format!("load {engine}/{model} {at_ms}"),
        cells,
        details: vec![
            detail("load of", &format!("{engine}/{model}")),
            detail("began", &time_of_day(at_ms, zone)),
            detail("took", &duration(took_s)),
            detail("outcome", outcome),
            detail("caused by", trigger),
        ],
    }
}

fn evicted((engine, model): (&str, &str), at_ms: u64, reason: &str, zone: &TimeZone) -> PaneRow {
    let at = time_of_day(at_ms, zone);
    let what = PaneCell::new("evicted");
    let mut cells = cells(&at, what, place(engine, model), &<[String; 5]>::default());
    let why = reason.replace('_', " ");
    cells.push(PaneCell::new(&why));
    PaneRow {
        key: format!("eviction {engine}/{model} {at_ms}"),
        cells,
        details: vec![
            detail("left memory", &format!("{engine}/{model}")),
            detail("at", &at),
            detail("reason", &why),
        ],
    }
}

fn place(engine: &str, model: &str) -> PaneCell {
    PaneCell::any_of(&[&format!("{engine}/{model}"), model])
}

fn cells(time: &str, what: PaneCell, place: PaneCell, numbers: &[String; 5]) -> Vec<PaneCell> {
    let mut cells = vec![PaneCell::new(time).in_tone(TextTone::Muted), what, place];
    cells.extend(numbers.iter().map(|number| PaneCell::new(number)));
    cells
}

/// The cached part of an answer's prompt, in words behind its tokens.
fn cached(answer: &AnsweredRequest) -> String {
    let about = if answer.cached_is_estimated {
        "about "
    } else {
        ""
    };
    answer.cached_tokens.map_or_else(String::new, |cached| {
        format!(", {about}{cached} of them cached")
    })
}

fn answered(answer: &AnsweredRequest, zone: &TimeZone) -> PaneRow {
    let ended = time_of_day(later(answer.at_ms, answer.took_s), zone);
    let ending = answer.ending();
    let tone = match ending {
        EndingClass::Answered => TextTone::Plain,
        EndingClass::Left => TextTone::Muted,
        EndingClass::Failed => TextTone::Bad,
    };
    let first = answer.first_token_s.map(duration);
    let speed = answer.tokens_per_second.map(rate);
    let outcome = answer.outcome.replace('_', " ");
    let numbers = [
        duration(answer.took_s),
        first.clone().unwrap_or_default(),
        speed.clone().unwrap_or_default(),
        count(answer.prompt_tokens),
        count(answer.output_tokens),
    ];
    let mut cells = cells(
        &ended,
        PaneCell::new(ending.as_str()).in_tone(tone),
        place(&answer.engine, &answer.model),
        &numbers,
    );
    let why = match ending {
        EndingClass::Answered => "",
        EndingClass::Left => "by its client",
        EndingClass::Failed => &outcome,
    };
    cells.push(PaneCell::new(why).in_tone(tone));
    let mut details = vec![
        detail("request", &answer.request_id),
        detail("came", &time_of_day(answer.at_ms, zone)),
        detail("engine", &answer.engine),
        detail("model", &answer.model),
        detail("outcome", &format!("{outcome}, status {}", answer.status)),
        detail("waited", &duration(answer.queue_s)),
        detail("took", &duration(answer.took_s)),
        detail(
            "prompt",
            &format!("{} tokens{}", answer.prompt_tokens, cached(answer)),
        ),
        detail("answer", &format!("{} tokens", answer.output_tokens)),
    ];
    // Of an answer that came as a whole nobody knows when its first token was there.
    details.extend(some_detail("first token after", first));
    details.extend(some_detail("tokens per second", speed));
    let some = |seconds: f64| (seconds > 0.0).then(|| duration(seconds));
    details.extend(some_detail("waited for a load", some(answer.load_s)));
    details.extend(some_detail("attempts that failed", some(answer.failed_s)));
    PaneRow {
        key: format!("answer {}", answer.request_id),
        cells,
        details,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The row of an answer whose first token nobody saw.
    fn unseen(outcome: &str, status: u16) -> PaneRow {
        let answer = json!({
            "at_ms": 0, "request_id": "r", "engine": "gpu", "model": "m", "queue_s": 0.0, "first_token_s": null,
            "took_s": 1.0, "prompt_tokens": 1, "cached_tokens": null, "output_tokens": 0,
            "tokens_per_second": null, "status": status, "outcome": outcome,
        });
        answered(&serde_json::from_value(answer).unwrap(), &TimeZone::UTC)
    }

    /// The cells of what happened and why, in their tone.
    fn told(outcome: &str, status: u16) -> [PaneCell; 2] {
        let row = unseen(outcome, status);
        [row.cells[1].clone(), row.cells[8].clone()]
    }

    #[test]
    fn an_answer_that_came_as_a_whole_says_nothing_of_its_first_token() {
        let details = unseen("ok", 200).details.join("\n");
        assert!(
            details.contains("took") && !details.contains("first token"),
            "{details}"
        );
    }

    #[test]
    fn an_answer_that_its_client_left_is_no_failure() {
        for (outcome, status, what, why, tone) in [
            ("ok", 200, "answered", "", TextTone::Plain),
            ("client_gone", 499, "left", "by its client", TextTone::Muted),
            ("ok", 499, "left", "by its client", TextTone::Muted),
            ("client_slow", 200, "failed", "client slow", TextTone::Bad),
            ("engine_cut", 502, "failed", "engine cut", TextTone::Bad),
        ] {
            let expected = [what, why].map(|text| PaneCell::new(text).in_tone(tone));
            assert_eq!(told(outcome, status), expected, "{outcome} {status}");
        }
    }
}
