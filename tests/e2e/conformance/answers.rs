//! Answers through the real binary.

use crucible_config::checked::EngineKind;
use crucible_sim::{Fault, FaultKind};
use crucible_tests::{
    chat::{Whole, get, open, post, stream},
    engines::{client, until},
    process::PATIENCE,
    rest::eventually,
    sse::Stream,
    target::Target,
};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use super::{ask, endless};

fn finish(answer: &Whole) -> &str {
    let reason = &answer.json["choices"][0]["finish_reason"];
    reason
        .as_str()
        .unwrap_or_else(|| panic!("a reason: {}", answer.text))
}

fn check_usage(usage: &Value) {
    let count = |key: &str| {
        usage[key]
            .as_u64()
            .unwrap_or_else(|| panic!("{key}: {usage}"))
    };
    assert!(
        count("prompt_tokens") > 0 && count("completion_tokens") > 0,
        "{usage}"
    );
    assert_eq!(
        count("prompt_tokens") + count("completion_tokens"),
        count("total_tokens")
    );
}

pub(super) async fn a_whole_answer_is_well_formed(target: &Target) {
    let answer = post(
        &target.crucible().await,
        &ask(target, "Say hello. repeat 3"),
    )
    .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json["object"], "chat.completion");
    assert!(answer.json["id"].is_string() && answer.json["created"].is_u64());
    assert_eq!(answer.json["choices"].as_array().map(Vec::len), Some(1));
    assert_eq!(answer.json["choices"][0]["message"]["role"], "assistant");
    assert!(!answer.content().is_empty(), "{}", answer.text);
    assert!(
        ["stop", "length"].contains(&finish(&answer)),
        "{}",
        answer.text
    );
    check_usage(&answer.json["usage"]);
}

pub(super) async fn a_streamed_answer_is_well_formed(target: &Target) {
    let crucible = target.crucible().await;
    let mut request = ask(target, "Say hello. repeat 3");
    let (_, silent) = stream(&crucible, &request).await;
    check_stream(&silent);
    assert!(
        silent.events.iter().all(|e| e["usage"].is_null()),
        "{}",
        silent.text
    );
    request["stream_options"] = json!({ "include_usage": true });
    let (_, told) = stream(&crucible, &request).await;
    check_stream(&told);
    let last = told.events.last().expect("events");
    assert_eq!(last["choices"], json!([]), "{}", told.text);
    check_usage(&last["usage"]);
    let whole = post(&crucible, &ask(target, "Say hello. repeat 3")).await;
    assert_eq!(
        whole.content(),
        told.content(),
        "streamed or not, it says the same"
    );
}

fn check_stream(answer: &Stream) {
    assert!(answer.done && !answer.broken, "{}", answer.text);
    assert!(!answer.content().is_empty(), "{}", answer.text);
    let first = &answer.events[0];
    assert_eq!(
        first["choices"][0]["delta"]["role"], "assistant",
        "{}",
        answer.text
    );
    let mut finishes = 0;
    for event in &answer.events {
        assert_eq!(event["object"], "chat.completion.chunk", "{event}");
        assert_eq!(event["id"], first["id"], "{}", answer.text);
        for choice in event["choices"].as_array().expect("choices") {
            assert!(choice["delta"].is_object(), "{event}");
            assert_eq!(
                finishes, 0,
                "nothing comes after the reason: {}",
                answer.text
            );
            finishes += usize::from(choice["finish_reason"].is_string());
        }
    }
    assert_eq!(finishes, 1, "{}", answer.text);
}

pub(super) async fn a_stop_text_ends_the_answer(target: &Target) {
    let crucible = target.crucible().await;
    let mut request = ask(target, "Count from one to twenty in words. repeat 20");
    let whole = post(&crucible, &request).await;
    let text = whole.content().to_owned();
    let stop = text.split_whitespace().nth(4).expect("several words");
    let (before, _) = text.split_once(stop).expect("it is in there");
    request["stop"] = json!([stop]);
    let answer = post(&crucible, &request).await;
    assert_eq!(
        answer.content().trim_end(),
        before.trim_end(),
        "{}",
        answer.text
    );
    assert_eq!(finish(&answer), "stop");
    let (_, streamed) = stream(&crucible, &request).await;
    assert_eq!(
        streamed.content().trim_end(),
        before.trim_end(),
        "{}",
        streamed.text
    );
    assert_eq!(streamed.finish_reason(), Some("stop"));
}

pub(super) async fn a_token_limit_ends_the_answer_with_length(target: &Target) {
    let crucible = target.crucible().await;
    let keys: &[&str] = match target.kind {
        // Its documentation names `max_tokens` only.
        EngineKind::Lmstudio => &["max_tokens"],
        _ => &["max_tokens", "max_completion_tokens"],
    };
    for &key in keys {
        let mut request = ask(target, "Tell a long story. repeat 20");
        request
            .as_object_mut()
            .expect("an object")
            .remove("max_tokens");
        request[key] = 5.into();
        let answer = post(&crucible, &request).await;
        assert_eq!(finish(&answer), "length", "{}", answer.text);
        assert_eq!(
            answer.json["usage"]["completion_tokens"], 5,
            "{}",
            answer.text
        );
        let (_, streamed) = stream(&crucible, &request).await;
        assert_eq!(
            streamed.finish_reason(),
            Some("length"),
            "{}",
            streamed.text
        );
    }
}

pub(super) async fn the_answer_follows_a_json_schema(target: &Target) {
    let crucible = target.crucible().await;
    let mut request = ask(target, "Is the sea wet? Answer in JSON.");
    request["max_tokens"] = 64.into();
    request["response_format"] = json!({ "type": "json_schema", "json_schema": {
        "name": "answer", "schema": {
            "type": "object", "additionalProperties": false, "required": ["wet", "colour"],
            "properties": { "wet": { "type": "boolean" }, "colour": { "enum": ["blue", "red"] } },
        },
    } });
    let answer = post(&crucible, &request).await;
    let value: Value =
        serde_json::from_str(answer.content()).unwrap_or_else(|e| panic!("{e}: {}", answer.text));
    assert!(
        value["wet"].is_boolean() && value["colour"].is_string(),
        "{value}"
    );
    assert_eq!(
        value.as_object().map(serde_json::Map::len),
        Some(2),
        "{value}"
    );
}

/// Longer than any test waits: a real engine gets a context in which it would write for minutes.
const ROOM: u64 = 8192;

pub(super) async fn a_client_that_leaves_frees_the_engine(target: &Target) {
    let context = if target.real() {
        ROOM
    } else {
        crucible_tests::target::CONTEXT
    };
    let crucible = target.crucible_with(context).await;
    let mut request = endless(target);
    request
        .as_object_mut()
        .expect("an object")
        .remove("max_tokens");
    let response = open(&crucible, &request).await;
    assert_eq!(response.status(), 200);
    let mut body = response.bytes_stream();
    for _ in 0..3 {
        body.next().await.expect("more").expect("an event");
    }
    drop(body);
    if let Some(sim) = &target.sim {
        let log = until(sim, "the client left", |log| !log.disconnects.is_empty()).await;
        assert!(log.completions.is_empty(), "{:?}", log.completions);
        until(sim, "nothing runs", |log| log.in_flight == 0).await;
    } else if target.kind == EngineKind::Ollama {
        // Ollama lets a runner go only when nothing uses it.
        let driver = target.driver();
        let listing = driver.list().await.expect("a listing");
        let resident = listing
            .residents
            .iter()
            .find(|r| target.is(r.name(target.kind)));
        tokio::time::timeout(PATIENCE, driver.unload(resident.expect("it is loaded")))
            .await
            .expect("it stopped writing")
            .expect("an unload");
    } else {
        let state = get(&crucible, "/crucible/state").await.json;
        let url = state["engines"][0]["url"]
            .as_str()
            .expect("its URL")
            .to_owned();
        let url = format!("{}/metrics", url.trim_end_matches('/'));
        eventually("the engine is idle", || async {
            let text = client().get(&url).send().await.ok()?.text().await.ok()?;
            let idle = |line: &str| line == "llamacpp:requests_processing 0";
            text.lines().any(idle).then_some(())
        })
        .await;
    }
}

pub(super) async fn a_prompt_beyond_the_context_is_refused(target: &Target) {
    let crucible = target.crucible().await;
    let request = ask(target, &"the sea and the wind and the sand ".repeat(600));
    let answer = post(&crucible, &request).await;
    assert_eq!(
        (answer.status, answer.code()),
        (400, "context_length_exceeded"),
        "{}",
        answer.text
    );
    let (_, streamed) = stream(&crucible, &request).await;
    assert!(
        streamed.text.contains("context_length_exceeded"),
        "{}",
        streamed.text
    );
    let after = post(&crucible, &ask(target, "repeat 3")).await;
    assert_eq!(after.status, 200, "{}", after.text);
}

pub(super) async fn an_error_in_the_middle_is_told(target: &Target) {
    let crucible = target.crucible().await;
    let sim = target.sim.as_ref().expect("a simulator");
    assert_eq!(post(&crucible, &ask(target, "repeat 1")).await.status, 200);
    sim.arm(Fault {
        after_events: Some(3),
        ..fault(FaultKind::ErrorEvent)
    });
    let (_, answer) = stream(&crucible, &ask(target, "repeat 20")).await;
    let error = answer
        .error()
        .unwrap_or_else(|| panic!("an error: {}", answer.text));
    assert_eq!(error["code"], "engine_error", "{}", answer.text);
    assert!(answer.content().starts_with("word0"), "{}", answer.text);
    assert!(!answer.done, "it does not end as if whole: {}", answer.text);
    assert_eq!(
        answer.finish_reason(),
        None,
        "no reason is made up: {}",
        answer.text
    );
}

fn fault(kind: FaultKind) -> Fault {
    Fault::new(kind)
}

pub(super) async fn an_unknown_field_is_ignored(target: &Target) {
    let mut request = ask(target, "repeat 3");
    request["x_not_a_field"] = json!({ "a": [1, "b"] });
    let answer = post(&target.crucible().await, &request).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

pub(super) async fn a_seed_repeats_the_answer(target: &Target) {
    let crucible = target.crucible().await;
    let mut request = ask(target, "Write a poem about rain.");
    let first = post(&crucible, &request).await;
    assert_eq!(post(&crucible, &request).await.content(), first.content());
    request["temperature"] = 1.into();
    let warm = post(&crucible, &request).await;
    assert_eq!(post(&crucible, &request).await.content(), warm.content());
    request["seed"] = 8.into();
    request["temperature"] = json!(1.5);
    let other = post(&crucible, &request).await;
    assert_ne!(other.content(), warm.content(), "the seed has an effect");
}
