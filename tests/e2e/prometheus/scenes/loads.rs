//! Loads that go well and that do not, for each cause, and everything for which a model leaves memory.

use std::time::Duration;

use crucible_sim::{Fault, FaultKind, Options, Sim};
use crucible_tests::{
    chat::{body, post},
    engines::{client, engine, start, until},
    rest::ready,
};
use serde_json::{Value, json};

use super::super::every_word::{Kept, LabelWords, Scene, Stage};

async fn call(sim: &Sim, path: &str, body: &Value) {
    let url = format!("{}{path}", sim.url());
    let answer = client()
        .post(url)
        .json(body)
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 200, "{path} {body}");
}

/// A pinned model that a person throws out, models whose loads fail, and an engine that ends.
pub(super) const LOADS: Scene = Scene {
    name: "loads of each cause and with each outcome",
    words: &[
        LabelWords::of(
            "crucible_model_loads_total",
            "outcome",
            &["ok", "error", "timeout", "oom"],
        ),
        LabelWords::of(
            "crucible_model_loads_total",
            "trigger",
            &["request", "warmup", "pin"],
        ),
        LabelWords::of("crucible_model_evictions_total", "reason", &["external"]),
        LabelWords::of(
            "crucible_residency_polls_total",
            "outcome",
            &["ok", "error"],
        ),
        LabelWords::of(
            "crucible_engine_health_checks_total",
            "outcome",
            &["ok", "error"],
        ),
    ],
    play: |stage| Box::pin(loads(stage)),
};

async fn loads(stage: Stage) -> Kept {
    let sim = start(Options::lmstudio(&[
        "kept=1GB", "a=1GB", "b=1GB", "c=1GB", "d=1GB",
    ]))
    .await;
    let ending = start(Options::ollama(&["llama=1GB"])).await;
    let crucible = stage
        .start(&format!(
            "[timeouts]\nload = \"5s\"\n[[model]]\nname = \"kept\"\npin = true\n{}{}",
            engine("gpu", "lmstudio", &sim.url()),
            engine("cpu", "ollama", &ending.url())
        ))
        .await;
    ready(&crucible).await;
    until(&sim, "the pinned model", |log| log.loaded() == 1).await;
    for (model, fault, status) in [
        ("a", None, 200),
        ("b", Some(FaultKind::LoadFail), 503),
        ("llama", Some(FaultKind::LoadOom), 503),
        ("d", Some(FaultKind::LoadHang), 504),
    ] {
        if let Some(kind) = fault {
            let sim = if model == "llama" { &ending } else { &sim };
            sim.arm(Fault::new(kind).times(3));
        }
        let answer = post(&crucible, &body(model, "repeat 1")).await;
        assert_eq!(answer.status, status, "{model}: {}", answer.text);
        // Whatever was not taken.
        sim.reset();
    }
    ending.stop().await;
    call(
        &sim,
        "/api/v1/models/unload",
        &json!({ "instance_id": "kept" }),
    )
    .await;
    Box::new((crucible, sim))
}

/// Two models that do not fit in their pool, and one that is loaded again with more context.
pub(super) const EVICTIONS: Scene = Scene {
    name: "memory that is too small",
    words: &[LabelWords::of(
        "crucible_model_evictions_total",
        "reason",
        &["conflict", "grow"],
    )],
    play: |stage| Box::pin(evictions(stage)),
};

async fn evictions(stage: Stage) -> Kept {
    let full = start(Options::ollama(&["a=3GB", "b=3GB"])).await;
    let growing = start(Options::ollama(&["llama=1GB"])).await;
    let crucible = stage
        .start(&format!(
            "{}pool = \"small\"\n{}pool = \"large\"\n\
             [pool.small]\nbudget = \"5GB\"\n[pool.large]\nbudget = \"50GB\"\n",
            engine("full", "ollama", &full.url()),
            engine("growing", "ollama", &growing.url()),
        ))
        .await;
    ready(&crucible).await;
    // One token for each character, where four bytes are taken for one.
    let mut long = body("llama", &"\u{5b57}".repeat(4200));
    long["max_tokens"] = 100.into();
    for want in [body("a", "repeat 1"), body("b", "repeat 1"), long] {
        let answer = post(&crucible, &want).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    Box::new((crucible, full, growing))
}

/// A model whose time is over, and a second instance that nobody needs, which goes after 30 s.
pub(super) const IDLE_MODELS: Scene = Scene {
    name: "models that are idle",
    words: &[LabelWords::of(
        "crucible_model_evictions_total",
        "reason",
        &["ttl", "duplicate"],
    )],
    play: |stage| Box::pin(idle_models(stage)),
};

async fn idle_models(stage: Stage) -> Kept {
    let sim = start(Options {
        auto_evict: false,
        load_time: Duration::ZERO,
        ..Options::lmstudio(&["qwen=1GB", "twice=1GB"])
    })
    .await;
    for _ in 0..2 {
        call(&sim, "/api/v1/models/load", &json!({ "model": "twice" })).await;
    }
    let crucible = stage
        .start(&format!(
            "[tuning.lmstudio]\nmodel_ttl = \"1s\"\nmax_loaded_models = 4\n{}",
            engine("gpu", "lmstudio", &sim.url())
        ))
        .await;
    ready(&crucible).await;
    let answer = post(&crucible, &body("qwen", "repeat 1")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    Box::new((crucible, sim))
}
