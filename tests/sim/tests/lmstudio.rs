//! The simulated LM Studio keeps the habits that a proxy must survive.

mod support;

use std::time::Duration;

use crucible_sim::{LoadOutcome, Options, Overflow, Phase, Sim};
use serde_json::json;
use support::{chat, get, post, read, soon};

#[tokio::test]
async fn a_load_on_request_kills_the_running_answer_of_the_other_but_not_an_explicit_one() {
    let mut options = Options::lmstudio(&["a", "b", "c"]);
    options.rate = 20;
    let sim = Sim::start(options).await.unwrap();
    let url = sim.url();
    post(
        &url,
        "/api/v1/models/load",
        json!({"model": "c", "context_length": 4096}),
    )
    .await;
    let first = async { post(&url, "/v1/chat/completions", chat("a", "repeat 100000")).await };
    let second = async {
        soon(sim.wait_for(|log| log.loaded() == 2)).await;
        post(&url, "/v1/chat/completions", chat("b", "repeat 1")).await
    };
    let ((status, killed), (_, answered)) = tokio::join!(first, second);
    assert_eq!(status, 200);
    assert!(killed.contains("Model unloaded.") && !killed.contains("[DONE]"));
    assert!(answered.contains("[DONE]"));
    let log = sim.log();
    assert_eq!(log.evictions.len(), 1);
    assert_eq!(
        (log.evictions[0].instance.as_str(), log.evictions[0].active),
        ("a", 1)
    );
}

#[tokio::test]
async fn a_second_load_makes_a_second_instance_and_the_body_is_strict() {
    let sim = Sim::start(Options::lmstudio(&["a"])).await.unwrap();
    let load = json!({"model": "a", "context_length": 8192, "echo_load_config": true});
    let (_, first) = post(&sim.url(), "/api/v1/models/load", load.clone()).await;
    assert_eq!(read(&first)["load_config"]["context_length"], 8192);
    let (_, second) = post(&sim.url(), "/api/v1/models/load", load).await;
    assert_eq!(read(&second)["instance_id"], "a:2");
    let ttl = json!({"model": "a", "ttl": 5});
    let (status, text) = post(&sim.url(), "/api/v1/models/load", ttl).await;
    assert_eq!(
        (status, &read(&text)["error"]["code"]),
        (400, &json!("unrecognized_keys"))
    );
    let unload = json!({"instance_id": "a:2"});
    assert_eq!(
        post(&sim.url(), "/api/v1/models/unload", unload).await.0,
        200
    );
    let list = read(&get(&sim.url(), "/api/v1/models").await.1);
    assert_eq!(
        list["models"][0]["loaded_instances"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn a_wrong_name_is_answered_by_the_only_model_and_refused_with_two() {
    let sim = Sim::start(Options::lmstudio(&["a", "b"])).await.unwrap();
    let url = sim.url();
    post(&url, "/api/v1/models/load", json!({"model": "a"})).await;
    let mut wrong = chat("nope", "hi");
    wrong["stream"] = json!(false);
    let (status, text) = post(&url, "/v1/chat/completions", wrong.clone()).await;
    assert_eq!((status, &read(&text)["model"]), (200, &json!("a")));
    assert_eq!(read(&text)["stats"], json!({}));
    post(&url, "/api/v1/models/load", json!({"model": "b"})).await;
    let (status, text) = post(&url, "/v1/chat/completions", wrong).await;
    assert_eq!(
        (status, &read(&text)["error"]["code"]),
        (400, &json!("model_not_found"))
    );
}

#[tokio::test]
async fn unknown_paths_are_200_and_old_servers_lack_v1() {
    let mut options = Options::lmstudio(&["a"]);
    options.v1 = false;
    let sim = Sim::start(options).await.unwrap();
    for path in ["/nothing", "/api/v1/models"] {
        let (status, text) = get(&sim.url(), path).await;
        assert_eq!(status, 200);
        assert!(
            read(&text)["error"]
                .as_str()
                .unwrap()
                .starts_with("Unexpected endpoint")
        );
    }
    assert_eq!(
        get(&sim.url(), "/lmstudio-greeting").await.1,
        r#"{"lmstudio":true}"#
    );
}

#[tokio::test]
async fn the_guardrail_refuses_what_does_not_fit() {
    let mut options = Options::lmstudio(&["a=8GB", "b=8GB"]);
    options.memory = Some(12_000_000_000);
    let sim = Sim::start(options).await.unwrap();
    let load = |model: &str| json!({"model": model, "context_length": 4096});
    assert_eq!(
        post(&sim.url(), "/api/v1/models/load", load("a")).await.0,
        200
    );
    let (status, text) = post(&sim.url(), "/api/v1/models/load", load("b")).await;
    assert_eq!(status, 500);
    assert!(text.contains("insufficient system resources"));
    assert_eq!(sim.log().loads[1].outcome, LoadOutcome::Failed);
}

#[tokio::test]
async fn a_client_that_leaves_while_its_prompt_is_read_keeps_the_slot_until_the_end() {
    let mut options = Options::lmstudio(&["a"]);
    options.prefill = 100;
    options.parallel = 1;
    let sim = Sim::start(options).await.unwrap();
    post(&sim.url(), "/api/v1/models/load", json!({"model": "a"})).await;
    let url = format!("{}/v1/chat/completions", sim.url());
    let body = chat("a", &"x".repeat(400)).to_string();
    let sent = reqwest::Client::builder()
        .timeout(Duration::from_millis(200))
        .build()
        .unwrap();
    assert!(sent.post(url).body(body).send().await.is_err());
    let log = soon(sim.wait_for(|log| {
        log.disconnects
            .first()
            .is_some_and(|entry| entry.slot_free_ms.is_some())
    }))
    .await;
    let gone = &log.disconnects[0];
    assert_eq!(gone.phase, Phase::Prefill);
    assert!(gone.slot_free_ms.unwrap() > gone.at_ms);
}

#[tokio::test]
async fn what_openai_takes_and_lmstudio_does_not_is_refused_in_bare_words() {
    let sim = Sim::start(Options::lmstudio(&["a"])).await.unwrap();
    let tool = json!([{"type": "function", "function": {"name": "f"}}]);
    let named = json!({"type": "function", "function": {"name": "f"}});
    let allowed = json!({"type": "allowed_tools", "mode": "auto", "tools": [named.clone()]});
    let object =
        "Invalid tool_choice type: 'object'. Supported string values: none, auto, required";
    let format = "'response_format.type' must be 'json_schema' or 'text'";
    for (key, value, words) in [
        ("response_format", json!({"type": "json_object"}), format),
        ("response_format", json!({"type": "grammar"}), format),
        ("response_format", json!({}), format),
        ("tool_choice", named, object),
        ("tool_choice", allowed, object),
        ("tool_choice", json!("any"), "Supported string values"),
        ("max_tokens", json!(0), "max_tokens"),
        ("max_tokens", json!(-2), "max_tokens"),
        ("max_tokens", json!(4096.5), "max_tokens"),
        ("temperature", json!(null), "'temperature' must not be null"),
        ("tool_choice", json!(null), "'tool_choice' must not be null"),
    ] {
        let mut body = chat("a", "hi");
        body["tools"] = tool.clone();
        body[key] = value;
        let (status, text) = post(&sim.url(), "/v1/chat/completions", body).await;
        let error = read(&text)["error"].as_str().unwrap_or_default().to_owned();
        assert!(status == 400 && error.contains(words), "{status} {text}");
    }
    assert!(sim.log().loads.is_empty());
    for (key, value) in [
        ("response_format", json!({"type": "text"})),
        ("max_tokens", json!(-1)),
        ("tool_choice", json!("none")),
        ("tool_choice", json!("required")),
    ] {
        let mut body = chat("a", "repeat 3");
        body["tools"] = tool.clone();
        body[key] = value.clone();
        let (status, text) = post(&sim.url(), "/v1/chat/completions", body).await;
        assert!(status == 200 && text.contains("[DONE]"), "{text}");
        assert_eq!(text.contains("tool_calls"), value == "required", "{text}");
    }
}

#[tokio::test]
async fn a_prompt_that_does_not_fit_is_told_in_each_of_the_reported_forms() {
    for (form, streamed, status, words) in [
        (Overflow::Bare, true, 400, r#"{"error":"request ("#),
        (
            Overflow::KeepFirst,
            true,
            400,
            "{\"error\":\"Trying to keep the first 5000 tokens",
        ),
        (Overflow::NKeep, true, 400, "n_keep (5000) >= n_ctx (4096)"),
        (
            Overflow::Json200,
            true,
            200,
            "{\"error\":{\"message\":\"Trying to keep",
        ),
        (
            Overflow::Json200,
            false,
            200,
            "{\"error\":{\"message\":\"Trying to keep",
        ),
        (
            Overflow::Event,
            true,
            200,
            "data: {\"error\":{\"message\":\"Trying to keep",
        ),
        (Overflow::Empty, true, 200, "data: [DONE]\n\n"),
        (Overflow::Empty, false, 200, "\"choices\":[]"),
    ] {
        let mut options = Options::lmstudio(&["a"]);
        options.overflow = form;
        let sim = Sim::start(options).await.unwrap();
        let mut body = chat("a", &"x".repeat(20_000));
        body["stream"] = json!(streamed);
        let (is, text) = post(&sim.url(), "/v1/chat/completions", body).await;
        assert!(
            is == status && text.contains(words),
            "{form:?}: {is} {text}"
        );
    }
}

#[tokio::test]
async fn keys_match_in_any_case_and_with_a_variant_and_instances_exactly() {
    let models = ["Pub/Model=1GB:@q4_k_m+q8_0", "b"];
    let sim = Sim::start(Options::lmstudio(&models)).await.unwrap();
    let url = sim.url();
    let list = read(&get(&url, "/api/v1/models").await.1);
    let variants = json!(["Pub/Model@q4_k_m", "Pub/Model@q8_0"]);
    assert_eq!(list["models"][0]["variants"], variants);
    assert_eq!(list["models"][0]["selected_variant"], variants[0]);
    assert!(list["models"][1].get("variants").is_none());
    let ask = async |name: &str| {
        let mut body = chat(name, "hi");
        body["stream"] = json!(false);
        let (status, text) = post(&url, "/v1/chat/completions", body).await;
        (status, read(&text)["model"].clone())
    };
    for name in ["pub/model", "Pub/Model@q8_0", "PUB/MODEL@Q4_K_M"] {
        assert_eq!(ask(name).await, (200, json!("Pub/Model")), "{name}");
    }
    assert_eq!(sim.log().loads.len(), 1);
    for model in ["pub/model", "b"] {
        let load = json!({"model": model, "context_length": 4096});
        assert_eq!(post(&url, "/api/v1/models/load", load).await.0, 200);
    }
    assert_eq!(ask("Pub/Model:2").await, (200, json!("Pub/Model:2")));
    assert_eq!(ask("pub/model:2").await.0, 400);
    let (_, one) = get(&url, "/api/v0/models/b").await;
    assert_eq!(read(&one)["state"], "loaded");
    let (status, none) = get(&url, "/api/v0/models/c").await;
    assert!(status == 200 && none.contains("Unexpected endpoint"));
}

#[tokio::test]
async fn an_mlx_instance_tells_its_context_and_its_slots_alone() {
    let sim = Sim::start(Options::lmstudio(&["a-mlx"])).await.unwrap();
    post(
        &sim.url(),
        "/api/v1/models/load",
        json!({"model": "a-mlx", "context_length": 9}),
    )
    .await;
    let list = read(&get(&sim.url(), "/api/v1/models").await.1);
    let model = &list["models"][0];
    assert_eq!(model["format"], "mlx");
    let config = json!({"context_length": 9, "parallel": 4});
    assert_eq!(model["loaded_instances"][0]["config"], config);
}

#[tokio::test]
async fn a_request_for_a_model_that_is_not_loaded_is_answered_by_another_where_nothing_loads() {
    let mut options = Options::lmstudio(&["a", "b"]);
    options.jit = false;
    let sim = Sim::start(options).await.unwrap();
    let mut body = chat("b", "hi");
    body["stream"] = json!(false);
    let (status, text) = post(&sim.url(), "/v1/chat/completions", body.clone()).await;
    assert_eq!(
        (status, &read(&text)["error"]["param"]),
        (400, &json!("model"))
    );
    assert!(text.contains("No models loaded"), "{text}");
    post(&sim.url(), "/api/v1/models/load", json!({"model": "a"})).await;
    let (status, text) = post(&sim.url(), "/v1/chat/completions", body).await;
    assert_eq!((status, &read(&text)["model"]), (200, &json!("a")));
}
