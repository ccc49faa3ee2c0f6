//! Every format of clients, and every way to an engine.

use crucible_sim::Options;
use crucible_tests::{
    Crucible,
    chat::post_to,
    engines::{engine, start},
    rest::ready,
};
use serde_json::{Value, json};

use super::{ended, on, shown};

/// The same prompt in every format.
fn prompts(model: &str) -> [(&'static str, Value); 10] {
    let messages = json!([{ "role": "user", "content": "repeat 2" }]);
    [
        (
            "/v1/chat/completions",
            json!({ "model": model, "messages": messages }),
        ),
        (
            "/v1/chat/completions",
            json!({ "model": model, "messages": messages, "stream": true }),
        ),
        (
            "/v1/completions",
            json!({ "model": model, "prompt": "repeat 2" }),
        ),
        (
            "/v1/responses",
            json!({ "model": model, "input": "repeat 2" }),
        ),
        (
            "/v1/responses",
            json!({ "model": model, "input": "repeat 2", "stream": true }),
        ),
        (
            "/v1/messages",
            json!({ "model": model, "max_tokens": 50, "messages": messages }),
        ),
        (
            "/v1/messages",
            json!({ "model": model, "max_tokens": 50, "messages": messages, "stream": true }),
        ),
        ("/api/chat", json!({ "model": model, "messages": messages })),
        (
            "/api/generate",
            json!({ "model": model, "prompt": "repeat 2", "stream": false }),
        ),
        (
            "/api/v0/chat/completions",
            json!({ "model": model, "messages": messages }),
        ),
    ]
}

/// Requests beside chats are kept behind the first `count`, also what no engine was asked; the number of all.
async fn others_are_kept_too(crucible: &Crucible, mut count: usize) -> usize {
    for (path, body) in [
        (
            "/v1/embeddings",
            json!({ "model": "vectors-embed", "input": "a text" }),
        ),
        ("/completion", json!({ "prompt": "repeat 2" })),
        ("/v1/chat/nowhere", json!({ "model": "one" })),
    ] {
        let answer = post_to(crucible, path, &body).await;
        count += 1;
        ended(crucible, count).await;
        let kept = shown(crucible, "last").await;
        assert_eq!(*kept.row.asked, format!("POST {path}"));
        assert_eq!(kept.answer.expect("an answer").text, answer.text);
        if answer.status == 200 {
            assert_eq!(
                kept.received.expect("a body").text,
                body.to_string(),
                "{path}"
            );
            assert_eq!(kept.attempts.len(), 1, "{path}");
        }
    }
    count
}

#[tokio::test]
async fn requests_of_every_format_are_kept_as_received_and_as_sent() {
    let gpu = start(Options::lmstudio(&["one=1GB", "vectors-embed=1GB"])).await;
    let cpu = start(Options::ollama(&["llama=1GB"])).await;
    let file = start(Options::openai(&["plain=1GB"])).await;
    let crucible = Crucible::start(&format!(
        "{}{}{}",
        engine("gpu", "lmstudio", &gpu.url()),
        engine("cpu", "ollama", &cpu.url()),
        engine("file", "llamacpp", &file.url()),
    ));
    ready(&crucible).await;
    on(&crucible).await;
    let mut count = 0;
    for model in ["one", "llama", "plain"] {
        for (path, body) in prompts(model) {
            let answer = post_to(&crucible, path, &body).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.text);
            count += 1;
            ended(&crucible, count).await;
            let kept = shown(&crucible, "last").await;
            assert_eq!(*kept.row.asked, format!("POST {path}"));
            assert_eq!(kept.received.expect("a body").text, body.to_string());
            assert_eq!(kept.attempts.len(), 1, "{path}");
            let sent = &kept.attempts[0].body.text;
            assert!(sent.contains("repeat 2"), "{path}: {sent}");
            assert_eq!(kept.attempts[0].status, Some(200), "{path}");
            let answered = kept.answer.expect("an answer").text;
            let said = match &kept.attempts[0].answer {
                Some(said) => &said.text,
                None => &answered,
            };
            assert_ne!(
                kept.attempts[0].answer_passed_on,
                kept.attempts[0].answer.is_some(),
                "{path}"
            );
            assert!(said.contains("word1"), "{path}: {said}");
            assert_eq!(answered, answer.text, "{path}");
            assert_eq!(
                kept.assembled.text, "word0 word1",
                "{path}: {}",
                answer.text
            );
        }
    }
    count = others_are_kept_too(&crucible, count).await;
    // Looks, lists and counts are nobody's prompts.
    let counted = json!({ "model": "one", "messages": [{ "role": "user", "content": "a" }] });
    assert_eq!(
        post_to(&crucible, "/v1/messages/count_tokens", &counted)
            .await
            .status,
        200
    );
    crucible_tests::chat::get(&crucible, "/v1/models").await;
    crucible_tests::chat::get(&crucible, "/crucible/state").await;
    assert_eq!(ended(&crucible, count).await.len(), count);
}
