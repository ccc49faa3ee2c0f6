//! The reading of prompts: how far it is, who says so, and how long a first token is waited for.

mod runner;

use std::time::Instant;

use crucible_documents::state::{InFlightDoc, PrefillSource};
use crucible_sim::{Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{get, open, post, stream},
    engines::{client, engine, start},
    rest::{eventually, state},
    sse::Stream,
};
use serde_json::{Value, json};

/// A chat with about 500 tokens in front of the question.
fn long(text: &str) -> Value {
    let before = "and so on ".repeat(200);
    json!({"model": "m", "messages": [
        {"role": "system", "content": before},
        {"role": "user", "content": text},
    ]})
}

/// An engine that reads 100 tokens of a prompt in a second, 25 at once.
fn slow(change: impl FnOnce(&mut Options)) -> Options {
    let mut options = Options::openai(&["m=1GB"]);
    options.prefill = 100;
    options.batch = 25;
    options.parallel = 4;
    options.context = 65_536;
    change(&mut options);
    options
}

async fn one(kind: &str, toml: &str, options: Options) -> (Sim, Crucible) {
    let sim = start(options).await;
    // The time in which a card is expected to read this prompt is short.
    let toml = format!(
        "{toml}\n{}device = \"gpu\"\n",
        engine("e", kind, &sim.url())
    );
    let crucible = Crucible::start(&toml);
    (sim, crucible)
}

/// The body of the last prompt that the engine was sent: a poll, which has none, may come at any time.
fn last_prompt(sim: &Sim) -> String {
    let requests = sim.log().requests;
    let prompt = requests.iter().rev().find(|r| !r.body.is_empty());
    prompt.expect("asked").body.clone()
}

/// The first request in flight that `want` accepts.
async fn seen(crucible: &Crucible, want: impl Fn(&InFlightDoc) -> bool) -> InFlightDoc {
    eventually("it is in the state", || async {
        state(crucible).await.in_flight.into_iter().find(&want)
    })
    .await
}

#[tokio::test]
async fn progress_is_asked_of_llamacpp_and_shown_to_no_client_that_did_not_ask() {
    let (sim, crucible) = one("llamacpp", "", slow(|o| o.prefill = 0)).await;
    let text = "repeat 3";
    let messages = json!([{"role": "user", "content": text}]);
    for (path, body, end) in [
        (
            "/v1/chat/completions",
            json!({"messages": messages}),
            "[DONE]",
        ),
        ("/v1/completions", json!({"prompt": text}), "[DONE]"),
        (
            "/v1/messages",
            json!({"messages": messages, "max_tokens": 9}),
            "message_stop",
        ),
        (
            "/v1/responses",
            json!({"input": text}),
            "response.completed",
        ),
        ("/api/chat", json!({"messages": messages}), "\"done\":true"),
        (
            "/v1/chat/completions",
            json!({"messages": messages, "return_progress": false}),
            "[DONE]",
        ),
    ] {
        let mut body = body;
        body["model"] = "m".into();
        body["stream"] = true.into();
        let answer = client().post(crucible.at(path)).json(&body).send().await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), 200, "{path}");
        let answer = answer.text().await.expect("a body");
        assert!(
            answer.contains("word2") && answer.contains(end),
            "{path}: {answer}"
        );
        assert!(!answer.contains("prompt_progress"), "{path}: {answer}");
        let asked: Value = serde_json::from_str(&last_prompt(&sim)).expect("a JSON body");
        assert_eq!(asked["return_progress"], true, "{path}: {asked}");
    }

    let mut asks = long(text);
    asks["return_progress"] = true.into();
    let (_, answer) = stream(&crucible, &asks).await;
    let told: Vec<_> = answer
        .events
        .iter()
        .filter(|e| !e["prompt_progress"].is_null())
        .collect();
    assert!(told.len() > 2 && answer.done, "{}", answer.text);

    // Whoever wants no stream is told nothing, and the engine is asked for nothing.
    assert_eq!(post(&crucible, &long(text)).await.status, 200);
    let last = last_prompt(&sim);
    assert!(!last.contains("return_progress"), "{last}");
}

#[tokio::test]
async fn other_engines_are_asked_for_nothing_that_they_do_not_know() {
    for (kind, options) in [
        ("openai", Options::openai(&["m=1GB"])),
        ("lmstudio", Options::lmstudio(&["m=1GB"])),
        ("ollama", Options::ollama(&["m=1GB"])),
    ] {
        let (sim, crucible) = one(kind, "", options).await;
        let (_, answer) = stream(&crucible, &long("repeat 2")).await;
        assert!(answer.done, "{kind}: {}", answer.text);
        let asked = sim.log().requests;
        assert!(
            !asked.iter().any(|r| r.body.contains("return_progress")),
            "{kind}"
        );
    }
}

#[tokio::test]
async fn the_state_shows_how_far_a_prompt_is_read_and_by_whom() {
    for (kind, streamed, source) in [
        ("llamacpp", true, PrefillSource::Engine),
        // Its slots are read.
        ("llamacpp", false, PrefillSource::Engine),
        ("openai", true, PrefillSource::Estimate),
    ] {
        let (_sim, crucible) = one(kind, "", slow(|_| {})).await;
        let mut request = long("repeat 2");
        request["stream"] = streamed.into();
        let answer = async {
            let answer = client()
                .post(crucible.at("/v1/chat/completions"))
                .json(&request)
                .send()
                .await;
            answer.expect("an answer").text().await.expect("a body")
        };
        let began = Instant::now();
        let looks = async {
            let far = |least: f64, beyond: u64| {
                move |request: &InFlightDoc| {
                    let told = request.prefill.filter(|p| p.source == source);
                    told.is_some_and(|p| p.ratio >= least && p.processed > beyond)
                }
            };
            let first = seen(&crucible, far(0.01, 0)).await;
            assert_eq!(first.phase, "prefill", "{kind}");
            let first = first.prefill.expect("progress");
            if source == PrefillSource::Estimate {
                assert_eq!(first.cached, None);
                return;
            }
            let later = seen(&crucible, far(0.5, first.processed)).await;
            let later = later.prefill.expect("progress");
            assert!(later.total > 400 && later.total < 600, "{later:?}");
            assert_eq!(later.cached, Some(0), "{later:?}");
            let metrics = get(&crucible, "/metrics").await.text;
            let line = "crucible_prefill_requests{engine=\"e\"} 1\n";
            assert!(metrics.contains(line), "{metrics}");
            let left = metrics
                .split("crucible_prefill_remaining_seconds{engine=\"e\"} ")
                .nth(1);
            let left = left.and_then(|rest| rest.lines().next()?.parse::<f64>().ok());
            // At least half of five seconds is over, or of what a busy machine makes of them.
            let most = began.elapsed().as_secs_f64().max(4.0);
            assert!(left.is_some_and(|s| s > 0.0 && s < most), "{left:?}");
            let left = later.remaining_s.expect("an estimate");
            assert!(left < most, "{later:?}");
        };
        let (answer, ()) = tokio::join!(answer, looks);
        assert!(answer.contains("word1"), "{kind} {streamed}: {answer}");
        let none = state(&crucible).await.in_flight;
        assert!(
            none.iter().all(|request| request.prefill.is_none()),
            "{none:?}"
        );
    }
}

#[tokio::test]
async fn an_engine_that_reads_on_outlasts_the_first_token_clock() {
    let clocks = "[timeouts]\nfirst_token = \"2s\"\ncommit = \"1s\"\nqueue = \"60s\"\n";
    let (_sim, crucible) = one("llamacpp", clocks, slow(|_| {})).await;
    let (_, answer) = stream(&crucible, &long("repeat 2")).await;
    assert!(answer.done && answer.error().is_none(), "{}", answer.text);
    assert!(answer.comments > 0, "heartbeats: {}", answer.text);
    // The same engine that says nothing is given up.
    let (_sim, crucible) = one("openai", clocks, slow(|_| {})).await;
    let (_, answer) = stream(&crucible, &long("repeat 2")).await;
    let error = answer.error().unwrap_or_else(|| panic!("{}", answer.text));
    assert_eq!(error["code"], "first_token_timeout");
}

#[tokio::test]
async fn an_engine_that_stops_reading_is_given_up_with_how_far_it_came() {
    let clocks = "[timeouts]\nfirst_token = \"2s\"\n";
    let stops = |at| slow(move |o| o.prefill_stops_at = Some(at));
    let (sim, crucible) = one("llamacpp", clocks, stops(250)).await;
    let answer = open(&crucible, &long("repeat 2")).await;
    assert_eq!(answer.status(), 504);
    let error = answer.text().await.expect("a body");
    let error: Value = serde_json::from_str(&error).expect("an error");
    assert_eq!(error["error"]["code"], "first_token_timeout", "{error}");
    let message = error["error"]["message"].as_str().unwrap_or_default();
    let told = message.split("after ").nth(1).unwrap_or_default();
    let percent = told.split(' ').next().and_then(|n| n.parse::<u32>().ok());
    assert!(percent.is_some_and(|p| (40..=60).contains(&p)), "{message}");
    assert!(
        told.ends_with("% of the prompt, no progress for 2 s"),
        "{message}"
    );
    assert!(!sim.log().requests.is_empty());

    // After the headers are out, it is said in the stream.
    let clocks = "[timeouts]\nfirst_token = \"2s\"\ncommit = \"1s\"\nqueue = \"60s\"\n";
    let (_sim, crucible) = one("llamacpp", clocks, stops(250)).await;
    let answer: Stream = stream(&crucible, &long("repeat 2")).await.1;
    let error = answer.error().unwrap_or_else(|| panic!("{}", answer.text));
    let message = error["message"].as_str().unwrap_or_default();
    assert!(
        message.ends_with("% of the prompt, no progress for 2 s"),
        "{message}"
    );
}

#[tokio::test]
async fn progress_is_no_excuse_for_ever() {
    let clocks = "[timeouts]\nfirst_token = \"1s\"\nresponse = \"3s\"\n";
    let (_sim, crucible) = one("llamacpp", clocks, slow(|_| {})).await;
    let answer = open(&crucible, &long("repeat 2")).await;
    assert_eq!(answer.status(), 504);
}
