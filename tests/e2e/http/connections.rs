//! Connections: kept, counted, bounded, and left by clients that do not read.

use std::time::{Duration, Instant};

use crucible_sim::Options;
use crucible_tests::{
    chat::{body, get, post},
    engines::{client, until},
    raw::{Answer, read},
    rest::{at_rest, eventually, json_of, metric},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{Edge, QUIET, SHORT, chat, statuses, whole_answer};

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
    // Twice the header clock, in which the connection must stay.
    let idle = read(&mut stream, Duration::from_secs(2)).await;
    assert!(!idle.closed, "{idle:?}");
    stream.write_all(ask).await.expect("it is open");
    assert!(whole_answer(&mut stream).await.starts_with("HTTP/1.1 200 "));
    // But a second header must not drip either.
    stream.write_all(b"GET /").await.expect("it is open");
    let answer = read(&mut stream, QUIET).await;
    assert_eq!(answer.status(), 408, "{}", answer.text);
    assert!(answer.closed);
}

const ASK: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// So many connections that say this.
async fn hold(edge: &Edge, count: u64, say: &[u8], answered: bool) -> Vec<TcpStream> {
    let mut held = Vec::new();
    for _ in 0..count {
        let mut stream = edge.connect().await;
        stream.write_all(say).await.expect("written");
        if answered {
            whole_answer(&mut stream).await;
        }
        held.push(stream);
    }
    eventually("they are open", || async {
        let now = scrape(edge, "crucible_connections_open").await;
        (now >= count).then_some(())
    })
    .await;
    held
}

/// A number of `/metrics`, asked at the second listener.
async fn scrape(edge: &Edge, name: &str) -> u64 {
    let url = edge.crucible.metrics_url().expect("a second listener");
    let answer = client().get(format!("{url}/metrics")).send().await;
    let text = answer.expect("an answer").text().await.expect("text");
    crucible_tests::rest::sample(&text, name)
}

fn told(edge: &Edge) -> usize {
    edge.crucible
        .log()
        .matches("limits.connections are taken")
        .count()
}

fn places(count: u64) -> String {
    format!("metrics_listen = \"127.0.0.1:0\"\n[limits]\nconnections = {count}\n")
}

#[tokio::test]
async fn the_connection_that_was_idle_for_longest_makes_room_for_a_new_one() {
    let edge = Edge::start(&places(3)).await;
    let fresh = Duration::ZERO;
    // Longer than a connection keeps what reads requests.
    let rested = Duration::from_millis(600);
    for (say, answered, wait) in [
        (ASK, true, fresh),
        (ASK, true, rested),
        (b"", false, fresh),
        (b"", false, rested),
    ] {
        let what = format!("{say:?} {answered} {wait:?}");
        let mut held = hold(&edge, 3, say, answered).await;
        tokio::time::sleep(wait).await;
        // The first speaks again, so that the second is idle for longest.
        held[0].write_all(ASK).await.expect("it is open");
        whole_answer(&mut held[0]).await;
        let evicted = scrape(&edge, "crucible_connections_evicted_total").await;
        let mut fourth = edge.connect().await;
        fourth
            .write_all(chat("").as_bytes())
            .await
            .expect("written");
        let answer = whole_answer(&mut fourth).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{what}: {answer}");
        let second = read(&mut held[1], QUIET).await;
        assert!(
            second.closed && second.text.is_empty(),
            "{what}: {second:?}"
        );
        assert_eq!(
            scrape(&edge, "crucible_connections_evicted_total").await,
            evicted + 1
        );
        held.remove(1);
        held.push(fourth);
        for stream in &mut held {
            stream.write_all(ASK).await.expect("it is open");
            assert!(
                whole_answer(stream).await.starts_with("HTTP/1.1 200 "),
                "{what}"
            );
        }
        drop(held);
        eventually("all connections closed", || async {
            (scrape(&edge, "crucible_connections_open").await == 0).then_some(())
        })
        .await;
    }
    assert!(told(&edge) >= 1, "{}", edge.crucible.log());
}

/// The time in which a head that has begun keeps its place.
const HEAD_SLOW: Duration = Duration::from_millis(250);

/// The answer to a newcomer while the two places are taken by those who `say` this: where it is the beginning of a
/// head, by two that have just begun and were read, on a busy machine by the next two.
async fn while_full(edge: &Edge, say: &[u8], held: &mut Vec<TcpStream>, ask: &str) -> Answer {
    if say.starts_with(b"POST") {
        return edge.say(ask).await;
    }
    for _ in 0..200 {
        held.clear();
        eventually("the places are free", || async {
            (scrape(edge, "crucible_connections_open").await == 0).then_some(())
        })
        .await;
        let began = Instant::now();
        *held = hold(edge, 2, say, false).await;
        let full = edge.say(&chat("Connection: close\r\n")).await.status() == 503;
        let answer = edge.say(ask).await;
        if full && began.elapsed() < HEAD_SLOW {
            return answer;
        }
    }
    panic!("this machine is too busy to tell");
}

async fn health_is_answered(edge: &Edge, say: &[u8], held: &mut Vec<TcpStream>) {
    for path in ["/healthz", "/readyz", "/metrics"] {
        let ask = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let answer = while_full(edge, say, held, &ask).await;
        assert_eq!(answer.status(), 200, "{path}: {}", answer.text);
        assert!(answer.closed, "{path}");
    }
}

/// Each is told to come back, and a second request behind it is not read.
async fn newcomers_are_refused(edge: &Edge, say: &[u8], held: &mut Vec<TcpStream>) {
    let models = "GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for ask in [chat(""), models.to_owned()] {
        // Behind it a second request, which nobody is to answer.
        let answer = while_full(edge, say, held, &(ask + &chat(""))).await;
        assert_eq!(statuses(&answer.text), [503], "{}", answer.text);
        assert!(answer.closed, "{}", answer.text);
        assert!(
            answer.text.contains("retry-after: 1\r\n"),
            "{}",
            answer.text
        );
        assert!(answer.text.contains("x-request-id: "), "{}", answer.text);
        let code = &json_of(&answer.text)["error"]["code"];
        assert_eq!(code, "too_many_connections", "{}", answer.text);
    }
}

#[tokio::test]
async fn where_no_connection_is_idle_a_newcomer_is_told_so_and_health_is_answered() {
    let mut options = Options::lmstudio(&["qwen=1GB"]);
    options.rate = 20;
    options.parallel = 4;
    let edge = Edge::with(&places(2), options).await;
    // A request whose answer runs, and the beginning of a head: neither is idle.
    let mut body = body("qwen", "repeat 100000");
    body["stream"] = true.into();
    let body = body.to_string();
    let running = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let slow = &b"GET /healthz HTTP/1.1\r\nHost: lo"[..];
    for say in [running.as_bytes(), slow] {
        let mut held = hold(&edge, 2, say, false).await;
        if say != slow {
            for stream in &mut held {
                let mut first = [0; 15];
                stream.read_exact(&mut first).await.expect("an answer");
                assert_eq!(&first, b"HTTP/1.1 200 OK");
            }
        }
        let (before, began) = (told(&edge), Instant::now());
        health_is_answered(&edge, say, &mut held).await;
        newcomers_are_refused(&edge, say, &mut held).await;
        // Silent ones beyond the bound keep nobody out.
        let mut silent = Vec::new();
        for _ in 0..100 {
            silent.push(edge.connect().await);
        }
        let answer = edge.say(ASK).await;
        assert_eq!(answer.status(), 200, "{}", answer.text);
        // More than a hundred newcomers, and at most a line a second.
        let lines = u64::try_from(told(&edge) - before).expect("few");
        let most = began.elapsed().as_secs() + 2;
        assert!(lines <= most, "{}", edge.crucible.log());
        drop((held, silent));
        eventually("there is room again", || async {
            let answer = edge.say(&(chat("Connection: close\r\n"))).await;
            (answer.status() == 200).then_some(())
        })
        .await;
    }
    assert!(told(&edge) >= 1, "{}", edge.crucible.log());
    assert!(scrape(&edge, "crucible_rejected_total").await >= 4);
}

#[tokio::test]
async fn a_flood_of_half_sent_heads_keeps_nobody_waiting_for_long() {
    let edge = Edge::start(&places(200)).await;
    let mut held = Vec::new();
    for _ in 0..800 {
        let mut stream = edge.connect().await;
        // Some are closed by then, for those that come after them.
        let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: lo").await;
        held.push(stream);
    }
    let began = Instant::now();
    for ask in [ASK.to_vec(), chat("").into_bytes()] {
        let mut stream = edge.connect().await;
        stream.write_all(&ask).await.expect("written");
        let answer = whole_answer(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        held.push(stream);
    }
    // 250 ms for each 32 of them would be 4.4 s.
    let took = began.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert!(scrape(&edge, "crucible_connections_evicted_total").await >= 500);
    drop(held);
}

#[tokio::test]
async fn scrapers_have_places_of_their_own_that_never_run_out() {
    let edge = Edge::start("metrics_listen = \"127.0.0.1:0\"\n").await;
    let url = edge.crucible.metrics_url().expect("a second listener");
    let addr = url.trim_start_matches("http://").to_owned();
    let mut held = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(&addr).await.expect("a connection");
        stream.write_all(ASK).await.expect("written");
        assert!(whole_answer(&mut stream).await.starts_with("HTTP/1.1 200 "));
        held.push(stream);
    }
    // The first gave their places to the last.
    assert!(read(&mut held[0], QUIET).await.closed);
    // Scrapers are no clients.
    for clients in [
        "crucible_connections_open",
        "crucible_connections_evicted_total",
    ] {
        assert_eq!(scrape(&edge, clients).await, 0, "{clients}");
    }
    assert_eq!(get(&edge.crucible, "/healthz").await.status, 200);
}

#[tokio::test]
async fn the_beginning_of_a_head_behind_a_request_has_the_clock_of_a_head() {
    let edge = Edge::start(SHORT).await;
    let mut stream = edge.connect().await;
    let both = [ASK, b"GET /healthz HT"].concat();
    stream.write_all(&both).await.expect("written");
    whole_answer(&mut stream).await;
    let answer = read(&mut stream, QUIET).await;
    assert_eq!(answer.status(), 408, "{}", answer.text);
    assert!(answer.closed);
    // One that goes on in time is answered.
    let edge = Edge::start("[timeouts]\nheader = \"60s\"\n").await;
    let mut stream = edge.connect().await;
    stream.write_all(&both).await.expect("written");
    whole_answer(&mut stream).await;
    // The client's pace.
    let early = read(&mut stream, Duration::from_millis(250)).await;
    assert!(!early.closed && early.text.is_empty(), "{early:?}");
    stream
        .write_all(b"TP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .expect("written");
    assert!(whole_answer(&mut stream).await.starts_with("HTTP/1.1 200 "));
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
