//! Fallbacks for each reason, which succeed and which do not.

use crucible_sim::{Fault, FaultKind, Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{Whole, body, open, post},
    clean::queued,
    engines::{client, engine, start},
    rest::{eventually, ready},
};
use tokio::task::JoinHandle;

use super::super::every_word::{Kept, LabelWords, Scene, Stage};

/// Three engines that stand in for each other.
pub(super) const FALLBACKS: Scene = Scene {
    name: "fallbacks for each reason",
    words: &[
        LabelWords::of(
            "crucible_fallbacks_total",
            "reason",
            &[
                "connect",
                "5xx",
                "breaker_open",
                "queue_full",
                "overload",
                "load_failed",
                "context_length",
            ],
        ),
        LabelWords::of("crucible_fallbacks_total", "outcome", &["ok", "error"]),
        LabelWords::of("crucible_request_phase_seconds_total", "phase", &["failed"]),
        LabelWords::of("crucible_routed_total", "reason", &["fallback", "overload"]),
    ],
    play: |stage| Box::pin(fallbacks(stage)),
};

const TOML: &str = r#"
[scheduler]
overflow_after = "5s"
[[model]]
name = "one"
fallback = ["two", "three"]
[[model]]
name = "loaded"
fallback = ["three"]
[[model]]
name = "short"
fallback = ["three"]
"#;

fn asking(crucible: &Crucible, model: &str) -> JoinHandle<u16> {
    let send = client()
        .post(crucible.at("/v1/chat/completions"))
        .json(&body(model, "repeat 1"));
    tokio::spawn(async move { send.send().await.expect("an answer").status().as_u16() })
}

fn instead(answer: &Whole, why: &str) {
    assert_eq!(answer.status, 200, "{why}: {}", answer.text);
    let note = answer.header("x-crucible-note");
    assert!(note.contains(why), "{why}: {note}");
}

/// Fallbacks of those that find the one place of the first engine's queue taken.
async fn while_the_queue_is_full(crucible: &Crucible, first: &Sim, second: &Sim) {
    let one = body("one", "repeat 1");
    // The only place of its queue is taken by one who goes elsewhere after five seconds.
    let holder = open(crucible, &body("one", "repeat 100000")).await;
    let waiting = asking(crucible, "one");
    queued(crucible, 1).await;
    instead(&post(crucible, &one).await, "(queue_full)");
    assert_eq!(waiting.await.expect("a task"), 200);
    // While one waits again, the second engine asks to be left alone; then the first one fails.
    let waiting = asking(crucible, "one");
    queued(crucible, 1).await;
    second.arm(Fault::new(FaultKind::Http429).delay_ms(30_000));
    let spared = post(crucible, &body("two", "repeat 1")).await;
    assert_eq!(spared.status, 429, "{}", spared.text);
    first.arm(Fault::new(FaultKind::Http500));
    drop(holder);
    assert_eq!(waiting.await.expect("a task"), 200);
    eventually("the first engine is free", || async {
        let answer = post(crucible, &one).await;
        (answer.header("x-crucible-engine") == "first").then_some(())
    })
    .await;
}

async fn fallbacks(stage: Stage) -> Kept {
    let first = start(Options {
        rate: 50,
        ..Options::openai(&["one"])
    })
    .await;
    let second = start(Options::openai(&["two"])).await;
    let third = start(Options {
        context: 32_768,
        ..Options::openai(&["three"])
    })
    .await;
    let loading = start(Options::lmstudio(&["loaded=1GB"])).await;
    let short = start(Options::openai(&["short=1GB:ctx4096"])).await;
    let crucible = stage
        .start(&format!(
            "{TOML}{}permits = 1\nqueue = 1\n{}{}{}{}",
            engine("first", "openai", &first.url()),
            engine("second", "openai", &second.url()),
            engine("third", "openai", &third.url()),
            engine("loading", "lmstudio", &loading.url()),
            engine("short", "llamacpp", &short.url()),
        ))
        .await;
    ready(&crucible).await;
    let one = body("one", "repeat 1");
    first.arm(Fault::new(FaultKind::Http500));
    instead(&post(&crucible, &one).await, "(5xx)");
    for sim in [&first, &second] {
        sim.arm(Fault::new(FaultKind::Http500));
    }
    instead(&post(&crucible, &one).await, "second/two");
    loading.arm(Fault::new(FaultKind::LoadFail));
    instead(
        &post(&crucible, &body("loaded", "hi")).await,
        "(load_failed)",
    );
    // One token for each character, where four bytes are taken for one.
    let mut long = body("short", &"\u{5b57}".repeat(4200));
    long["max_tokens"] = 100.into();
    instead(&post(&crucible, &long).await, "(context_length)");

    while_the_queue_is_full(&crucible, &first, &second).await;
    first.stop().await;
    instead(&post(&crucible, &one).await, "(connect)");
    Box::new((crucible, second, third, loading, short))
}

/// A wait that ends before the other engine may take over.
pub(super) const IMPATIENCE: Scene = Scene {
    name: "a fallback after a wait that has its limit",
    words: &[LabelWords::of(
        "crucible_fallbacks_total",
        "reason",
        &["timeout"],
    )],
    play: |stage| Box::pin(impatience(stage)),
};

async fn impatience(stage: Stage) -> Kept {
    let first = start(Options {
        rate: 50,
        ..Options::openai(&["one"])
    })
    .await;
    let second = start(Options::openai(&["two"])).await;
    let crucible = stage
        .start(&format!(
            "[timeouts]\nqueue = \"1s\"\n[[model]]\nname = \"one\"\nfallback = [\"two\"]\n{}permits = 1\n{}",
            engine("first", "openai", &first.url()),
            engine("second", "openai", &second.url()),
        ))
        .await;
    ready(&crucible).await;
    let holder = open(&crucible, &body("one", "repeat 100000")).await;
    instead(
        &post(&crucible, &body("one", "repeat 1")).await,
        "(timeout)",
    );
    Box::new((crucible, first, second, holder))
}
