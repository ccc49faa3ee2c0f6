//! The simulated llama-server.

mod support;

use crucible_sim::{Options, Sim};
use serde_json::json;
use support::{chat, get, post, read};

#[tokio::test]
async fn it_divides_its_context_and_refuses_what_does_not_fit() {
    let mut options = Options::openai(&["m"]);
    options.parallel = 2;
    let sim = Sim::start(options).await.unwrap();
    let models = read(&get(&sim.url(), "/v1/models").await.1);
    assert_eq!(models["data"][0]["meta"]["n_ctx"], 2048);
    let (status, text) = post(
        &sim.url(),
        "/v1/chat/completions",
        chat("m", &"x".repeat(9000)),
    )
    .await;
    assert_eq!(
        (status, &read(&text)["error"]["n_ctx"]),
        (400, &json!(2048))
    );
    let (_, text) = post(
        &sim.url(),
        "/v1/chat/completions",
        chat("any name", "repeat 2"),
    )
    .await;
    assert!(text.contains("word1") && text.ends_with("data: [DONE]\n\n"));
    assert_eq!(get(&sim.url(), "/health").await.1, r#"{"status":"ok"}"#);
}

#[tokio::test]
async fn tool_calls_come_in_parts_that_join_to_json() {
    let sim = Sim::start(Options::openai(&["m"])).await.unwrap();
    let mut body = chat("m", "call tools first second");
    body["tools"] = json!([{"type": "function", "function": {"name": "first"}}]);
    let (_, text) = post(&sim.url(), "/v1/chat/completions", body).await;
    let mut arguments = [String::new(), String::new()];
    for line in text.lines().filter_map(|line| line.strip_prefix("data: {")) {
        let chunk = read(&format!("{{{line}"));
        let call = &chunk["choices"][0]["delta"]["tool_calls"][0];
        if let (Some(index), Some(part)) = (
            call["index"].as_u64(),
            call["function"]["arguments"].as_str(),
        ) {
            arguments[usize::try_from(index).unwrap()].push_str(part);
        }
    }
    for joined in arguments {
        assert_eq!(read(&joined)["echo"], "call tools first second");
    }
    assert!(text.contains(r#""finish_reason":"tool_calls""#));
}
