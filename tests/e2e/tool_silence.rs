//! Engines that are silent because they may be writing a tool call: how long they are waited for,
//! and when they are given up.

use std::time::{Duration, Instant};

use crucible_sim::{Fault, FaultKind, Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{Whole, body, open, post},
    engines::{engine, start},
    sse::Stream,
};
use futures_util::future::join_all;
use reqwest::Response;
use serde_json::{Value, json};

/// Looked at after each second of silence, waited for a minute.
const PATIENT: &str = "[timeouts]\nidle = \"1s\"\ntool_call = \"60s\"\n";

/// The kinds, each with a path of its polls.
const KINDS: [(&str, &str); 4] = [
    ("lmstudio", "/api/"),
    ("ollama", "/api/tags"),
    ("llamacpp", "/health"),
    ("openai", "/v1/models"),
];

async fn one(kind: &str, toml: &str, change: impl FnOnce(&mut Options)) -> (Sim, Crucible) {
    let mut options = match kind {
        "lmstudio" => Options::lmstudio(&["m=1GB"]),
        "ollama" => Options::ollama(&["m=1GB"]),
        _ => Options::openai(&["m=1GB"]),
    };
    options.parallel = 2;
    change(&mut options);
    let sim = start(options).await;
    let crucible = Crucible::start(&format!("{toml}\n{}", engine(kind, kind, &sim.url())));
    let warm = post(&crucible, &body("m", "repeat 1")).await;
    assert_eq!(warm.status, 200, "{kind}: {}", warm.text);
    (sim, crucible)
}

fn with_tools(text: &str) -> Value {
    let mut request = body("m", text);
    request["tools"] = json!([{ "type": "function", "function": {
        "name": "read", "parameters": { "type": "object", "properties": {} },
    } }]);
    request
}

/// The answer up to its third event, and the rest of it.
async fn begun(crucible: &Crucible, request: &Value) -> (String, Response) {
    let mut response = open(crucible, request).await;
    assert_eq!(response.status(), 200);
    let mut text = String::new();
    while text.matches("\"delta\"").count() < 3 {
        let chunk = response.chunk().await.expect("bytes").expect("a chunk");
        text.push_str(&String::from_utf8_lossy(&chunk));
    }
    (text, response)
}

async fn rest(begun: (String, Response)) -> Stream {
    let rest = Stream::read(begun.1).await;
    assert!(!rest.broken, "{}", rest.text);
    Stream::parse(&format!("{}{}", begun.0, rest.text))
}

fn given_up(answer: &Stream, words: &str) {
    let error = answer.error().unwrap_or_else(|| panic!("{}", answer.text));
    assert_eq!(error["code"], "idle_timeout", "{}", answer.text);
    let message = error["message"].as_str().unwrap_or_default();
    assert!(message.contains(words), "{message}");
    assert!(!answer.done, "{}", answer.text);
}

#[tokio::test]
async fn a_request_with_tools_outlasts_the_idle_clock_on_every_engine() {
    join_all(KINDS.map(|(kind, _)| async move {
        let (sim, crucible) = one(kind, PATIENT, |_| {}).await;
        let pause = Fault::new(FaultKind::Stall).after_events(3).delay_ms(3500);
        sim.arm(pause.clone());
        let answer = rest(begun(&crucible, &with_tools("repeat 8")).await).await;
        assert!(answer.done, "{kind}: {}", answer.text);
        assert!(answer.content().ends_with("word7"), "{}", answer.text);

        // The call itself comes late, after events that say nothing.
        sim.arm(Fault::new(FaultKind::Stall).after_events(1).delay_ms(3500));
        let response = open(&crucible, &with_tools("call tool read")).await;
        let answer = Stream::read(response).await;
        let reason = answer.finish_reason();
        assert_eq!(reason, Some("tool_calls"), "{kind}: {}", answer.text);

        if kind == "ollama" {
            sim.arm(pause);
            let answer = post(&crucible, &with_tools("repeat 8")).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            assert!(answer.content().ends_with("word7"), "{}", answer.text);
        }
    }))
    .await;
}

#[tokio::test]
async fn without_tools_the_idle_clock_stands() {
    let mut none = with_tools("repeat 8");
    none["tool_choice"] = "none".into();
    let mut empty = with_tools("repeat 8");
    empty["tools"] = json!([]);
    for (kind, _) in KINDS {
        for request in [&body("m", "repeat 8"), &none, &empty] {
            // Each its own: after a silence Crucible asks the engine something, which a fault that
            // is armed by then would meet.
            let (sim, crucible) = one(kind, PATIENT, |_| {}).await;
            sim.arm(Fault::new(FaultKind::Stall).after_events(3));
            let began = Instant::now();
            let answer = rest(begun(&crucible, request).await).await;
            given_up(&answer, "longer than timeouts.idle");
            assert!(began.elapsed() < Duration::from_secs(30), "{kind}");
        }
    }
}

#[tokio::test]
async fn an_engine_whose_poll_fails_is_given_up_at_once() {
    for (kind, polled) in KINDS {
        for failure in [FaultKind::Http500, FaultKind::NoHeaders] {
            let (sim, crucible) = one(kind, PATIENT, |_| {}).await;
            sim.arm(Fault::new(FaultKind::Stall).after_events(3));
            let began = begun(&crucible, &with_tools("repeat 8")).await;
            sim.arm(Fault::new(failure).on_path(polled).times(1000));
            let since = Instant::now();
            let answer = rest(began).await;
            given_up(&answer, "was not well");
            let took = since.elapsed();
            assert!(
                took < Duration::from_secs(30),
                "{kind} {failure:?} {took:?}"
            );
        }
    }
    // An answer put together for a client that wants it whole.
    let (sim, crucible) = one("ollama", PATIENT, |_| {}).await;
    sim.arm(Fault::new(FaultKind::Stall).after_events(3));
    let request = with_tools("repeat 8");
    let ask = post(&crucible, &request);
    let fail = async {
        sim.wait_for(|log| !log.faults.is_empty()).await;
        sim.arm(
            Fault::new(FaultKind::Http500)
                .on_path("/api/tags")
                .times(1000),
        );
    };
    let (answer, ()): (Whole, ()) = tokio::join!(ask, fail);
    let told = (answer.status, answer.code());
    assert_eq!(told, (504, "idle_timeout"), "{}", answer.text);
}

#[tokio::test]
async fn a_llama_server_that_says_it_works_on_nothing_is_given_up_at_once() {
    let (sim, crucible) = one("llamacpp", PATIENT, |_| {}).await;
    sim.arm(Fault::new(FaultKind::Lost).after_events(3));
    let since = Instant::now();
    let answer = rest(begun(&crucible, &with_tools("repeat 8")).await).await;
    given_up(&answer, "works on nothing");
    assert!(since.elapsed() < Duration::from_secs(30));

    // Whose work the other slot does is not told.
    sim.arm(Fault::new(FaultKind::Stall).after_events(3));
    let other = begun(&crucible, &with_tools("repeat 8")).await;
    sim.arm(Fault::new(FaultKind::Lost).after_events(3));
    let lost = begun(&crucible, &with_tools("repeat 8")).await;
    let mut lost = Box::pin(rest(lost));
    let waiting = tokio::time::timeout(Duration::from_secs(4), &mut lost).await;
    assert!(waiting.is_err(), "{waiting:?}");
    drop(other);
    given_up(&lost.await, "works on nothing");
}

#[tokio::test]
async fn an_engine_that_does_not_tell_is_waited_for_to_the_end_of_the_budget() {
    let short = PATIENT.replace("60s", "4s");
    for (kind, fault) in [
        ("llamacpp", FaultKind::Lost),
        ("llamacpp", FaultKind::Stall),
        ("openai", FaultKind::Lost),
        ("lmstudio", FaultKind::Stall),
        ("ollama", FaultKind::Stall),
    ] {
        let (sim, crucible) = one(kind, &short, |options| {
            options.slots = fault == FaultKind::Stall;
        })
        .await;
        sim.arm(Fault::new(fault).after_events(3));
        let began = begun(&crucible, &with_tools("repeat 8")).await;
        let since = Instant::now();
        given_up(&rest(began).await, "longer than timeouts.tool_call");
        assert!(since.elapsed() > Duration::from_millis(3500), "{kind}");
    }
}
