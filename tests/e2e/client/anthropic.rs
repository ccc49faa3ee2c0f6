//! Anthropic's own Python client.

use crucible_sim::{Conversation, ConversationTurn};
use crucible_tests::{
    Crucible,
    engines::{EveryKind, Troubled},
};
use serde_json::json;

use super::run_script;

/// Two turns in which the model calls `Bash`, and one in which it says what came out.
pub(super) fn loop_of_three() -> Conversation {
    let call = |command: &str| ConversationTurn {
        text: Some("Look. ".to_owned()),
        calls: [("Bash".to_owned(), json!({"command": command}))]
            .into_iter()
            .collect(),
    };
    let end = ConversationTurn {
        text: Some("Found {result}".to_owned()),
        ..ConversationTurn::default()
    };
    Conversation {
        when: "count the files".to_owned(),
        turns: vec![call("ls"), call("wc"), end],
    }
}

#[tokio::test]
async fn anthropics_python_client_is_served() {
    let kinds = EveryKind::start([
        &["qwen-think=2GB"],
        &["llama-think:3b=2GB"],
        &["local-think=2GB"],
        &["other-think=2GB"],
    ])
    .await;
    for engine in kinds.all() {
        engine.converse(vec![loop_of_three()]);
    }
    let troubled = Troubled::start().await;
    let crucible = Crucible::start(&(kinds.config() + &troubled.config()));
    let models = ["qwen-think", "llama-think:3b", "local-think", "other-think"];
    let base = crucible.at("");
    let told =
        tokio::task::spawn_blocking(move || run_script("drive_anthropic.py", &base, &models))
            .await
            .expect("the client runs");
    let listed = told["models"].as_array().expect("a list of models");
    assert_eq!(told["retrieved"], "qwen-think");
    for model in models {
        assert!(listed.contains(&json!(model)), "{told}");
        let of = |what: &str| &told[model][what];
        assert_eq!(of("whole"), &json!(["word0 word1 word2", "end_turn", true]));
        let text = "word0 word1 word2 word3";
        assert_eq!(of("streamed"), &json!([text, text, "end_turn", true]));
        assert_eq!(of("thinking"), &json!(["crucible"]), "{told}");
        let reasons = ["tool_use", "tool_use", "end_turn"];
        assert_eq!(of("loop"), &json!([reasons, "Found wc: 7"]), "{model}");
        assert_eq!(of("counted"), true);
        assert_eq!(of("beta"), "word0");
    }
    for (what, class, status, kind) in [
        ("unknown model", "NotFoundError", 404, "not_found_error"),
        (
            "bad request",
            "BadRequestError",
            400,
            "invalid_request_error",
        ),
        ("too long", "BadRequestError", 400, "invalid_request_error"),
        ("a 429", "RateLimitError", 429, "rate_limit_error"),
    ] {
        let error = &told[what];
        let found = (&error["class"], &error["status"], &error["type"]);
        assert_eq!(
            found,
            (&json!(class), &json!(status), &json!(kind)),
            "{error}"
        );
        assert_eq!(error["is status error"], true);
    }
    let words = told["too long"]["message"].as_str().unwrap_or_default();
    assert!(words.contains("prompt is too long: "), "{words}");
    assert_eq!(told["broken stream"]["type"], "api_error", "{told}");
    assert_eq!(told["after a 429"], "word0", "{told}");
}

#[tokio::test]
async fn anthropics_python_client_gets_messages_of_a_real_model() {
    let (crucible, model) = crate::real::start().await;
    let base = crucible.at("");
    let told =
        tokio::task::spawn_blocking(move || run_script("messages_real.py", &base, &[&model]));
    let told = told.await.expect("the client runs");
    for what in ["streamed", "whole"] {
        assert!(
            told[what].as_str().is_some_and(|text| !text.is_empty()),
            "{told}"
        );
    }
    let stop = told["stop"].as_str().expect("a reason");
    assert!(["end_turn", "max_tokens"].contains(&stop), "{told}");
    assert!(told["usage"].as_u64() > Some(0), "{told}");
    // The engine itself counted what it then read.
    let [counted, read] = ["counted", "read"].map(|what| told[what].as_u64());
    assert!(read > Some(0) && counted >= read, "{told}");
    // The second turn reads only what is new.
    assert!(told["cached"].as_u64() > Some(0), "{told}");
}
