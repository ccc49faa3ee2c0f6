//! HTTP/1.1 at the edge: framing, clocks, bounds, spellings of paths; and nothing stays behind.

mod bounds;
mod connections;
mod framing;
mod half_closed;
mod no_requests;
mod paths;
mod proxied;
mod slow_readers;
mod uploads;

use std::time::Duration;

use crucible_sim::{Options, Sim};
use crucible_tests::{
    Crucible,
    chat::body,
    engines::{engine, start},
    process::PATIENCE,
    raw::{Answer, talk},
    rest::json_of,
};
use tokio::{io::AsyncReadExt as _, net::TcpStream};

/// Longer than any refusal takes; a closed connection ends the wait at once.
const QUIET: Duration = Duration::from_secs(10);

/// Clocks and bounds that a test can wait for, and that a busy machine does not run out by itself.
const SHORT: &str = "[timeouts]\nheader = \"1s\"\nbody = \"1s\"\nclient_stall = \"1s\"\n\
                     [limits]\nbody = \"64KB\"\nheader = \"8KB\"\n";

struct Edge {
    sim: Sim,
    crucible: Crucible,
}

impl Edge {
    async fn start(toml: &str) -> Self {
        Self::with(toml, Options::lmstudio(&["qwen=1GB"])).await
    }

    async fn with(toml: &str, options: Options) -> Self {
        let sim = start(options).await;
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
