//! Clients that do not read: the engine is held back early, and they are told from those that left.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crucible_tests::{
    Crucible,
    clean::{Metrics, settled},
    engines::{self, Trio, until},
    rest::{eventually, logged, ready},
    unread::{SMALL_BUFFER, never_reading},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
};

#[tokio::test]
async fn a_client_that_reads_too_slowly_has_a_cause_of_its_own() {
    let trio = Trio::with("[timeouts]\nclient_stall = \"1s\"\n", |_| {}).await;
    for model in ["qwen", "llama", "plain"] {
        let before = Metrics::of(&trio.crucible).await;
        let stream = never_reading(&trio.crucible, model).await;
        until(trio.of(model), "the end of it", |log| {
            !log.disconnects.is_empty()
        })
        .await;
        let after = settled(&trio.crucible, &before, 1).await;
        let rose = |family: &str, labels: &[(&str, &str)]| {
            after.sum(family, labels) - before.sum(family, labels)
        };
        let aborted = "crucible_stream_aborted_total";
        assert_eq!(rose(aborted, &[("cause", "client_slow")]), 1.0, "{model}");
        assert_eq!(rose(aborted, &[]), 1.0, "{model}");
        assert_eq!(
            rose("crucible_client_disconnects_total", &[]),
            0.0,
            "{model}"
        );
        drop(stream);
        trio.of(model).reset();
    }
    logged(&trio.crucible, "aborted=\"client_slow\"").await;
}

/// An engine that writes events as fast as they are taken; counts their bytes.
fn gushing() -> (String, Arc<AtomicU64>) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .set_send_buffer_size(SMALL_BUFFER)
        .expect("a small buffer");
    socket
        .bind("127.0.0.1:0".parse().expect("an address"))
        .expect("a port");
    let listener = socket.listen(64).expect("it listens");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let taken = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&taken);
    #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
    tokio::spawn(gush(listener, count));
    (url, taken)
}

async fn gush(listener: TcpListener, taken: Arc<AtomicU64>) {
    while let Ok((stream, _)) = listener.accept().await {
        let taken = Arc::clone(&taken);
        #[expect(clippy::disallowed_methods, reason = "ends with its connection")]
        tokio::spawn(async move { answer(stream, &taken).await });
    }
}

async fn answer(mut stream: TcpStream, taken: &AtomicU64) {
    let mut request = vec![0; 4096];
    let read = stream.read(&mut request).await.unwrap_or_default();
    let request = String::from_utf8_lossy(&request[..read]).into_owned();
    if !request.starts_with("POST ") {
        let list = r#"{"object":"list","data":[{"id":"plain","object":"model"}]}"#;
        let whole = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n{list}",
            list.len()
        );
        let _ = stream.write_all(whole.as_bytes()).await;
        return;
    }
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
    let _ = stream.write_all(head.as_bytes()).await;
    let event = "data: {\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"created\":1,\
                 \"model\":\"plain\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"word\"},\
                 \"finish_reason\":null}]}\n\n";
    while stream.write_all(event.as_bytes()).await.is_ok() {
        taken.fetch_add(event.len() as u64, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn the_engine_of_a_client_that_does_not_read_is_held_back_early() {
    let (url, taken) = gushing();
    let crucible = Crucible::start(&format!(
        "[timeouts]\nclient_stall = \"3s\"\n{}",
        engines::engine("plain", "openai", &url)
    ));
    ready(&crucible).await;
    let before = Metrics::of(&crucible).await;
    let stream = never_reading(&crucible, "plain").await;
    eventually("an answer begins", || async {
        (taken.load(Ordering::Relaxed) > 0).then_some(())
    })
    .await;
    // Once it is given up, all that could be taken was.
    let after = settled(&crucible, &before, 1).await;
    let slow = after.sum("crucible_stream_aborted_total", &[("cause", "client_slow")]);
    assert_eq!(slow, 1.0);
    let taken = taken.load(Ordering::Relaxed);
    assert!(
        taken < 1_500_000,
        "{taken} bytes for a client that reads none"
    );
    drop(stream);
}
