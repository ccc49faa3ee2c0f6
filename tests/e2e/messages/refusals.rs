//! Errors in Anthropic's form, before and after the first byte, and signs of life.

use std::time::Duration;

use crucible_sim::{Fault, FaultKind};
use crucible_tests::{chat::whole, engines::client};
use serde_json::{Value, json};

use super::{KINDS, Kinds, Streamed, ask, post, send, stream};

fn error_of(json: &Value) -> (&str, &str) {
    assert_eq!(json["type"], "error", "{json}");
    let of = |name: &str| json["error"][name].as_str().expect("text");
    (of("type"), of("message"))
}

#[tokio::test]
async fn what_is_wrong_is_said_before_the_first_byte() {
    let kinds = Kinds::start("").await;
    let model = Kinds::model("ollama");
    let tools: Vec<Value> = (0..10_000)
        .map(|n| json!({"name": format!("t{n}"), "input_schema": {"type": "object"}}))
        .collect();
    let image = |source: Value| json!([{"type": "image", "source": source}]);
    for (members, status, kind, words) in [
        (json!({"model": "nobody"}), 404, "not_found_error", "nobody"),
        (
            json!({"messages": []}),
            400,
            "invalid_request_error",
            "`messages` is empty",
        ),
        (
            json!({"messages": [{"role": "robot", "content": "x"}]}),
            400,
            "invalid_request_error",
            "messages[0].role",
        ),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a"}]}]}),
            400,
            "invalid_request_error",
            "messages[0].content[0].tool_use_id",
        ),
        (
            json!({"messages": [{"role": "user", "content": image(json!({"type": "base64", "media_type": "image/png", "data": "!"}))}]}),
            400,
            "invalid_request_error",
            "is no base64",
        ),
        (
            json!({"messages": [{"role": "user", "content": image(json!({"type": "url", "url": "http://127.0.0.1:9/x.png"}))}]}),
            400,
            "invalid_request_error",
            "data URL",
        ),
        (
            json!({"tools": tools}),
            400,
            "invalid_request_error",
            "prompt is too long: ",
        ),
        (
            json!({"messages": [{"role": "user", "content": "word ".repeat(400_000)}]}),
            400,
            "invalid_request_error",
            "prompt is too long: ",
        ),
    ] {
        let mut body = ask(&model, "x");
        for (name, value) in members.as_object().expect("members") {
            body[name] = value.clone();
        }
        for streamed in [false, true] {
            body["stream"] = streamed.into();
            let answer = post(&kinds.crucible, &body).await;
            assert_eq!(answer.status, status, "{}", answer.text);
            let (found, message) = error_of(&answer.json);
            assert_eq!(found, kind, "{message}");
            assert!(message.contains(words), "{message}");
        }
    }
}

#[tokio::test]
async fn tools_and_choices_that_cannot_be_are_refused_by_name() {
    let kinds = Kinds::start("").await;
    let tool = |name: &str| json!({"name": name, "input_schema": {"type": "object"}});
    let search = json!({"type": "web_search_20250305", "name": "web_search"});
    for kind in KINDS {
        for (tools, choice, words) in [
            (
                json!([tool("f"), tool("g"), tool("f")]),
                json!({"type": "auto"}),
                "`tools[2].name` is 'f', and so is that of `tools[0]`",
            ),
            (
                json!([tool("f")]),
                json!({"type": "banana"}),
                "`tool_choice.type` is 'banana'",
            ),
            (
                json!([tool("f")]),
                json!({"type": "tool", "name": "g"}),
                "`tool_choice.name` is 'g'",
            ),
            (json!([]), json!({"type": 7}), "`tool_choice.type`"),
            // One that was dropped is no fault of the client's.
            (
                json!([search, tool("f")]),
                json!({"type": "tool", "name": "web_search"}),
                "",
            ),
            (json!([]), json!({"type": "any"}), ""),
        ] {
            let mut body = ask(&Kinds::model(kind), "repeat 1");
            body["tools"] = tools;
            body["tool_choice"] = choice;
            let answer = post(&kinds.crucible, &body).await;
            if words.is_empty() {
                assert_eq!(answer.status, 200, "{kind} {body}: {}", answer.text);
                let note = answer.header("x-crucible-note");
                assert!(note.contains("tool_choice is dropped"), "{kind}: {note}");
                continue;
            }
            assert_eq!(answer.status, 400, "{kind} {body}: {}", answer.text);
            let (found, message) = error_of(&answer.json);
            assert_eq!(found, "invalid_request_error", "{kind}: {message}");
            assert!(message.contains(words), "{kind}: {message}");
        }
    }
}

#[tokio::test]
async fn every_answer_has_the_id_where_anthropics_sdks_look_for_it() {
    let kinds = Kinds::start("").await;
    let ids = |answer: &crucible_tests::chat::Whole| {
        let of = |name: &str| answer.header(name).to_owned();
        (of("request-id"), of("x-request-id"))
    };
    let body = ask(&Kinds::model("ollama"), "repeat 1");
    let mut streamed = body.clone();
    streamed["stream"] = true.into();
    for (path, body, status) in [
        ("/v1/messages", &body, 200),
        ("/v1/messages", &streamed, 200),
        ("/v1/messages", &json!({}), 400),
        ("/v1/messages", &ask("nobody", "x"), 404),
        ("/v1/messages/count_tokens", &body, 200),
        ("/v1/messages/batches", &body, 404),
    ] {
        let answer = whole(send(&kinds.crucible, path, body).await).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text);
        let (own, ours) = ids(&answer);
        assert!(
            own == ours && own.starts_with("req_"),
            "{path}: {own} {ours}"
        );
    }
    let ours = client()
        .get(kinds.crucible.at("/v1/models"))
        .header("x-request-id", "mine-7")
        .header("anthropic-version", "2023-06-01");
    let answer = whole(ours.send().await.expect("an answer")).await;
    assert_eq!(ids(&answer), ("mine-7".to_owned(), "mine-7".to_owned()));
    let openais = client().get(kinds.crucible.at("/v1/models")).send().await;
    let answer = whole(openais.expect("an answer")).await;
    assert_eq!(answer.header("request-id"), "");
}

#[tokio::test]
async fn an_image_for_a_model_without_eyes_is_refused_by_its_name() {
    let both = crucible_tests::engines::Both::start().await;
    let png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAAB";
    for model in ["qwen", "llama3.2:3b"] {
        let mut body = ask(model, "x");
        body["messages"][0]["content"] = json!([
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": png}}]);
        let answer = post(&both.crucible, &body).await;
        assert_eq!(answer.status, 400, "{}", answer.text);
        let (kind, message) = error_of(&answer.json);
        assert_eq!(kind, "invalid_request_error");
        assert!(message.contains(model), "{message}");
    }
}

#[tokio::test]
async fn paths_that_are_not_served_say_in_anthropics_form_what_is() {
    let kinds = Kinds::start("").await;
    for path in ["/v1/messages/batches", "/v1/files", "/v1/complete"] {
        let answer = whole(send(&kinds.crucible, path, &json!({})).await).await;
        assert_eq!(answer.status, 404, "{path}");
        let (kind, message) = error_of(&answer.json);
        assert_eq!(kind, "not_found_error");
        assert!(message.contains("/v1/messages"), "{message}");
    }
    let get = client().get(kinds.crucible.at("/v1/messages")).send().await;
    let answer = whole(get.expect("an answer")).await;
    assert_eq!(answer.status, 405);
    assert!(
        error_of(&answer.json).1.contains("takes POST"),
        "{}",
        answer.text
    );
}

#[tokio::test]
async fn a_failure_within_a_message_is_one_error_event() {
    let kinds = Kinds::start("").await;
    for (kind, sim) in &kinds.sims {
        for fault in [FaultKind::ErrorEvent, FaultKind::Cut] {
            sim.arm(Fault::new(fault).after_events(3));
            let streamed = stream(&kinds.crucible, &ask(&Kinds::model(kind), "repeat 9")).await;
            let last = streamed.events.last().expect("an event");
            assert_eq!(last["type"], "error", "{kind}: {}", streamed.text);
            assert_eq!(
                last["error"]["type"], "api_error",
                "{kind}: {}",
                streamed.text
            );
            assert_eq!(streamed.events[0]["type"], "message_start");
            assert!(!streamed.text.contains("message_stop"), "{kind}");
        }
    }
}

#[tokio::test]
async fn a_busy_engine_is_a_429_with_the_time_to_come_back() {
    let kinds = Kinds::start("").await;
    for kind in KINDS {
        let (_, sim) = kinds
            .sims
            .iter()
            .find(|(name, _)| *name == kind)
            .expect("one");
        post(&kinds.crucible, &ask(&Kinds::model(kind), "repeat 1")).await;
        sim.arm(Fault::new(FaultKind::Http429).delay_ms(2000));
        let answer = post(&kinds.crucible, &ask(&Kinds::model(kind), "repeat 1")).await;
        assert_eq!(answer.status, 429, "{kind}: {}", answer.text);
        assert_eq!(answer.header("retry-after"), "2");
        assert_eq!(error_of(&answer.json).0, "rate_limit_error", "{kind}");
    }
}

#[tokio::test]
async fn a_waiting_client_gets_pings_and_then_its_message() {
    let kinds = Kinds::with("[timeouts]\ncommit = \"300ms\"\n", |options| {
        options.load_time = Duration::from_millis(1500);
    })
    .await;
    let mut body = ask(&Kinds::model("ollama"), "repeat 2");
    body["stream"] = true.into();
    let response = send(&kinds.crucible, "/v1/messages", &body).await;
    assert_eq!(response.status(), 200);
    let streamed = Streamed::read(response.text().await.expect("a body"));
    assert_eq!(streamed.events[0]["type"], "ping", "{}", streamed.text);
    assert_eq!(
        streamed.event("message_delta")["delta"]["stop_reason"],
        "end_turn"
    );
    // A late failure is an event too.
    let (_, sim) = kinds
        .sims
        .iter()
        .find(|(kind, _)| *kind == "ollama")
        .expect("one");
    sim.arm(Fault::new(FaultKind::Http500).delay_ms(1000));
    let response = send(&kinds.crucible, "/v1/messages", &body).await;
    let failed = Streamed::read(response.text().await.expect("a body"));
    let last = failed.events.last().expect("an event");
    assert_eq!(error_of(last).0, "api_error", "{}", failed.text);
}
