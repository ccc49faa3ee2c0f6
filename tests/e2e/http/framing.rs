//! Where a request ends: broken framing, pipelines, expectations.

use crucible_tests::{
    chat::body,
    engines::{Both, asked},
    raw::{Answer, read},
    rest::{at_rest, json_of},
};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use super::{Edge, QUIET, assert_refused, chat, statuses, whole_answer};

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

/// What a head says of the end of its body, and what becomes of it.
enum Fate {
    /// The first request is answered, and whatever follows is not read.
    OneAndClosed,
    /// Nothing reaches the engine.
    Refused,
    /// The framing is sound: both requests are answered.
    Both,
}

#[tokio::test]
async fn a_second_request_behind_a_doubtful_framing_never_reaches_the_engine() {
    use Fate::{Both, OneAndClosed, Refused};
    let edge = Edge::start("").await;
    let body = body("qwen", "repeat 1").to_string();
    let n = body.len();
    let chunked = format!("{n:x}\r\n{body}\r\n0\r\n\r\n");
    let hidden = chat("");
    let te = |value: &str| format!("Transfer-Encoding: {value}\r\n");
    let cl = |value: &str| format!("Content-Length: {value}\r\n");
    let whole = n.to_string();
    let cases = [
        (te("chunked"), Both),
        (te("CHUNKED"), Both),
        (te("\t chunked \t"), Both),
        ("TRANSFER-encoding:chunked\r\n".to_owned(), Both),
        (te("chunked") + &te("chunked"), Refused),
        (te("chunked") + "X: y\r\n" + &te("Chunked"), Refused),
        (te("chunked, chunked"), Refused),
        (te("chunked,chunked,chunked"), Refused),
        (te("identity, chunked"), Refused),
        (te("identity") + &te("chunked"), Refused),
        (te("chunked, identity"), Refused),
        (te("chunked") + &te("identity"), Refused),
        (te("gzip, chunked"), Refused),
        (te(",chunked"), Refused),
        (te("chunked,"), Refused),
        (te("") + &te("chunked"), Refused),
        (te("chunked;q=1"), Refused),
        (te("\"chunked\""), Refused),
        (te("'chunked'"), Refused),
        (te("xchunked"), Refused),
        (te("chunkedx"), Refused),
        (te("x chunked"), Refused),
        (te("identity"), Refused),
        (te("\u{b}chunked"), Refused),
        (te("\u{a0}chunked"), Refused),
        (te("chunked\r\n "), Refused),
        ("Transfer-Encoding:\r\n chunked\r\n".to_owned(), Refused),
        ("Transfer-Encoding : chunked\r\n".to_owned(), Refused),
        (" Transfer-Encoding: chunked\r\n".to_owned(), Refused),
        ("Transfer-Encoding\u{0}: chunked\r\n".to_owned(), Refused),
        (cl("5") + &te("chunked"), OneAndClosed),
        (te("chunked") + &cl("5"), OneAndClosed),
        (te("chunked") + &cl("99999"), OneAndClosed),
        (te("chunked") + "X: y\r\n" + &cl("0"), OneAndClosed),
        (cl("0") + &te("chunked") + &te("chunked"), Refused),
        (cl("0") + &te("identity"), Refused),
        (cl("+5") + &te("chunked"), Refused),
        (cl(&chunked.len().to_string()) + &te("xchunked"), Refused),
        (cl(&format!("{n}, {n}")), Refused),
        (cl(&format!("{n},")), Refused),
        (cl(&whole) + &cl("3"), Refused),
        (cl("3") + &cl(&whole), Refused),
        (cl(&whole) + &cl(&format!("+{n}")), Refused),
        (cl(&format!("+{n}")), Refused),
        (cl(&format!("-{n}")), Refused),
        (cl("0x10"), Refused),
        (cl(&format!("{n}.0")), Refused),
        (cl(&format!("{n} 3")), Refused),
        (cl(""), Refused),
        (cl("\"3\""), Refused),
        (cl("\r\n 3"), Refused),
        (format!("Content-Length : {n}\r\n"), Refused),
    ];
    for version in ["1.1", "1.0"] {
        for (headers, fate) in &cases {
            let what = format!("{version} {headers:?}");
            // Followed by both bodies' kinds, so that each way to read it finds a second request.
            let sent = if headers.to_lowercase().contains("transfer-encoding") {
                &chunked
            } else {
                &body
            };
            let bytes = format!(
                "POST /v1/chat/completions HTTP/{version}\r\nHost: localhost\r\n{headers}\r\n\
                 {sent}{hidden}"
            );
            let before = asked(&edge.sim.log()).len();
            let mut stream = edge.connect().await;
            stream.write_all(bytes.as_bytes()).await.expect("written");
            let (want, seen): (&[u16], usize) = match fate {
                // Transfer codings are unknown to it (RFC 9112, section 6.1).
                _ if version == "1.0" => (&[400], 0),
                Both => (&[200, 200], 2),
                OneAndClosed => (&[200], 1),
                Refused => (&[400], 0),
            };
            let answer = if want.len() == 2 {
                let text = whole_answer(&mut stream).await + &whole_answer(&mut stream).await;
                Answer { text, closed: true }
            } else {
                read(&mut stream, QUIET).await
            };
            assert_eq!(statuses(&answer.text), want, "{what}: {}", answer.text);
            assert!(answer.closed, "{what}");
            if want == [400] {
                let error = &json_of(&answer.text)["error"];
                assert_eq!(error["code"], "bad_request", "{what}: {}", answer.text);
            }
            assert_eq!(asked(&edge.sim.log()).len() - before, seen, "{what}");
        }
    }
    at_rest(&edge.crucible).await;
}

/// The same head, however the network cuts it.
#[tokio::test]
async fn a_doubtful_framing_is_seen_across_all_cuts_and_behind_good_requests() {
    let edge = Edge::start("").await;
    let head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n\
                Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n";
    // A body that looks like a head is no head.
    let text = body(
        "qwen",
        "repeat 1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    );
    let text = text.to_string();
    let good = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    );
    let tail = format!("0\r\n\r\n{}", chat(""));
    for at in (1..head.len()).step_by(7) {
        let before = asked(&edge.sim.log()).len();
        let mut stream = edge.connect().await;
        stream.set_nodelay(true).expect("a socket");
        let first = format!("{good}{}", &head[..at]);
        stream.write_all(first.as_bytes()).await.expect("written");
        assert!(
            whole_answer(&mut stream).await.starts_with("HTTP/1.1 200 "),
            "{at}"
        );
        let rest = format!("{}{tail}", &head[at..]);
        stream.write_all(rest.as_bytes()).await.expect("written");
        let answer = read(&mut stream, QUIET).await;
        assert_refused(&answer, 400, "bad_request", &at.to_string());
        assert_eq!(statuses(&answer.text), [400], "{}", answer.text);
        assert_eq!(asked(&edge.sim.log()).len() - before, 1, "{at}");
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
async fn the_health_checks_of_load_balancers_name_no_host_in_http_1_0() {
    let edge = Edge::start("").await;
    let chat = chat("").replacen("HTTP/1.1\r\nHost: localhost", "HTTP/1.0", 1);
    for (request, status) in [
        ("GET /healthz HTTP/1.0\r\n\r\n", 200),
        ("HEAD / HTTP/1.0\r\n\r\n", 200),
        ("OPTIONS / HTTP/1.0\r\n\r\n", 200),
        ("GET /metrics HTTP/1.0\r\n\r\n", 200),
        ("GET http://localhost/healthz HTTP/1.0\r\n\r\n", 200),
        (&chat, 200),
        ("GET /healthz HTTP/1.0\r\nHost: evil.example\r\n\r\n", 403),
        ("GET http://evil.example/healthz HTTP/1.0\r\n\r\n", 403),
        ("GET /healthz HTTP/1.0\r\nHost: a b\r\n\r\n", 400),
        ("GET /healthz HTTP/1.1\r\n\r\n", 400),
    ] {
        let answer = edge.say(request).await;
        assert_eq!(answer.status(), status, "{request}: {}", answer.text);
        assert!(answer.closed, "{request}");
    }
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
