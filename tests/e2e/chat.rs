//! Chat completions through the real binary, on both engines.

use crucible_tests::{
    chat::{body, header, post, stream},
    engines::{Both, asked},
};
use serde_json::json;

#[tokio::test]
async fn both_engines_answer_at_one_url() {
    let both = Both::start().await;
    let gpu = post(&both.crucible, &body("qwen", "repeat 3")).await;
    assert_eq!(gpu.status, 200, "{}", gpu.text);
    assert_eq!(gpu.content(), "word0 word1 word2");
    assert_eq!(gpu.header("x-crucible-engine"), "lmstudio");
    assert_eq!(gpu.header("x-crucible-model"), "qwen");
    assert_eq!(gpu.header("x-crucible-reason"), "exact");
    let cpu = post(&both.crucible, &body("llama3.2:3b", "repeat 3")).await;
    assert_eq!(cpu.status, 200, "{}", cpu.text);
    assert_eq!(cpu.content(), "word0 word1 word2");
    assert_eq!(cpu.header("x-crucible-engine"), "ollama");
    assert_eq!(cpu.json["object"], "chat.completion");
    assert_eq!(cpu.json["choices"][0]["finish_reason"], "stop");
    assert!(cpu.json["usage"]["completion_tokens"].as_u64() > Some(0));
}

#[tokio::test]
async fn both_engines_stream_in_one_form() {
    let both = Both::start().await;
    for (model, engine) in [("qwen", "lmstudio"), ("llama3.2:3b", "ollama")] {
        let (headers, answer) = stream(&both.crucible, &body(model, "repeat 5")).await;
        assert_eq!(header(&headers, "x-crucible-engine"), engine);
        assert_eq!(header(&headers, "content-type"), "text/event-stream");
        assert_eq!(
            answer.content(),
            "word0 word1 word2 word3 word4",
            "{}",
            answer.text
        );
        assert_eq!(answer.finish_reason(), Some("stop"));
        assert!(answer.done && !answer.broken, "{}", answer.text);
        for event in &answer.events {
            assert!(
                event["id"].is_string() && event["created"].is_u64(),
                "{event}"
            );
            assert_eq!(event["object"], "chat.completion.chunk");
            for choice in event["choices"].as_array().expect("choices") {
                assert!(
                    choice["index"].is_u64() && choice["delta"].is_object(),
                    "{event}"
                );
            }
        }
        assert_eq!(answer.events[0]["choices"][0]["delta"]["role"], "assistant");
    }
}

#[tokio::test]
async fn usage_comes_exactly_when_it_is_asked_for() {
    let both = Both::start().await;
    for model in ["qwen", "llama3.2:3b"] {
        let (_, silent) = stream(&both.crucible, &body(model, "repeat 2")).await;
        assert!(
            silent.events.iter().all(|e| e["usage"].is_null()),
            "{}",
            silent.text
        );
        let mut asks = body(model, "repeat 2");
        asks["stream_options"] = json!({ "include_usage": true });
        let (_, told) = stream(&both.crucible, &asks).await;
        let last = told.events.last().expect("events");
        assert_eq!(last["choices"], json!([]), "{}", told.text);
        assert_eq!(last["usage"]["completion_tokens"], 2, "{}", told.text);
    }
}

#[tokio::test]
async fn only_the_filled_in_keys_differ_upstream() {
    let both = Both::start().await;
    // Odd spacing, unknown fields and number text must survive.
    let sent = r#"{ "model":"qwen",  "messages":[{"role":"user","content":"repeat 1"}], "x_odd": 1.50e0, "top_p": 0.5 }"#;
    let answer = crucible_tests::chat::post_raw(&both.crucible, sent).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(
        answer.header("x-crucible-defaults"),
        "temperature,frequency_penalty,presence_penalty,context"
    );
    let log = both.lmstudio.log();
    let seen = log
        .requests
        .iter()
        .find(|r| r.path == "/v1/chat/completions")
        .expect("one request");
    let kept = &sent[..sent.rfind('}').expect("an end")].trim_end();
    assert!(seen.body.starts_with(kept), "{}", seen.body);
    let json = seen.json.as_ref().expect("JSON");
    assert_eq!(json["temperature"], 0.3);
    assert_eq!(json["top_p"], 0.5);
    assert_eq!(json["frequency_penalty"], 0.1);
    assert_eq!(json["presence_penalty"], 0.1);
    assert_eq!(
        json.as_object().expect("an object").len(),
        7,
        "{}",
        seen.body
    );
}

#[tokio::test]
async fn ollama_gets_the_context_and_the_whole_tuple() {
    let both = Both::start().await;
    let mut request = body("llama3.2:3b", "repeat 1");
    request["max_completion_tokens"] = 7.into();
    request["stop"] = "END".into();
    let answer = post(&both.crucible, &request).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let seen = asked(&both.ollama.log()).pop().expect("one request");
    assert_eq!(seen["options"]["num_ctx"], 4096);
    assert_eq!(seen["options"]["num_batch"], 512);
    assert_eq!(seen["options"]["num_gpu"], 0);
    assert_eq!(seen["options"]["use_mmap"], true);
    assert_eq!(seen["options"]["temperature"], 0.3);
    assert_eq!(seen["options"]["top_p"], 0.8);
    assert_eq!(seen["options"]["num_predict"], 7);
    assert_eq!(seen["options"]["stop"], json!(["END"]));
    assert_eq!(seen["truncate"], false);
    assert_eq!(seen["shift"], false);
    assert!(seen.get("keep_alive").is_none());
    let log = both.ollama.log();
    assert_eq!(
        log.loads.len(),
        1,
        "the preload is the only load: {:?}",
        log.loads
    );
    assert!(log.reloads.is_empty(), "{:?}", log.reloads);
}

#[tokio::test]
async fn lmstudio_is_loaded_explicitly_with_the_context() {
    let both = Both::start().await;
    assert_eq!(
        post(&both.crucible, &body("qwen", "repeat 1")).await.status,
        200
    );
    let log = both.lmstudio.log();
    assert_eq!(log.loads.len(), 1, "{:?}", log.loads);
    assert!(!log.loads[0].jit, "{:?}", log.loads);
    let load = log
        .requests
        .iter()
        .find(|r| r.path == "/api/v1/models/load")
        .and_then(|r| r.json.clone())
        .expect("an explicit load");
    // Context 4096 per request, for two permits that share LM Studio's cache.
    assert_eq!(load["context_length"], 8192);
    assert_eq!(load["flash_attention"], true);
    assert_eq!(load["eval_batch_size"], 512);
}

#[tokio::test]
async fn tools_work_over_several_turns_on_both_engines() {
    let both = Both::start().await;
    let tools = json!([
        { "type": "function", "function": { "name": "alpha", "parameters": { "type": "object" } } },
        { "type": "function", "function": { "name": "beta", "parameters": { "type": "object" } } },
    ]);
    for model in ["qwen", "llama3.2:3b"] {
        let mut request = body(model, "call tools alpha beta");
        request["tools"] = tools.clone();
        let answer = post(&both.crucible, &request).await;
        let message = &answer.json["choices"][0]["message"];
        let calls = message["tool_calls"].as_array().expect("calls");
        assert_eq!(calls.len(), 2, "{}", answer.text);
        assert_eq!(calls[0]["function"]["name"], "alpha");
        assert!(
            calls[0]["function"]["arguments"].is_string(),
            "{}",
            answer.text
        );
        assert_eq!(answer.json["choices"][0]["finish_reason"], "tool_calls");
        let mut next = request.clone();
        let messages = next["messages"].as_array_mut().expect("messages");
        messages.push(message.clone());
        for call in calls {
            messages.push(json!({ "role": "tool", "tool_call_id": call["id"], "content": "done" }));
        }
        messages.push(json!({ "role": "user", "content": "repeat 2" }));
        let answer = post(&both.crucible, &next).await;
        assert_eq!(answer.content(), "word0 word1", "{}", answer.text);
        let (_, streamed) = stream(&both.crucible, &request).await;
        assert_eq!(
            streamed.finish_reason(),
            Some("tool_calls"),
            "{}",
            streamed.text
        );
    }
    let seen = asked(&both.ollama.log());
    let results: Vec<_> = seen[1]["messages"]
        .as_array()
        .expect("messages")
        .iter()
        .filter(|m| m["role"] == "tool")
        .collect();
    assert_eq!(results[0]["tool_name"], "alpha");
    assert_eq!(results[1]["tool_name"], "beta");
}

#[tokio::test]
async fn thinking_has_one_key_whichever_engine_answers() {
    let both = Both::with(
        "",
        |gpu| gpu.models = vec!["gpt-oss-think=2GB".parse().expect("a model")],
        |cpu| cpu.models = vec!["deep-think=1GB".parse().expect("a model")],
    )
    .await;
    for model in ["gpt-oss-think", "deep-think"] {
        let (_, answer) = stream(&both.crucible, &body(model, "repeat 1")).await;
        assert!(answer.reasoning().starts_with("think0"), "{}", answer.text);
        assert_eq!(answer.content(), "word0", "{}", answer.text);
        assert!(
            answer
                .events
                .iter()
                .all(|e| e["choices"][0]["delta"].get("reasoning").is_none()),
            "{}",
            answer.text
        );
    }
}

#[tokio::test]
async fn more_than_one_choice_is_refused_where_the_engine_cannot() {
    let both = Both::start().await;
    let mut request = body("llama3.2:3b", "hi");
    request["n"] = 2.into();
    let answer = post(&both.crucible, &request).await;
    assert_eq!((answer.status, answer.code()), (400, "unsupported_value"));
    assert_eq!(answer.json["error"]["param"], "n");
}

#[tokio::test]
async fn a_named_tool_choice_on_ollama_is_best_effort_and_said() {
    let both = Both::start().await;
    let mut request = body("llama3.2:3b", "call tool alpha");
    request["tools"] = json!([
        { "type": "function", "function": { "name": "alpha", "parameters": { "type": "object" } } },
        { "type": "function", "function": { "name": "beta", "parameters": { "type": "object" } } },
    ]);
    request["tool_choice"] = json!({ "type": "function", "function": { "name": "alpha" } });
    let answer = post(&both.crucible, &request).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(
        answer.header("x-crucible-note").contains("tool_choice"),
        "{:?}",
        answer.headers
    );
    let seen = asked(&both.ollama.log()).pop().expect("a request");
    assert_eq!(seen["tools"].as_array().expect("tools").len(), 1);
}

#[tokio::test]
async fn response_formats_reach_both_engines() {
    let both = Both::start().await;
    let format = json!({
        "type": "json_schema",
        "json_schema": { "name": "x", "schema": {
            "type": "object", "properties": { "a": { "type": "integer" } }, "required": ["a"],
        } },
    });
    for model in ["qwen", "llama3.2:3b"] {
        let mut request = body(model, "hi");
        request["response_format"] = format.clone();
        let answer = post(&both.crucible, &request).await;
        let value: serde_json::Value = serde_json::from_str(answer.content()).expect("JSON");
        assert!(value["a"].is_i64(), "{}", answer.text);
    }
    let seen = asked(&both.ollama.log()).pop().expect("a request");
    assert_eq!(seen["format"]["required"], json!(["a"]));
}

#[tokio::test]
async fn a_newer_clients_limit_reaches_lmstudio_under_the_name_that_it_knows() {
    let both = Both::start().await;
    let mut request = body("qwen", "repeat 9");
    request["max_completion_tokens"] = 2.into();
    let answer = post(&both.crucible, &request).await;
    assert_eq!(answer.content(), "word0 word1", "{}", answer.text);
    assert_eq!(answer.json["choices"][0]["finish_reason"], "length");
    assert!(
        answer.header("x-crucible-note").contains("max_tokens"),
        "{:?}",
        answer.headers
    );
}
