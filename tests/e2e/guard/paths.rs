//! What a request may not reach: the management of engines, and servers that its body names.

use crucible_sim::Options;
use crucible_tests::{
    chat::{body, post},
    engines::{Both, start},
    rest::json_of,
};

use super::say;

#[tokio::test]
async fn management_paths_are_closed_in_every_spelling() {
    let both = Both::start().await;
    for (method, path) in [
        ("POST", "/api/pull"),
        ("POST", "//api//pull"),
        ("POST", "/v1/api/pull"),
        ("POST", "/v1/v1/api/pull"),
        ("POST", "/api/%2e%2e/api/pull"),
        ("POST", "/x/../api/pull"),
        ("POST", "/api%2Fpull"),
        ("POST", "/api%2fpull"),
        ("POST", "/api/%70ull"),
        ("POST", "/api/pull;a=b"),
        ("POST", "/API/Pull/"),
        ("POST", "/api/pull?x=1"),
        ("DELETE", "/api/delete"),
        ("POST", "/api/create"),
        ("HEAD", "/api/blobs/sha256:12"),
        ("POST", "/api/v1/models/load"),
        ("POST", "/api/v1/models/unload"),
        ("POST", "/models/load"),
        ("GET", "/slots"),
    ] {
        let answer = say(
            &both.crucible,
            &format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
        )
        .await;
        assert_eq!(answer.status(), 403, "{method} {path}: {}", answer.text);
        if method != "HEAD" {
            // Ollama's clients read a text, wherever the path is known for one of Ollama's.
            let error = &json_of(&answer.text)["error"];
            let text = if path.contains("/api/pull") && !path.starts_with("/x/") {
                error.as_str()
            } else {
                error.as_str().or_else(|| {
                    assert_eq!(error["code"], "endpoint_closed", "{path}");
                    error["message"].as_str()
                })
            };
            assert!(text.expect("text").contains("guard.open = ["), "{path}");
        }
    }
}

#[tokio::test]
async fn keys_in_a_body_that_name_servers_go_nowhere() {
    let canary = start(Options::openai(&["canary"])).await;
    let both = Both::start().await;
    let mut request = body("qwen", "repeat 1");
    for name in [
        "api_base",
        "base_url",
        "api_key",
        "custom_llm_provider",
        "extra_headers",
        "url",
        "host",
    ] {
        request[name] = canary.url().into();
    }
    let answer = post(&both.crucible, &request).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.header("x-crucible-engine"), "lmstudio");
    assert_eq!(canary.log().connections, 0);
}
