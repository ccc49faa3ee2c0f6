//! Clocks and sizes of what a client sends.

use std::{io::Write as _, time::Duration};

use crucible_tests::{
    chat::whole,
    engines::{asked, client},
    process::PATIENCE,
    rest::{at_rest, json_of},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Edge, SHORT, assert_refused};

#[tokio::test]
async fn a_header_that_does_not_end_is_408_and_a_silent_connection_is_closed() {
    let edge = Edge::start(SHORT).await;
    let slow = edge.say("GET /healthz HTTP/1.1\r\nHost: loc").await;
    assert_refused(&slow, 408, "request_timeout", "half a header");
    let silent = edge.say("").await;
    assert!(silent.closed && silent.text.is_empty(), "{silent:?}");
    at_rest(&edge.crucible).await;
}

#[tokio::test]
async fn a_header_that_drips_is_not_given_more_time() {
    let edge = Edge::start(SHORT).await;
    let mut stream = edge.connect().await;
    let (mut from, mut to) = stream.split();
    let drip = async {
        for byte in b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: "
            .iter()
            .cycle()
        {
            if to.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let mut text = Vec::new();
    tokio::select! {
        () = drip => {}
        _ = from.read_to_end(&mut text) => {}
    }
    assert!(
        String::from_utf8_lossy(&text).starts_with("HTTP/1.1 408 "),
        "{}",
        String::from_utf8_lossy(&text)
    );
}

#[tokio::test]
async fn a_body_that_stops_coming_is_408() {
    let edge = Edge::start(SHORT).await;
    for framing in [
        "Content-Length: 100\r\n\r\n{\"mod",
        "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"mod\r\n",
    ] {
        let answer = edge
            .say(format!(
                "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n{framing}"
            ))
            .await;
        assert_refused(&answer, 408, "request_timeout", framing);
        assert!(answer.text.contains("timeouts.body"), "{}", answer.text);
    }
    at_rest(&edge.crucible).await;
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_nothing_behind() {
    let edge = Edge::start(SHORT).await;
    let mut stream = edge.connect().await;
    stream
        .write_all(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        .await
        .expect("written");
    drop(stream);
    at_rest(&edge.crucible).await;
    assert!(asked(&edge.sim.log()).is_empty());
}

#[tokio::test]
async fn headers_beyond_the_bound_are_431_with_json() {
    let edge = Edge::start(SHORT).await;
    let large = format!(
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Large: {}\r\n\r\n",
        "x".repeat(20_000)
    );
    assert_refused(
        &edge.say(&large).await,
        431,
        "headers_too_large",
        "one large header",
    );
    let many = "X-Many: 1\r\n".repeat(200);
    let many = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{many}\r\n");
    assert_refused(
        &edge.say(&many).await,
        431,
        "headers_too_large",
        "many headers",
    );
    at_rest(&edge.crucible).await;
}

#[tokio::test]
async fn bodies_beyond_the_bound_are_413_however_they_come() {
    let edge = Edge::start(SHORT).await;
    let big = "x".repeat(100_000);
    let declared = edge
        .say(format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n{big}"
        ))
        .await;
    assert_refused(&declared, 413, "body_too_large", "declared");
    assert!(declared.text.contains("limits.body"), "{}", declared.text);
    let only_said = edge
        .say("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999999\r\n\r\n")
        .await;
    assert_refused(&only_said, 413, "body_too_large", "said and not sent");
    let chunked = edge
        .say(format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n186a0\r\n{big}\r\n0\r\n\r\n"
        ))
        .await;
    assert_refused(&chunked, 413, "body_too_large", "chunked");
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    bomb.write_all(&vec![b' '; 20_000_000]).expect("packed");
    let bomb = bomb.finish().expect("packed");
    assert!(bomb.len() < 64_000, "{}", bomb.len());
    let answer = client()
        .post(edge.crucible.at("/v1/chat/completions"))
        .header("content-encoding", "gzip")
        .body(bomb)
        .send()
        .await
        .expect("an answer");
    let answer = whole(answer).await;
    assert_eq!((answer.status, answer.code()), (413, "body_too_large"));
    at_rest(&edge.crucible).await;
    assert!(asked(&edge.sim.log()).is_empty());
}

#[tokio::test]
async fn a_client_that_is_still_sending_reads_its_413() {
    let edge = Edge::start("[limits]\nbody = \"64KB\"\n").await;
    // Far more than any socket buffer, so the refusal comes while the client writes.
    for length in [
        "Content-Length: 50000000\r\n",
        "Transfer-Encoding: chunked\r\n",
    ] {
        let mut stream = edge.connect().await;
        let (mut from, mut to) = stream.split();
        let send = async {
            let head =
                format!("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n{length}\r\n");
            let _ = to.write_all(head.as_bytes()).await;
            let mut piece = Vec::new();
            if length.starts_with('T') {
                piece.extend_from_slice(b"10000\r\n");
            }
            piece.resize(piece.len() + 0x10000, b'x');
            if length.starts_with('T') {
                piece.extend_from_slice(b"\r\n");
            }
            for _ in 0..800 {
                if to.write_all(&piece).await.is_err() {
                    break;
                }
            }
        };
        let mut text = Vec::new();
        let receive = async {
            let mut buf = [0; 4096];
            while let Ok(n @ 1..) = from.read(&mut buf).await {
                text.extend_from_slice(&buf[..n]);
            }
        };
        let both = async { tokio::join!(send, receive) };
        tokio::time::timeout(PATIENCE, both)
            .await
            .expect("the connection ends");
        let text = String::from_utf8_lossy(&text);
        assert!(text.starts_with("HTTP/1.1 413 "), "{length}: {text:?}");
        assert_eq!(json_of(&text)["error"]["code"], "body_too_large", "{text}");
    }
    at_rest(&edge.crucible).await;
}
