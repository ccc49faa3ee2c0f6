//! A prompt that is longer than it looks: the engine counts more tokens than Crucible estimates.

mod contacts;
mod foreign;
mod lengths;
mod pinned;
mod sessions;
mod words;

use crucible_sim::{LogView, Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{Whole, body, header, post, stream},
    engines::{asked, engine, start},
};
use serde_json::{Value, json};

/// Four bytes a token make 3150 of it, which fit 4096; one a character are 4200, which do not.
const CHARACTERS: usize = 4200;

fn long(model: &str) -> Value {
    of_length(model, CHARACTERS)
}

fn of_length(model: &str, characters: usize) -> Value {
    let mut request = body(model, &"\u{5b57}".repeat(characters));
    request["max_tokens"] = 100.into();
    request
}

/// It was refused for its length, and both numbers are told.
fn assert_exceeded(answer: &Whole, needed: &str, limit: &str, what: &str) {
    assert_eq!(answer.status, 400, "{what}: {}", answer.text);
    assert_eq!(answer.code(), "context_length_exceeded", "{}", answer.text);
    let message = answer.message();
    assert!(
        message.contains(needed) && message.contains(limit),
        "{what}: {message}"
    );
}

async fn one(kind: &str, options: Options, toml: &str) -> (Sim, Crucible) {
    let sim = start(options).await;
    let own = engine("one", kind, &sim.url());
    let crucible = Crucible::start(&format!("{toml}\n{own}permits = 1\n"));
    (sim, crucible)
}

/// Sends the long prompt, which is answered; what `x-crucible-note` says.
async fn answered(crucible: &Crucible, model: &str, streamed: bool) -> String {
    let mut request = long(model);
    if streamed {
        request["stream"] = json!(true);
        let (headers, answer) = stream(crucible, &request).await;
        assert!(!answer.content().is_empty());
        assert!(answer.error().is_none());
        header(&headers, "x-crucible-note").to_owned()
    } else {
        let answer = post(crucible, &request).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.header("x-crucible-note").to_owned()
    }
}

/// Contexts of the loads in order.
fn contexts(log: &LogView, key: &str) -> Vec<u64> {
    let of = |tuple: &Value| tuple[key].as_u64();
    log.loads
        .iter()
        .filter_map(|load| of(&load.tuple))
        .collect()
}

#[tokio::test]
async fn ollama_is_loaded_again_with_more_context_and_the_request_is_answered() {
    for streamed in [false, true] {
        let (sim, crucible) = one("ollama", Options::ollama(&["llama=1GB"]), "").await;
        let note = answered(&crucible, "llama", streamed).await;
        assert_eq!(
            note,
            "loaded with more context, for a prompt of 4200 tokens"
        );
        assert_eq!(contexts(&sim.log(), "num_ctx"), [4096, 8192]);
        // It stays as large, so nothing is loaded for the next one.
        assert_eq!(post(&crucible, &long("llama")).await.status, 200);
        assert_eq!(sim.log().loads.len(), 2);
    }
}

#[tokio::test]
async fn lmstudio_is_loaded_again_with_more_context_and_the_request_is_answered() {
    for streamed in [false, true] {
        let (sim, crucible) = one("lmstudio", Options::lmstudio(&["qwen=1GB"]), "").await;
        let note = answered(&crucible, "qwen", streamed).await;
        assert!(note.contains("4200 tokens"), "{note}");
        assert_eq!(contexts(&sim.log(), "context_length"), [4096, 8192]);
    }
}

#[tokio::test]
async fn what_an_engine_refuses_for_its_length_teaches_how_long_prompts_are() {
    let reject = "[context]\nfit = \"reject\"\n";
    let (sim, crucible) = one("ollama", Options::ollama(&["m=1GB"]), reject).await;
    let refused = async || {
        let answer = post(&crucible, &long("m")).await;
        assert_eq!(answer.code(), "context_length_exceeded", "{}", answer.text);
        asked(&sim.log()).len()
    };
    // Three measurements are believed.
    for sent in 1..=3 {
        assert_eq!(refused().await, sent);
    }
    assert_eq!(refused().await, 3, "what is known not to fit was sent");
}

#[tokio::test]
async fn a_prompt_beyond_the_largest_context_allowed_is_refused_with_both_numbers() {
    let most = "[context]\nmax = 4096\n";
    let (sim, crucible) = one("ollama", Options::ollama(&["m=1GB"]), most).await;
    let answer = post(&crucible, &long("m")).await;
    assert_exceeded(&answer, "4300", "4096", "at the largest");
    assert_eq!(sim.log().loads.len(), 1);
}

#[tokio::test]
async fn what_may_not_grow_is_told_with_both_numbers_and_asked_once() {
    for (kind, options, toml) in [
        (
            "ollama",
            Options::ollama(&["m=1GB"]),
            "[context]\nfit = \"reject\"\n",
        ),
        // Nobody loads anything there.
        ("llamacpp", Options::openai(&["m=1GB:ctx4096"]), ""),
    ] {
        let (sim, crucible) = one(kind, options, toml).await;
        let answer = post(&crucible, &long("m")).await;
        assert_exceeded(&answer, "4300", "4096", kind);
        assert_eq!(sim.log().completions.len(), 0);
        assert!(sim.log().loads.len() <= 1);
    }
}

#[tokio::test]
async fn a_clients_own_context_sizes_the_first_load_only_and_what_became_of_it_is_said() {
    let (sim, crucible) = one("ollama", Options::ollama(&["llama=1GB"]), "").await;
    let mut request = body("llama", "hi");
    request["options"] = json!({ "num_ctx": 16_384 });
    request["keep_alive"] = json!("1h");
    let first = post(&crucible, &request).await;
    assert_eq!(first.status, 200, "{}", first.text);
    let note = first.header("x-crucible-note");
    assert!(note.contains("keep_alive is Crucible's"), "{note}");
    assert!(!note.contains("num_ctx"), "{note}");
    // Another wish for the model that is loaded: it would be loaded anew for each client.
    request["options"] = json!({ "num_ctx": 2048 });
    let second = post(&crucible, &request).await;
    let note = second.header("x-crucible-note");
    assert!(
        note.contains("num_ctx 2048: the context is 16384"),
        "{note}"
    );
    assert_eq!(contexts(&sim.log(), "num_ctx"), [16_384]);
    assert!(sim.log().reloads.is_empty());
}
