//! Conversations whose answers a test writes down, on each engine.

mod support;

use crucible_sim::{EngineKind, Options, Sim};
use serde_json::{Value, json};
use support::{chat, get, post, read};

fn conversation() -> Value {
    json!([{"when": "count the files", "turns": [
        {"calls": {"Bash": {"command": "ls | wc -l"}}},
        {"text": "I counted {result} files."},
    ]}])
}

fn tools() -> Value {
    json!([{"type": "function", "function": {"name": "Bash", "parameters": {"type": "object"}}}])
}

#[tokio::test]
async fn every_engine_calls_the_tool_that_is_offered_and_then_says_the_text() {
    for kind in [EngineKind::LmStudio, EngineKind::Ollama, EngineKind::OpenAi] {
        let sim = Sim::start(Options::new(kind, &["m"])).await.unwrap();
        let written = post(&sim.url(), "/sim/converse", conversation()).await;
        assert_eq!(written.0, 200, "{}", written.1);
        let mut body = chat("m", "please count the files");
        body["stream"] = json!(false);
        body["tools"] = tools();
        let path = "/v1/chat/completions";
        let called = read(&post(&sim.url(), path, body.clone()).await.1);
        let message = &called["choices"][0]["message"];
        let function = &message["tool_calls"][0]["function"];
        assert_eq!(function["name"], "Bash", "{kind:?}: {called}");
        assert_eq!(function["arguments"], r#"{"command":"ls | wc -l"}"#);
        let id = &message["tool_calls"][0]["id"];
        let messages = body["messages"].as_array_mut().unwrap();
        messages
            .push(json!({"role": "assistant", "content": "", "tool_calls": message["tool_calls"]}));
        messages.push(json!({"role": "tool", "tool_call_id": id, "content": "3\n"}));
        let said = read(&post(&sim.url(), path, body).await.1);
        let text = &said["choices"][0]["message"]["content"];
        assert_eq!(text, "I counted 3 files.", "{kind:?}: {said}");
        let log = read(&get(&sim.url(), "/sim/log").await.1);
        assert_eq!(log["requests"].as_array().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn ollama_answers_so_on_its_own_path_until_a_reset() {
    let sim = Sim::start(Options::new(EngineKind::Ollama, &["m"]))
        .await
        .unwrap();
    post(&sim.url(), "/sim/converse", conversation()).await;
    let mut body = chat("m", "count the files");
    body["stream"] = json!(false);
    body["tools"] = tools();
    let called = read(&post(&sim.url(), "/api/chat", body.clone()).await.1);
    let function = &called["message"]["tool_calls"][0]["function"];
    assert_eq!(function["arguments"]["command"], "ls | wc -l", "{called}");
    sim.reset();
    let plain = read(&post(&sim.url(), "/api/chat", body).await.1);
    assert!(plain["message"].get("tool_calls").is_none(), "{plain}");
    let wrong = post(&sim.url(), "/sim/converse", json!([{"when": "x"}])).await;
    assert_eq!(wrong.0, 400);
}
