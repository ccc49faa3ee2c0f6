//! A model that went behind Crucible's back, and the request that comes before the next poll.

use std::time::Duration;

use crucible_sim::{Fault, FaultKind, LogView, Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{Whole, body, get, header, post, stream},
    engines::{asked, client, engine, start, until},
    rest::eventually,
};
use serde_json::{Value, json};

const NOTE: &str = "asked once more, as the model had gone from its engine";

/// An engine that holds `qwen` because a request came, and Crucible in front of it.
async fn holding(kind: &str, options: Options, toml: &str) -> (Sim, Crucible) {
    let sim = start(options).await;
    let crucible = Crucible::start(&format!("{toml}\n{}", engine("one", kind, &sim.url())));
    let answer = post(&crucible, &body("qwen", "repeat 1")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    // What it is known to hold is what it holds: the polls of the load are over.
    at_rest(&crucible, &sim).await;
    (sim, crucible)
}

/// Waits for the poll that follows a load.
async fn at_rest(crucible: &Crucible, sim: &Sim) {
    let polls = |log: &LogView| {
        let mut paths = log.requests.iter().map(|r| r.path.as_str());
        paths
            .rfind(|p| *p == "/api/v1/models" || *p == "/api/ps")
            .is_some()
    };
    until(sim, "a poll", polls).await;
    eventually("idle, and listed", || async {
        let held = residents(crucible).await;
        (!held.is_empty() && held.iter().all(|r| r["active"] == 0)).then_some(())
    })
    .await;
}

async fn residents(crucible: &Crucible) -> Vec<Value> {
    let state = get(crucible, "/crucible/state").await.json;
    let pools = state["pools"].as_array().cloned().unwrap_or_default();
    let of = |pool: &Value| pool["residents"].as_array().cloned().unwrap_or_default();
    pools.iter().flat_map(of).collect()
}

/// A person loads a model in LM Studio.
async fn load_by_hand(sim: &Sim, model: &str, context: u64) {
    let url = format!("{}/api/v1/models/load", sim.url());
    let order = json!({"model": model, "context_length": context});
    let answer = client().post(url).json(&order).send().await;
    assert!(answer.expect("an answer").status().is_success());
}

/// Asks for `qwen`, streamed or not: model and content of the answer, and its note.
async fn ask(crucible: &Crucible, streamed: bool) -> (String, String, String) {
    let request = body("qwen", "repeat 3");
    if streamed {
        let (headers, events) = stream(crucible, &request).await;
        assert!(events.error().is_none() && events.done, "{}", events.text);
        let first = events.text.lines().find_map(|l| l.strip_prefix("data: "));
        let first: Value = serde_json::from_str(first.expect("an event")).expect("JSON");
        let model = first["model"].as_str().unwrap_or_default().to_owned();
        let note = header(&headers, "x-crucible-note").to_owned();
        return (model, events.content(), note);
    }
    let answer = post(crucible, &request).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let model = answer.json["model"].as_str().unwrap_or_default().to_owned();
    let note = answer.header("x-crucible-note").to_owned();
    (model, answer.content().to_owned(), note)
}

/// Contexts of the loads of a model, in order.
fn contexts(log: &LogView, model: &str, key: &str) -> Vec<u64> {
    let loads = log.loads.iter().filter(|load| load.model == model);
    loads.filter_map(|load| load.tuple[key].as_u64()).collect()
}

fn lmstudio(jit: bool) -> Options {
    let mut options = Options::lmstudio(&["qwen=2GB", "other=1GB"]);
    options.jit = jit;
    options
}

/// LM Studio answered by what was loaded, and the answer was signed with the name asked for.
#[tokio::test]
async fn another_models_answer_is_never_handed_out() {
    let (sim, crucible) = holding("lmstudio", lmstudio(false), "").await;
    load_by_hand(&sim, "other", 4096).await;
    for (n, streamed) in [(2, false), (3, true)] {
        assert!(sim.eject("qwen"));
        let (model, content, note) = ask(&crucible, streamed).await;
        assert_eq!(
            (&*model, &*content),
            ("qwen", "word0 word1 word2"),
            "{streamed}"
        );
        assert!(note.contains(NOTE), "{streamed}: {note}");
        let log = sim.log();
        assert_eq!(contexts(&log, "qwen", "context_length").len(), n);
        assert_eq!(contexts(&log, "other", "context_length").len(), 1);
    }
    let (.., note) = ask(&crucible, true).await;
    assert_eq!(note, "");
    // Each dropped one, one more for each, the first and the last.
    assert_eq!(asked(&sim.log()).len(), 6);
}

/// What is wrong is not the name: it is told in another case, with the number of its instance.
#[tokio::test]
async fn other_spellings_of_the_model_are_its_own_answers() {
    let (sim, crucible) = holding("lmstudio", lmstudio(false), "").await;
    for name in ["QWEN", "qwen:2", "qwen@q8_0", "hub/qwen", "nobody-knows"] {
        for streamed in [false, true] {
            sim.arm(Fault::new(FaultKind::Alias).saying(name));
            let (model, content, note) = ask(&crucible, streamed).await;
            assert_eq!((&*model, &*content), (name, "word0 word1 word2"));
            assert_eq!(note, "", "{name}");
        }
    }
    assert_eq!(asked(&sim.log()).len(), 11);
    // An engine that goes on with another model's name has no answer.
    sim.arm(Fault::new(FaultKind::Alias).saying("other").times(4));
    let whole = post(&crucible, &body("qwen", "repeat 3")).await;
    assert_eq!(
        (whole.status, whole.code()),
        (502, "engine_error"),
        "{}",
        whole.text
    );
    assert!(
        whole.message().contains("'other' instead of 'qwen'"),
        "{}",
        whole.text
    );
    let mut request = body("qwen", "repeat 3");
    request["stream"] = true.into();
    let streamed = post(&crucible, &request).await;
    assert_eq!((streamed.status, streamed.code()), (502, "engine_error"));
    assert_eq!(asked(&sim.log()).len(), 15);
}

/// Five seconds of 503, until a poll noticed.
#[tokio::test]
async fn a_model_that_went_is_loaded_again_for_who_comes_first() {
    let (sim, crucible) = holding("lmstudio", lmstudio(false), "").await;
    for (n, streamed) in [(2, false), (3, true)] {
        assert!(sim.eject("qwen"));
        let (model, content, note) = ask(&crucible, streamed).await;
        assert_eq!((&*model, &*content), ("qwen", "word0 word1 word2"));
        assert!(note.contains(NOTE), "{note}");
        assert_eq!(contexts(&sim.log(), "qwen", "context_length").len(), n);
    }
}

/// It crashes under the request, which is answered all the same: nothing of it was handed out.
#[tokio::test]
async fn what_crashes_before_the_first_byte_is_loaded_and_asked_once_more() {
    for (kind, options) in [
        ("lmstudio", lmstudio(false)),
        ("lmstudio", lmstudio(true)),
        ("ollama", Options::ollama(&["qwen=2GB"])),
    ] {
        let (sim, crucible) = holding(kind, options, "").await;
        for streamed in [false, true] {
            sim.arm(Fault::new(FaultKind::Crash).after_events(0));
            let (_, content, note) = ask(&crucible, streamed).await;
            assert_eq!(content, "word0 word1 word2", "{kind} {streamed}");
            assert!(note.contains(NOTE), "{kind} {streamed}: {note}");
        }
        // Once: what crashes again is told.
        sim.arm(Fault::new(FaultKind::Crash).after_events(0).times(2));
        let answer = post(&crucible, &body("qwen", "repeat 3")).await;
        assert_eq!(
            (answer.status, answer.code()),
            (502, "engine_error"),
            "{}",
            answer.text
        );
    }
}

fn long() -> Value {
    // 7000 tokens as the engine counts them.
    let mut request = body("qwen", &"word ".repeat(5600));
    request["max_tokens"] = 20.into();
    request
}

const BIG: &str = "[[model]]\nname = \"qwen\"\ncontext = 16384\nfit = \"reject\"\n";

async fn assert_long(crucible: &Crucible) -> Whole {
    let answer = post(crucible, &long()).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer
}

/// LM Studio loaded it with its own context, which was then taken for a person's wish.
#[tokio::test]
async fn what_the_engine_loaded_by_itself_with_less_context_is_taken_back() {
    let (sim, crucible) = holding("lmstudio", lmstudio(true), BIG).await;
    assert!(sim.eject("qwen"));
    let (_, content, note) = ask(&crucible, false).await;
    assert_eq!((&*content, &*note), ("word0 word1 word2", ""));
    let first = contexts(&sim.log(), "qwen", "context_length")[0];
    eventually("a poll tells the smaller context", || async {
        let held = residents(&crucible).await;
        (held[0]["context"].as_u64() < Some(first)).then_some(())
    })
    .await;
    assert_eq!(residents(&crucible).await[0]["owned"], true);
    assert_long(&crucible).await;
    assert_eq!(
        contexts(&sim.log(), "qwen", "context_length"),
        [first, 4096, first]
    );
}

/// The same where the first to come is the one that needs the context.
#[tokio::test]
async fn a_prompt_that_only_the_lost_context_could_take_is_answered() {
    let (sim, crucible) = holding("lmstudio", lmstudio(true), BIG).await;
    assert!(sim.eject("qwen"));
    assert_long(&crucible).await;
    let loads = contexts(&sim.log(), "qwen", "context_length");
    assert_eq!(loads, [loads[0], 4096, loads[0]]);
}

/// LM Studio loads a model once for each of two requests that come at once, and the second instance was
/// taken for a person's: whatever needed the context was refused from then on.
#[tokio::test]
async fn every_instance_that_the_engine_loaded_by_itself_is_taken_back() {
    for lost in ["ejected", "crashed"] {
        let mut options = lmstudio(true);
        options.load_time = Duration::from_millis(300);
        let (sim, crucible) = holding("lmstudio", options, BIG).await;
        if lost == "ejected" {
            assert!(sim.eject("qwen"));
        } else {
            sim.crash();
        }
        tokio::join!(ask(&crucible, false), ask(&crucible, true));
        let loads = contexts(&sim.log(), "qwen", "context_length");
        assert_eq!(loads[1..], [4096, 4096], "{lost}");
        assert_long(&crucible).await;
        // Room for another is made without a person.
        eventually("only its own instance is there", || async {
            let held = residents(&crucible).await;
            (held.len() == 1 && held[0]["owned"] == true).then_some(())
        })
        .await;
        let loads = contexts(&sim.log(), "qwen", "context_length");
        assert_eq!(loads, [loads[0], 4096, 4096, loads[0]], "{lost}");
    }
}

/// A person's own load with less context is left as it is.
#[tokio::test]
async fn a_persons_smaller_load_of_what_crucible_never_loaded_stays() {
    let sim = start(lmstudio(true)).await;
    load_by_hand(&sim, "qwen", 4096).await;
    let crucible = Crucible::start(&format!("{BIG}\n{}", engine("one", "lmstudio", &sim.url())));
    let (_, content, _) = ask(&crucible, false).await;
    assert_eq!(content, "word0 word1 word2");
    assert_eq!(contexts(&sim.log(), "qwen", "context_length"), [4096]);
    assert_eq!(residents(&crucible).await[0]["owned"], false);
}

/// It was a 404, although another one was to answer instead.
#[tokio::test]
async fn a_deleted_model_is_answered_by_its_fallback() {
    let gpu = start(Options::ollama(&["qwen=2GB"])).await;
    let cpu = start(Options::lmstudio(&["llama=1GB"])).await;
    let toml = format!(
        "{}{}device = \"cpu\"\n[[model]]\nname = \"qwen\"\n",
        engine("gpu", "ollama", &gpu.url()),
        engine("cpu", "lmstudio", &cpu.url()),
    );
    let with = Crucible::start(&format!("{toml}fallback = [\"llama\"]\n"));
    let without = Crucible::start(&toml);
    for crucible in [&with, &without] {
        let answer = post(crucible, &body("qwen", "repeat 1")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    gpu.delete("qwen");
    let answer = post(&without, &body("qwen", "repeat 3")).await;
    assert_eq!(
        (answer.status, answer.code()),
        (404, "model_not_found"),
        "{}",
        answer.text
    );
    let answer = post(&with, &body("qwen", "repeat 3")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.content(), "word0 word1 word2");
    assert_eq!(answer.header("x-crucible-model"), "llama");
    assert_eq!(answer.header("x-crucible-reason"), "fallback");
}

/// LM Studio told the client to load it, or let another model answer.
#[tokio::test]
async fn a_model_deleted_from_lm_studio_is_a_404_that_says_so() {
    for (other_is_loaded, streamed) in [(false, false), (false, true), (true, false), (true, true)]
    {
        let (sim, crucible) = holding("lmstudio", lmstudio(false), "").await;
        if other_is_loaded {
            load_by_hand(&sim, "other", 4096).await;
        }
        assert!(sim.eject("qwen"));
        sim.delete("qwen");
        let mut request = body("qwen", "repeat 3");
        request["stream"] = streamed.into();
        let answer = post(&crucible, &request).await;
        let what = format!("{other_is_loaded} {streamed}: {}", answer.text);
        assert_eq!(
            (answer.status, answer.code()),
            (404, "model_not_found"),
            "{what}"
        );
        assert!(
            answer.message().contains("does not list 'qwen' any more"),
            "{what}"
        );
        assert_eq!(asked(&sim.log()).len(), 2, "{what}");
        assert_eq!(
            contexts(&sim.log(), "qwen", "context_length").len(),
            1,
            "{what}"
        );
    }
}

/// A file's name in an answer is that of its model, of this one or of another.
#[tokio::test]
async fn names_of_files_are_judged_by_their_models() {
    let (sim, crucible) = holding("lmstudio", lmstudio(false), "").await;
    for name in [
        "qwen.gguf",
        "hub/Qwen-GGUF",
        "qwen:q4_k_m",
        "C:\\models\\hub\\qwen-Q4_K_M.gguf",
        "qwen-4bit",
    ] {
        sim.arm(Fault::new(FaultKind::Alias).saying(name));
        let (model, content, note) = ask(&crucible, false).await;
        assert_eq!(
            (&*model, &*content, &*note),
            (name, "word0 word1 word2", "")
        );
    }
    for name in ["other.gguf", "hub/Other-GGUF", "/models/other-Q8_0.gguf"] {
        sim.arm(Fault::new(FaultKind::Alias).saying(name));
        let (model, content, note) = ask(&crucible, true).await;
        assert_eq!(
            (&*model, &*content),
            ("qwen", "word0 word1 word2"),
            "{name}"
        );
        assert!(note.contains(NOTE), "{name}: {note}");
    }
}
