//! Counting tokens: exactly where the engine can, at once in any case, and without a load.

use std::time::{Duration, Instant};

use crucible_sim::{Fault, FaultKind};
use crucible_tests::{
    Crucible,
    chat::{Whole, whole},
    engines::client,
};
use serde_json::{Value, json};

use super::{KINDS, Kinds, ask, post, send};

const PATH: &str = "/v1/messages/count_tokens";

async fn count(crucible: &Crucible, body: &Value) -> Whole {
    whole(send(crucible, PATH, body).await).await
}

#[tokio::test]
async fn an_engine_that_counts_is_asked_and_others_are_estimated() {
    let kinds = Kinds::start("").await;
    for kind in KINDS {
        let body = ask(&Kinds::model(kind), "one two three four five six seven");
        let answered = post(&kinds.crucible, &body).await;
        let told = answered.json["usage"]["input_tokens"].as_u64();
        let counted = count(&kinds.crucible, &body).await;
        assert_eq!(counted.status, 200, "{kind}: {}", counted.text);
        let tokens = counted.json["input_tokens"].as_u64();
        assert!(tokens > Some(0), "{kind}: {}", counted.text);
        if kind == "llamacpp" {
            assert_eq!(tokens, told, "{}", counted.text);
            assert_eq!(counted.header("x-crucible-note"), "");
        } else {
            let note = counted.header("x-crucible-note");
            assert!(note.contains("estimated"), "{kind}: {note}");
        }
    }
}

#[tokio::test]
async fn fifty_counts_at_once_load_nothing_and_are_quick() {
    let kinds = Kinds::with("", |options| options.load_time = Duration::from_millis(100)).await;
    let before: Vec<usize> = kinds
        .sims
        .iter()
        .map(|(_, sim)| sim.log().loads.len())
        .collect();
    // The first request waits for the engines' lists.
    count(&kinds.crucible, &ask(&Kinds::model("ollama"), "x")).await;
    let began = Instant::now();
    let all = (0..50).map(|n| {
        let body = ask(
            &Kinds::model(KINDS[n % KINDS.len()]),
            &"word ".repeat(n * 20 + 1),
        );
        let crucible = &kinds.crucible;
        async move { count(crucible, &body).await }
    });
    for answer in futures_util::future::join_all(all).await {
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
    let after: Vec<usize> = kinds
        .sims
        .iter()
        .map(|(_, sim)| sim.log().loads.len())
        .collect();
    assert_eq!(before, after);
}

#[tokio::test]
async fn an_engine_that_does_not_count_in_time_is_not_waited_for() {
    let kinds = Kinds::start("").await;
    let body = ask(&Kinds::model("llamacpp"), "repeat 1");
    post(&kinds.crucible, &body).await;
    let (_, sim) = kinds
        .sims
        .iter()
        .find(|(kind, _)| *kind == "llamacpp")
        .expect("one");
    for kind in [FaultKind::NoHeaders, FaultKind::Http500, FaultKind::Html] {
        sim.arm(Fault::new(kind).on_path("/v1/chat/completions/input_tokens"));
        let began = Instant::now();
        let counted = count(&kinds.crucible, &body).await;
        assert_eq!(counted.status, 200, "{}", counted.text);
        assert!(counted.header("x-crucible-note").contains("estimated"));
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "{:?}",
            began.elapsed()
        );
    }
}

#[tokio::test]
async fn unknown_models_and_bad_bodies_are_refused_in_anthropics_form() {
    let kinds = Kinds::start("").await;
    let unknown = count(&kinds.crucible, &ask("nobody", "x")).await;
    assert_eq!(unknown.status, 404, "{}", unknown.text);
    assert_eq!(unknown.json["error"]["type"], "not_found_error");
    let bad = count(&kinds.crucible, &json!({"model": Kinds::model("ollama")})).await;
    assert_eq!(bad.status, 400, "{}", bad.text);
    assert_eq!(bad.json["error"]["type"], "invalid_request_error");
}

#[tokio::test]
async fn counts_are_outside_the_rate_of_a_key() {
    let (_, out, _) = Crucible::command(&["key", "new", "--name", "laptop"], "");
    let mut words = out.split_whitespace();
    let key = words.find(|word| word.starts_with("crk-"));
    let key = key.expect("a secret").to_owned();
    let block = &out[out.find("[[key]]").expect("a block")..];
    let kinds = Kinds::start(&format!("{block}\nrate = \"1/min\"\n\n")).await;
    let body = ask(&Kinds::model("openai"), "x");
    let sent = async |path: &str| {
        let request = client()
            .post(kinds.crucible.at(path))
            .header("x-api-key", &key)
            .json(&body);
        request.send().await.expect("an answer").status().as_u16()
    };
    for _ in 0..5 {
        assert_eq!(sent(PATH).await, 200);
    }
    assert_eq!(sent("/v1/messages").await, 200);
    assert_eq!(sent("/v1/messages").await, 429);
    assert_eq!(sent(PATH).await, 200);
}
