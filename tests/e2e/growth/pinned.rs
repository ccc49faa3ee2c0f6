//! A prompt that is too long for what fits beside a pinned model.

use crucible_sim::Options;
use crucible_tests::chat::{body, post, stream};
use serde_json::Value;

use super::{one, words};

const SETTINGS: &str = "[pool.gpu]\nbudget = \"9GB\"\n[[model]]\nname = \"pin\"\npin = true\n";

/// What a longer prompt is told.
async fn told(kind: &str, options: Options, streamed: bool) -> Value {
    let (_sim, crucible) = one(kind, options, SETTINGS).await;
    let mut request = body("pin", "hi");
    assert_eq!(post(&crucible, &request).await.status, 200);
    request["model"] = "big".into();
    // What is there is asked first, so that the longer one would make it grow.
    assert_eq!(post(&crucible, &request).await.status, 200);
    request["messages"][0]["content"] = "word".repeat(30_000).into();
    request["stream"] = streamed.into();
    let answer = post(&crucible, &request).await;
    assert_eq!(answer.status, 400, "{kind}: {}", answer.text);
    // What is there serves as before.
    let (_, short) = stream(&crucible, &body("big", "hi")).await;
    assert!(short.error().is_none(), "{kind}");
    answer.json["error"].clone()
}

#[tokio::test]
async fn it_is_told_how_long_it_may_be_and_what_is_in_the_way() {
    const MODELS: [&str; 2] = ["pin=3GB", "big=4GB"];
    for (kind, options) in [
        ("ollama", Options::ollama as fn(&[&str]) -> Options),
        ("lmstudio", Options::lmstudio),
    ] {
        for streamed in [false, true] {
            let error = told(kind, options(&MODELS), streamed).await;
            let what = format!("{kind} {streamed}: {error}");
            assert_eq!(error["code"], "context_length_exceeded", "{what}");
            let message = error["message"].as_str().unwrap_or_default();
            assert!(message.contains("beside 'pin"), "{what}");
            let limit = message
                .split_once("maximum context length is ")
                .and_then(|(_, rest)| rest.split_once(' '));
            let (limit, _) = limit.unwrap_or_else(|| panic!("{what}"));
            words::assert_words(message, limit);
            let limit: u64 = limit.parse().unwrap();
            assert!((4096..30_000).contains(&limit), "{what}");
        }
    }
}
