//! `crucible doctor --probe`: what it says before it sends, what it sends, and what it finds.

use crucible_sim::{Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{body, get, open, post},
    engines::{Both, client, engine, start},
    rest::{idle, ready},
};
use serde_json::{Value, json};

type Said = (i32, String, String);

/// One row as `GET /crucible/tunings` tells it.
async fn row(crucible: &Crucible, number: usize) -> Value {
    get(crucible, "/crucible/tunings").await.json["tunings"][number - 1].clone()
}

/// Faults by name.
async fn faults(crucible: &Crucible) -> Vec<String> {
    let report = get(crucible, "/crucible/tunings").await.json;
    let found = report["findings"].as_array().expect("findings").clone();
    let name = |f: &Value| f["fault"].as_str().unwrap_or_default().to_owned();
    found.iter().map(name).collect()
}

async fn doctor(crucible: &Crucible) -> Said {
    crucible.beside(&["doctor", "--probe"]).await
}

/// An instance before an LM Studio with a loaded model, and its row 16 after `doctor --probe`.
async fn probed(alias: bool) -> (Both, Value, (i32, String, String)) {
    let both = Both::with("", |options| options.penalty_alias = alias, |_| {}).await;
    ready(&both.crucible).await;
    let answer = post(&both.crucible, &body("qwen", "repeat 1")).await;
    assert!(
        answer
            .header("x-crucible-defaults")
            .contains("frequency_penalty")
    );
    let untold = row(&both.crucible, 16).await;
    assert_eq!(untold["state"], "unverifiable", "{untold}");
    assert_eq!(untold["advice"], "crucible doctor --probe");
    let said = doctor(&both.crucible).await;
    let told = row(&both.crucible, 16).await;
    (both, told, said)
}

#[tokio::test]
async fn a_penalty_that_rewards_repetition_is_found_and_no_longer_filled_in() {
    let (both, told, (code, out, err)) = probed(true).await;
    assert_eq!(code, 1, "{out}{err}");
    assert!(
        out.contains("lmstudio.frequency_penalty (row 16) is not in effect"),
        "{out}"
    );
    assert_eq!(told["state"], "not_in_effect", "{told}");
    assert!(
        told["evidence"]
            .as_str()
            .is_some_and(|e| e.contains("taken for the repeat penalty")),
        "{told}"
    );
    let answer = post(&both.crucible, &body("qwen", "repeat 1")).await;
    let filled = answer.header("x-crucible-defaults");
    assert!(!filled.contains("frequency_penalty"), "{filled}");
    assert!(filled.contains("presence_penalty"), "{filled}");
    let answer = post(&both.crucible, &body("llama3.2:3b", "repeat 1")).await;
    assert!(
        answer
            .header("x-crucible-defaults")
            .contains("frequency_penalty")
    );
}

#[tokio::test]
async fn a_penalty_that_is_one_stays() {
    let (both, told, (code, out, err)) = probed(false).await;
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(told["state"], "in_effect", "{told}");
    let answer = post(&both.crucible, &body("qwen", "repeat 1")).await;
    assert!(
        answer
            .header("x-crucible-defaults")
            .contains("frequency_penalty")
    );
}

/// An instance before one engine.
async fn before(
    kind: &str,
    mut options: Options,
    change: impl Fn(&mut Options),
) -> (Sim, Crucible) {
    change(&mut options);
    let sim = start(options).await;
    let crucible = Crucible::start(&engine(kind, kind, &sim.url()));
    ready(&crucible).await;
    (sim, crucible)
}

/// The same with its model in use.
async fn used(kind: &str, change: impl Fn(&mut Options)) -> (Sim, Crucible) {
    let options = match kind {
        "lmstudio" => Options::lmstudio(&["qwen:7b=4GB"]),
        "ollama" => Options::ollama(&["qwen:7b=4GB"]),
        _ => Options::openai(&["qwen:7b=4GB"]),
    };
    let (sim, crucible) = before(kind, options, change).await;
    let answer = post(&crucible, &body("qwen:7b", "repeat 1")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    // llama.cpp loaded its model itself.
    let ours = (kind != "llamacpp").then_some("qwen:7b");
    idle(&crucible, ours).await;
    (sim, crucible)
}

/// The row of the context, where the engine has one.
fn row_of(kind: &str) -> Option<usize> {
    match kind {
        "lmstudio" => Some(13),
        "ollama" => Some(27),
        _ => None,
    }
}

const KINDS: [&str; 3] = ["lmstudio", "ollama", "llamacpp"];

#[tokio::test]
async fn a_context_that_is_in_effect_is_proved() {
    for kind in KINDS {
        let (sim, crucible) = used(kind, |_| {}).await;
        let loads = sim.log().loads.len();
        let (_, _, said) = doctor(&crucible).await;
        let (fit, over, context) = match kind {
            "lmstudio" => (3681, 9280, 8192),
            _ => (2454, 4672, 4096),
        };
        let first = format!(
            "{kind}/qwen:7b reads two short prompts, one of about {fit} tokens and one of about {over}"
        );
        let words = format!(
            "a prompt of about {fit} tokens was read whole, one of about {over} was refused for a \
             context of {context}"
        );
        let then = format!("{kind}/qwen:7b states a context of {context}: {words}");
        let at = |text: &str| said.find(text).unwrap_or_else(|| panic!("{text}: {said}"));
        assert!(at(&first) < at(&then), "{said}");
        assert_eq!(sim.log().loads.len(), loads, "a model was loaded anew");
        assert_eq!(faults(&crucible).await, [""; 0]);
        if let Some(number) = row_of(kind) {
            let told = row(&crucible, number).await;
            assert_eq!(told["state"], "in_effect", "{told}");
            let evidence = told["evidence"].as_str().unwrap_or_default();
            assert!(evidence.contains(&words), "{told}");
        }
    }
}

/// Only a quarter of what is stated is in effect.
async fn smaller(kind: &str, cuts: bool, words: &str) {
    let (_sim, crucible) = used(kind, |o| {
        o.effective = Some(1024);
        o.cuts = cuts;
    })
    .await;
    let (code, out, said) = doctor(&crucible).await;
    assert!(said.contains(words), "{said}");
    if let Some(number) = row_of(kind) {
        assert_eq!(code, 1, "{out}");
        let told = row(&crucible, number).await;
        assert_eq!(told["state"], "not_in_effect", "{told}");
        let evidence = told["evidence"].as_str().unwrap_or_default();
        assert!(evidence.contains(words), "{told}");
        assert!(evidence.contains("crucible doctor --probe"), "{told}");
        let advice = told["advice"].as_str().unwrap_or_default();
        assert!(advice.contains("qwen:7b"), "{told}");
    } else {
        assert_eq!(faults(&crucible).await, ["smaller_context"]);
        assert!(
            out.contains("smaller context") && out.contains(words),
            "{out}"
        );
    }
}

#[tokio::test]
async fn a_smaller_context_that_refuses_is_found() {
    for (kind, fit) in KINDS.into_iter().zip([3681, 2454, 2454]) {
        let words = format!("a prompt of about {fit} tokens was refused for a context of 1024");
        smaller(kind, false, &words).await;
    }
}

#[tokio::test]
async fn a_smaller_context_that_cuts_is_found() {
    // Ollama cuts to the half.
    for (kind, read, fit) in [
        ("lmstudio", 1024, 3681),
        ("ollama", 512, 2454),
        ("llamacpp", 1024, 2454),
    ] {
        let words = format!("only {read} of a prompt of about {fit} tokens were read");
        smaller(kind, true, &words).await;
    }
}

#[tokio::test]
async fn an_engine_that_cuts_in_silence_is_found() {
    for kind in KINDS {
        let (_sim, crucible) = used(kind, |o| o.cuts = true).await;
        let (_, out, said) = doctor(&crucible).await;
        assert!(said.contains("without a word"), "{said}");
        assert_eq!(faults(&crucible).await, ["silent_cut"]);
        assert!(out.contains(&format!("{kind}: silent cut")), "{out}");
        assert!(
            out.contains("asked an error for a prompt that does not fit"),
            "{out}"
        );
        if let Some(number) = row_of(kind) {
            assert_eq!(row(&crucible, number).await["state"], "in_effect");
        }
    }
}

#[tokio::test]
async fn what_answers_somebody_is_left_alone() {
    for (kind, path) in [
        ("ollama", "/api/chat"),
        ("lmstudio", "/v1/chat/completions"),
    ] {
        // 500 tokens of 20 a second.
        let (sim, crucible) = used(kind, |o| o.rate = 20).await;
        let answering = open(&crucible, &body("qwen:7b", "repeat 500")).await;
        let (_, _, said) = doctor(&crucible).await;
        assert!(said.contains("was not probed: it is busy"), "{said}");
        drop(answering);
        let asked = sim.log().requests.into_iter();
        assert_eq!(asked.filter(|r| r.path == path).count(), 2, "{said}");
    }
}

#[tokio::test]
async fn what_is_not_loaded_or_not_crucibles_is_left_alone() {
    let options = || Options::ollama(&["qwen:7b=4GB"]);
    let (sim, crucible) = before("ollama", options(), |_| {}).await;
    let (_, _, said) = doctor(&crucible).await;
    assert!(
        said.contains("no model is loaded whose context could be probed"),
        "{said}"
    );
    assert!(sim.log().loads.is_empty());
    // Somebody else's, with other options.
    let load = json!({"model": "qwen:7b", "options": {"num_ctx": 2048}});
    let url = format!("{}/api/generate", sim.url());
    let answer = client().post(url).json(&load).send().await;
    assert_eq!(answer.expect("an answer").status(), 200);
    let (_, _, said) = doctor(&crucible).await;
    assert!(said.contains("is not written down"), "{said}");
    assert_eq!(sim.log().loads.len(), 1);
    assert!(!sim.log().requests.iter().any(|r| r.path == "/api/chat"));
}
