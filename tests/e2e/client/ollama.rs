//! Ollama's own Python client.

use crucible_tests::{
    Crucible,
    engines::{EveryKind, Troubled},
};
use serde_json::{Value, json};

use super::{anthropic::loop_of_three, run_script};

/// What the client read of one model's answers.
fn answers_as_the_client_expects(told: &Value, model: &str) {
    let of = |what: &str| &told[model][what];
    let ended = |reason: &str, count: u64| json!([true, reason, count, true]);
    let words = "word0 word1 word2";
    // Four of the tokens are thoughts.
    assert_eq!(
        of("whole"),
        &json!([model, words, ended("stop", 7)]),
        "{told}"
    );
    let streamed = json!(["word0 word1 word2 word3", 1, ended("stop", 8), [model]]);
    assert_eq!(of("streamed"), &streamed, "{told}");
    assert_eq!(of("thinking"), true, "{told}");
    assert_eq!(of("length"), "length", "{told}");
    assert_eq!(of("generated"), "word0 word1", "{told}");
    assert_eq!(of("generated stream"), &json!([words, "stop"]), "{told}");
    assert_eq!(of("raw"), "word0 word1", "{told}");
    assert_eq!(of("async"), "word0 word1", "{told}");
    assert_eq!(of("schema"), "int", "{told}");
    assert_eq!(of("image"), "word0", "{told}");
    let reasons = json!([[1, "stop"], [1, "stop"], [0, "stop"]]);
    assert_eq!(of("loop"), &json!([reasons, "Found wc: 7"]), "{told}");
    assert_eq!(
        (of("load"), of("unload")),
        (&json!("load"), &json!("unload"))
    );
    assert_eq!(of("no option")["status"], 400, "{told}");
    let text = of("no option")["text"].as_str().expect("a text");
    assert!(text.contains("options.temperature"), "{text}");
    assert_eq!(of("too long")["status"], 400, "{told}");
}

#[tokio::test]
async fn ollamas_python_client_is_served() {
    let kinds = EveryKind::start([
        &["qwen-think-vision=2GB", "studio-embed"],
        &["llama-think-vision:3b=2GB", "ollama-embed"],
        &["local-think-vision=2GB"],
        &["other-think-vision=2GB", "other-embed"],
    ])
    .await;
    for engine in kinds.all() {
        engine.converse(vec![loop_of_three()]);
    }
    let troubled = Troubled::start().await;
    let crucible = Crucible::start(&(kinds.config() + &troubled.config()));
    let models = [
        "qwen-think-vision",
        "llama-think-vision:3b",
        "local-think-vision",
        "other-think-vision",
    ];
    let base = crucible.at("");
    let told = tokio::task::spawn_blocking(move || run_script("drive_ollama.py", &base, &models))
        .await
        .expect("the client runs");
    for model in models {
        answers_as_the_client_expects(&told, model);
    }
    for model in ["studio-embed", "ollama-embed", "other-embed"] {
        assert_eq!(told[model], json!([[1, 2, 8], true, 8]), "{told}");
    }
    for what in ["unknown model", "unknown model in a stream"] {
        assert_eq!(told[what]["status"], 404, "{told}");
        let text = told[what]["text"].as_str().expect("a text");
        assert!(text.contains("not found"), "{text}");
    }
    // After the first line there is no status to change.
    assert_eq!(told["broken stream"]["status"], -1, "{told}");
    assert_eq!(told["a 429"]["status"], 429, "{told}");
    assert_eq!(told["closed"]["status"], 403, "{told}");
    // Crucible alone decides what stays in memory.
    for request in kinds.ollama.log().requests_to("/api/chat") {
        assert!(!request.body.contains("keep_alive"), "{}", request.body);
    }
}
