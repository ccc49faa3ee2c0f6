//! Connections: kept, counted, bounded, and left by clients that do not read.

use std::time::Duration;

use crucible_tests::{
    chat::{body, get, post},
    engines::{client, until},
    raw::read,
    rest::{at_rest, eventually, metric},
};
use tokio::io::AsyncWriteExt as _;

use super::{Edge, QUIET, SHORT, chat, whole_answer};

#[tokio::test]
async fn one_connection_serves_many_requests_refusals_among_them() {
    let edge = Edge::start("").await;
    let mut stream = edge.connect().await;
    let broken =
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n{";
    for (bytes, status) in [
        (chat(""), 200),
        (broken.to_owned(), 400),
        (
            "GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
            404,
        ),
        (
            "PUT /v1/models HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nxx".to_owned(),
            405,
        ),
        (
            "GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n".to_owned(),
            403,
        ),
        (chat("x-request-id: last\r\n"), 200),
    ] {
        stream
            .write_all(bytes.as_bytes())
            .await
            .expect("it is open");
        let answer = whole_answer(&mut stream).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{bytes}: {answer}"
        );
    }
    assert_eq!(metric(&edge.crucible, "crucible_connections_open").await, 2);
}

#[tokio::test]
async fn a_kept_connection_outlives_the_header_clock() {
    let edge = Edge::start(SHORT).await;
    let mut stream = edge.connect().await;
    let ask = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(ask).await.expect("written");
    whole_answer(&mut stream).await;
    // Four times the header clock, in which the connection must stay.
    let idle = read(&mut stream, Duration::from_millis(1200)).await;
    assert!(!idle.closed, "{idle:?}");
    stream.write_all(ask).await.expect("it is open");
    assert!(whole_answer(&mut stream).await.starts_with("HTTP/1.1 200 "));
    // But a second header must not drip either.
    stream.write_all(b"GET /").await.expect("it is open");
    let answer = read(&mut stream, QUIET).await;
    assert_eq!(answer.status(), 408, "{}", answer.text);
    assert!(answer.closed);
}

#[tokio::test]
async fn connections_beyond_the_cap_wait_for_a_free_place() {
    let edge = Edge::start("metrics_listen = \"127.0.0.1:0\"\n[limits]\nconnections = 3\n").await;
    let metrics = edge
        .crucible
        .metrics_url()
        .expect("a second listener")
        .to_owned();
    let open = |text: String| crucible_tests::rest::sample(&text, "crucible_connections_open");
    let scrape = || async {
        let answer = client()
            .get(format!("{metrics}/metrics"))
            .send()
            .await
            .expect("an answer");
        answer.text().await.expect("text")
    };
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut stream = edge.connect().await;
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await
            .expect("written");
        whole_answer(&mut stream).await;
        held.push(stream);
    }
    // The scraper's own connection is counted too, and has a place of its own.
    assert_eq!(open(scrape().await), 4);
    let mut fourth = edge.connect().await;
    fourth
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .expect("the backlog takes it");
    let waits = read(&mut fourth, Duration::from_millis(300)).await;
    assert!(waits.text.is_empty() && !waits.closed, "{waits:?}");
    held.pop();
    assert!(whole_answer(&mut fourth).await.starts_with("HTTP/1.1 200 "));
    drop((held, fourth));
    eventually("all connections closed", || async {
        (open(scrape().await) <= 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_dropped_and_frees_the_engine() {
    let edge = Edge::start(SHORT).await;
    let request = body("qwen", "repeat 2000000").to_string();
    let request = format!("{},\"stream\":true}}", &request[..request.len() - 1]);
    let mut stream = edge.connect().await;
    stream
        .write_all(
            format!(
                "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{request}",
                request.len()
            )
            .as_bytes(),
        )
        .await
        .expect("written");
    until(&edge.sim, "the client's absence", |log| {
        !log.disconnects.is_empty()
    })
    .await;
    // The stalled socket is still open on this side, so only Crucible can have ended it.
    at_rest(&edge.crucible).await;
    drop(stream);
    assert_eq!(
        post(&edge.crucible, &body("qwen", "repeat 1")).await.status,
        200
    );
}

#[tokio::test]
async fn many_stalled_clients_do_not_keep_a_good_one_waiting() {
    let edge = Edge::start("").await;
    let mut stalled = Vec::new();
    for _ in 0..200 {
        let mut stream = edge.connect().await;
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: lo")
            .await
            .expect("written");
        stalled.push(stream);
    }
    assert_eq!(
        post(&edge.crucible, &body("qwen", "repeat 1")).await.status,
        200
    );
    assert_eq!(get(&edge.crucible, "/healthz").await.status, 200);
    drop(stalled);
    at_rest(&edge.crucible).await;
}
