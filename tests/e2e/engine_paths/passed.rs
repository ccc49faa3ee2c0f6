//! Prompts that are passed to llama.cpp's server: counted, timed and cut off like all others.

use crucible_sim::{Fault, FaultKind, Options};
use crucible_tests::{
    Crucible,
    chat::{Whole, body, get, post, whole},
    engines::{client, engine, start},
    rest::{at_rest, logged, metric, ready, sample},
    sse::Stream,
};
use serde_json::{Value, json};

use super::ask;

const SHORT: &str = "[timeouts]\nfirst_token = \"2s\"\nidle = \"2s\"\nresponse = \"2s\"\n";

async fn one(options: Options, more: &str) -> (crucible_sim::Sim, Crucible) {
    let llamacpp = start(options).await;
    let crucible = Crucible::start(&format!(
        "{}{more}",
        engine("llama", "llamacpp", &llamacpp.url())
    ));
    ready(&crucible).await;
    (llamacpp, crucible)
}

async fn tokens(crucible: &Crucible, kind: &str) -> u64 {
    let text = get(crucible, "/metrics").await.text;
    let of_kind = |line: &&str| line.contains(&format!("type=\"{kind}\""));
    let lines: Vec<&str> = text.lines().filter(of_kind).collect();
    sample(&lines.join("\n"), "crucible_tokens_total")
}

#[tokio::test]
async fn the_tokens_of_a_passed_prompt_are_counted_as_the_engine_tells_them() {
    let (_llamacpp, crucible) = one(Options::openai(&["tiny-coder=100MB"]), "").await;
    for (path, stream, sent) in [
        ("/completion", false, json!({ "prompt": "repeat 4" })),
        (
            "/completion",
            true,
            json!({ "prompt": "repeat 4", "stream": true }),
        ),
        (
            "/infill",
            true,
            json!({ "input_prefix": "repeat 4", "input_suffix": "b", "stream": true }),
        ),
    ] {
        let before = (
            tokens(&crucible, "prompt").await,
            tokens(&crucible, "completion").await,
        );
        let answer = ask(&crucible, "POST", path, Some(&sent)).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        at_rest(&crucible).await;
        let after = (
            tokens(&crucible, "prompt").await,
            tokens(&crucible, "completion").await,
        );
        assert_eq!(
            (after.0 - before.0, after.1 - before.1),
            (2, 4),
            "{path} {stream}"
        );
        let events = if stream {
            Stream::parse(&answer.text).events
        } else {
            vec![answer.json.clone()]
        };
        let last = events.last().expect("an end");
        assert_eq!(last["tokens_predicted"], 4, "{path}: {}", answer.text);
        assert_eq!(last["timings"]["predicted_n"], 4, "{path}: {}", answer.text);
    }
    logged(&crucible, "prompt=2 cached=0 tokens=4").await;
    assert_eq!(
        metric(&crucible, "crucible_time_to_first_token_seconds_count").await,
        2
    );
    // What limits the answer limits what is kept for it.
    let short = json!({ "prompt": "repeat 9", "n_predict": 2 });
    let answer = ask(&crucible, "POST", "/completion", Some(&short)).await;
    assert_eq!(answer.json["content"], "word0 word1", "{}", answer.text);
    // Vectors have no tokens to count.
    let vectors = json!({ "content": "a" });
    let before = tokens(&crucible, "prompt").await;
    let answer = ask(&crucible, "POST", "/embedding", Some(&vectors)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    at_rest(&crucible).await;
    assert_eq!(tokens(&crucible, "prompt").await, before);
}

async fn asked(crucible: &Crucible, stream: bool) -> Whole {
    let sent = json!({ "prompt": "repeat 8", "stream": stream });
    ask(crucible, "POST", "/completion", Some(&sent)).await
}

#[tokio::test]
async fn a_passed_prompt_of_an_engine_that_falls_silent_or_fails_is_ended_like_every_other() {
    let (llamacpp, crucible) = one(Options::openai(&["tiny=100MB"]), SHORT).await;
    for (kind, stream, status, code) in [
        (FaultKind::NoHeaders, true, 504, "first_token_timeout"),
        (FaultKind::CommentsOnly, true, 504, "first_token_timeout"),
        (FaultKind::NoHeaders, false, 504, "response_timeout"),
        (FaultKind::Cut, false, 502, "engine_cut"),
        (FaultKind::Stall, true, 200, "idle_timeout"),
        (FaultKind::Cut, true, 200, "engine_cut"),
        (FaultKind::ErrorEvent, true, 200, "engine_error"),
    ] {
        let what = format!("{kind:?}, stream {stream}");
        llamacpp.reset();
        llamacpp.arm(Fault::new(kind).after_events(3));
        let answer = asked(&crucible, stream).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text);
        let error = if status == 200 {
            assert!(answer.text.contains("word0"), "{what}: {}", answer.text);
            Stream::parse(&answer.text)
                .error()
                .cloned()
                .unwrap_or_default()
        } else {
            answer.json["error"].clone()
        };
        assert_eq!(error["code"], code, "{what}: {}", answer.text);
        assert_eq!(llamacpp.log().faults.len(), 1, "{what}");
        llamacpp.reset();
        at_rest(&crucible).await;
    }
    let answer = asked(&crucible, true).await;
    assert!(answer.text.contains("word7"), "{}", answer.text);
}

#[tokio::test]
async fn a_model_without_places_for_a_suffix_is_no_broken_engine() {
    let (llamacpp, crucible) = one(Options::openai(&["tiny=100MB"]), "").await;
    let infill = json!({ "input_prefix": "a", "input_suffix": "b" });
    for number in 0..12 {
        let request = client().post(crucible.at("/infill")).json(&infill);
        // Two clients: the failures of one alone would not be believed.
        let request = request.header("user-agent", format!("editor{}/1", number % 2));
        let answer = whole(request.send().await.expect("an answer")).await;
        assert_eq!(answer.status, 501, "{}", answer.text);
        assert_eq!(
            answer.json["error"]["type"], "not_supported_error",
            "{}",
            answer.text
        );
    }
    let state = get(&crucible, "/crucible/state").await.json;
    assert_eq!(state["engines"][0]["state"], "up", "{state}");
    let answer = post(&crucible, &body("tiny", "repeat 1")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    // An engine that fails is one all the same.
    llamacpp.arm(Fault::new(FaultKind::Http500).times(1000));
    let mut statuses = Vec::new();
    for number in 0..12 {
        let request = client()
            .post(crucible.at("/completion"))
            .json(&json!({ "prompt": "a" }));
        let request = request.header("user-agent", format!("editor{}/1", number % 2));
        statuses.push(request.send().await.expect("an answer").status().as_u16());
    }
    assert_eq!((statuses[0], statuses[11]), (500, 503), "{statuses:?}");
}

#[tokio::test]
async fn a_question_may_be_asked_with_head() {
    let (_llamacpp, crucible) = one(Options::openai(&["tiny=100MB"]), "").await;
    let answer = client()
        .head(crucible.at("/props"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["x-crucible-engine"], "llama");
    assert_eq!(answer.text().await.expect("no body"), "");
    let told: Value = get(&crucible, "/props").await.json;
    assert_eq!(told["model_alias"], "tiny");
}
