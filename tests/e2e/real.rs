//! The real binary with a real model: llama.cpp's server and the small model of `crucible try`.
//!
//! `TEST_LLAMA_COMMAND` and `TEST_MODEL_PATH` name them; without these they are prepared as `try`
//! does. One thread, generous times: the machine may be busy.

#[cfg(unix)]
mod turns;

use std::{
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use crucible_cli::embedded;
use crucible_tests::{
    Crucible,
    chat::{body, get, header, open, post, stream},
    clean::Metrics,
    engines::client,
    rest::eventually,
    sse::Stream,
    target::alone,
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// Command of the server, and the model's file.
pub(crate) type Engine = (Vec<String>, PathBuf);

static ENGINE: OnceCell<Engine> = OnceCell::const_new();

pub(crate) async fn engine() -> &'static Engine {
    ENGINE
        .get_or_init(|| async {
            let named = std::env::var("TEST_LLAMA_COMMAND")
                .ok()
                .zip(std::env::var_os("TEST_MODEL_PATH"));
            if let Some((command, model)) = named {
                let words = command.split_whitespace().map(str::to_owned).collect();
                return (words, model.into());
            }
            let plan = embedded::plan(None).await.expect("a plan");
            let ready = embedded::prepare(&plan, |_| {}).await.expect("the engine");
            (ready.command, ready.model_path)
        })
        .await
}

/// Crucible with the engine as its child; no other test has a real engine until it ends.
pub(super) async fn start() -> (Crucible, String) {
    let (command, model_path) = engine().await;
    let alone = alone().await;
    let crucible = Crucible::start(&format!(
        "[[engine]]\nname = \"local\"\nkind = \"llamacpp\"\nmanage = \"spawn\"\npermits = 1\n\
         command = {command:?}\nmodel_path = {:?}\n\
         [tuning.ollama]\nnum_threads = 1\n",
        model_path.display().to_string(),
    ));
    let model = model_path
        .file_stem()
        .expect("a file name")
        .to_string_lossy()
        .into_owned();
    (crucible.keeping(alone), model)
}

/// The address of the child, told by the state.
pub(super) async fn child_url(crucible: &Crucible) -> String {
    eventually("the child's address", || async {
        let state: Value = client()
            .get(crucible.at("/crucible/state"))
            .send()
            .await
            .ok()?
            .json()
            .await
            .ok()?;
        let url = state["engines"][0]["url"].as_str()?.to_owned();
        url.starts_with("http").then_some(url)
    })
    .await
}

/// Requests that the child works on, by its own metrics.
async fn processing(child: &str) -> Option<f64> {
    let text = client()
        .get(format!("{}/metrics", child.trim_end_matches('/')))
        .send()
        .await
        .ok()?
        .text()
        .await
        .ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("llamacpp:requests_processing "))?
        .trim()
        .parse()
        .ok()
}

fn children(pid: u32) -> Vec<u32> {
    let out = Command::new("ps")
        .args(["-o", "pid=", "--ppid", &pid.to_string()])
        .output()
        .expect("ps runs");
    String::from_utf8_lossy(&out.stdout)
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

/// Not there, or ended and only not yet waited for.
fn is_gone(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.is_empty() || status.contains("State:\tZ")
}

#[tokio::test]
async fn a_real_model_answers_streams_and_keeps_to_a_schema() {
    let (crucible, model) = start().await;
    let mut request = body(&model, "Say hello in five words.");
    request["max_tokens"] = 24.into();
    request["stream_options"] = json!({ "include_usage": true });
    let (headers, streamed) = stream(&crucible, &request).await;
    assert_eq!(header(&headers, "x-crucible-engine"), "local");
    assert!(header(&headers, "x-crucible-defaults").contains("temperature"));
    assert!(!streamed.content().trim().is_empty(), "{}", streamed.text);
    assert!(
        streamed.done && streamed.finish_reason().is_some(),
        "{}",
        streamed.text
    );
    let usage = &streamed.events.last().expect("events")["usage"];
    assert!(
        usage["completion_tokens"].as_u64() > Some(0),
        "{}",
        streamed.text
    );

    request
        .as_object_mut()
        .expect("an object")
        .remove("stream_options");
    let whole = post(&crucible, &request).await;
    assert_eq!(whole.status, 200, "{}", whole.text);
    assert!(!whole.content().trim().is_empty(), "{}", whole.text);

    request["response_format"] = json!({
        "type": "json_schema",
        "json_schema": { "name": "x", "schema": {
            "type": "object",
            "properties": { "ok": { "type": "boolean" } },
            "required": ["ok"],
        } },
    });
    // The grammar allows blank lines, of which a small model may write many before the value.
    request["max_tokens"] = 400.into();
    request["temperature"] = 0.into();
    let answer = post(&crucible, &request).await;
    let json: Value = serde_json::from_str(answer.content()).expect("JSON by the schema");
    assert!(json["ok"].is_boolean(), "{}", answer.text);
}

#[tokio::test]
async fn a_prompt_that_cannot_fit_is_told_with_both_numbers() {
    let (crucible, model) = start().await;
    let answer = post(&crucible, &body(&model, &"many words here ".repeat(20_000))).await;
    assert_eq!(
        (answer.status, answer.code()),
        (400, "context_length_exceeded"),
        "{}",
        answer.text
    );
    assert!(
        answer
            .message()
            .chars()
            .filter(char::is_ascii_digit)
            .count()
            > 6,
        "{}",
        answer.text
    );
}

#[tokio::test]
async fn a_client_that_leaves_frees_the_real_engine() {
    let (crucible, model) = start().await;
    let mut request = body(&model, "Count from one to one thousand, slowly.");
    request["max_tokens"] = 2000.into();
    let mut response = open(&crucible, &request).await;
    response.chunk().await.expect("a chunk");
    let child = child_url(&crucible).await;
    assert_eq!(processing(&child).await, Some(1.0));
    drop(response);
    eventually("the engine is free", || async {
        (processing(&child).await == Some(0.0)).then_some(())
    })
    .await;
    request["max_tokens"] = 4.into();
    assert_eq!(post(&crucible, &request).await.status, 200);
}

#[tokio::test]
async fn an_engine_killed_in_its_answer_is_told_and_comes_back() {
    let (crucible, model) = start().await;
    let mut request = body(&model, "Count from one to one thousand, slowly.");
    request["max_tokens"] = 2000.into();
    let mut response = open(&crucible, &request).await;
    response.chunk().await.expect("a chunk");
    let before = children(crucible.pid());
    assert_eq!(before.len(), 1);
    assert!(
        Command::new("kill")
            .args(["-KILL", &before[0].to_string()])
            .status()
            .expect("kill runs")
            .success()
    );
    let rest = Stream::read(response).await;
    assert!(!rest.broken && !rest.done, "{}", rest.text);
    assert_eq!(
        rest.error().expect("an error")["code"],
        "engine_cut",
        "{}",
        rest.text
    );
    request["max_tokens"] = 4.into();
    let answer = eventually("it answers again", || async {
        let answer = post(&crucible, &request).await;
        (answer.status == 200).then_some(answer)
    })
    .await;
    assert_eq!(answer.header("x-crucible-engine"), "local");
    assert_ne!(children(crucible.pid()), before);
}

/// It was a 503, until a poll noticed that the child had ended.
#[tokio::test]
async fn an_engine_killed_while_it_was_idle_is_started_for_who_comes_first() {
    let (crucible, model) = start().await;
    let mut request = body(&model, "hi");
    request["max_tokens"] = 4.into();
    assert_eq!(post(&crucible, &request).await.status, 200);
    for _ in 0..20 {
        let before = children(crucible.pid());
        let pid = before[0].to_string();
        let killed = Command::new("kill").args(["-KILL", &pid]).status();
        assert!(killed.expect("kill runs").success());
        eventually("the child is gone", || async {
            is_gone(before[0]).then_some(())
        })
        .await;
        let began = Instant::now();
        let answer = post(&crucible, &request).await;
        // A busy machine hears of the end of the kept connection so late that the child may have begun.
        if answer.status == 502 && began.elapsed() >= Duration::from_millis(50) {
            eventually("it runs again", || async {
                (post(&crucible, &request).await.status == 200).then_some(())
            })
            .await;
            continue;
        }
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_ne!(children(crucible.pid()), before);
        return;
    }
    panic!("this machine is too busy to tell");
}

#[tokio::test]
async fn no_child_outlives_crucible() {
    for signal in ["TERM", "KILL"] {
        let (mut crucible, model) = start().await;
        let mut request = body(&model, "hi");
        request["max_tokens"] = 2.into();
        assert_eq!(post(&crucible, &request).await.status, 200);
        let children = children(crucible.pid());
        assert_eq!(children.len(), 1);
        crucible.signal(signal);
        let status = crucible.wait();
        assert_eq!(status.success(), signal == "TERM", "{status}");
        eventually("the child is gone", || async {
            children.iter().all(|pid| is_gone(*pid)).then_some(())
        })
        .await;
    }
}

/// An answer of exactly `tokens` tokens: a schema keeps a small model from ending earlier.
pub(super) fn long(model: &str, tokens: u64) -> Value {
    let mut request = body(model, "Tell a story about the sea.");
    request["max_tokens"] = tokens.into();
    request["stream_options"] = json!({ "include_usage": true });
    request["response_format"] = json!({ "type": "json_schema", "json_schema": {
        "name": "story", "schema": {
            "type": "array", "items": { "enum": ["far out in the ocean, where the water is blue"] },
            "minItems": 1000, "maxItems": 1001,
        },
    } });
    request
}

/// The answer came to its last token.
pub(super) fn whole(answer: &Stream, tokens: u64) {
    assert!(
        answer.done && !answer.broken && answer.error().is_none(),
        "{}",
        answer.text
    );
    assert_eq!(answer.finish_reason(), Some("length"), "{}", answer.text);
    let usage = &answer.events.last().expect("events")["usage"];
    assert_eq!(usage["completion_tokens"], tokens, "{}", answer.text);
}
