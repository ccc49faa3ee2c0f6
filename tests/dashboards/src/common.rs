//! Expressions and panels that more than one dashboard has.

use crate::{
    fields::{CellOptions, Link, Mapping, Property, Word},
    panel::{PanelDraft, chart, stat, table},
    query::{Expression, PanelUnit, of},
};

/// The endpoints whose requests ask for an answer of a model; lists and unknown paths do not.
const CLIENTS: &str = r#"endpoint!~"models|other""#;
/// The link from an engine to its part of the dashboard of engines.
pub(crate) const TO_ENGINE: &str = "/d/crucible-engines?${datasource:queryparam}&${job:queryparam}&${instance:queryparam}&var-engine=${__field.labels.engine}&${__url_time_range}";
/// The link to the dashboard of engines and models.
pub(crate) const TO_ENGINES: &str = "/d/crucible-engines?${datasource:queryparam}&${job:queryparam}&${instance:queryparam}&${engine:queryparam}&${__url_time_range}";
/// The link to the dashboard of streams and faults.
pub(crate) const TO_STREAMS: &str = "/d/crucible-streams?${datasource:queryparam}&${job:queryparam}&${instance:queryparam}&${engine:queryparam}&${__url_time_range}";
/// The columns that every row of an instant query has and that say nothing in a table.
pub(crate) const NOISE: [&str; 6] = ["Time", "Value", "Value #A", "Value #B", "job", "__name__"];

/// The share of clients' requests that ended with a 5xx, in the time that is shown.
pub(crate) fn error_share() -> Expression {
    let requests = of("crucible_requests_total").with_no_engine().only(CLIENTS);
    // A status has no series before its first answer.
    let failed = requests.clone().only(r#"code=~"5..""#).shown(&[]).or_zero();
    failed.per(&requests.shown(&[]), PanelUnit::Share)
}

/// The same over time, by engine.
pub(crate) fn error_share_over_time() -> Expression {
    let requests = of("crucible_requests_total").with_no_engine().only(CLIENTS);
    let failed = requests
        .clone()
        .only(r#"code=~"5..""#)
        .per_minute(&["engine"]);
    failed.per(&requests.per_minute(&["engine"]), PanelUnit::Share)
}

/// Clients' requests per minute.
pub(crate) fn requests(by: &[&str]) -> Expression {
    of("crucible_requests_total")
        .with_no_engine()
        .only(CLIENTS)
        .per_minute(by)
}

/// The share of the prompts' tokens that engines had in their caches and did not read again.
pub(crate) fn reuse(by: &[&str]) -> Expression {
    let tokens = of("crucible_tokens_total");
    let cached = tokens.clone().only(r#"type=~"cached|cached_estimated""#);
    let prompt = tokens.only(r#"type="prompt""#);
    cached.rate(by).per(&prompt.rate(by), PanelUnit::Share)
}

/// The same over all the time that is shown.
pub(crate) fn reuse_shown() -> Expression {
    let tokens = of("crucible_tokens_total");
    let cached = tokens.clone().only(r#"type=~"cached|cached_estimated""#);
    let prompt = tokens.only(r#"type="prompt""#);
    cached.shown(&[]).per(&prompt.shown(&[]), PanelUnit::Share)
}

fn phase(name: &str) -> crate::query::Selection {
    of("crucible_request_phase_seconds_total").only(&format!(r#"phase="{name}""#))
}

/// Tokens of prompts that were read, by the time that reading took.
pub(crate) fn reading_speed() -> Expression {
    let tokens = of("crucible_tokens_total");
    let prompt = tokens.clone().only(r#"type="prompt""#).shown(&[]);
    let cached = tokens.only(r#"type=~"cached|cached_estimated""#).shown(&[]);
    prompt
        .minus(&cached)
        .per(&phase("prefill").shown(&[]), PanelUnit::TokenRate)
}

/// Tokens that were generated, by the time that generating took.
pub(crate) fn generating_speed() -> Expression {
    of("crucible_tokens_total")
        .only(r#"type="completion""#)
        .shown(&[])
        .per(&phase("generate").shown(&[]), PanelUnit::TokenRate)
}

/// Names and colours of the phases of a request, the same on every panel.
pub(crate) fn phases(draft: PanelDraft) -> PanelDraft {
    let all = draft.has_legend("{{phase}}");
    let draft = draft
        .named("queue", "waiting", "orange")
        .named("load", "loading the model", "purple")
        .named("prefill", "reading the prompt", "blue")
        .named("generate", "generating", "green");
    // The client's upload and Crucible's own time are phases of requests, but no panel tells their present state.
    if all {
        draft
            .named("receive", "the client sends", "super-light-blue")
            .named("failed", "attempts that failed", "red")
            .named("own", "Crucible itself", "yellow")
    } else {
        draft
    }
}

/// Up or down, for each engine.
pub(crate) fn engines_up(size: (u32, u32)) -> PanelDraft {
    let mut draft = stat(
        "Engines",
        "Whether each engine answers its health checks. A click opens the engine's own part.",
        size,
    )
    .query(&of("crucible_engine_up").min(&["engine"]), "{{engine}}")
    .words(&[("0", "DOWN", "red"), ("1", "up", "green")])
    .nothing("no Crucible is scraped")
    .value_link("This engine", TO_ENGINE)
    .runbooks(&["CrucibleEngineDown", "CrucibleDown"]);
    text_mode(&mut draft, "value_and_name");
    draft
}

/// What a stat shows: `value`, `name` or `value_and_name`.
pub(crate) fn text_mode(draft: &mut PanelDraft, mode: &str) {
    if let Some(crate::schema::PanelOptions::Stat(options)) = &mut draft.panel.options {
        options.text_mode = mode.into();
    }
}

fn painted() -> Property {
    Property::CellOptions(CellOptions {
        r#type: "color-background".into(),
    })
}

fn paints(words: &[(&str, &str)]) -> Property {
    let mapped = words
        .iter()
        .map(|&(value, color)| {
            let word = Word {
                text: None,
                color: color.into(),
                index: 0,
            };
            (value.to_owned(), word)
        })
        .collect();
    Property::Mappings(vec![Mapping::Value(mapped)])
}

/// The alerts that fire, each with the link to its runbook.
pub(crate) fn firing(size: (u32, u32)) -> PanelDraft {
    let alerts = Expression {
        text: r#"ALERTS{alertname=~"Crucible.+",alertstate="firing",job=~"$job"}"#.into(),
        unit: PanelUnit::Number,
        families: Vec::new(),
    };
    let runbook = Link {
        title: "Runbook".into(),
        url: "${runbooks}#${__value.text}".into(),
        target_blank: true,
    };
    let hidden = [&NOISE[..], &["alertstate", "reason", "type"]].concat();
    table(
        "Alerts that fire",
        "The shipped alerts that fire now; a click on the name opens its runbook. Empty where Prometheus does not have the rules.",
        size,
    )
    .query(&alerts, "")
    .columns(
        &[
            ("alertname", "alert"),
            ("severity", "severity"),
            ("engine", "engine"),
            ("model", "model"),
            ("setting", "setting"),
            ("pool", "pool"),
            ("instance", "instance"),
        ],
        &hidden,
    )
    .column("alert", vec![Property::Links(vec![runbook])])
    .column(
        "severity",
        vec![
            painted(),
            paints(&[("critical", "red"), ("warning", "orange"), ("info", "blue")]),
        ],
    )
    .nothing("none")
}

/// The versions of Crucible and of the engines.
pub(crate) fn versions(size: (u32, u32)) -> PanelDraft {
    let own = of("crucible_build_info")
        .max(&["version", "revision", "instance"])
        .labelled("engine", "Crucible");
    table(
        "Versions",
        "The version of Crucible with the commit that it was built from, and what the engines say of themselves.",
        size,
    )
    .query(&own, "")
    .query(
        &of("crucible_engine_info").max(&["engine", "kind", "version", "instance"]),
        "",
    )
    .columns(
        &[
            ("engine", "engine"),
            ("kind", "kind"),
            ("version", "version"),
            ("revision", "commit"),
            ("instance", "instance"),
        ],
        &NOISE,
    )
}

/// Every setting with the state in which it was found last.
pub(crate) fn settings(size: (u32, u32)) -> PanelDraft {
    table(
        "Settings by row and state",
        "The 39 settings, each with the state in which it was found last; docs/tunings.md explains the rows.",
        size,
    )
    .query(
        &of("crucible_tuning_state").max(&["setting", "state"]).positive(),
        "",
    )
    .columns(&[("setting", "setting"), ("state", "state")], &NOISE)
    .column(
        "state",
        vec![
            painted(),
            paints(&[
                ("in_effect", "green"),
                ("not_in_effect", "red"),
                ("superseded", "blue"),
                ("unverifiable", "yellow"),
                ("not_applicable", "text"),
            ]),
        ],
    )
    .runbooks(&["CrucibleSettingLeftEffect"])
}

/// Models in memory over time.
pub(crate) fn residents(size: (u32, u32)) -> PanelDraft {
    crate::panel::timeline(
        "Models in memory",
        "When each model was loaded. Bars that end where another begins are models that push each other out.",
        size,
    )
    .query(
        &of("crucible_model_loaded").max(&["engine", "model"]).positive(),
        "{{model}} on {{engine}}",
    )
    .words(&[("1", "loaded", "green")])
    .nothing("no model was loaded")
    .runbooks(&["CrucibleModelThrash", "CrucibleLoadFailing"])
}

/// The words for the states of a circuit breaker.
pub(crate) fn breaker_words() -> Property {
    let words = [
        ("0", "closed", "green"),
        ("1", "OPEN", "red"),
        ("2", "trying", "yellow"),
    ];
    let mapped = words
        .iter()
        .map(|&(value, text, color)| {
            let word = Word {
                text: Some(text.into()),
                color: color.into(),
                index: 0,
            };
            (value.to_owned(), word)
        })
        .collect();
    Property::Mappings(vec![Mapping::Value(mapped)])
}

/// The requests that Crucible itself refused, by reason.
pub(crate) fn refusals(size: (u32, u32)) -> PanelDraft {
    chart(
        "Refused, by reason",
        "Requests that Crucible itself refused; the reason is the code in the answer's body. Failures of engines are on a panel of their own.",
        size,
    )
    .query(
        &of("crucible_rejected_total").with_no_engine().per_minute(&["reason", "code"]),
        "{{code}} {{reason}}",
    )
    .drawn_as_bars()
}

/// The streams that did not reach their end, by cause.
pub(crate) fn broken_streams(size: (u32, u32)) -> PanelDraft {
    chart(
        "Streams that broke off, by cause",
        "Answers that had begun and did not reach their end.",
        size,
    )
    .query(
        &of("crucible_stream_aborted_total").per_minute(&["engine", "cause"]),
        "{{engine}}: {{cause}}",
    )
    .drawn_as_bars()
}
