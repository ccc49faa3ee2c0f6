//! The dashboard *streams and faults*: what came in, how answers went out, and what went wrong where.

use crate::{
    common::{breaker_words, broken_streams, error_share_over_time, refusals, requests},
    layout::{dashboard, row},
    panel::{PanelDraft, chart, timeline},
    query::{PanelUnit, of},
    schema::Dashboard,
};

/// The dashboard.
pub(crate) fn streams() -> Dashboard {
    dashboard(
        "crucible-streams",
        "Crucible: streams and faults",
        "Requests and the answers to them: how they were routed, how their streams flowed, who broke them off, and which errors whom they came from.",
        vec![
            row("Requests", traffic()),
            row("Streams", flow()),
            row("Faults", faults()),
            row("Routing and parameters", routing()),
            row("Crucible's own limits", limits()),
        ],
    )
}

fn traffic() -> Vec<PanelDraft> {
    let duration = of("crucible_request_duration_seconds").only(r#"engine!="none""#);
    vec![
        chart(
            "Requests, by endpoint",
            "Requests of clients; scrapes, probes and lists of models do not count.",
            (6, 7),
        )
        .query(&requests(&["endpoint"]), "{{endpoint}}")
        .stacked(),
        chart(
            "Requests, by status",
            "499 is a client that left before the answer's head. The status of a stream that broke off is 200: see the streams.",
            (6, 7),
        )
        .query(&requests(&["code"]), "{{code}}")
        .stacked(),
        chart(
            "Failed requests",
            "The share of clients' requests that ended with a 5xx, by engine.",
            (6, 7),
        )
        .query(&error_share_over_time(), "{{engine}}")
        .named("none", "no engine had it", "orange")
        .nothing("no request failed")
        .bad_from(0.05)
        .runbooks(&["CrucibleErrorRatioHigh"]),
        chart(
            "Duration",
            "From the request's first line to the answer's last byte, of requests that an engine got.",
            (6, 7),
        )
        .query(&duration.quantile(0.5, &["engine"]), "{{engine}} p50")
        .query(&duration.quantile(0.95, &["engine"]), "{{engine}} p95"),
    ]
}

fn flow() -> Vec<PanelDraft> {
    let gap = of("crucible_inter_token_seconds");
    let writes = of("crucible_stream_flushes_total").per_minute(&["engine"]);
    vec![
        chart(
            "Gaps between words",
            "The time between two events of a stream that have content; an event may hold more than one token.",
            (8, 7),
        )
        .query(&gap.quantile(0.5, &["engine"]), "{{engine}} p50")
        .query(&gap.quantile(0.95, &["engine"]), "{{engine}} p95"),
        broken_streams((8, 7))
        .runbooks(&["CrucibleStreamsCut"]),
        chart(
            "Clients that left, by phase",
            "In queue and load they were tired of waiting; in headers and stream they had seen enough, or their own time ran out.",
            (8, 7),
        )
        .query(&of("crucible_client_disconnects_total").per_minute(&["phase"]), "{{phase}}")
        .drawn_as_bars(),
        chart(
            "Bytes of a write",
            "How many bytes of a stream were joined into one write: small is prompt, large is cheap.",
            (8, 7),
        )
        .query(
            &of("crucible_stream_bytes_total")
                .rate(&["engine"])
                .times(60)
                .per(&writes, PanelUnit::Bytes),
            "{{engine}}",
        ),
        chart(
            "First token, against the prediction",
            "Time to first token by what was predicted when the request was routed: above 1 it took longer.",
            (8, 7),
        )
        .query(
            &of("crucible_first_token_prediction_ratio").quantile(0.5, &["engine"]),
            "{{engine}} median",
        ),
        chart(
            "Tokens that no engine counted",
            "Content events of answers whose engine told no usage; they are in no other number of tokens.",
            (8, 7),
        )
        .query(&of("crucible_tokens_estimated_total").rate(&["engine"]), "{{engine}}"),
    ]
}

fn faults() -> Vec<PanelDraft> {
    vec![
        chart(
            "Failures of engines, by kind",
            "What went wrong between Crucible and an engine, whether a client saw it or not.",
            (8, 7),
        )
        .query(
            &of("crucible_upstream_errors_total").per_minute(&["engine", "kind"]),
            "{{engine}}: {{kind}}",
        )
        .drawn_as_bars()
        .runbooks(&["CrucibleErrorRatioHigh"]),
        chart(
            "Answers of engines, by status",
            "As the engines gave them, before anything was made of them.",
            (8, 7),
        )
        .query(
            &of("crucible_upstream_responses_total").per_minute(&["engine", "code"]),
            "{{engine}}: {{code}}",
        )
        .stacked(),
        refusals((8, 7)),
        timeline(
            "Circuit breakers",
            "Open: the engine failed several times in a row, and its requests are refused or go elsewhere. Trying: one request decides.",
            (8, 7),
        )
        .query(&of("crucible_engine_breaker_state").max(&["engine"]), "{{engine}}")
        .mapped(breaker_words())
        .runbooks(&["CrucibleBreakerOpen"]),
        chart(
            "Health checks that failed",
            "An engine that fails them is down and gets no requests.",
            (8, 7),
        )
        .query(
            &of("crucible_engine_health_checks_total")
                .only(r#"outcome="error""#)
                .per_minute(&["engine"]),
            "{{engine}}",
        )
        .drawn_as_bars()
        .runbooks(&["CrucibleEngineDown"]),
        chart(
            "Sent a second time",
            "Requests that were sent again because the engine had closed the idle connection that they took.",
            (8, 7),
        )
        .query(
            &of("crucible_retries_total").per_minute(&["engine", "reason", "outcome"]),
            "{{engine}}: {{reason}}, {{outcome}}",
        )
        .drawn_as_bars(),
    ]
}

fn routing() -> Vec<PanelDraft> {
    vec![
        chart(
            "Routed, by reason",
            "Why the engine was chosen; the words are those of the header x-crucible-reason.",
            (6, 7),
        )
        .query(
            &of("crucible_routed_total").per_minute(&["engine", "reason"]),
            "{{engine}}: {{reason}}",
        )
        .stacked(),
        chart(
            "Turned to another engine",
            "Attempts of a later candidate, by what the first one lacked.",
            (6, 7),
        )
        .query(
            &of("crucible_fallbacks_total").per_minute(&[
                "from_engine",
                "to_engine",
                "reason",
                "outcome",
            ]),
            "{{from_engine}} to {{to_engine}}: {{reason}}, {{outcome}}",
        )
        .drawn_as_bars(),
        chart(
            "Parameters filled in",
            "Settings of the profile that went into requests which had none.",
            (6, 7),
        )
        .query(
            &of("crucible_defaults_injected_total").per_minute(&["engine", "param"]),
            "{{engine}}: {{param}}",
        )
        .nothing("none"),
        chart(
            "Parameters left out",
            "Parameters of requests that the engine does not understand.",
            (6, 7),
        )
        .query(
            &of("crucible_params_dropped_total").per_minute(&["engine", "param"]),
            "{{engine}}: {{param}}",
        )
        .nothing("none"),
    ]
}

fn limits() -> Vec<PanelDraft> {
    let open = of("crucible_connections_open").max(&["instance"]);
    let files = of("process_open_fds").max(&["instance"]);
    vec![
        chart(
            "Connections and files, of their limits",
            "Open connections of clients by limits.connections, and open files by what the system allows.",
            (6, 7),
        )
        .query(
            &open.per(&of("crucible_connections_limit").max(&["instance"]), PanelUnit::Share),
            "{{instance}} connections",
        )
        .query(
            &files.per(&of("process_max_fds").max(&["instance"]), PanelUnit::Share),
            "{{instance}} files",
        )
        .bad_from(0.8)
        .runbooks(&["CrucibleFdNearLimit"]),
        chart(
            "Tasks",
            "Tasks of the runtime that have not ended: a line that only climbs is a leak.",
            (6, 7),
        )
        .query(&of("crucible_runtime_alive_tasks").max(&["instance"]), "{{instance}}"),
        chart(
            "Budget of second sendings",
            "How many requests may be sent again at this moment; at 0 a broken engine gets nothing twice.",
            (6, 7),
        )
        .query(&of("crucible_retry_budget_remaining").min(&["engine"]), "{{engine}}").nothing("0 for every engine"),
        chart(
            "Lost log lines, folded names, evicted connections",
            "Lines that a log lost; names of models beyond 200, which are counted as other; idle connections that were closed for new ones; open pages that did not read.",
            (6, 7),
        )
        .query(&of("crucible_log_dropped_total").per_minute(&["sink"]), "log lines: {{sink}}")
        .query(&of("crucible_label_overflow_total").per_minute(&["label"]), "names: {{label}}")
        .query(&of("crucible_connections_evicted_total").per_minute(&[]), "connections")
        .query(&of("crucible_pages_dropped_total").per_minute(&[]), "pages")
        .nothing("none")
        .runbooks(&["CrucibleLogDropping", "CrucibleLabelOverflow"]),
        timeline(
            "Configuration",
            "Whether the file was taken the last time that it was read.",
            (8, 7),
        )
        .query(
            &of("crucible_config_last_reload_success").min(&["instance"]),
            "{{instance}}",
        )
        .words(&[("0", "refused", "red"), ("1", "taken", "green")])
        .runbooks(&["CrucibleConfigReloadFailed"]),
        chart(
            "Readings of the configuration",
            "By outcome.",
            (8, 7),
        )
        .query(&of("crucible_config_reloads_total").per_minute(&["outcome"]), "{{outcome}}")
        .drawn_as_bars(),
        chart(
            "Age",
            "How long the process runs, and how old the configuration in effect is.",
            (8, 7),
        )
        .query(&of("process_start_time_seconds").max(&["instance"]).age(), "{{instance}} process")
        .query(
            &of("crucible_config_last_reload_timestamp_seconds").max(&["instance"]).age(),
            "{{instance}} configuration",
        ),
    ]
}
