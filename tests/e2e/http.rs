//! HTTP/1.1 at the edge: framing, clocks, bounds, spellings of paths; and nothing stays behind.

use std::{io::Write as _, time::Duration};

use crucible_sim::{Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{Whole, body, get, post, whole},
    engines::{Both, asked, client, engine, start, until},
    process::PATIENCE,
    raw::{Answer, read, talk},
    rest::{at_rest, eventually, json_of, metric},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Longer than any refusal takes; a closed connection ends the wait at once.
const QUIET: Duration = Duration::from_secs(10);

/// Clocks and bounds that a test can wait for.
const SHORT: &str = "[timeouts]\nheader = \"300ms\"\nbody = \"300ms\"\nclient_stall = \"500ms\"\n\
                     [limits]\nbody = \"64KB\"\nheader = \"8KB\"\n";

struct Edge {
    sim: Sim,
    crucible: Crucible,
}

impl Edge {
    async fn start(toml: &str) -> Self {
        let sim = start(Options::lmstudio(&["qwen=1GB"])).await;
        let crucible = Crucible::start(&format!(
            "{toml}\n{}",
            engine("lmstudio", "lmstudio", &sim.url())
        ));
        Self { sim, crucible }
    }

    async fn say(&self, bytes: impl AsRef<[u8]>) -> Answer {
        talk(self.crucible.addr(), bytes.as_ref(), QUIET).await
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.crucible.addr())
            .await
            .expect("a connection")
    }
}

/// A whole chat request as bytes.
fn chat(more: &str) -> String {
    let body = body("qwen", "repeat 1").to_string();
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n{more}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The status lines of the answers on one connection.
fn statuses(text: &str) -> Vec<u16> {
    text.split("HTTP/1.1 ")
        .skip(1)
        .filter_map(|rest| rest.get(..3)?.parse().ok())
        .collect()
}

fn assert_refused(answer: &Answer, status: u16, code: &str, what: &str) {
    assert_eq!(answer.status(), status, "{what}: {}", answer.text);
    assert!(answer.closed, "{what}: the connection is closed");
    let error = &json_of(&answer.text)["error"];
    assert_eq!(error["code"], code, "{what}: {}", answer.text);
    assert_eq!(error["type"], "invalid_request_error", "{what}");
    assert!(
        error["message"].as_str().is_some_and(|m| m.len() > 10),
        "{what}: {}",
        answer.text
    );
}

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

/// One answer with a Content-Length, leaving the connection open.
async fn whole_answer(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut byte = [0];
    let more = |text: &str| {
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            return true;
        };
        let length = head.lines().find_map(|line| {
            line.to_lowercase()
                .strip_prefix("content-length: ")?
                .parse()
                .ok()
        });
        body.len() < length.unwrap_or(0)
    };
    while more(&text) {
        let n = tokio::time::timeout(PATIENCE, stream.read(&mut byte))
            .await
            .expect("an answer in time")
            .expect("it is open");
        assert_eq!(n, 1, "the connection ended: {text}");
        text.push(char::from(byte[0]));
    }
    text
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
