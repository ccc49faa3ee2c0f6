//! What a client of `/v1/responses` is told that cannot be served, that waits, or whose engine fails.

use super::*;

#[tokio::test]
async fn errors_before_the_first_byte_have_openais_form() {
    let every = EveryKind::start("").await;
    let crucible = &every.crucible;
    let mut stored = request("ollama", "u");
    stored["previous_response_id"] = "resp_1".into();
    let with_tools = |choice: Value, names: &[&str]| {
        let tools = names
            .iter()
            .map(|name| json!({"type": "function", "name": name}));
        let mut body = request("ollama", "u");
        body["tools"] = tools.collect();
        body["tool_choice"] = choice;
        body
    };
    let image = |url: &str| json!([{"role": "user", "content": [{"type": "input_image", "image_url": url}]}]);
    for (body, status, code, param) in [
        (
            json!({"model": "nope", "input": "u"}),
            404,
            "model_not_found",
            json!("model"),
        ),
        (
            stored,
            400,
            "unsupported_value",
            json!("previous_response_id"),
        ),
        (
            json!({"model": "ollama-think-vision"}),
            400,
            "missing_field",
            json!("input"),
        ),
        (
            request(
                "ollama",
                json!([{"type": "web_search_call", "id": "a"}, {"type": "compaction"}]),
            ),
            400,
            "unsupported_value",
            json!("input"),
        ),
        (
            with_tools(json!({"type": "banana"}), &["f"]),
            400,
            "unsupported_value",
            json!("tool_choice.type"),
        ),
        (
            with_tools(json!("auto"), &["f", "g", "f"]),
            400,
            "unsupported_value",
            json!("tools[2].name"),
        ),
        // Only the engine's format knows that it fetches no image; the path is the client's all the same.
        (
            request("ollama", image("http://host/x.png")),
            400,
            "unsupported_value",
            json!("input[0].content[0].image_url"),
        ),
        (
            request("openai", image("data:image/png;base64,a!")),
            400,
            "unsupported_value",
            json!("input[0].content[0].image_url"),
        ),
    ] {
        for streams in [false, true] {
            let mut body = body.clone();
            body["stream"] = streams.into();
            let answer = post(crucible, &body).await;
            assert_eq!(
                (answer.status, answer.code()),
                (status, code),
                "{}",
                answer.text
            );
            assert_eq!(answer.json["error"]["param"], param, "{}", answer.text);
        }
    }
    let dropped = json!([{"type": "web_search_call", "id": "a"}, {"type": "compaction"}]);
    let answer = post(crucible, &request("ollama", dropped)).await;
    let why =
        "`input` holds only items of type web_search_call, compaction, which no engine here knows";
    assert!(answer.message().starts_with(why), "{}", answer.text);
    every
        .engine("openai")
        .arm(Fault::new(FaultKind::Http429).delay_ms(2000));
    let mut body = request("openai", "u");
    body["stream"] = true.into();
    let busy = post(crucible, &body).await;
    assert_eq!(
        (busy.status, busy.header("retry-after")),
        (429, "2"),
        "{}",
        busy.text
    );
}

#[tokio::test]
async fn an_error_after_the_first_byte_is_a_failed_response() {
    let every = EveryKind::start("").await;
    for kind in KINDS {
        for fault in [FaultKind::ErrorEvent, FaultKind::Cut] {
            every.engine(kind).arm(Fault::new(fault).after_events(3));
            let events = stream(&every.crucible, &request(kind, "repeat 9"), None).await;
            assert_eq!(
                events.last()["type"],
                "response.failed",
                "{kind} {fault:?}: {}",
                events.text
            );
            let response = events.response();
            assert_eq!(response["status"], "failed");
            assert_eq!(
                response["error"]["code"], "server_error",
                "{kind}: {response}"
            );
            assert_eq!(response["id"], events.all[0]["response"]["id"]);
            assert!(!events.text.contains("[DONE]"));
        }
    }
}

#[tokio::test]
async fn a_client_that_waits_gets_comments_and_then_the_whole_stream_or_its_error() {
    let mut slow = Options::ollama(&["slow=1GB"]);
    slow.load_time = std::time::Duration::from_secs(2);
    let sim = start(slow).await;
    let crucible = Crucible::start(&format!(
        "[timeouts]\ncommit = \"200ms\"\n{}",
        engine("ollama", "ollama", &sim.url())
    ));
    let body = json!({"model": "slow", "input": "repeat 2"});
    let events = stream(&crucible, &body, None).await;
    assert!(
        events.comments > 0 && events.text.starts_with(':'),
        "{}",
        events.text
    );
    assert_eq!(events.all[0]["type"], "response.created");
    assert_eq!(text(&events.response()["output"]), "word0 word1");
    sim.crash();
    // Codex hears no comments.
    let events = stream(&crucible, &body, Some("codex_exec")).await;
    assert!(
        events.text.starts_with("event: keepalive\n"),
        "{}",
        events.text
    );
    assert_eq!(
        events.last()["type"],
        "response.completed",
        "{}",
        events.text
    );
    sim.arm(Fault::new(FaultKind::Http500).delay_ms(1000));
    let events = stream(&crucible, &body, None).await;
    let kinds: Vec<&Value> = events.all.iter().map(|event| &event["type"]).collect();
    assert_eq!(
        kinds,
        ["response.created", "response.failed"],
        "{}",
        events.text
    );
    assert_eq!(events.response()["error"]["code"], "server_error");
}

#[tokio::test]
async fn what_needs_a_store_is_said_to_have_none() {
    let every = EveryKind::start("").await;
    for (method, path, status) in [
        (Method::GET, "/v1/responses/resp_1", 404),
        (Method::DELETE, "/v1/responses/resp_1", 404),
        (Method::POST, "/v1/responses/resp_1/cancel", 404),
        (Method::GET, "/responses/resp_1/input_items", 404),
        (Method::POST, "/v1/responses/compact", 404),
        (Method::POST, "/v1/responses/input_tokens", 404),
        (Method::GET, "/v1/responses", 405),
    ] {
        let response = client()
            .request(method, every.crucible.at(path))
            .send()
            .await;
        let answer = whole(response.expect("an answer")).await;
        assert_eq!(
            (answer.status, answer.code()),
            (status, "unknown_endpoint"),
            "{path}"
        );
        assert!(!answer.message().is_empty(), "{}", answer.text);
    }
    // Served at the root as well.
    let response = client()
        .post(every.crucible.at("/responses"))
        .json(&request("openai", "repeat 1"));
    let answer = whole(response.send().await.expect("an answer")).await;
    assert_eq!(text(&answer.json["output"]), "word0", "{}", answer.text);
}

#[tokio::test]
async fn defaults_of_the_configuration_fill_the_gaps_as_for_chat() {
    let every = EveryKind::start("profile = \"hybrid\"\n").await;
    for kind in KINDS {
        let body = request(kind, "repeat 1");
        let answer = post(&every.crucible, &body).await;
        let filled = answer.header("x-crucible-defaults").to_owned();
        let mut chat =
            json!({"model": model(kind), "messages": [{"role": "user", "content": "repeat 1"}]});
        let plain = crucible_tests::chat::post(&every.crucible, &chat).await;
        assert_eq!(filled, plain.header("x-crucible-defaults"), "{kind}");
        assert!(filled.contains("frequency_penalty"), "{kind}: {filled}");
        let asked = asked(&every.engine(kind).log());
        chat["messages"] = asked[0]["messages"].clone();
        assert_eq!(asked[0], asked[1], "{kind}");
    }
}
