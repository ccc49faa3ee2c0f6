//! Engines that go away, come back, or break off every answer.

use std::time::{Duration, Instant};

use crucible_sim::{Fault, FaultKind, Options};
use crucible_tests::{
    Crucible,
    chat::{body, open, post, post_as, stream},
    clean::{Metrics, clean},
    engines::{self, TRIO, Trio, until},
    rest::eventually,
    sse::Stream,
};

use super::{SHORT, after_three, assert_in_band, assert_refused};

#[tokio::test]
async fn an_engine_that_is_gone_is_told_at_once() {
    let long = "[timeouts]\nconnect = \"60s\"\n";
    let trio = Trio::with(long, |_| {}).await;
    let before = Metrics::of(&trio.crucible).await;
    let Trio {
        lmstudio,
        crucible,
        ollama: _ollama,
        openai: _openai,
    } = trio;
    lmstudio.stop().await;
    let mut asked = 0;
    let mut ask = async || {
        asked += 1;
        let since = Instant::now();
        let answer = post(&crucible, &body("qwen", "hi")).await;
        // A refused connection needs no timeout to be seen; the rest is a busy machine's.
        let took = since.elapsed();
        assert!(took < Duration::from_secs(30), "{took:?}: {}", answer.text);
        answer
    };
    // Nothing knows of it yet: the connection is refused.
    let first = ask().await;
    assert_refused(&first, 502, "engine_unreachable", "first");
    let down = loop {
        let answer = ask().await;
        if answer.code() == "no_engine" {
            break answer;
        }
        assert_refused(&answer, 502, "engine_unreachable", "until it is down");
    };
    assert_eq!(down.status, 503, "{}", down.text);
    let seconds: u64 = down.header("retry-after").parse().expect("seconds");
    assert!((1..=60).contains(&seconds));
    clean(&crucible, &before, asked, "llama").await;
}

#[tokio::test]
async fn streams_that_are_cut_open_the_breaker_and_one_that_ends_closes_it() {
    let trio = Trio::with(SHORT, |_| {}).await;
    for model in TRIO {
        let before = Metrics::of(&trio.crucible).await;
        let cut = || after_three(FaultKind::Cut).times(4);
        // Four in a row, an answer, four in a row: it stays closed.
        for _ in 0..2 {
            trio.of(model).arm(cut());
            for _ in 0..4 {
                let (_, answer) = stream(&trio.crucible, &body(model, "repeat 8")).await;
                assert_in_band(&answer, "engine_cut", model);
            }
            let (_, answer) = stream(&trio.crucible, &body(model, "repeat 8")).await;
            assert!(answer.done, "{}", answer.text);
        }
        let engine = match model {
            "qwen" => "lmstudio",
            "llama" => "ollama",
            _ => "openai",
        };
        // Told in the log, since it is over after a second.
        let opened = || {
            let log = trio.crucible.log();
            let line = format!("engine=\"{engine}\" before=Closed after=Open");
            log.contains(&line).then_some(())
        };
        assert_eq!(opened(), None, "{model}");
        // The fifth opens it, where not all are one client's.
        trio.of(model).arm(cut().times(5));
        for _ in 0..4 {
            let (_, answer) = stream(&trio.crucible, &body(model, "repeat 8")).await;
            assert_in_band(&answer, "engine_cut", model);
        }
        let mut last = body(model, "repeat 8");
        last["stream"] = true.into();
        let answer = post_as(&trio.crucible, "another", &last).await;
        assert!(answer.text.contains("engine_cut"), "{}", answer.text);
        eventually("the breaker opens", || async { opened() }).await;
        let mut asked = 15;
        eventually("a probe ends well", || {
            asked += 1;
            async {
                let response = open(&trio.crucible, &body(model, "repeat 8")).await;
                if response.status() != 200 {
                    return None;
                }
                Stream::read(response).await.done.then_some(())
            }
        })
        .await;
        clean(&trio.crucible, &before, asked, model).await;
    }
}

/// They counted as answers, so a hung engine was asked by everybody, each for the whole budget.
#[tokio::test]
async fn an_engine_that_takes_requests_and_says_nothing_opens_the_breaker() {
    let sim = engines::start(Options::openai(&["plain=1GB"])).await;
    let short = "[timeouts]\nfirst_token = \"200ms\"\n";
    let crucible = Crucible::start(&format!(
        "{short}{}",
        engines::engine("openai", "openai", &sim.url())
    ));
    // Crucible's own questions are among them.
    sim.arm(Fault::new(FaultKind::NoHeaders).times(1000));
    for n in 1..=5 {
        let mut request = body("plain", "hi");
        request["stream"] = true.into();
        let answer = post(&crucible, &request).await;
        assert_eq!(answer.code(), "first_token_timeout", "{n}: {}", answer.text);
        // From the second silence of one client on, Crucible asks itself. Its question proves
        // something where no other request waits beside it.
        if n == 2 {
            eventually("Crucible asked itself", || async {
                let log = crucible.log();
                log.contains("asked for one token").then_some(())
            })
            .await;
        }
    }
    eventually("the breaker opens", || async {
        let log = crucible.log();
        log.contains("before=Closed after=Open").then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_engine_that_comes_back_is_used_again() {
    let options = |port| {
        let mut options = Options::openai(&["plain=1GB"]);
        options.rate = 20;
        options.port = port;
        options
    };
    let sim = engines::start(options(0)).await;
    let port = sim.port();
    let crucible = Crucible::start(&engines::engine("openai", "openai", &sim.url()));
    let before = Metrics::of(&crucible).await;
    let response = open(&crucible, &body("plain", "repeat 1000")).await;
    assert_eq!(response.status(), 200);
    until(&sim, "a running answer", |log| log.in_flight == 1).await;
    sim.stop().await;
    let cut = Stream::read(response).await;
    assert_in_band(&cut, "engine_cut", "killed");
    let _again = engines::start(options(port)).await;
    let mut asked = 1;
    eventually("the engine answers again", || {
        asked += 1;
        async {
            let answer = post(&crucible, &body("plain", "repeat 1")).await;
            assert!(matches!(answer.status, 200 | 502 | 503), "{}", answer.text);
            (answer.status == 200).then_some(())
        }
    })
    .await;
    let after = clean(&crucible, &before, asked, "plain").await;
    let cuts = after.sum(
        "crucible_stream_aborted_total",
        &[("cause", "upstream_cut")],
    );
    assert_eq!(
        cuts,
        1.0,
        "{}",
        after.family("crucible_stream_aborted_total")
    );
    let kinds = after.sum("crucible_upstream_errors_total", &[("kind", "truncated")]);
    assert_eq!(
        kinds,
        1.0,
        "{}",
        after.family("crucible_upstream_errors_total")
    );
}
