//! The dashboard *engines and models*: one part for each engine, then the memory of the machine, then the
//! settings.

use crate::{
    common::{breaker_words, phases, residents, reuse, settings, text_mode},
    layout::{dashboard, repeated, row},
    panel::{PanelDraft, chart, stat, timeline},
    query::{PanelUnit, of},
    schema::Dashboard,
};

/// The dashboard.
pub(crate) fn engines() -> Dashboard {
    dashboard(
        "crucible-engines",
        "Crucible: engines and models",
        "Each engine with its models: what is loaded, what that costs, how fast it reads and writes, and what it works on.",
        vec![
            repeated(
                "Engine $engine",
                "engine",
                [work(), models(), speeds(), checks()].concat(),
            ),
            row("Memory and graphics cards", machine()),
            row("Settings", rows()),
        ],
    )
}

fn work() -> Vec<PanelDraft> {
    let mut up = stat(
        "State",
        "Whether the engine answers its health checks, and whether its circuit breaker lets requests through.",
        (4, 6),
    )
    .query(&of("crucible_engine_up").min(&[]), "health")
    .query(&of("crucible_engine_breaker_state").max(&[]), "breaker")
    .words(&[("0", "DOWN", "red"), ("1", "up", "green")])
    .runbooks(&["CrucibleEngineDown", "CrucibleBreakerOpen"]);
    text_mode(&mut up, "value_and_name");
    up = up.column("breaker", vec![breaker_words()]);
    vec![
        up,
        chart(
            "At work",
            "Requests that the engine works on. Dashed: what it takes at once.",
            (5, 6),
        )
        .query(&of("crucible_requests_in_flight").sum(&[]), "at work")
        .limit(&of("crucible_in_flight_limit").sum(&[])),
        chart(
            "Waiting",
            "Requests that wait for this engine. Dashed: the bound of the queue, from which on requests are refused.",
            (5, 6),
        )
        .query(&of("crucible_queue_depth").sum(&[]), "waiting")
        .limit(&of("crucible_queue_limit").sum(&[]))
        .runbooks(&["CrucibleQueueNearlyFull"]),
        chart(
            "Left to read",
            "The longest time that a prompt which is read now is expected to take yet, as the engine's progress or the estimate says.",
            (5, 6),
        )
        .query(&of("crucible_prefill_remaining_seconds").max(&[]), "left")
        .nothing("no prompt was read for long")
        .runbooks(&["CruciblePrefillSlow"]),
        chart(
            "Oldest request",
            "The age of the oldest request that the engine works on: a line that climbs is one that hangs.",
            (5, 6),
        )
        .query(&of("crucible_oldest_in_flight_seconds").max(&[]), "age"),
    ]
}

fn models() -> Vec<PanelDraft> {
    vec![
        residents((10, 7)),
        chart(
            "Memory of models",
            "What each loaded model takes, as the engine tells it. Dashed: the limit that the operating system enforces on the engine, where Crucible started it.",
            (7, 7),
        )
        .query(&of("crucible_model_memory_bytes").sum(&["model"]).positive(), "{{model}}")
        .limit(&of("crucible_engine_memory_limit_bytes").max(&[]))
        .stacked(),
        chart(
            "Number of models",
            "Generation models in memory. Dashed: the most that Crucible keeps loaded.",
            (7, 7),
        )
        .query(&of("crucible_models_loaded").sum(&[]), "loaded")
        .limit(&of("crucible_models_loaded_limit").max(&[])),
        chart(
            "Loads, by what asked for them",
            "Loads that ended, by trigger and outcome.",
            (6, 7),
        )
        .query(
            &of("crucible_model_loads_total").per_minute(&["model", "trigger", "outcome"]),
            "{{model}}: {{trigger}}, {{outcome}}",
        )
        .drawn_as_bars()
        .runbooks(&["CrucibleLoadFailing"]),
        chart(
            "Duration of loads, p95",
            "From the request to load to the engine's word that it is done.",
            (6, 7),
        )
        .query(
            &of("crucible_model_load_duration_seconds").quantile(0.95, &["model"]),
            "{{model}}",
        ),
        chart(
            "Models that left memory, by reason",
            "limit and conflict: another model needed the room.",
            (6, 7),
        )
        .query(
            &of("crucible_model_evictions_total").per_minute(&["model", "reason"]),
            "{{model}}: {{reason}}",
        )
        .drawn_as_bars()
        .runbooks(&["CrucibleModelThrash"]),
        chart(
            "Leaves by itself in",
            "The time until the engine unloads a loaded model of its own accord, where it tells one.",
            (6, 7),
        )
        .query(
            &of("crucible_model_expires_timestamp_seconds").max(&["model"]).remaining(),
            "{{model}}",
        )
        .nothing("this engine does not say"),
    ]
}

fn speeds() -> Vec<PanelDraft> {
    let spent = of("crucible_request_phase_seconds_total");
    let tokens = of("crucible_tokens_total");
    vec![
        phases(
            chart(
                "Where the time goes",
                "Seconds per second that this engine's requests spent in each phase: 2 is two requests in that phase all the time.",
                (6, 7),
            )
            .query(&spent.rate(&["phase"]).unit(PanelUnit::Requests), "{{phase}}")
            .stacked(),
        ),
        chart(
            "Reading the prompt, p95",
            "From sending to the first word, without queue and load.",
            (6, 7),
        )
        .query(&of("crucible_prefill_seconds").quantile(0.95, &["model"]), "{{model}}")
        .bad_from(30.0)
        .runbooks(&["CruciblePrefillSlow"]),
        chart(
            "Prompts from the cache",
            "The share of the prompts' tokens that the engine did not read again.",
            (6, 7),
        )
        .query(&reuse(&["model"]), "{{model}}")
        .nothing("this engine does not say, or nothing was reused")
        .up_to(1.0)
        .runbooks(&["CruciblePromptsReadAgain"]),
        chart(
            "Speed of answers, median",
            "Tokens per second of one stream, after its first token.",
            (6, 7),
        )
        .query(
            &of("crucible_output_tokens_per_second").quantile(0.5, &["model"]),
            "{{model}}",
        ),
        chart(
            "Tokens",
            "Tokens as the engine counts them; cached ones are part of the prompt, reasoning part of the completion.",
            (6, 7),
        )
        .query(&tokens.rate(&["type"]), "{{type}}"),
        chart(
            "Tokens of a request, median",
            "The size of prompts and answers.",
            (6, 7),
        )
        .query(&of("crucible_request_tokens").quantile(0.5, &["type"]), "{{type}}"),
    ]
}

fn checks() -> Vec<PanelDraft> {
    vec![
        chart(
            "Health checks and looks at the models",
            "How often Crucible asks the engine, by what and with which outcome.",
            (6, 7),
        )
        .query(
            &of("crucible_engine_health_checks_total").per_minute(&["outcome"]),
            "health: {{outcome}}",
        )
        .query(
            &of("crucible_residency_polls_total").per_minute(&["outcome"]),
            "models: {{outcome}}",
        ),
        chart(
            "Time to connect, p95",
            "Of new connections to the engine, TLS included.",
            (6, 7),
        )
        .query(
            &of("crucible_upstream_connect_duration_seconds").quantile(0.95, &[]),
            "p95",
        )
        .nothing("no new connection"),
    ]
}

fn machine() -> Vec<PanelDraft> {
    let used = of("crucible_pool_used_bytes").max(&["pool"]);
    let budget = of("crucible_pool_budget_bytes").max(&["pool"]);
    let card = of("crucible_gpu_memory_used_bytes").max(&["gpu"]);
    let card_total = of("crucible_gpu_memory_total_bytes").max(&["gpu"]);
    let host = of("crucible_host_memory_used_bytes").max(&["instance"]);
    let host_total = of("crucible_host_memory_total_bytes").max(&["instance"]);
    vec![
        chart(
            "Pools against their budgets",
            "What the loaded models of each pool are counted with, by its budget.",
            (6, 7),
        )
        .query(&used.per(&budget, PanelUnit::Share), "{{pool}}")
        .bad_from(1.0)
        .runbooks(&["CruciblePoolOverBudget"]),
        chart(
            "Memory of graphics cards",
            "Memory in use by any process. Dashed: the part that models may use, gpu_memory_fraction of a card.",
            (6, 7),
        )
        .nothing("no card that can be read")
        .query(&card, "card {{gpu}}")
        .limit(&of("crucible_gpu_memory_limit_bytes").max(&[])),
        chart(
            "Graphics memory in use",
            "Of each card's whole memory. When it is full, models spill to main memory and become slow, or loads fail.",
            (6, 7),
        )
        .nothing("no card that can be read")
        .query(&card.clone().per(&card_total, PanelUnit::Share), "card {{gpu}}")
        .bad_from(0.95)
        .runbooks(&["CrucibleGpuMemoryNearLimit"]),
        chart(
            "Graphics cards at work",
            "The share of the time in which a card was busy.",
            (6, 7),
        )
        .nothing("no card that can be read")
        .query(&of("crucible_gpu_utilization_ratio").max(&["gpu"]), "card {{gpu}}")
        .up_to(1.0),
        chart(
            "Temperature",
            "Of each card.",
            (8, 7),
        )
        .nothing("no card that can be read")
        .query(&of("crucible_gpu_temperature_celsius").max(&["gpu"]), "card {{gpu}}"),
        chart(
            "Power",
            "What cards draw now, and the mean of what cards and processor packages used.",
            (8, 7),
        )
        .nothing("no card that can be read")
        .query(&of("crucible_gpu_power_watts").max(&["gpu"]), "card {{gpu}} now")
        .query(&of("crucible_energy_joules_total").rate(&["source"]), "{{source}}"),
        chart(
            "Main memory",
            "Memory in use that cannot be reclaimed, by that of the machine or of its control group.",
            (8, 7),
        )
        .query(&host.per(&host_total, PanelUnit::Share), "{{instance}}")
        .up_to(1.0),
    ]
}

fn rows() -> Vec<PanelDraft> {
    vec![
        settings((12, 12)),
        timeline(
            "Settings that were not in effect",
            "When evidence proved that an engine works with something else than the setting says.",
            (12, 12),
        )
        .query(
            &of("crucible_tuning_state")
                .only(r#"state="not_in_effect""#)
                .max(&["setting"])
                .positive(),
            "{{setting}}",
        )
        .words(&[("1", "not in effect", "red")])
        .nothing("all settings that can be checked are in effect")
        .runbooks(&["CrucibleSettingLeftEffect"]),
    ]
}
