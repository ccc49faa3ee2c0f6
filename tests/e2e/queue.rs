//! Overload: as many run as have a permit, as many wait as fit, and the rest is told when to come
//! back.

use std::time::{Duration, Instant};

use crucible_sim::Options;
use crucible_tests::{
    Crucible,
    chat::{body, open, post},
    clean::{Metrics, clean, queued, waiting},
    engines::{self, Trio, client, until},
};
use tokio::task::JoinSet;

/// What one of many was told.
struct Told {
    status: u16,
    /// The seconds of `Retry-After`.
    retry: Option<u64>,
    text: String,
}

impl Told {
    /// The queue was full, and it is said when to come back.
    fn was_sent_away(&self) {
        let Self {
            status,
            retry,
            text,
        } = self;
        assert_eq!(*status, 429, "{text}");
        assert!(text.contains("queue_full"), "{text}");
        assert!(
            retry.is_some_and(|seconds| (1..=60).contains(&seconds)),
            "{retry:?}"
        );
    }
}

/// Sends so many requests without waiting for one of them.
fn at_once(crucible: &Crucible, count: usize) -> JoinSet<Told> {
    let client = client();
    let mut asked = JoinSet::new();
    for _ in 0..count {
        let send = client
            .post(crucible.at("/v1/chat/completions"))
            .json(&body("llama", "repeat 1"));
        asked.spawn(async move {
            let response = send.send().await.expect("an answer");
            let retry = response
                .headers()
                .get("retry-after")
                .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
            Told {
                status: response.status().as_u16(),
                retry,
                text: response.text().await.expect("a body"),
            }
        });
    }
    asked
}

#[tokio::test]
async fn a_thousand_at_once_are_two_running_ten_waiting_and_the_rest_refused() {
    let mut options = Options::ollama(&["llama=1GB"]);
    options.parallel = 16;
    options.rate = 50;
    let sim = engines::start(options).await;
    let crucible = Crucible::start(&format!(
        "[limits]\nconnections = 2000\n{}permits = 2\nqueue = 10\n",
        engines::engine("ollama", "ollama", &sim.url())
    ));
    assert_eq!(
        post(&crucible, &body("llama", "repeat 1")).await.status,
        200
    );
    sim.reset();
    let before = Metrics::of(&crucible).await;
    let holders = [
        open(&crucible, &body("llama", "repeat 100000")).await,
        open(&crucible, &body("llama", "repeat 100000")).await,
    ];
    let mut others = at_once(&crucible, 998);
    let began = Instant::now();
    for _ in 0..988 {
        others
            .join_next()
            .await
            .expect("one")
            .expect("a task")
            .was_sent_away();
    }
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(waiting(&crucible).await, 10);
    assert_eq!(sim.log().peak_in_flight, 2);
    drop(holders);
    while let Some(answer) = others.join_next().await {
        let Told { status, text, .. } = answer.expect("a task");
        assert_eq!(status, 200, "{text}");
    }
    assert_eq!(sim.log().peak_in_flight, 2);
    let after = clean(&crucible, &before, 1000, "llama").await;
    let rejected = after.sum("crucible_rejected_total", &[("reason", "queue_full")]);
    assert_eq!(
        rejected,
        988.0,
        "{}",
        after.family("crucible_rejected_total")
    );
}

/// Six wait for one permit, each with its session; the order in which the engine was asked.
async fn order_of(sessions: [Option<&str>; 6]) -> Vec<String> {
    let trio = Trio::with("", |options| options.rate = 50).await;
    let before = Metrics::of(&trio.crucible).await;
    let holders = [
        open(&trio.crucible, &body("llama", "repeat 100000")).await,
        open(&trio.crucible, &body("llama", "repeat 100000")).await,
    ];
    let mut tasks = Vec::new();
    for (i, session) in sessions.into_iter().enumerate() {
        let mut send = client()
            .post(trio.crucible.at("/v1/chat/completions"))
            .json(&body("llama", &format!("turn{i} repeat 1")));
        if let Some(session) = session {
            send = send.header("x-session-id", session);
        }
        tasks.push(tokio::task::spawn(async move {
            send.send().await.expect("an answer").status()
        }));
        queued(&trio.crucible, i + 1).await;
    }
    let [first, second] = holders;
    // One permit only, so that the order of arrival is the order of grants.
    drop(first);
    for task in tasks {
        assert_eq!(task.await.expect("a task"), 200);
    }
    drop(second);
    let log = until(&trio.ollama, "all", |log| log.in_flight == 0).await;
    let first_word = |body: &serde_json::Value| {
        let said = body["messages"][0]["content"].as_str()?;
        said.split(' ').next().map(str::to_owned)
    };
    let asked = engines::asked(&log);
    let words = asked.iter().filter_map(first_word);
    let turns = words.filter(|word| word.starts_with("turn")).collect();
    clean(&trio.crucible, &before, 8, "llama").await;
    turns
}

#[tokio::test]
async fn those_who_wait_go_in_their_order() {
    assert_eq!(
        order_of([None; 6]).await,
        ["turn0", "turn1", "turn2", "turn3", "turn4", "turn5"]
    );
}

#[tokio::test]
async fn who_goes_on_with_a_prompt_that_is_still_warm_goes_first() {
    let sessions = [Some("a"), Some("b"), Some("c"), Some("a"), Some("c"), None];
    assert_eq!(
        order_of(sessions).await,
        ["turn0", "turn3", "turn1", "turn2", "turn4", "turn5"]
    );
}

#[tokio::test]
async fn a_wait_has_its_limit() {
    let toml = "[timeouts]\nqueue = \"1s\"\n";
    let trio = Trio::with(toml, |options| options.rate = 20).await;
    let before = Metrics::of(&trio.crucible).await;
    let holders = [
        open(&trio.crucible, &body("llama", "repeat 100000")).await,
        open(&trio.crucible, &body("llama", "repeat 100000")).await,
    ];
    let answer = post(&trio.crucible, &body("llama", "repeat 1")).await;
    assert_eq!(
        (answer.status, answer.code()),
        (503, "queue_timeout"),
        "{}",
        answer.text
    );
    let seconds: u64 = answer.header("retry-after").parse().expect("seconds");
    assert!((1..=60).contains(&seconds));
    drop(holders);
    clean(&trio.crucible, &before, 3, "llama").await;
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_engine_back_and_then_ends() {
    use crucible_sim::{Fault, FaultKind};
    use tokio::io::AsyncWriteExt as _;

    let toml = "[timeouts]\nclient_stall = \"2s\"\nidle = \"60s\"\n";
    let trio = Trio::with(toml, |_| {}).await;
    let before = Metrics::of(&trio.crucible).await;
    // More than the sockets between the engine and the client can hold.
    trio.openai.arm(
        Fault::new(FaultKind::BigEvent)
            .after_events(3)
            .after_bytes(7_000_000),
    );
    let base = rss(&trio.crucible);
    let body = body("plain", "repeat 100000").to_string();
    let body = body.replacen('{', "{\"stream\":true,", 1);
    let mut socket = tokio::net::TcpStream::connect(trio.crucible.addr())
        .await
        .expect("a connection");
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    socket
        .write_all(format!("{head}{body}").as_bytes())
        .await
        .expect("it is taken");
    let log = until(&trio.openai, "the end of it", |log| {
        !log.disconnects.is_empty()
    })
    .await;
    assert!(log.disconnects[0].tokens < 100_000, "{:?}", log.disconnects);
    let grown = rss(&trio.crucible).saturating_sub(base);
    assert!(grown < 64 * 1024, "{grown} KiB more");
    clean(&trio.crucible, &before, 1, "plain").await;
    drop(socket);
}

/// Resident memory in KiB.
fn rss(crucible: &Crucible) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", crucible.pid()))
        .expect("the process lives");
    status
        .lines()
        .find_map(|line| {
            line.strip_prefix("VmRSS:")?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .expect("its resident memory")
}
