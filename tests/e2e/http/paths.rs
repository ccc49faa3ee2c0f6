//! Paths, methods and their spellings.

use crucible_tests::{
    Crucible,
    chat::{Whole, whole},
    engines::client,
};

use super::{Edge, chat};

async fn fetch(crucible: &Crucible, method: &str, path: &str, accept: &str) -> Whole {
    let request = client()
        .request(method.parse().expect("a method"), crucible.at(path))
        .header("accept", accept);
    whole(request.send().await.expect("an answer")).await
}

#[tokio::test]
async fn the_root_is_a_page_a_line_or_a_head() {
    let edge = Edge::start("").await;
    let page = fetch(&edge.crucible, "GET", "/", "text/html,*/*").await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert!(
        page.text.starts_with("<!") || page.text.starts_with("<html"),
        "{}",
        page.text
    );
    let line = fetch(&edge.crucible, "GET", "/", "*/*").await;
    assert!(line.header("content-type").starts_with("text/plain"));
    assert_eq!(line.text.lines().count(), 1, "{}", line.text);
    let head = fetch(&edge.crucible, "HEAD", "/", "*/*").await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
}

#[tokio::test]
async fn unknown_paths_and_methods_are_json() {
    let edge = Edge::start("").await;
    for path in [
        "/nothing",
        "/v1/nothing",
        "/v1",
        "/v2/chat/completions",
        "/crucible",
        "/crucible/nothing",
        "/index.html",
    ] {
        let answer = fetch(&edge.crucible, "GET", path, "*/*").await;
        assert_eq!(
            (answer.status, answer.code()),
            (404, "unknown_endpoint"),
            "{path}"
        );
        assert_eq!(answer.json["error"]["type"], "not_found_error");
        assert_eq!(answer.header("content-type"), "application/json");
        assert!(answer.message().contains(path), "{}", answer.message());
    }
    for (method, path, allow) in [
        ("GET", "/v1/chat/completions", "POST"),
        ("POST", "/v1/models", "GET"),
        ("PUT", "/v1/models/qwen", "GET"),
        ("POST", "/healthz", "GET"),
        ("PUT", "/", "GET"),
        ("GET", "/crucible/explain", "POST"),
    ] {
        let answer = fetch(&edge.crucible, method, path, "*/*").await;
        assert_eq!(
            (answer.status, answer.code()),
            (405, "unknown_endpoint"),
            "{method} {path}"
        );
        assert!(
            answer.header("allow").contains(allow),
            "{method} {path}: {:?}",
            answer.headers
        );
        assert!(answer.message().contains(method), "{}", answer.message());
    }
}

#[tokio::test]
async fn forgiving_spellings_reach_the_same_endpoint() {
    let edge = Edge::start("").await;
    for path in [
        "/chat/completions",
        "//v1/chat/completions",
        "/v1//chat/completions",
        "/v1/v1/chat/completions",
        "/v1/chat/completions/",
        "/v1/chat/completions?a=b",
    ] {
        let bytes = chat("Connection: close\r\n").replacen("/v1/chat/completions", path, 1);
        let answer = edge.say(bytes).await;
        assert_eq!(answer.status(), 200, "{path}: {}", answer.text);
    }
    for path in [
        "/models",
        "/v1/models/",
        "/v1/v1/models",
        "//models",
        "/v1/models/qwen",
        "/models/qwen/",
    ] {
        let answer = fetch(&edge.crucible, "GET", path, "*/*").await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    }
}
