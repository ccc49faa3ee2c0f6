use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use url::Url;

use super::*;
use crate::{metrics::ExpositionFormat, upstream::pool::IdlePool};

mod broken;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const STREAM: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

/// An engine that does what the test says, byte by byte.
struct Engine {
    listener: TcpListener,
    upstream: Upstream,
}

impl Engine {
    async fn start() -> Self {
        Self {
            listener: TcpListener::bind("127.0.0.1:0").await.expect("a port"),
            upstream: Upstream::new(Duration::from_secs(5), Metrics::new().expect("metrics")),
        }
    }

    fn address(&self) -> EngineAddress {
        let address = self.listener.local_addr().expect("an address");
        let url = Url::parse(&format!("http://{address}")).expect("a URL");
        EngineAddress::new(url, None).expect("an engine's address")
    }

    /// The same, where a connection that breaks before an answer counts as closed before, however long this busy
    /// machine takes to say so.
    async fn slowly() -> Self {
        let mut engine = Self::start().await;
        engine.upstream.stale = Duration::MAX;
        engine
    }

    /// Its idle connections.
    fn pool(&self) -> Arc<IdlePool> {
        self.upstream.idle.of(&self.address())
    }

    fn prompt(&self) -> Prompt {
        self.prompt_of(Bytes::from_static(b"{}"))
    }

    fn prompt_of(&self, body: Bytes) -> Prompt {
        Prompt {
            engine: "e".into(),
            address: self.address(),
            path: "/v1/chat/completions",
            token: None,
            hops: Arc::default(),
            trace: None,
            body,
        }
    }

    /// A number of its metrics.
    fn counted(&self, series: &str) -> u64 {
        let text = self.upstream.metrics.encode(ExpositionFormat::Text);
        let text = text.expect("metrics");
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(series));
        let value = lines.next().map(str::trim).map(str::parse);
        value.map_or(0, |value| value.expect("a whole number"))
    }

    /// The requests that were due to be sent again, with this outcome.
    fn retried(&self, outcome: &str) -> u64 {
        self.counted(&format!(
            "crucible_retries_total{{engine=\"e\",outcome=\"{outcome}\",reason=\"stale_connection\"}}"
        ))
    }

    /// The connection that comes next.
    async fn accept(&self) -> TcpStream {
        self.listener.accept().await.expect("a connection").0
    }

    /// Lets the runtime hear what happened on the sockets before this call: a new connection is heard of
    /// with them, or after them.
    async fn look_at_sockets(&self) {
        let address = self.listener.local_addr().expect("an address");
        let (connected, _) = tokio::join!(TcpStream::connect(address), self.accept());
        connected.expect("a connection");
    }

    /// Sends a request and answers it on a connection; the answer's body.
    async fn exchange(&self, socket: &mut TcpStream) -> Bytes {
        tokio::join!(self.ask(), answer(socket)).0
    }

    /// Sends a request; the whole body of its answer.
    async fn ask(&self) -> Bytes {
        let answer = self.upstream.send(&self.prompt()).await;
        let body = answer.expect("an answer").into_body().collect().await;
        body.expect("a whole body").to_bytes()
    }
}

/// Reads a request and answers it; the request.
async fn answer(socket: &mut TcpStream) -> String {
    let text = read_request(socket).await;
    socket.write_all(ANSWER).await.expect("written");
    text
}

async fn read_request(socket: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n{}") {
        assert_ne!(socket.read_buf(&mut text).await.expect("bytes"), 0);
    }
    String::from_utf8(text).expect("text")
}

/// Sends a request whose answer is a stream that the engine has only begun.
async fn begun(engine: &Engine) -> (EngineAnswer, TcpStream) {
    let serve = async {
        let mut socket = engine.accept().await;
        read_request(&mut socket).await;
        socket.write_all(STREAM).await.expect("written");
        socket
    };
    let prompt = engine.prompt();
    let (answer, socket) = tokio::join!(engine.upstream.send(&prompt), serve);
    (answer.expect("an answer").into_body(), socket)
}

#[tokio::test]
async fn a_connection_serves_one_request_after_another() {
    let engine = Engine::start().await;
    let first = async {
        let mut socket = engine.accept().await;
        let text = answer(&mut socket).await;
        (socket, text)
    };
    let (body, (mut socket, text)) = tokio::join!(engine.ask(), first);
    assert!(
        text.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"),
        "{text}"
    );
    assert_eq!(body, "ok");
    assert_eq!(engine.exchange(&mut socket).await, "ok");
    assert_eq!(engine.exchange(&mut socket).await, "ok");
}

#[tokio::test]
async fn a_kept_connection_that_the_engine_closed_is_not_used() {
    let engine = Engine::start().await;
    for _ in 0..3 {
        let serve = async {
            let mut socket = engine.accept().await;
            answer(&mut socket).await
        };
        assert_eq!(tokio::join!(engine.ask(), serve).0, "ok");
        engine.look_at_sockets().await;
    }
}

/// Some servers say why before they close a connection that was idle for too long.
#[tokio::test]
async fn a_kept_connection_on_which_the_engine_spoke_is_not_used() {
    const LATE: &[u8] = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n";
    let engine = Engine::start().await;
    let first = async {
        let mut socket = engine.accept().await;
        answer(&mut socket).await;
        socket
    };
    let (_, mut socket) = tokio::join!(engine.ask(), first);
    socket.write_all(LATE).await.expect("written");
    engine.look_at_sockets().await;
    let second = async {
        let mut socket = engine.accept().await;
        answer(&mut socket).await
    };
    assert_eq!(tokio::join!(engine.ask(), second).0, "ok");
    // Nothing was written to the first one.
    assert_eq!(socket.read(&mut [0; 8]).await.expect("an end"), 0);
}

#[tokio::test]
async fn an_answer_that_is_dropped_closes_its_connection() {
    let engine = Engine::start().await;
    let (answer, mut socket) = begun(&engine).await;
    drop(answer);
    assert_eq!(socket.read(&mut [0; 8]).await.expect("an end"), 0);
}

#[tokio::test]
async fn a_connection_that_nobody_uses_is_closed() {
    let engine = Engine::start().await;
    let (answer, mut socket) = begun(&engine).await;
    socket.write_all(b"0\r\n\r\n").await.expect("written");
    assert!(answer.collect().await.expect("whole").to_bytes().is_empty());
    let now = Instant::now();
    engine.upstream.idle.sweep(now);
    assert_eq!(engine.exchange(&mut socket).await, "ok");
    engine.upstream.idle.sweep(now + Duration::from_mins(1));
    assert_eq!(socket.read(&mut [0; 8]).await.expect("an end"), 0);
}

#[tokio::test]
async fn pieces_that_came_together_are_there_together() {
    let engine = Engine::start().await;
    let (mut answer, mut socket) = begun(&engine).await;
    let pieces = b"2\r\nab\r\n2\r\ncd\r\n2\r\nef\r\n";
    socket.write_all(pieces).await.expect("written");
    let first = answer.frame().await.expect("a frame").expect("data");
    assert_eq!(first.into_data().expect("data"), "ab");
    let mut cx = Context::from_waker(Waker::noop());
    for piece in ["cd", "ef"] {
        let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut answer).poll_frame(&mut cx) else {
            panic!("{piece} waits for another turn");
        };
        assert_eq!(frame.into_data().expect("data"), piece);
    }
    assert!(Pin::new(&mut answer).poll_frame(&mut cx).is_pending());
}

#[tokio::test]
async fn an_answer_that_is_cut_is_an_error() {
    let engine = Engine::start().await;
    let (mut answer, mut socket) = begun(&engine).await;
    socket
        .write_all(b"2\r\nab\r\n2\r\nc")
        .await
        .expect("written");
    drop(socket);
    let first = answer.frame().await.expect("a frame").expect("data");
    assert_eq!(first.into_data().expect("data"), "ab");
    let mut rest = answer.frame().await;
    while let Some(Ok(_)) = rest {
        rest = answer.frame().await;
    }
    assert!(matches!(rest, Some(Err(_))), "{rest:?}");
}

/// What an engine may answer, the body that it means, and whether the connection goes on.
const ANSWERS: [(&str, &str, bool); 9] = [
    ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", "ok", true),
    ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "", true),
    ("HTTP/1.1 204 No Content\r\n\r\n", "", true),
    (
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1;a=b\r\nk\r\n0\r\n\r\n",
        "ok",
        true,
    ),
    (
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n",
        "ok",
        true,
    ),
    (
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        "ok",
        true,
    ),
    (
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok",
        "ok",
        false,
    ),
    ("HTTP/1.1 200 OK\r\n\r\nok", "ok", false),
    (
        "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        "ok",
        false,
    ),
];

#[tokio::test]
async fn answers_mean_the_same_wherever_they_are_cut() {
    for (text, body, goes_on) in ANSWERS {
        for cut in 1..text.len() {
            let engine = Engine::start().await;
            let serve = async {
                let mut socket = engine.accept().await;
                socket.set_nodelay(true).expect("no delay");
                read_request(&mut socket).await;
                for part in [&text[..cut], &text[cut..]] {
                    socket.write_all(part.as_bytes()).await.expect("written");
                    // The other side reads what there is.
                    tokio::task::yield_now().await;
                }
                if !goes_on {
                    socket.shutdown().await.expect("closed");
                }
                socket
            };
            let (got, _socket) = tokio::join!(engine.ask(), serve);
            assert_eq!(got, body, "{text} cut at {cut}");
            let kept = engine.pool().take().is_some();
            assert_eq!(kept, goes_on, "{text} cut at {cut}");
        }
    }
}

#[tokio::test]
async fn what_is_no_answer_is_told_as_one_by_the_engine() {
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "a".repeat(17_000));
    let twice = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok";
    for text in ["* OK IMAP4rev1\r\n\r\n", twice, &long] {
        let engine = Engine::start().await;
        let serve = async {
            let mut socket = engine.accept().await;
            read_request(&mut socket).await;
            // It may hang up in the middle.
            let _ = socket.write_all(text.as_bytes()).await;
            socket
        };
        let prompt = engine.prompt();
        let (answer, _socket) = tokio::join!(engine.upstream.send(&prompt), serve);
        let error = answer.expect_err("no answer");
        assert_eq!(error.kind, ErrorKind::EngineError, "{text}");
        assert!(error.message.contains("not HTTP/1.1"), "{}", error.message);
    }
}

#[tokio::test]
async fn a_chunk_without_a_length_ends_the_answer() {
    for rest in ["zz\r\nab\r\n", &"1".repeat(20_000)] {
        let engine = Engine::start().await;
        let (answer, mut socket) = begun(&engine).await;
        let send = async {
            let _ = socket.write_all(rest.as_bytes()).await;
        };
        let (collected, ()) = tokio::join!(answer.collect(), send);
        assert!(collected.is_err(), "{rest:.9}");
    }
}

/// An engine that refuses a prompt by its size answers without reading it, and closes.
#[tokio::test]
async fn an_answer_before_the_request_was_read_counts() {
    const REFUSAL: &[u8] = b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno";
    let engine = Engine::start().await;
    let prompt = engine.prompt_of(Bytes::from(vec![b' '; 16 << 20]));
    let serve = async {
        let mut socket = engine.accept().await;
        assert_ne!(socket.read(&mut [0; 1024]).await.expect("bytes"), 0);
        socket.write_all(REFUSAL).await.expect("written");
        socket
    };
    let (answer, socket) = tokio::join!(engine.upstream.send(&prompt), serve);
    let answer = answer.expect("an answer");
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let body = answer.into_body().collect().await.expect("a whole body");
    assert_eq!(body.to_bytes(), "no");
    assert!(engine.pool().take().is_none());
    drop(socket);
}

#[tokio::test]
async fn a_long_prompt_goes_out_whole() {
    let engine = Engine::start().await;
    let prompt = engine.prompt_of(Bytes::from(vec![b'x'; 4 << 20]));
    let serve = async {
        let mut socket = engine.accept().await;
        let mut text = Vec::new();
        while !text.windows(4).any(|w| w == b"\r\n\r\n") {
            socket.read_buf(&mut text).await.expect("bytes");
        }
        let head = text
            .windows(4)
            .position(|w| w == b"\r\n\r\n")
            .expect("a head")
            + 4;
        while text.len() < head + (4 << 20) {
            assert_ne!(socket.read_buf(&mut text).await.expect("bytes"), 0);
        }
        socket.write_all(ANSWER).await.expect("written");
        String::from_utf8(text[..head].to_vec()).expect("text")
    };
    let (answer, head) = tokio::join!(engine.upstream.send(&prompt), serve);
    assert_eq!(answer.expect("an answer").status(), StatusCode::OK);
    assert!(head.contains("\r\ncontent-length: 4194304\r\n"), "{head}");
    assert!(!head.contains("transfer-encoding"), "{head}");
    assert_eq!(head.matches("host: ").count(), 1, "{head}");
}
