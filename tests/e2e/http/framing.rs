//! Where a request ends: broken framing, pipelines, expectations.

use crucible_tests::{
    chat::body,
    engines::{Both, asked},
    rest::at_rest,
};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use super::{Edge, assert_refused, chat, statuses, whole_answer};

#[tokio::test]
async fn broken_framing_is_400_json_and_closes_and_reaches_no_engine() {
    let edge = Edge::start("").await;
    let body = body("qwen", "repeat 1").to_string();
    let n = body.len();
    let chunked = format!("{n:x}\r\n{body}\r\n0\r\n\r\n");
    let post = |headers: &str, body: &str| {
        format!("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n{body}")
    };
    let cases = [
        (
            "no version",
            "GET /healthz\r\nHost: localhost\r\n\r\n".to_owned(),
        ),
        ("garbage", "\u{1}\u{2}\u{3}\r\n\r\n".to_owned()),
        (
            "TLS",
            "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\r\n\r\n".to_owned(),
        ),
        (
            "a space in the target",
            "GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        ),
        (
            "HTTP/3.7",
            "GET /healthz HTTP/3.7\r\nHost: localhost\r\n\r\n".to_owned(),
        ),
        (
            "space before colon",
            "GET /healthz HTTP/1.1\r\nHost : localhost\r\n\r\n".to_owned(),
        ),
        (
            "folded header",
            "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n".to_owned(),
        ),
        (
            "NUL in a value",
            "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n".to_owned(),
        ),
        (
            "bare CR in a value",
            "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\rb\r\n\r\n".to_owned(),
        ),
        (
            "differing CLs",
            post(
                &format!("Content-Length: {n}\r\nContent-Length: 3\r\n"),
                &body,
            ),
        ),
        ("a list of CLs", post("Content-Length: 2, 3\r\n", &body)),
        (
            "a signed CL",
            post(&format!("Content-Length: +{n}\r\n"), &body),
        ),
        ("a negative CL", post("Content-Length: -1\r\n", &body)),
        (
            "an endless CL",
            post("Content-Length: 99999999999999999999999\r\n", &body),
        ),
        (
            "unknown coding",
            post("Transfer-Encoding: cow\r\n", &chunked),
        ),
        (
            "chunked is not last",
            post("Transfer-Encoding: chunked, gzip\r\n", &chunked),
        ),
        (
            "bad chunk size",
            post("Transfer-Encoding: chunked\r\n", "zz\r\nab\r\n0\r\n\r\n"),
        ),
        (
            "a chunk size too large",
            post(
                "Transfer-Encoding: chunked\r\n",
                "fffffffffffffffff\r\nab\r\n0\r\n\r\n",
            ),
        ),
        (
            "a chunk longer than said",
            post("Transfer-Encoding: chunked\r\n", "2\r\nabcd\r\n0\r\n\r\n"),
        ),
    ];
    for (what, bytes) in &cases {
        assert_refused(&edge.say(bytes).await, 400, "bad_request", what);
    }
    at_rest(&edge.crucible).await;
    assert!(
        asked(&edge.sim.log()).is_empty(),
        "{:?}",
        asked(&edge.sim.log())
    );
}

#[tokio::test]
async fn a_body_with_two_framings_is_one_request_and_closes() {
    let edge = Edge::start("").await;
    let body = body("qwen", "repeat 1").to_string();
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let hidden = chat("");
    for (i, (headers, close)) in [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", true),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", true),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 99999\r\n",
            true,
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            false,
        ),
        ("Transfer-Encoding: chunked, chunked\r\n", false),
    ]
    .into_iter()
    .enumerate()
    {
        let mut bytes = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n{chunked}"
        );
        if close {
            bytes.push_str(&hidden);
        } else {
            bytes.push_str("BROKEN\r\n\r\n");
        }
        let answer = edge.say(&bytes).await;
        let want: &[u16] = if close { &[200] } else { &[200, 400] };
        assert_eq!(statuses(&answer.text), want, "{headers}: {}", answer.text);
        assert!(answer.closed, "{headers}");
        assert_eq!(asked(&edge.sim.log()).len(), i + 1, "{headers}");
    }
    at_rest(&edge.crucible).await;
}

#[tokio::test]
async fn http_1_0_is_answered_and_closed() {
    let edge = Edge::start("").await;
    let answer = edge
        .say("GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")
        .await;
    assert_eq!(answer.status(), 200, "{}", answer.text);
    assert!(answer.closed);
    let smuggled = edge
        .say("POST /v1/chat/completions HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        .await;
    assert_eq!(smuggled.status(), 400, "{}", smuggled.text);
    assert!(smuggled.closed);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_until_a_broken_one() {
    let edge = Edge::start("").await;
    let mut bytes = String::new();
    for _ in 0..20 {
        bytes.push_str(&chat(""));
        bytes.push_str("GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    bytes.push_str("BROKEN\r\n\r\n");
    bytes.push_str("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let answer = edge.say(&bytes).await;
    let mut want = [200, 404].repeat(20);
    want.push(400);
    assert_eq!(statuses(&answer.text), want);
    assert!(answer.closed);
    assert_eq!(asked(&edge.sim.log()).len(), 20);
    at_rest(&edge.crucible).await;
}

#[tokio::test]
async fn an_expectation_is_met_before_the_body_comes() {
    let both = Both::start().await;
    let body = body("qwen", "repeat 1").to_string();
    let mut stream = TcpStream::connect(both.crucible.addr())
        .await
        .expect("a connection");
    stream
        .write_all(
            format!(
                "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
                body.len()
            )
            .as_bytes(),
        )
        .await
        .expect("written");
    assert!(whole_answer(&mut stream).await.starts_with("HTTP/1.1 100 "));
    stream.write_all(body.as_bytes()).await.expect("written");
    assert!(whole_answer(&mut stream).await.starts_with("HTTP/1.1 200 "));
}
