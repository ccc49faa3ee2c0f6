//! What is no request is refused like every other one: counted, told in the log, with an id.

use std::time::Duration;

use crucible_tests::{
    chat::get,
    raw::read,
    rest::{at_rest, eventually, json_of, logged, sample},
};
use tokio::io::AsyncWriteExt as _;

use super::{Edge, SHORT, assert_refused};

fn header<'a>(answer: &'a str, name: &str) -> &'a str {
    let head = answer.split("\r\n\r\n").next().unwrap_or_default();
    head.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        .unwrap_or_default()
}

/// Sum of a counter's samples that have this label.
async fn counted(edge: &Edge, family: &str, label: &str) -> u64 {
    let text = get(&edge.crucible, "/metrics").await.text;
    let lines: Vec<_> = text.lines().filter(|line| line.contains(label)).collect();
    sample(&lines.join("\n"), family)
}

/// What is said, and the status, code and a word of the answer.
type Case = (&'static str, String, u16, &'static str, &'static str);

fn cases() -> [Case; 14] {
    let many = "X-Many: 1\r\n".repeat(200);
    let large = "x".repeat(20_000);
    let tls = "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\u{fc}\u{3}\u{3}";
    let huge = |length: &str| {
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n\
             Content-Length: {length}\r\n\r\n{{}}"
        )
    };
    [
        ("garbage", "BROKEN\r\n\r\n".into(), 400, "bad_request", ""),
        (
            "HTTP/0.9",
            "GET /healthz\r\n".into(),
            400,
            "bad_request",
            "",
        ),
        ("a TLS hello", tls.into(), 400, "bad_request", "TLS"),
        (
            "HTTP/2 at once",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0".into(),
            400,
            "bad_request",
            "HTTP/2",
        ),
        (
            "the beginning of HTTP/2's preface",
            "PRI * HTTP/2.0\r\n\r\n".into(),
            400,
            "bad_request",
            "HTTP/2",
        ),
        (
            "HTTP/3.7",
            "GET /healthz HTTP/3.7\r\nHost: localhost\r\n\r\n".into(),
            400,
            "bad_request",
            "",
        ),
        (
            "an unknown coding",
            "GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: cow\r\n\r\n".into(),
            400,
            "bad_request",
            "",
        ),
        (
            "half a header",
            "GET /healthz HTTP/1.1\r\nHost: loc".into(),
            408,
            "request_timeout",
            "timeouts.header",
        ),
        (
            "many headers",
            format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{many}\r\n"),
            431,
            "headers_too_large",
            "limits.header",
        ),
        (
            "a large header",
            format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: {large}\r\n\r\n"),
            431,
            "headers_too_large",
            "limits.header",
        ),
        (
            "a long target",
            format!("GET /{large} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            431,
            "headers_too_large",
            "limits.header",
        ),
        (
            "the largest length",
            huge("18446744073709551615"),
            413,
            "body_too_large",
            "limits.body",
        ),
        (
            "a smaller one",
            huge("18446744073709551613"),
            413,
            "body_too_large",
            "limits.body",
        ),
        (
            "a larger one",
            huge("18446744073709551616"),
            400,
            "bad_request",
            "",
        ),
    ]
}

#[tokio::test]
async fn what_is_no_request_is_counted_logged_and_has_an_id() {
    let edge = Edge::start(SHORT).await;
    for (what, bytes, status, code, word) in &cases() {
        let label = format!("code=\"{status}\"");
        let reason = format!("reason=\"{code}\"");
        let requests = counted(&edge, "crucible_requests_total", &label).await;
        let rejected = counted(&edge, "crucible_rejected_total", &reason).await;
        let answer = edge.say(bytes).await;
        assert_refused(&answer, *status, code, what);
        let error = &json_of(&answer.text)["error"];
        let message = error["message"].as_str().unwrap_or_default();
        assert!(message.contains(word), "{what}: {message}");
        assert_ne!(header(&answer.text, "date"), "", "{what}: {}", answer.text);
        let id = header(&answer.text, "x-request-id");
        assert!(id.starts_with("req_"), "{what}: {}", answer.text);
        logged(&edge.crucible, id).await;
        let log = edge.crucible.log();
        let line = log
            .lines()
            .find(|line| line.contains(id))
            .unwrap_or_default();
        let told = line.contains(&format!("status={status}")) && line.contains(code);
        assert!(told, "{what}: {line}");
        eventually(what, || async {
            let now = counted(&edge, "crucible_requests_total", &label).await;
            (now == requests + 1).then_some(())
        })
        .await;
        let now = counted(&edge, "crucible_rejected_total", &reason).await;
        assert_eq!(now, rejected + 1, "{what}");
    }
    at_rest(&edge.crucible).await;
}

#[tokio::test]
async fn a_connection_on_which_nothing_was_said_is_no_refusal() {
    let edge = Edge::start(SHORT).await;
    let before = counted(&edge, "crucible_rejected_total", "").await;
    assert!(edge.say("").await.closed);
    let mut stream = edge.connect().await;
    stream.write_all(b"GET /hea").await.expect("written");
    // Who leaves in the middle of a head was told nothing.
    drop(stream);
    at_rest(&edge.crucible).await;
    assert_eq!(counted(&edge, "crucible_rejected_total", "").await, before);
    let kept = read(&mut edge.connect().await, Duration::from_millis(10)).await;
    assert!(kept.text.is_empty());
}
