//! Engines with their health, and why one is not up.

use crucible_documents::{StateDoc, state::EngineDoc};
use crucible_router::view::{BreakerState, Health};

use super::{
    super::watched::WatchedInstance,
    pane::{PaneCell, PaneColumn, PaneKind, PaneRow, TextTone, TopPane, detail, some_detail},
};
use crate::output::plural;

const COLUMNS: &[PaneColumn] = &[
    PaneColumn::text("", (10, 12), 0),
    PaneColumn::text("state", (4, 8), 1),
    PaneColumn::number("running", 7, 3),
    PaneColumn::number("waiting", 7, 4),
    PaneColumn::rest("", (16, 60), 2),
    PaneColumn::text("engine", (12, 12), 5),
    PaneColumn::number("models", 6, 6),
    PaneColumn::text("address", (16, 16), 7),
];

/// The most names of models in the details of an engine.
const NAMES: usize = 50;

pub(super) fn pane(watched: &WatchedInstance) -> TopPane {
    let empty = StateDoc::default();
    let state = watched.state.as_ref().map_or(&empty, |(state, _)| state);
    let down = state
        .engines
        .iter()
        .filter(|engine| !engine.is_up())
        .count();
    let title = match down {
        0 => "Engines".to_owned(),
        down => format!("Engines: {down} not up"),
    };
    TopPane {
        kind: PaneKind::Engines,
        titles: vec![title, "Engines".to_owned()],
        columns: COLUMNS,
        // Those that are not up first: they are what a person looks for.
        rows: up_last(&state.engines).map(row).collect(),
        empty: PaneCell::any_of(&[
            "No engine was found: start LM Studio or Ollama.",
            "No engine was found.",
        ])
        .in_tone(TextTone::Bad),
    }
}

fn up_last(engines: &[EngineDoc]) -> impl Iterator<Item = &EngineDoc> {
    let is_up = |engine: &&EngineDoc| engine.state == Health::Up;
    let (up, not_up): (Vec<_>, Vec<_>) = engines.iter().partition(is_up);
    not_up.into_iter().chain(up)
}

fn row(engine: &EngineDoc) -> PaneRow {
    let tone = match engine.state {
        Health::Up => TextTone::Good,
        Health::Down => TextTone::Bad,
        Health::Unknown | Health::Degraded => TextTone::Warn,
    };
    let notes = notes(engine);
    let note = notes.first().map_or_else(PaneCell::default, |note| {
        PaneCell::new(note).in_tone(TextTone::Warn)
    });
    let kind = engine.kind.as_str();
    let version = engine.version.as_deref().unwrap_or_default();
    PaneRow {
        key: format!("engine {}", engine.name),
        cells: vec![
            PaneCell::new(&engine.name).in_tone(TextTone::Strong),
            PaneCell::new(engine.state.as_str()).in_tone(tone),
            PaneCell::new(&engine.permits.active.to_string()),
            PaneCell::new(&format!("{}/{}", engine.queue.waiting, engine.queue.limit)),
            note,
            PaneCell::any_of(&[&format!("{kind} {version}"), kind]),
            PaneCell::new(&engine.models.len().to_string()),
            PaneCell::new(&engine.url).in_tone(TextTone::Muted),
        ],
        details: details(engine, &notes),
    }
}

/// What a person should know of it, the worst first.
fn notes(engine: &EngineDoc) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    notes.extend(engine.error.clone());
    if engine.wedged {
        notes.push("it answers polls, but loads or requests find no end: restart it".to_owned());
    }
    notes.extend(match engine.breaker {
        BreakerState::Closed => None,
        BreakerState::Open => {
            Some("its breaker is open: requests failed, it gets none for a while".to_owned())
        }
        BreakerState::HalfOpen => Some("its breaker is half open: one request tries it".to_owned()),
    });
    notes.extend(engine.advice.iter().cloned());
    notes
}

fn details(engine: &EngineDoc, notes: &[String]) -> Vec<String> {
    let mut lines = vec![
        detail(
            "engine",
            &format!(
                "{}, {} on {}",
                engine.name,
                engine.kind.as_str(),
                engine.device.as_str()
            ),
        ),
        detail("state", engine.state.as_str()),
        detail("address", &engine.url),
        detail("pool", &engine.pool),
    ];
    lines.extend(some_detail("version", engine.version.as_ref()));
    lines.push(detail("answers now", &engine.permits.active.to_string()));
    lines.push(detail(
        "permits of each model",
        &engine.permits.limit.to_string(),
    ));
    lines.push(detail(
        "waiting",
        &format!("{} of at most {}", engine.queue.waiting, engine.queue.limit),
    ));
    if engine.discovered {
        lines.push(detail("configured", "no, it was found on its usual port"));
    }
    if !engine.load_control {
        lines.push(detail("loads and unloads", "by itself, not by Crucible"));
    }
    lines.extend(notes.iter().map(|note| detail("note", note)));
    let names: Vec<&str> = engine
        .models
        .iter()
        .take(NAMES)
        .map(|name| &**name)
        .collect();
    let more = engine.models.len().saturating_sub(NAMES);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    let models = plural(engine.models.len(), "model", "models");
    lines.push(detail(&models, &format!("{}{more}", names.join(", "))));
    lines
}
