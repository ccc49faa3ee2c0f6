//! The requests that are answered, then those that wait, in the order of their queues.

use std::{sync::Arc, time::Instant};

use crucible_documents::{
    StateDoc,
    state::{InFlightDoc, PrefillSource, WaiterDoc},
};

use super::{
    super::{
        watched::WatchedInstance,
        words::{self, count, duration, rate},
    },
    pane::{PaneCell, PaneColumn, PaneKind, PaneRow, TextTone, TopPane, detail, some_detail},
};
use crate::output::client_name;

const COLUMNS: &[PaneColumn] = &[
    PaneColumn::text("", (12, 16), 1),
    PaneColumn::rest("phase", (14, 28), 0),
    PaneColumn::number("time", 8, 2),
    PaneColumn::number("tokens", 6, 4),
    PaneColumn::number("tok/s", 6, 3),
    PaneColumn::text("client", (16, 16), 5),
    PaneColumn::text("chosen by", (10, 10), 6),
    PaneColumn::text("request", (12, 12), 7),
];

pub(super) fn pane(watched: &WatchedInstance, now: Instant) -> TopPane {
    let empty = StateDoc::default();
    let state = watched.state.as_ref().map_or(&empty, |(state, _)| state);
    let age = watched.state_age(now);
    let running = state
        .in_flight
        .iter()
        .filter(|request| request.phase != "queue");
    let mut rows: Vec<PaneRow> = running
        .map(|request| answered(request, watched, age))
        .collect();
    let at_engine = |request: &&InFlightDoc| matches!(&*request.phase, "prefill" | "stream");
    let answering = state.in_flight.iter().filter(at_engine).count();
    rows.extend(state.queue.iter().map(|waiter| waiting(waiter, state, age)));
    let waiting = state.queue.len();
    TopPane {
        kind: PaneKind::Requests,
        titles: vec![
            format!("Requests: {answering} answering, {waiting} waiting"),
            format!("Requests: {answering}, {waiting} waiting"),
            "Requests".to_owned(),
        ],
        columns: COLUMNS,
        rows,
        empty: PaneCell::any_of(&["Nothing is asked at this moment.", "nothing is asked"])
            .in_tone(TextTone::Muted),
    }
}

/// `engine/model`, as far as it is chosen.
fn place(engine: Option<&str>, model: Option<&str>) -> PaneCell {
    match (engine, model) {
        (Some(engine), Some(model)) => PaneCell::any_of(&[&format!("{engine}/{model}"), model]),
        (Some(one), None) | (None, Some(one)) => PaneCell::new(one),
        (None, None) => PaneCell::new("not routed yet").in_tone(TextTone::Muted),
    }
}

fn client(client: Option<&Arc<str>>) -> PaneCell {
    client.map_or_else(PaneCell::default, |client| {
        PaneCell::new(client_name(client))
    })
}

fn answered(request: &InFlightDoc, watched: &WatchedInstance, age: f64) -> PaneRow {
    let speed = watched.rates.of(&request.request_id);
    let tokens = Some(request.tokens).filter(|tokens| *tokens > 0);
    let tokens = tokens
        .map(|tokens| count(tokens.into()))
        .unwrap_or_default();
    let reason = request
        .reason
        .map(|reason| reason.as_str().replace('_', " "));
    PaneRow {
        key: format!("request {}", request.request_id),
        cells: vec![
            place(request.engine.as_deref(), request.model.as_deref()),
            phase(request),
            PaneCell::new(&duration(request.since_s + age)),
            PaneCell::new(&tokens),
            PaneCell::new(&speed.map(rate).unwrap_or_default()),
            client(request.client.as_ref()),
            PaneCell::new(reason.as_deref().unwrap_or_default()),
            PaneCell::new(&request.request_id).in_tone(TextTone::Muted),
        ],
        details: details(request, speed, age),
    }
}

fn phase(request: &InFlightDoc) -> PaneCell {
    let words = words::phase(request);
    let tone = if request.phase == "stream" {
        TextTone::Good
    } else {
        TextTone::Plain
    };
    match &request.prefill {
        Some(prefill) if request.phase == "prefill" => {
            let short = words.replacen("reading the prompt,", "prompt", 1);
            let part = words::part_read(prefill);
            let about = part.replacen("about ", "~", 1);
            PaneCell::any_of(&[
                &words,
                &short,
                &format!("prompt {part}"),
                &format!("prompt {about}"),
                &about,
            ])
        }
        _ => PaneCell::new(&words).in_tone(tone),
    }
}

fn details(request: &InFlightDoc, speed: Option<f64>, age: f64) -> Vec<String> {
    let mut lines = vec![
        detail("request", &request.request_id),
        detail("phase", &words::phase(request)),
        detail("since", &duration(request.since_s + age)),
    ];
    lines.extend(some_detail("client", request.client.as_ref()));
    lines.extend(some_detail("engine", request.engine.as_ref()));
    lines.extend(some_detail("model", request.model.as_ref()));
    lines.extend(some_detail(
        "chosen by",
        request
            .reason
            .map(|reason| reason.as_str().replace('_', " ")),
    ));
    lines.push(detail("tokens so far", &request.tokens.to_string()));
    lines.extend(some_detail("tokens per second", speed.map(rate)));
    if let Some(prefill) = &request.prefill {
        let source = match prefill.source {
            PrefillSource::Engine => "reported by the engine",
            PrefillSource::Runner => "read from the engine's runner",
            PrefillSource::Estimate => "an estimate",
        };
        let cached = prefill
            .cached
            .map_or_else(|| "unknown".to_owned(), |cached| cached.to_string());
        lines.push(detail(
            "prompt",
            &format!(
                "{} of {} tokens read, {cached} of them cached ({source})",
                prefill.processed, prefill.total
            ),
        ));
    }
    lines
}

fn waiting(waiter: &WaiterDoc, state: &StateDoc, age: f64) -> PaneRow {
    let request = state
        .in_flight
        .iter()
        .find(|r| r.request_id == waiter.request_id);
    let sender = request.and_then(|request| request.client.as_ref());
    let (position, why) = (waiter.position, words::wait(&waiter.reason));
    let since = duration(waiter.waiting_s + age);
    let mut lines = vec![
        detail("request", &waiter.request_id),
        detail("waits for", &format!("{}/{}", waiter.engine, waiter.model)),
        detail(
            "position",
            &format!("{position} in the queue of {}", waiter.engine),
        ),
        detail("because", &format!("it waits {why}")),
        detail("since", &since),
    ];
    lines.extend(some_detail("client", sender));
    PaneRow {
        key: format!("request {}", waiter.request_id),
        cells: vec![
            place(Some(&waiter.engine), Some(&waiter.model)),
            PaneCell::any_of(&[
                &format!("waiting {why}, #{position}"),
                &format!("waiting for {}, #{position}", short_wait(&waiter.reason)),
                &format!("waits #{position}: {}", waiter.reason),
            ])
            .in_tone(TextTone::Warn),
            PaneCell::new(&since),
            PaneCell::default(),
            PaneCell::default(),
            client(sender),
            PaneCell::default(),
            PaneCell::new(&waiter.request_id).in_tone(TextTone::Muted),
        ],
        details: lines,
    }
}

/// The thing that a waiting request waits for, in a word or two.
fn short_wait(reason: &str) -> &str {
    match reason {
        "slot" => "a slot",
        "load" => "its model",
        "swap" => "room",
        other => other,
    }
}
