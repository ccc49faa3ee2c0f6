//! Sessions of agents: prompts that become longer from turn to turn, and what is loaded for them.

use crucible_sim::{Fault, FaultKind, LogView, Options};
use crucible_tests::{
    Crucible,
    chat::{body, get, open, post},
    engines::{asked, client, engine, start, until},
    rest::eventually,
    sse::Stream,
};
use serde_json::Value;

use super::{contexts, one};

/// A prompt of about so many tokens.
fn prompt(model: &str, tokens: usize) -> Value {
    let mut request = body(model, &"word".repeat(tokens));
    request["max_tokens"] = 20.into();
    request
}

const KINDS: [(&str, &str); 2] = [("ollama", "num_ctx"), ("lmstudio", "context_length")];

fn options(kind: &str) -> Options {
    match kind {
        "ollama" => Options::ollama(&["m=1GB"]),
        _ => Options::lmstudio(&["m=1GB"]),
    }
}

#[tokio::test]
async fn a_session_that_grows_within_a_minute_is_answered_with_one_load_for_each_step() {
    for (kind, key) in KINDS {
        let (sim, crucible) = one(kind, options(kind), "").await;
        for tokens in [500, 8000, 20_000, 60_000] {
            let answer = post(&crucible, &prompt("m", tokens)).await;
            assert_eq!(answer.status, 200, "{kind} {tokens}: {}", answer.text);
        }
        let grown = [4096, 16_384, 32_768, 131_072];
        assert_eq!(contexts(&sim.log(), key), grown, "{kind}");
        // Another client's short prompts between long ones make nothing smaller, and load nothing.
        for tokens in [10, 50_000, 500, 60_000, 10] {
            assert_eq!(post(&crucible, &prompt("m", tokens)).await.status, 200);
        }
        assert_eq!(contexts(&sim.log(), key), grown, "{kind}");
    }
}

#[tokio::test]
async fn an_agent_that_begins_with_a_long_prompt_costs_one_load() {
    for (kind, key) in KINDS {
        for (tokens, context) in [(5000, 8192), (10_000, 16_384), (20_000, 32_768)] {
            let (sim, crucible) = one(kind, options(kind), "").await;
            assert_eq!(post(&crucible, &prompt("m", tokens)).await.status, 200);
            assert_eq!(contexts(&sim.log(), key), [context], "{kind} {tokens}");
        }
    }
}

#[tokio::test]
async fn a_running_answer_ends_before_its_model_grows_and_all_who_wait_share_that() {
    for (kind, key) in KINDS {
        let mut options = options(kind);
        options.rate = 40;
        let (sim, crucible) = one(kind, options, "").await;
        let mut running = body("m", "repeat 40");
        running["max_tokens"] = 60.into();
        let running = open(&crucible, &running).await;
        let ask = |tokens| {
            let send = client()
                .post(crucible.at("/v1/chat/completions"))
                .json(&prompt("m", tokens))
                .send();
            tokio::spawn(send)
        };
        let others = [ask(6000), ask(20_000), ask(9000)];
        let answer = Stream::read(running).await;
        assert!(
            answer.error().is_none() && answer.finish_reason().is_some(),
            "{kind}: it was cut"
        );
        for other in others {
            let answer = other.await.expect("a task").expect("an answer");
            assert_eq!(answer.status(), 200, "{kind}");
        }
        assert_eq!(contexts(&sim.log(), key), [4096, 32_768], "{kind}");
        assert!(sim.log().disconnects.is_empty(), "{kind}");
    }
}

#[tokio::test]
async fn an_engine_without_memory_for_a_step_is_asked_for_less_and_that_is_remembered() {
    let mut options = Options::lmstudio(&["m=1GB"]);
    // 16384 tokens would take 1.25 GB.
    options.memory = Some(1_200_000_000);
    let (sim, crucible) = one("lmstudio", options, "").await;
    assert_eq!(post(&crucible, &prompt("m", 500)).await.status, 200);
    for _ in 0..2 {
        let answer = post(&crucible, &prompt("m", 9000)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    assert_smaller(&sim.log());
    // What it cannot load is told with its words, and is not tried each time.
    let mut tried = Vec::new();
    for _ in 0..2 {
        let answer = post(&crucible, &prompt("m", 14_000)).await;
        assert_eq!((answer.status, answer.code()), (503, "load_failed"));
        let message = answer.message();
        assert!(
            message.contains("insufficient system resources"),
            "{message}"
        );
        tried.push(sim.log().loads.len());
    }
    assert_eq!(tried[0], tried[1]);
    let answer = post(&crucible, &prompt("m", 8000)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

/// The step did not load, and what the prompt needs did.
fn assert_smaller(log: &LogView) {
    let loads = contexts(log, "context_length");
    assert_eq!(loads[..2], [4096, 16_384]);
    assert!(
        loads.len() == 3 && (9000..9300).contains(&loads[2]),
        "{loads:?}"
    );
}

#[tokio::test]
async fn a_growth_that_fails_without_a_reason_is_tried_smaller() {
    let (sim, crucible) = one("lmstudio", Options::lmstudio(&["m=1GB"]), "").await;
    assert_eq!(post(&crucible, &prompt("m", 500)).await.status, 200);
    sim.arm(Fault::new(FaultKind::LoadOom));
    let answer = post(&crucible, &prompt("m", 9000)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_smaller(&sim.log());
}

/// What a request would get is what it gets, before and after, and after a new start with another
/// configuration.
#[tokio::test(flavor = "multi_thread")]
async fn explain_tells_the_context_that_is_loaded_and_what_is_configured_anew_wins() {
    for (kind, key) in KINDS {
        let sim = start(options(kind)).await;
        let folder = tempfile::TempDir::new().expect("a folder");
        let state = folder.path().display().to_string();
        let run = |settings: &str| {
            let own = engine("one", kind, &sim.url());
            let toml = format!("{own}permits = 1\n{settings}");
            Crucible::start_with(&toml, &[], &[("CRUCIBLE_STATE_DIR", &state)])
        };
        let mut loaded = 0;
        // Settings, prompt, context and why before it is sent.
        for (settings, tokens, given, because) in [
            ("", 500, 4096, "configured"),
            ("", 9000, 16_384, "needed"),
            ("", 500, 16_384, "remembered"),
            (
                "[[model]]\nname = \"m\"\ncontext = 8192\n",
                500,
                8192,
                "configured",
            ),
            (
                "[[model]]\nname = \"m\"\ncontext = 2048\n",
                500,
                2048,
                "configured",
            ),
            ("", 500, 4096, "configured"),
            ("[context]\nfit = \"reject\"\n", 500, 4096, "configured"),
        ] {
            let mut crucible = run(settings);
            let request = prompt("m", tokens);
            let told = client()
                .post(crucible.at("/crucible/explain"))
                .json(&request)
                .send()
                .await
                .expect("an answer");
            let told: Value = told.json().await.expect("JSON");
            let what = format!("{kind} {settings:?} {tokens}: {told}");
            assert_eq!(told["context"]["given"], given, "{what}");
            assert_eq!(told["context"]["because"], because, "{what}");
            assert_eq!(post(&crucible, &request).await.status, 200, "{what}");
            let contexts = contexts(&sim.log(), key);
            loaded += 1;
            assert_eq!(contexts.len(), loaded, "{what}");
            assert_eq!(contexts.last(), Some(&given), "{what}");
            let state = get(&crucible, "/crucible/state").await.json;
            let held = &state["pools"][0]["residents"][0]["context"];
            assert_eq!(*held, given, "{what}");
            crucible.signal("TERM");
            assert!(crucible.wait().success());
        }
    }
}

#[tokio::test]
async fn growth_waits_for_what_is_busy_in_its_memory() {
    let mut options = Options::ollama(&["m=3GB", "b=3GB"]);
    options.rate = 40;
    let (sim, crucible) = one(
        "ollama",
        options,
        "[pool.cpu]\nbudget = \"7GB\"\n[pool.gpu]\nbudget = \"7GB\"\n",
    )
    .await;
    assert_eq!(post(&crucible, &prompt("m", 500)).await.status, 200);
    let mut running = body("b", "repeat 40");
    running["max_tokens"] = 60.into();
    let running = open(&crucible, &running).await;
    let grown = {
        let send = client()
            .post(crucible.at("/v1/chat/completions"))
            .json(&prompt("m", 20_000))
            .send();
        tokio::spawn(send)
    };
    eventually("it waits", || async {
        let state = get(&crucible, "/crucible/state").await.json;
        (state["queue"][0]["model"] == "m:latest").then_some(())
    })
    .await;
    let answer = Stream::read(running).await;
    assert!(
        answer.error().is_none() && answer.finish_reason().is_some(),
        "it was cut"
    );
    let grown = grown.await.expect("a task").expect("an answer");
    assert_eq!(grown.status(), 200);
    let log = until(&sim, "it is larger", |log| log.loads.len() == 3).await;
    assert_eq!(contexts(&log, "num_ctx"), [4096, 4096, 32_768]);
    assert_eq!(asked(&log).len(), 3);
}
