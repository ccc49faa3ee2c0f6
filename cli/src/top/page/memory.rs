//! Pools with their budgets as bars, and below each what is loaded there.

use std::time::Instant;

use crucible_documents::{
    StateDoc,
    state::{LoadingDoc, PoolDoc, PromptDoc, ResidentDoc},
};

use super::{
    super::{
        watched::WatchedInstance,
        words::{bytes, count, duration},
    },
    pane::{PaneCell, PaneColumn, PaneKind, PaneRow, TextTone, TopPane, detail, some_detail},
};
use crate::output::plural;

const COLUMNS: &[PaneColumn] = &[
    PaneColumn::text("", (12, 16), 0),
    PaneColumn::number("memory", 8, 1),
    PaneColumn::bar(8, 4),
    PaneColumn::text("of, context", (10, 13), 2),
    PaneColumn::rest("now", (12, 19), 3),
    PaneColumn::text("kept", (10, 10), 5),
];

pub(super) fn pane(watched: &WatchedInstance, now: Instant) -> TopPane {
    let empty = StateDoc::default();
    let state = watched.state.as_ref().map_or(&empty, |(state, _)| state);
    let age = watched.state_age(now);
    let mut rows = Vec::new();
    for pool in &state.pools {
        rows.push(pool_row(pool));
        rows.extend(
            pool.loading
                .as_ref()
                .map(|loading| load_row(loading, pool, age)),
        );
        rows.extend(
            pool.residents
                .iter()
                .map(|resident| resident_row(resident, pool, age)),
        );
    }
    let loaded = state.residents().count();
    TopPane {
        kind: PaneKind::Memory,
        titles: vec![
            format!("Memory: {} loaded", plural(loaded, "model", "models")),
            "Memory".to_owned(),
        ],
        columns: COLUMNS,
        rows,
        empty: PaneCell::new("No pool is known.").in_tone(TextTone::Muted),
    }
}

/// The bar of so many bytes, and of those of other programs, in a pool with a known budget. A full bar stands
/// for the budget, or for what is used where that is more.
#[expect(clippy::cast_precision_loss, reason = "bytes of memory are below 2^53")]
fn bar(pool: &PoolDoc, used: u64, others: u64) -> PaneCell {
    let Some(budget) = pool.budget_bytes else {
        return PaneCell::default();
    };
    let all = pool
        .used_bytes
        .saturating_add(pool.others_bytes.unwrap_or(0));
    let whole = budget.max(all).max(1) as f64;
    PaneCell::filled(used as f64 / whole, others as f64 / whole)
}

fn pool_row(pool: &PoolDoc) -> PaneRow {
    let others = pool.others_bytes.unwrap_or(0);
    let over = pool
        .budget_bytes
        .is_some_and(|budget| pool.used_bytes > budget);
    let tone = if over { TextTone::Bad } else { TextTone::Good };
    let budget = pool.budget_bytes.map_or_else(
        || "of unknown".to_owned(),
        |budget| format!("of {}", bytes(budget)),
    );
    let budget = if over {
        format!("{budget}, over it")
    } else {
        budget
    };
    let mut details = vec![
        detail("pool", &pool.name),
        detail("used", &format!("{} {budget}", bytes(pool.used_bytes))),
        detail("most used since the start", &bytes(pool.peak_bytes)),
    ];
    details.extend(some_detail(
        "other programs hold",
        pool.others_bytes.map(bytes),
    ));
    details.push(detail(
        "loaded",
        &plural(pool.residents.len(), "model", "models"),
    ));
    let doing = match (&pool.loading, pool.residents.is_empty()) {
        (None, true) => PaneCell::any_of(&["nothing is loaded", "empty"]).in_tone(TextTone::Muted),
        _ => PaneCell::default(),
    };
    PaneRow {
        key: format!("pool {}", pool.name),
        cells: vec![
            PaneCell::new(&pool.name).in_tone(TextTone::Strong),
            PaneCell::new(&bytes(pool.used_bytes)),
            bar(pool, pool.used_bytes, others).in_tone(tone),
            PaneCell::new(&budget).in_tone(if over { TextTone::Bad } else { TextTone::Plain }),
            doing,
            PaneCell::default(),
        ],
        details,
    }
}

/// The model that is being loaded, with its age, and how far it is by the time that it usually takes.
fn load_row(loading: &LoadingDoc, pool: &PoolDoc, age: f64) -> PaneRow {
    let since = loading.since + age;
    let expected = loading.expected_s.filter(|expected| *expected > 0.0);
    let taken = duration(since);
    let usually = expected.map_or_else(String::new, |s| format!("of about {}", duration(s)));
    let bar = expected.map_or_else(PaneCell::default, |s| {
        PaneCell::filled((since / s).min(1.0), 0.0)
    });
    let mut details = vec![
        detail("loading", &loading.model),
        detail("pool", &pool.name),
        detail("since", &taken),
    ];
    details.extend(some_detail("usually takes", expected.map(duration)));
    PaneRow {
        key: format!("load in {}", pool.name),
        cells: vec![
            PaneCell::new(&format!("  {}", loading.model)),
            PaneCell::default(),
            bar.in_tone(TextTone::Warn),
            PaneCell::any_of(&[
                &format!("loading {taken}"),
                &format!("load {taken}"),
                &taken,
            ])
            .in_tone(TextTone::Warn),
            PaneCell::new(&usually).in_tone(TextTone::Warn),
            PaneCell::default(),
        ],
        details,
    }
}

fn resident_row(resident: &ResidentDoc, pool: &PoolDoc, age: f64) -> PaneRow {
    let (engine, model) = (&resident.engine, &resident.model);
    let idle = if resident.active == 0 {
        resident.idle_s + age
    } else {
        0.0
    };
    let doing = if resident.active > 0 {
        PaneCell::new(&format!("{} running", resident.active)).in_tone(TextTone::Good)
    } else {
        PaneCell::new(&format!("idle {}", duration(idle))).in_tone(TextTone::Muted)
    };
    let kept = kept(resident);
    let context = resident.context.map_or_else(PaneCell::default, |context| {
        let tokens = count(context);
        PaneCell::any_of(&[&format!("{tokens} tokens"), &tokens])
    });
    let size = resident.bytes.map(bytes).unwrap_or_default();
    PaneRow {
        key: format!("resident {engine}/{}/{model}", resident.instance),
        cells: vec![
            PaneCell::any_of(&[&format!("  {engine}/{model}"), &format!("  {model}")]),
            PaneCell::new(&size),
            bar(pool, resident.bytes.unwrap_or(0), 0),
            context,
            doing,
            PaneCell::new(kept).in_tone(TextTone::Muted),
        ],
        details: details(resident, idle, kept),
    }
}

/// How long a model stays loaded.
fn kept(resident: &ResidentDoc) -> &'static str {
    match (resident.pinned, resident.owned) {
        (true, _) => "pinned",
        (false, true) => "until idle",
        (false, false) => "loaded by others",
    }
}

fn details(resident: &ResidentDoc, idle: f64, kept: &str) -> Vec<String> {
    let mut lines = vec![
        detail("model", &resident.model),
        detail("engine", &resident.engine),
        detail("kept", kept),
    ];
    if !resident.instance.is_empty() && resident.instance != resident.model {
        lines.push(detail("instance", &resident.instance));
    }
    if resident.names.len() > 1 {
        lines.push(detail("also called", &resident.names[1..].join(", ")));
    }
    lines.extend(some_detail("memory", resident.bytes.map(bytes)));
    lines.extend(some_detail(
        "of it on a graphics card",
        resident.vram_bytes.map(bytes),
    ));
    lines.extend(some_detail(
        "context",
        resident.context.map(|context| format!("{context} tokens")),
    ));
    lines.push(detail("answers now", &resident.active.to_string()));
    if resident.active == 0 {
        lines.push(detail("idle", &duration(idle)));
    }
    lines.extend(resident.prompts.iter().rev().map(prompt));
    lines
}

fn prompt(prompt: &PromptDoc) -> String {
    let about = if prompt.estimated { "about " } else { "" };
    let cached = prompt.cached.map_or_else(String::new, |cached| {
        format!(", {about}{cached} of them cached")
    });
    detail(
        "prompt before",
        &format!("{} tokens{cached}", prompt.tokens),
    )
}
