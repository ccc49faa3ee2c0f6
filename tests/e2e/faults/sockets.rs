//! What the simulators cannot say: redirects to a listener of ours, and a RST.

use crucible_tests::{
    Crucible,
    chat::{body, get, post, stream},
    clean::{Metrics, settled},
    engines::{self},
    rest::{eventually, ready},
    scripted::{Leave, Script, Scripted},
};

use super::{assert_in_band, assert_refused};

/// An OpenAI server with the model `plain` whose chat answers are `chat`.
async fn scripted(chat: Script) -> (Scripted, Crucible) {
    let list = r#"{"object":"list","data":[{"id":"plain","object":"model"}]}"#;
    let engine = Scripted::start(move |path| match path {
        "/v1/models" => Script::json("200 OK", "", list),
        "/v1/chat/completions" => chat.clone(),
        _ => Script::json("404 Not Found", "", "{}"),
    })
    .await;
    let crucible = Crucible::start(&engines::engine("plain", "openai", &engine.url()));
    ready(&crucible).await;
    (engine, crucible)
}

#[tokio::test]
async fn a_redirect_is_followed_to_nowhere() {
    for status in [
        "301 Moved Permanently",
        "302 Found",
        "303 See Other",
        "307 Temporary Redirect",
        "308 Permanent Redirect",
    ] {
        let canary = Scripted::canary().await;
        let location = format!("Location: {}/v1/chat/completions\r\n", canary.url());
        let (_engine, crucible) = scripted(Script::json(status, &location, "")).await;
        for stream in [true, false] {
            let mut want = body("plain", "hi");
            want["stream"] = stream.into();
            let answer = post(&crucible, &want).await;
            assert_refused(&answer, 502, "engine_error", status);
            assert_eq!(answer.header("location"), "", "{status}");
        }
        assert_eq!(canary.calls(), 0, "{status}");
    }
}

#[tokio::test]
async fn a_redirected_poll_finds_no_engine() {
    let canary = Scripted::canary().await;
    let location = format!("Location: {}/\r\n", canary.url());
    let engine =
        Scripted::start(move |_| Script::json("307 Temporary Redirect", &location, "")).await;
    for kind in ["openai", "ollama", "lmstudio", "llamacpp"] {
        let crucible = Crucible::start(&engines::engine("moved", kind, &engine.url()));
        let polled = eventually("a failed poll", || async {
            let state = get(&crucible, "/crucible/state").await.json;
            (state["engines"][0]["state"] == "down").then_some(state)
        })
        .await;
        assert!(
            polled["engines"][0]["error"].is_string(),
            "{kind}: {polled}"
        );
    }
    assert!(engine.calls() >= 4, "{}", engine.calls());
    assert_eq!(canary.calls(), 0);
}

#[tokio::test]
async fn a_reset_connection_ends_with_one_error() {
    let event = |text: &str| {
        let data = format!(
            "data: {{\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"created\":1,\
             \"model\":\"plain\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\
             \"finish_reason\":null}}]}}\n\n"
        );
        format!("{:x}\r\n{data}\r\n", data.len())
    };
    let (_engine, crucible) = scripted(Script {
        bytes: format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
             Transfer-Encoding: chunked\r\n\r\n{}{}40\r\ndata: {{\"id\"",
            event("word0"),
            event(" word1")
        ),
        leave: Leave::Reset,
    })
    .await;
    let before = Metrics::of(&crucible).await;
    let (_, answer) = stream(&crucible, &body("plain", "hi")).await;
    assert_in_band(&answer, "engine_cut", "reset");
    assert_eq!(answer.content(), "word0 word1", "{}", answer.text);
    let errors = answer.events.iter().filter(|e| e.get("error").is_some());
    assert_eq!(errors.count(), 1, "{}", answer.text);
    let after = settled(&crucible, &before, 1).await;
    let cuts = after.sum(
        "crucible_stream_aborted_total",
        &[("cause", "upstream_cut")],
    );
    assert_eq!(cuts, 1.0);
}
