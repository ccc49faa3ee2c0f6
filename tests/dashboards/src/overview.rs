//! The dashboard *overview*: whether all is well, and if a model is slow, why.
//!
//! The first row judges in words and colours; the charts below say since when, and for which engine.

use crate::{
    common::{
        TO_ENGINE, TO_ENGINES, TO_STREAMS, broken_streams, engines_up, error_share, firing,
        generating_speed, phases, reading_speed, refusals, residents, reuse_shown, text_mode,
        versions,
    },
    layout::{dashboard, row},
    panel::{PanelDraft, bars, chart, heatmap, stat},
    query::{PanelUnit, of},
    schema::Dashboard,
};

/// The dashboard.
pub(crate) fn overview() -> Dashboard {
    dashboard(
        "crucible-overview",
        "Crucible: overview",
        "Why is my local model slow: does it wait, load, read the prompt, generate, or fight with another one for memory?",
        vec![
            row("Verdict", [verdict(), speeds(), state()].concat()),
            row("Where the time goes", time()),
            row("What waits, and what did not come through", refused()),
            row("Memory", memory()),
            row("What Crucible itself costs", own()),
        ],
    )
}

fn verdict() -> Vec<PanelDraft> {
    let spent = of("crucible_request_phase_seconds_total");
    let share = spent.shown(&["phase"]).share_of(&spent.shown(&[]));
    let mut most = stat(
        "Most of the time goes to",
        "The phase in which the ended requests of the time that is shown spent most of their time, and its share. The client sends: its request comes slowly. Waiting: more requests than the engine takes at once. Loading: the model was not in memory. Reading the prompt: long prompts, or prompts that are read again. Generating: the engine writes, which is what one waits for gladly. Crucible itself: its own work, a bug if it is ever first.",
        (6, 4),
    )
    .query(&share.greatest(), "{{phase}}")
    .decimals(0)
    .now()
    .nothing("no request has ended");
    most = phases(most);
    text_mode(&mut most, "value_and_name");
    let reading = of("crucible_prefill_requests").sum(&[]);
    let mut doing = stat(
        "Right now",
        "Requests that wait, models that load, prompts that are read and answers that are generated at this moment.",
        (10, 4),
    )
    .query(&of("crucible_queue_waiting").sum(&[]), "queue")
    .query(&of("crucible_pool_loading").sum(&[]), "load")
    .query(&reading, "prefill")
    .query(
        &of("crucible_requests_in_flight").sum(&[]).minus(&reading),
        "generate",
    );
    doing = phases(doing).words(&[("0", "none", "text")]);
    text_mode(&mut doing, "value_and_name");
    vec![engines_up((8, 4)), most, doing]
}

fn speeds() -> Vec<PanelDraft> {
    let forced = of("crucible_model_evictions_total").only(r#"reason=~"limit|conflict""#);
    vec![
        stat(
            "First token, p95",
            "95 of 100 requests had their first token within this time, waits and loads included.",
            (4, 4),
        )
        .query(&of("crucible_time_to_first_token_seconds").quantile(0.95, &[]), "p95")
        .bad_from(60.0)
        .nothing("no answer yet")
        .runbooks(&["CrucibleFirstTokenSlow"]),
        stat(
            "Reading prompts",
            "Tokens of prompts that were read anew, by the time between sending and first token. On a processor some 50 to 100 tok/s are usual, on a graphics card 1000 and more.",
            (4, 4),
        )
        .query(&reading_speed(), "read")
        .decimals(0)
        .now()
        .steps(&[(None, "blue")])
        .nothing("no answer yet")
        .runbooks(&["CruciblePrefillSlow"]),
        stat(
            "Generating",
            "Tokens that were generated, by the time from the first to the last one. People read some 7 tok/s.",
            (4, 4),
        )
        .query(&generating_speed(), "generated")
        .decimals(1)
        .now()
        .steps(&[(None, "blue")])
        .nothing("no answer yet"),
        stat(
            "Prompts from the cache",
            "The share of the prompts' tokens that engines still had and did not read again. An agent sends its whole conversation with each turn, so less than a tenth means that something changes the prompts' first words or unloads the model in between.",
            (4, 4),
        )
        .query(&reuse_shown(), "reused")
        .decimals(0)
        .now()
        .steps(&[(None, "orange"), (Some(0.1), "green")])
        .nothing("no prompt yet")
        .runbooks(&["CruciblePromptsReadAgain"]),
        stat(
            "Models fight for memory",
            "Models that were pushed out of memory by others within 10 minutes. Each comes back with a load, and with prompts that are read again.",
            (4, 4),
        )
        .query(&forced.within("10m", &[]), "evictions")
        .decimals(0)
        .now()
        .words(&[("0", "no", "green")])
        .span(0.01, Some(6.0), None, "orange")
        .span(6.0, None, None, "red")
        .nothing("no")
        .runbooks(&["CrucibleModelThrash"]),
        stat(
            "Failed requests",
            "The share of clients' requests that ended with a 5xx in the time that is shown. Scrapes, probes and lists of models do not count.",
            (4, 4),
        )
        .query(&error_share(), "failed")
        .decimals(1)
        .now()
        .words(&[("0", "none", "green")])
        .bad_from(0.05)
        .nothing("no request")
        .value_link("Streams and faults", TO_STREAMS)
        .runbooks(&["CrucibleErrorRatioHigh"]),
    ]
}

fn state() -> Vec<PanelDraft> {
    let used = of("crucible_pool_used_bytes").max(&["pool"]);
    let budget = of("crucible_pool_budget_bytes").max(&["pool"]);
    vec![
        bars(
            "Memory against the budget",
            "What the loaded models of each pool are counted with, by what they may use together. Above 100 % models spill to slower memory, or the engine fails.",
            (8, 5),
        )
        .query(&used.per(&budget, PanelUnit::Share), "{{pool}}")
        .decimals(0)
        .up_to(1.2)
        .steps(&[(None, "green"), (Some(1.0001), "red")])
        .nothing("no pool has a budget")
        .runbooks(&["CruciblePoolOverBudget"]),
        stat(
            "Settings not in effect",
            "Settings of which evidence proves that the engine works with something else.",
            (4, 5),
        )
        .query(
            &of("crucible_tuning_state").only(r#"state="not_in_effect""#).sum(&[]).or_zero(),
            "settings",
        )
        .words(&[("0", "none", "green")])
        .span(1.0, None, None, "red")
        .value_link("All settings", TO_ENGINES)
        .runbooks(&["CrucibleSettingLeftEffect"]),
        firing((12, 5)),
    ]
}

fn time() -> Vec<PanelDraft> {
    let spent = of("crucible_request_phase_seconds_total");
    let first = of("crucible_time_to_first_token_seconds");
    vec![
        phases(
            chart(
                "Time of the ended requests, by phase",
                "Seconds that requests spent in each phase, per second: 2 is two requests in that phase all the time. A request counts when it has ended.",
                (12, 8),
            )
            .query(&spent.rate(&["phase"]).unit(PanelUnit::Requests), "{{phase}}")
            .stacked(),
        ),
        chart(
            "Time to first token",
            "From the request to the first word, waits and loads included; half of the requests were faster than p50, 95 of 100 than p95.",
            (6, 8),
        )
        .query(&first.quantile(0.5, &["engine"]), "{{engine}} p50")
        .query(&first.quantile(0.95, &["engine"]), "{{engine}} p95")
        .bad_from(60.0)
        .value_link("This engine", TO_ENGINE)
        .runbooks(&["CrucibleFirstTokenSlow"]),
        heatmap(
            "Time to first token, all requests",
            "How many requests a minute had their first token after how long. Two bands are two kinds of requests: with and without a load, or with short and long prompts.",
            (6, 8),
        )
        .query(&first.buckets(&[]).times(60), "{{le}}"),
    ]
}

fn refused() -> Vec<PanelDraft> {
    vec![
        chart(
            "What waits now, and why",
            "Requests without a permit. slot: the engine answers others. load: their model is being loaded. swap: their model waits until another one can be unloaded.",
            (8, 7),
        )
        .query(
            &of("crucible_queue_waiting").sum(&["engine", "reason"]),
            "{{engine}}: {{reason}}",
        )
        .stacked()
        .value_link("This engine", TO_ENGINE)
        .runbooks(&["CrucibleQueueNearlyFull", "CrucibleQueueRejecting"]),
        chart(
            "Wait for a permit, p95",
            "How long requests waited before they were sent, by what they waited for.",
            (8, 7),
        )
        .query(
            &of("crucible_queue_wait_seconds").quantile(0.95, &["engine", "reason"]),
            "{{engine}}: {{reason}}",
        ),
        refusals((8, 7))
        .value_link("Streams and faults", TO_STREAMS)
        .runbooks(&["CrucibleErrorRatioHigh", "CrucibleQueueRejecting"]),
        chart(
            "Models pushed out, by reason",
            "limit and conflict: another model needed the room. grow: the context was too small. ttl: idle for long enough. external: somebody else unloaded it.",
            (8, 7),
        )
        .query(
            &of("crucible_model_evictions_total").per_minute(&["engine", "reason"]),
            "{{engine}}: {{reason}}",
        )
        .drawn_as_bars()
        .value_link("This engine", TO_ENGINE)
        .runbooks(&["CrucibleModelThrash"]),
        chart(
            "Loads, by outcome",
            "Loads that ended.",
            (8, 7),
        )
        .query(
            &of("crucible_model_loads_total").per_minute(&["engine", "outcome"]),
            "{{engine}}: {{outcome}}",
        )
        .drawn_as_bars()
        .value_link("This engine", TO_ENGINE)
        .runbooks(&["CrucibleLoadFailing"]),
        broken_streams((8, 7))
        .value_link("Streams and faults", TO_STREAMS)
        .runbooks(&["CrucibleStreamsCut"]),
    ]
}

fn memory() -> Vec<PanelDraft> {
    vec![
        residents((16, 7)),
        chart(
            "Memory of the pools",
            "What the loaded models of each pool are counted with.",
            (8, 7),
        )
        .query(&of("crucible_pool_used_bytes").max(&["pool"]), "{{pool}}")
        .stacked()
        .runbooks(&["CruciblePoolOverBudget"]),
    ]
}

fn own() -> Vec<PanelDraft> {
    let overhead = of("crucible_overhead_seconds");
    let busy = of("crucible_runtime_busy_seconds_total").rate(&["instance"]);
    let workers = of("crucible_runtime_workers").sum(&["instance"]);
    vec![
        chart(
            "Own time of a request",
            "What Crucible adds to a request: its time without waits for the client's body, queue, load and engine.",
            (6, 7),
        )
        .query(&overhead.quantile(0.5, &[]), "p50")
        .query(&overhead.quantile(0.99, &[]), "p99"),
        chart(
            "Processor",
            "Cores that Crucible uses (100 % is one core), and the share of the time in which the workers of its runtime are busy.",
            (6, 7),
        )
        .query(
            &of("process_cpu_seconds_total").rate(&["instance"]).unit(PanelUnit::Share),
            "{{instance}} cores",
        )
        .query(&busy.per(&workers, PanelUnit::Share), "{{instance}} workers busy")
        .decimals(1),
        chart(
            "Memory",
            "Main memory of Crucible's process.",
            (6, 7),
        )
        .query(&of("process_resident_memory_bytes").max(&["instance"]), "{{instance}}"),
        versions((6, 7)),
    ]
}
