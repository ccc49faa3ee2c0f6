//! OpenAI's own Python client against Crucible.
//!
//! `TEST_PYTHON` names an interpreter that can import `openai`; without it a virtual environment
//! with the pinned client is made in the target folder.

use std::{path::PathBuf, process::Command};

use crucible_sim::{Fault, FaultKind, Options};
use crucible_tests::{
    Crucible,
    binary::root,
    engines::{engine, start},
};
use serde_json::{Value, json};

/// The client's version, the same as in `.ci/run`.
const OPENAI: &str = "openai==3.54.0";

#[tokio::test]
async fn openais_python_client_is_served() {
    let lmstudio = start(Options::lmstudio(&["qwen=2GB"])).await;
    let ollama = start(Options::ollama(&["llama3.2:3b=2GB"])).await;
    // One engine that breaks its stream, one that is busy the first time it is asked.
    let breaking = start(Options::openai(&["breaks"])).await;
    breaking.arm(Fault::new(FaultKind::ErrorEvent).after_events(2));
    let busy = start(Options::openai(&["busy"])).await;
    busy.arm(Fault::new(FaultKind::Http429).delay_ms(1000));
    let crucible = Crucible::start(&format!(
        "{}{}{}{}",
        engine("lmstudio", "lmstudio", &lmstudio.url()),
        engine("ollama", "ollama", &ollama.url()),
        engine("breaking", "openai", &breaking.url()),
        engine("busy", "openai", &busy.url()),
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
        let of = |what: &str| &told[format!("{model} {what}")];
        assert_eq!(of("whole"), "word0 word1 word2", "{told}");
        assert_eq!(of("usage"), 3, "{told}");
        assert_eq!(of("streamed"), "word0 word1 word2 word3", "{told}");
        assert_eq!(of("streamed usage"), 4, "{told}");
        assert_eq!(of("call"), &json!(["weather", true]), "{told}");
        assert_eq!(of("after the tool"), "word0 word1", "{told}");
        assert_eq!(of("schema"), "int", "{told}");
    }
    let raised = |what: &str| {
        (
            &told[what]["class"],
            &told[what]["status"],
            &told[what]["code"],
        )
    };
    assert_eq!(
        raised("unknown model"),
        (
            &json!("NotFoundError"),
            &json!(404),
            &json!("model_not_found")
        )
    );
    assert_eq!(
        raised("bad request"),
        (
            &json!("BadRequestError"),
            &json!(400),
            &json!("unsupported_value")
        )
    );
    assert_eq!(told["broken stream"]["class"], "APIError", "{told}");
    assert_eq!(told["after a 429"], "word0", "{told}");
    assert_eq!(busy.log().requests_to("/v1/chat/completions").count(), 2);
}

fn drive(base: &str) -> Value {
    let script = root().join("tests/e2e/client/drive.py");
    let out = Command::new(python())
        .arg(script)
        .arg(base)
        .output()
        .expect("the interpreter starts");
    assert!(
        out.status.success(),
        "drive.py: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    serde_json::from_slice(&out.stdout).expect("one JSON")
}

/// An interpreter with the client.
fn python() -> PathBuf {
    if let Some(python) = std::env::var_os("TEST_PYTHON") {
        return python.into();
    }
    let folder = root().join("target/openai-client");
    let python = folder.join(if cfg!(windows) {
        "Scripts/python.exe"
    } else {
        "bin/python"
    });
    let has_client = Command::new(&python)
        .args(["-c", "import openai"])
        .output()
        .is_ok_and(|out| out.status.success());
    if !has_client {
        run(
            Command::new("python3").args(["-m", "venv"]).arg(&folder),
            "install Python 3 with venv (Debian: python3-venv)",
        );
        run(
            Command::new(&python).args(["-m", "pip", "install", "--quiet", OPENAI]),
            "the package index must be reachable",
        );
    }
    python
}

fn run(command: &mut Command, advice: &str) {
    let done = command.status().is_ok_and(|status| status.success());
    assert!(done, "{command:?} failed: {advice}");
}
