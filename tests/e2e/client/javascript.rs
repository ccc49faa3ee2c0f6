//! OpenAI's, Anthropic's and Ollama's own JavaScript clients, one answer of each sort in each format.
//!
//! `TEST_JAVASCRIPT` names a folder in which they are installed; without it npm installs the versions of
//! `javascript/package-lock.json` in the target folder.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crucible_tests::{Crucible, binary::root, engines::EveryKind};
use serde_json::{Value, json};

use super::run;

const MODELS: [&str; 4] = ["qwen", "llama3.2:3b", "local", "other"];

#[tokio::test]
async fn the_javascript_clients_are_served() {
    let each = MODELS.map(|model| [model]);
    let kinds = EveryKind::start([&each[0], &each[1], &each[2], &each[3]]).await;
    let crucible = Crucible::start(&kinds.config());
    let url = crucible.at("");
    let told = tokio::task::spawn_blocking(move || drive(&url));
    let told = told.await.expect("the clients run");
    for model in MODELS {
        assert_eq!(told[model], answers(&told[model]), "{model}");
    }
    for (format, class, key, named) in [
        ("chat", "NotFoundError", "code", json!("model_not_found")),
        (
            "responses",
            "NotFoundError",
            "code",
            json!("model_not_found"),
        ),
        (
            "messages",
            "NotFoundError",
            "type",
            json!("not_found_error"),
        ),
        ("native", "ResponseError", "code", Value::Null),
    ] {
        let error = &told["unknown model"][format];
        assert_eq!(error["class"], class, "{format}: {error}");
        assert_eq!(error["status"], 404, "{format}: {error}");
        assert_eq!(error[key], named, "{format}: {error}");
        let message = error["message"].as_str().unwrap_or_default();
        assert!(message.contains("nope"), "{format}: {error}");
    }
}

/// The answers of a model in every format; only the words of an error are the ones of `told`.
fn answers(told: &Value) -> Value {
    let error = |format: &str, code: Value, kind: &str| {
        json!({
            "class": "BadRequestError",
            "status": 400,
            "code": code,
            "type": kind,
            "message": told[format]["error"]["message"],
        })
    };
    let refused = |format| error(format, json!("unsupported_value"), "invalid_request_error");
    let mut messages = error("messages", Value::Null, "invalid_request_error");
    // Anthropic's errors have no code, and its client makes none.
    messages.as_object_mut().map(|error| error.remove("code"));
    let [three, four] = ["word0 word1 word2", "word0 word1 word2 word3"];
    json!({
        "chat": {
            "whole": [three, 3],
            "streamed": four,
            "call": ["tool_calls", "weather", "object"],
            "error": refused("chat"),
        },
        "responses": {
            "whole": [three, 3],
            "streamed": [four, four, "response.completed"],
            "call": ["completed", "weather", "object"],
            "error": refused("responses"),
        },
        "messages": {
            "whole": [three, 3],
            "streamed": [four, four, "end_turn"],
            "call": ["tool_use", "weather", "object"],
            "error": messages,
        },
        "native": {
            "whole": [three, 3],
            "streamed": [four, "stop"],
            "call": ["stop", "weather", "object"],
            "error": {
                "class": "ResponseError",
                "status": 400,
                "message": told["native"]["error"]["message"],
            },
        },
    })
}

fn drive(url: &str) -> Value {
    let out = Command::new("node")
        .arg(sources().join("drive.mjs"))
        .arg(installed())
        .arg(url)
        .args(MODELS)
        .output()
        .expect("Node runs: install Node 20 or later (Debian: nodejs)");
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    serde_json::from_slice(&out.stdout).expect("one JSON")
}

fn sources() -> PathBuf {
    root().join("tests/e2e/client/javascript")
}

/// A folder with the clients.
fn installed() -> PathBuf {
    if let Some(folder) = std::env::var_os("TEST_JAVASCRIPT") {
        return folder.into();
    }
    let folder = root().join("target/clients-javascript");
    let lock = "package-lock.json";
    let read = |folder: &Path| std::fs::read(folder.join(lock)).ok();
    let there = folder.join("node_modules/.package-lock.json").is_file();
    if !there || read(&folder) != read(&sources()) {
        std::fs::create_dir_all(&folder).expect("a folder");
        for file in ["package.json", lock] {
            std::fs::copy(sources().join(file), folder.join(file)).expect("copied");
        }
        run(
            Command::new("npm")
                .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
                .arg("--prefix")
                .arg(&folder),
            "install npm; the package index must be reachable",
        );
    }
    folder
}
