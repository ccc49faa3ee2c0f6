//! Models that a person loaded with too little context.

use crucible_sim::{Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{body, open, post},
    engines::{client, start},
    sse::Stream,
};
use serde_json::{Value, json};

use super::{contexts, one};

const PERSONS: u64 = 4096;

/// As a person or another program does it.
async fn load_by_hand(sim: &Sim, kind: &str) {
    let (path, load) = match kind {
        "lmstudio" => (
            "/api/v1/models/load",
            json!({ "model": "m", "context_length": PERSONS }),
        ),
        _ => (
            "/api/generate",
            json!({ "model": "m", "options": { "num_ctx": PERSONS }, "keep_alive": -1 }),
        ),
    };
    let loaded = client()
        .post(format!("{}{path}", sim.url()))
        .json(&load)
        .send()
        .await;
    assert!(loaded.expect("an answer").status().is_success());
}

async fn held(kind: &str, rate: u32, toml: &str) -> (Sim, Crucible) {
    let mut options = match kind {
        "lmstudio" => Options::lmstudio(&["m=1GB"]),
        _ => Options::ollama(&["m=1GB"]),
    };
    options.rate = rate;
    let sim = start(options.clone()).await;
    load_by_hand(&sim, kind).await;
    let own = crucible_tests::engines::engine("one", kind, &sim.url());
    let crucible = Crucible::start(&format!("{toml}\n{own}permits = 1\n"));
    (sim, crucible)
}

fn long() -> Value {
    let mut request = body("m", &"word".repeat(10_000));
    request["max_tokens"] = 100.into();
    request
}

/// Contexts of the loads in order, each once: Ollama loads anew at any other option too.
fn sizes(sim: &Sim, key: &str) -> Vec<u64> {
    let mut sizes = contexts(&sim.log(), key);
    sizes.dedup();
    sizes
}

const KINDS: [(&str, &str); 2] = [("ollama", "num_ctx"), ("lmstudio", "context_length")];

#[tokio::test]
async fn an_idle_one_is_loaded_again_with_what_the_request_needs() {
    for (kind, key) in KINDS {
        let (sim, crucible) = held(kind, 0, "").await;
        // What fits uses it as it is.
        assert_eq!(post(&crucible, &body("m", "hi")).await.status, 200);
        assert_eq!(sizes(&sim, key), [PERSONS], "{kind}");
        let answer = post(&crucible, &long()).await;
        assert_eq!(answer.status, 200, "{kind}: {}", answer.text);
        assert_eq!(sizes(&sim, key), [PERSONS, 16_384], "{kind}");
    }
}

#[tokio::test]
async fn one_that_answers_is_waited_for() {
    for (kind, key) in KINDS {
        let (sim, crucible) = held(kind, 40, "").await;
        let mut running = body("m", "repeat 40");
        running["max_tokens"] = 60.into();
        let running = open(&crucible, &running).await;
        let long = long();
        let (answer, running) = tokio::join!(post(&crucible, &long), Stream::read(running));
        assert!(running.error().is_none() && running.finish_reason().is_some());
        assert_eq!(answer.status, 200, "{kind}: {}", answer.text);
        assert_eq!(sizes(&sim, key), [PERSONS, 16_384], "{kind}");
    }
}

#[tokio::test]
async fn one_that_may_not_grow_is_told_with_the_way_to_eject_it() {
    for (kind, key) in KINDS {
        let (sim, crucible) = held(kind, 0, "[context]\ngrow_foreign = false\n").await;
        let answer = post(&crucible, &long()).await;
        assert_eq!(answer.code(), "context_length_exceeded", "{}", answer.text);
        let eject = match kind {
            "lmstudio" => "lms unload m",
            _ => "ollama stop m",
        };
        let message = answer.message();
        for part in [
            "This model's maximum context length is 4096 tokens.",
            "loaded with that by a person",
            "context.grow_foreign = true",
            eject,
        ] {
            assert!(message.contains(part), "{kind}: {message}");
        }
        assert_eq!(contexts(&sim.log(), key), [PERSONS], "{kind}");
        assert_eq!(post(&crucible, &body("m", "hi")).await.status, 200);
    }
}

#[tokio::test]
async fn one_that_is_busy_beyond_the_wait_is_told_with_the_way_to_eject_it() {
    let (sim, crucible) = held("lmstudio", 5, "[timeouts]\nqueue = \"1s\"\n").await;
    let mut running = body("m", "repeat 1000");
    running["max_tokens"] = 1000.into();
    let running = open(&crucible, &running).await;
    let answer = post(&crucible, &long()).await;
    assert_eq!((answer.status, answer.code()), (503, "queue_timeout"));
    let message = answer.message();
    assert!(
        message.contains("a person") && message.contains("lms unload m"),
        "{message}"
    );
    assert!(!answer.header("retry-after").is_empty());
    drop(running);
    assert_eq!(contexts(&sim.log(), "context_length"), [PERSONS]);
}

/// Where nobody may load anything, it is said whose context it is.
#[tokio::test]
async fn an_observed_engine_is_told_apart() {
    let (sim, crucible) = one("lmstudio", Options::lmstudio(&["m=1GB"]), "").await;
    drop(crucible);
    load_by_hand(&sim, "lmstudio").await;
    let own = crucible_tests::engines::engine("one", "lmstudio", &sim.url());
    let crucible = Crucible::start(&format!("{own}manage = \"observe\"\n"));
    let answer = post(&crucible, &long()).await;
    assert_eq!(answer.code(), "context_length_exceeded", "{}", answer.text);
    let message = answer.message();
    assert!(
        message.contains("Crucible loads nothing there"),
        "{message}"
    );
}

/// An identifier is lost with the instance that had it, and its model is still asked for by it.
#[tokio::test]
async fn who_asks_by_a_persons_own_identifier_goes_on_to_find_the_model() {
    let sim = start(Options::lmstudio(&["pub/m=1GB", "other=1GB"])).await;
    assert!(sim.load_as("pub/m", "my-coder", PERSONS).await);
    let own = crucible_tests::engines::engine("one", "lmstudio", &sim.url());
    let crucible = Crucible::start(&format!("{own}permits = 1\n"));
    let by = |name: &str, mut request: Value| {
        request["model"] = name.into();
        request
    };
    for name in ["my-coder", "one/my-coder"] {
        let answer = post(&crucible, &by(name, body("", "hi"))).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.text);
        assert_eq!(sizes(&sim, "context_length"), [PERSONS], "{name}");
    }
    let answer = post(&crucible, &by("my-coder", long())).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(sizes(&sim, "context_length"), [PERSONS, 16_384]);
    // Ejected too.
    for eject in [false, true] {
        if eject {
            assert!(sim.eject("pub/m"));
        }
        let answer = post(&crucible, &by("my-coder", body("", "hi"))).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.header("x-crucible-model"), "pub/m");
    }
    let unknown = post(&crucible, &by("my-other", body("", "hi"))).await;
    assert_eq!(unknown.status, 404);
}
