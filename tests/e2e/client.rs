//! The official Python and JavaScript clients against Crucible.
//!
//! `TEST_PYTHON` names an interpreter that can import `openai`, `anthropic` and `ollama`; without it a
//! virtual environment with the pinned clients is made in the target folder.

mod anthropic;
mod javascript;
mod litellm;
mod ollama;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crucible_sim::Options;
use crucible_tests::{
    Crucible,
    binary::root,
    engines::{EveryKind, Troubled, engine, start},
};
use serde_json::{Value, json};

/// The clients' versions, the same as in `.ci/run`.
const CLIENTS: [&str; 3] = ["openai==3.54.0", "anthropic==2.14.0", "ollama==0.6.3"];

/// The client raised an error of this class, status and code.
fn is_raised(told: &Value, what: &str, (class, status, code): (&str, u16, &str)) {
    let raised = &told[what];
    assert_eq!(
        (&raised["class"], &raised["status"], &raised["code"]),
        (&json!(class), &json!(status), &json!(code)),
        "{what}"
    );
}

/// What the client read of one model's answers: whole, streamed, with a tool and with a schema.
fn chats_as_the_client_expects(told: &Value, model: &str) {
    let of = |what: &str| &told[format!("{model} {what}")];
    assert_eq!(of("whole"), "word0 word1 word2", "{told}");
    assert_eq!(of("usage"), 3, "{told}");
    assert_eq!(of("streamed"), "word0 word1 word2 word3", "{told}");
    assert_eq!(of("streamed usage"), 4, "{told}");
    assert_eq!(of("text"), "word0 word1 word2", "{told}");
    assert_eq!(
        of("streamed text"),
        &json!(["word0 word1 word2 word3", 4]),
        "{told}"
    );
    assert_eq!(of("call"), &json!(["weather", true]), "{told}");
    assert_eq!(of("after the tool"), "word0 word1", "{told}");
    assert_eq!(of("schema"), "int", "{told}");
}

/// What the client read of one model's responses: whole, streamed, through its helpers and in a loop with tools.
fn responds_as_the_client_expects(told: &Value, model: &str) {
    let of = |what: &str| &told[model][what];
    assert_eq!(of("whole"), "word0 word1 word2", "{model}: {told}");
    assert_eq!(of("status"), "completed");
    assert_eq!(of("metadata"), &json!({"k": "v"}));
    assert_eq!(of("usage")[1], true);
    assert_eq!(of("streamed"), "word0 word1 word2", "{model}");
    let kinds = of("kinds").as_array().expect("a list");
    assert_eq!(kinds.first(), Some(&json!("response.created")));
    assert_eq!(kinds.last(), Some(&json!("response.completed")));
    assert_eq!(of("helper"), "word0 word1 word2 word3");
    assert_eq!(of("snapshot"), "word0 word1 word2 word3");
    assert_eq!(of("parsed"), "int");
    assert_eq!(of("parsed stream"), "int");
    assert_eq!(
        of("short"),
        &json!(["incomplete", "max_output_tokens", "word0 word1"])
    );
    assert_eq!(
        of("short stream"),
        &json!(["response.incomplete", "max_output_tokens", "word0 word1"])
    );
    assert_eq!(of("short helper"), "response.incomplete");
    assert_eq!(
        of("loop"),
        &json!({
            "called": [["list", null, true], ["read", "files", true], ["patch", "call tool patch"]],
            "text": "word0 word1",
        }),
        "{model}"
    );
}

#[tokio::test]
async fn openais_python_client_is_served() {
    let lmstudio = start(Options::lmstudio(&["qwen=2GB", "studio-embed"])).await;
    let ollama = start(Options::ollama(&["llama3.2:3b=2GB", "ollama-embed"])).await;
    let troubled = Troubled::start().await;
    let crucible = Crucible::start(&format!(
        "{}{}{}",
        engine("lmstudio", "lmstudio", &lmstudio.url()),
        engine("ollama", "ollama", &ollama.url()),
        troubled.config(),
    ));
    let base = crucible.at("/v1");
    let told = tokio::task::spawn_blocking(move || drive(&base))
        .await
        .expect("the client runs");
    let models = told["models"].as_array().expect("a list of models");
    for name in ["qwen", "llama3.2:3b", "auto"] {
        assert!(models.contains(&json!(name)), "{told}");
    }
    assert_eq!(told["retrieved"], "qwen");
    for model in ["qwen", "llama3.2:3b"] {
        chats_as_the_client_expects(&told, model);
    }
    for model in ["studio-embed", "ollama-embed"] {
        assert_eq!(told[format!("{model} vectors")], json!([8, 8]), "{told}");
        assert_eq!(told[format!("{model} agree")], true, "{told}");
    }
    assert_eq!(
        told["too long"]["code"], "context_length_exceeded",
        "{told}"
    );
    for (what, class, status, code) in [
        ("unknown model", "NotFoundError", 404, "model_not_found"),
        ("bad request", "BadRequestError", 400, "unsupported_value"),
    ] {
        is_raised(&told, what, (class, status, code));
    }
    assert_eq!(told["broken stream"]["class"], "APIError", "{told}");
    assert_eq!(told["after a 429"], "word0", "{told}");
    assert_eq!(
        troubled
            .busy
            .log()
            .requests_to("/v1/chat/completions")
            .count(),
        2
    );
}

#[tokio::test]
async fn openais_python_client_is_served_with_responses() {
    const MODELS: [&str; 4] = [
        "lmstudio-think",
        "ollama-think",
        "llamacpp-think",
        "openai-think",
    ];
    let each = MODELS.map(|model| [model]);
    let kinds = EveryKind::start([&each[0], &each[1], &each[2], &each[3]]).await;
    let troubled = Troubled::start().await;
    let crucible = Crucible::start(&(kinds.config() + &troubled.config()));
    let base = crucible.at("/v1");
    let told = tokio::task::spawn_blocking(move || run_script("responses.py", &base, &MODELS))
        .await
        .expect("the client runs");
    for model in MODELS {
        responds_as_the_client_expects(&told, model);
    }
    let thoughts = MODELS.map(|model| &told[model]["reasoning"]);
    assert!(
        thoughts
            .iter()
            .any(|text| **text == "think0 think1 think2 think3"),
        "{thoughts:?}"
    );
    assert_eq!(
        told["at once"],
        json!([
            "word0 word1 word2 word3 word4",
            "word0 word1 word2 word3 word4"
        ])
    );
    for (what, class, status, code) in [
        ("unknown model", "NotFoundError", 404, "model_not_found"),
        ("bad item", "BadRequestError", 400, "unsupported_value"),
        ("stored", "BadRequestError", 400, "unsupported_value"),
        ("retrieve", "NotFoundError", 404, "unknown_endpoint"),
        ("delete", "NotFoundError", 404, "unknown_endpoint"),
    ] {
        is_raised(&told, what, (class, status, code));
    }
    assert_eq!(told["bad item"]["param"], "input[0].call_id");
    assert_eq!(
        told["broken stream"],
        json!(["response.failed", "server_error", "failed"])
    );
    assert_eq!(told["after a 429"], "word0", "{told}");
}

#[tokio::test]
async fn openais_python_client_gets_responses_of_a_real_model() {
    let (crucible, model) = super::real::start().await;
    let base = crucible.at("/v1");
    let told =
        tokio::task::spawn_blocking(move || run_script("responses_real.py", &base, &[&model]));
    let told = told.await.expect("the client runs");
    for what in ["streamed", "whole"] {
        assert!(
            told[what].as_str().is_some_and(|text| !text.is_empty()),
            "{told}"
        );
    }
    let status = told["status"].as_str().expect("a status");
    assert!(["completed", "incomplete"].contains(&status), "{told}");
    assert!(told["usage"].as_u64() > Some(0), "{told}");
    // The second turn reads only what is new.
    assert!(told["cached"].as_u64() > Some(0), "{told}");
}

fn drive(base: &str) -> Value {
    run_script("drive.py", base, &[])
}

fn run_script(name: &str, base: &str, arguments: &[&str]) -> Value {
    let script = root().join("tests/e2e/client").join(name);
    run_with(&python(), &script, base, arguments)
}

/// Runs a script against the Crucible at `base`; it prints one JSON.
fn run_with(python: &Path, script: &Path, base: &str, arguments: &[&str]) -> Value {
    let out = Command::new(python)
        .arg(script)
        .arg(base)
        .args(arguments)
        .output()
        .expect("the interpreter starts");
    assert!(
        out.status.success(),
        "{}: {}",
        script.display(),
        String::from_utf8_lossy(&out.stderr)
    );
    serde_json::from_slice(&out.stdout).expect("one JSON")
}

/// An interpreter with the clients.
fn python() -> PathBuf {
    python_with(
        "TEST_PYTHON",
        "clients",
        "openai, anthropic, ollama",
        &CLIENTS,
    )
}

/// The interpreter that `variable` names, or one in `folder` of the target folder, in which pip installs `what`
/// where the `modules` are not there.
pub(crate) fn python_with(variable: &str, folder: &str, modules: &str, what: &[&str]) -> PathBuf {
    if let Some(python) = std::env::var_os(variable) {
        return python.into();
    }
    let folder = root().join("target").join(folder);
    let python = folder.join(if cfg!(windows) {
        "Scripts/python.exe"
    } else {
        "bin/python"
    });
    let has_modules = Command::new(&python)
        .args(["-c", &format!("import {modules}")])
        .output()
        .is_ok_and(|out| out.status.success());
    if !has_modules {
        run(
            Command::new("python3").args(["-m", "venv"]).arg(&folder),
            "install Python 3 with venv (Debian: python3-venv)",
        );
        run(
            Command::new(&python)
                .args(["-m", "pip", "install", "--quiet"])
                .args(what),
            "the package index must be reachable",
        );
    }
    python
}

fn run(command: &mut Command, advice: &str) {
    let done = command.status().is_ok_and(|status| status.success());
    assert!(done, "{command:?} failed: {advice}");
}
