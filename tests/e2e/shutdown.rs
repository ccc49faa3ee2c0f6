//! Ending: answers finish within the drain, what is new is refused, a second signal ends at once.

use std::time::{Duration, Instant};

use crucible_tests::{
    chat::{body, get, open, post, stream},
    engines::{TRIO, Trio},
    rest::{eventually, logged},
    sse::Stream,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpSocket,
};

#[tokio::test]
async fn open_streams_finish_and_new_requests_are_refused() {
    let mut trio = Trio::with("", |options| options.rate = 20).await;
    let mut running = Vec::new();
    for model in TRIO {
        running.push(open(&trio.crucible, &body(model, "repeat 60")).await);
    }
    // A connection that was open before; listeners are closed while draining.
    trio.crucible.signal("TERM");
    let tell = crucible_tests::engines::client();
    eventually("it stops taking requests", || async {
        match tell.get(trio.crucible.at("/readyz")).send().await {
            Ok(answer) => (answer.status() == 503).then_some(()),
            Err(_) => Some(()),
        }
    })
    .await;
    for response in running {
        let answer = Stream::read(response).await;
        assert!(answer.done && answer.error().is_none(), "{}", answer.text);
        assert!(answer.content().ends_with("word59"), "{}", answer.text);
    }
    assert_eq!(
        trio.crucible.wait().code(),
        Some(0),
        "{}",
        trio.crucible.log()
    );
    assert!(!trio.crucible.log().contains("panicked"));
}

/// Whole and streamed answers that their client takes later than the last second of an end.
#[tokio::test]
async fn an_answer_that_its_client_reads_slowly_is_read_whole() {
    for (model, streamed) in TRIO.map(|model| [(model, false), (model, true)]).concat() {
        let mut trio = Trio::with("", |_| ()).await;
        let words = if streamed { 3_000 } else { 60_000 };
        let mut request = body(model, &format!("repeat {words}"));
        request["stream"] = streamed.into();
        let request = request.to_string();
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(8192).expect("set");
        let address = trio.crucible.addr().parse().expect("an address");
        let mut client = socket.connect(address).await.expect("a connection");
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
            request.len()
        );
        let bytes = [head.as_bytes(), request.as_bytes()].concat();
        client.write_all(&bytes).await.expect("written");
        let mut text = vec![0; 12];
        client.read_exact(&mut text).await.expect("an answer");
        trio.crucible.signal("TERM");
        logged(&trio.crucible, "draining").await;
        // The client's pace.
        tokio::time::sleep(Duration::from_millis(2500)).await;
        client.read_to_end(&mut text).await.expect("an end");
        let text = String::from_utf8(text).expect("text");
        let what = format!("{model} {streamed}: {} bytes", text.len());
        assert!(text.starts_with("HTTP/1.1 200"), "{what}");
        let last = format!("word{}", words - 1);
        assert!(text.contains(&last), "{what}");
        let end = if streamed {
            "data: [DONE]\n\n\r\n0\r\n\r\n"
        } else {
            "}"
        };
        assert!(text.ends_with(end), "{what}");
        assert_eq!(trio.crucible.wait().code(), Some(0), "{what}");
    }
}

#[tokio::test]
async fn while_a_stream_is_finished_new_requests_are_told_to_go() {
    let mut trio = Trio::with("", |options| options.rate = 20).await;
    let running = open(&trio.crucible, &body("plain", "repeat 240")).await;
    trio.crucible.signal("TERM");
    logged(&trio.crucible, "draining").await;
    // Connections that come now may ask once.
    let ready = get(&trio.crucible, "/readyz").await;
    assert_eq!(ready.status, 503, "{}", ready.text);
    assert_eq!(ready.json["status"], "not_ready", "{}", ready.text);
    assert_eq!(ready.json["reason"], "draining", "{}", ready.text);
    assert_eq!(get(&trio.crucible, "/healthz").await.status, 200);
    for model in TRIO {
        let answer = post(&trio.crucible, &body(model, "repeat 1")).await;
        let told = (answer.status, answer.code());
        assert_eq!(told, (503, "draining"), "{}", answer.text);
        let seconds: u64 = answer.header("retry-after").parse().expect("seconds");
        assert!((1..=60).contains(&seconds), "{seconds}");
        assert_eq!(answer.header("connection"), "close");
    }
    let answer = Stream::read(running).await;
    assert!(answer.done && answer.error().is_none(), "{}", answer.text);
    assert!(answer.content().ends_with("word239"), "{}", answer.text);
    assert_eq!(trio.crucible.wait().code(), Some(0));
}

#[tokio::test]
async fn what_does_not_finish_in_time_ends_with_an_error() {
    let toml = "[timeouts]\ndrain = \"500ms\"\n";
    let mut trio = Trio::with(toml, |options| options.rate = 20).await;
    let mut running = Vec::new();
    for model in TRIO {
        running.push(open(&trio.crucible, &body(model, "repeat 100000")).await);
    }
    trio.crucible.signal("TERM");
    for response in running {
        let answer = Stream::read(response).await;
        assert!(!answer.done && !answer.broken, "{}", answer.text);
        assert_eq!(
            answer.error().expect("an error")["code"],
            "draining",
            "{}",
            answer.text
        );
    }
    assert_eq!(
        trio.crucible.wait().code(),
        Some(0),
        "{}",
        trio.crucible.log()
    );
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let mut trio = Trio::with("", |options| options.rate = 20).await;
    let response = open(&trio.crucible, &body("plain", "repeat 100000")).await;
    assert_eq!(response.status(), 200);
    trio.crucible.signal("TERM");
    logged(&trio.crucible, "draining").await;
    trio.crucible.signal("TERM");
    let since = Instant::now();
    trio.crucible.wait();
    assert!(
        since.elapsed() < Duration::from_secs(15),
        "{:?}",
        since.elapsed()
    );
}

#[tokio::test]
async fn readiness_follows_the_engines() {
    let trio = Trio::with("", |_| {}).await;
    assert_eq!(get(&trio.crucible, "/readyz").await.status, 200);
    assert_eq!(
        post(&trio.crucible, &body("plain", "repeat 1"))
            .await
            .status,
        200
    );
    let (_, answer) = stream(&trio.crucible, &body("plain", "repeat 1")).await;
    assert!(answer.done);
}
