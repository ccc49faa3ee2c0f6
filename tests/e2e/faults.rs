//! Engines that fail in every way the simulators know: what the client is told, and that nothing
//! is left over.

use std::time::{Duration, Instant};

use crucible_sim::{Fault, FaultKind, Options};
use crucible_tests::{
    Crucible,
    chat::{Whole, body, get, open, post, stream, whole},
    clean::{Metrics, clean, settled},
    engines::{self, TRIO, Trio, until},
    rest::{eventually, ready},
    scripted::{Leave, Script, Scripted},
    sse::Stream,
};

/// Long enough for a busy machine, short enough for a test.
const SHORT: &str = "[timeouts]\nfirst_token = \"2s\"\nidle = \"2s\"\nresponse = \"2s\"\n";

/// What the client is told.
#[derive(Clone, Copy, Debug)]
enum Told {
    /// The whole answer.
    Answer,
    /// A status and a code.
    Status(u16, &'static str),
    /// Part of the answer, then an event with this code.
    InBand(&'static str),
}

fn streamed(model: &str, fault: FaultKind) -> Told {
    let ollama = model == "llama";
    match fault {
        FaultKind::NoHeaders | FaultKind::CommentsOnly => Told::Status(504, "first_token_timeout"),
        FaultKind::Stall => Told::InBand("idle_timeout"),
        FaultKind::Cut | FaultKind::Eof => Told::InBand("engine_cut"),
        FaultKind::ErrorEvent => Told::InBand("engine_error"),
        FaultKind::EmptyStream if ollama => Told::Status(502, "engine_cut"),
        FaultKind::Garbage if ollama => Told::InBand("engine_error"),
        FaultKind::Http503 => Told::Status(503, "no_engine"),
        FaultKind::Http429 => Told::Status(429, "queue_full"),
        FaultKind::BareError
        | FaultKind::Error200
        | FaultKind::EmptyStream
        | FaultKind::Http500
        | FaultKind::Redirect
        | FaultKind::Html => Told::Status(502, "engine_error"),
        _ => Told::Answer,
    }
}

fn unstreamed(model: &str, fault: FaultKind) -> Told {
    let ollama = model == "llama";
    match fault {
        // Ollama is always asked to stream, so its clocks are a stream's.
        FaultKind::NoHeaders if ollama => Told::Status(504, "first_token_timeout"),
        FaultKind::Stall if ollama => Told::Status(504, "idle_timeout"),
        FaultKind::NoHeaders | FaultKind::Stall => Told::Status(504, "response_timeout"),
        FaultKind::Cut => Told::Status(502, "engine_cut"),
        FaultKind::Garbage => Told::Status(502, "engine_error"),
        fault => match streamed(model, fault) {
            Told::InBand(code) => Told::Status(502, code),
            told => told,
        },
    }
}

fn assert_refused(answer: &Whole, status: u16, code: &str, what: &str) {
    assert_eq!(
        (answer.status, answer.code()),
        (status, code),
        "{what}: {}",
        answer.text
    );
    for key in ["message", "type"] {
        assert!(answer.json["error"][key].is_string(), "{}", answer.text);
    }
    assert!(!answer.text.contains("127.0.0.1"), "{}", answer.text);
}

fn assert_in_band(answer: &Stream, code: &str, what: &str) {
    let error = answer
        .error()
        .unwrap_or_else(|| panic!("{what}: {}", answer.text));
    assert_eq!(error["code"], code, "{what}: {}", answer.text);
    assert!(!answer.done && !answer.broken, "{what}: {}", answer.text);
    assert!(answer.text.ends_with("\n\n"), "{what}: {}", answer.text);
    assert!(
        answer.content().starts_with("word0"),
        "{what}: {}",
        answer.text
    );
    assert!(
        answer.events.last().expect("events").get("error").is_some(),
        "{what}"
    );
}

async fn run(trio: &Trio, model: &str, fault: Fault, stream: bool) {
    let what = format!("{:?} on {model}, stream {stream}", fault.kind);
    let before = Metrics::of(&trio.crucible).await;
    let sim = trio.of(model);
    sim.reset();
    let kind = fault.kind;
    sim.arm(fault);
    let want = body(model, "repeat 8");
    if stream {
        let response = open(&trio.crucible, &want).await;
        match streamed(model, kind) {
            Told::Status(status, code) => {
                assert_refused(&whole(response).await, status, code, &what);
            }
            Told::InBand(code) => {
                assert_eq!(response.status(), 200, "{what}");
                assert_in_band(&Stream::read(response).await, code, &what);
            }
            Told::Answer => {
                assert_eq!(response.status(), 200, "{what}");
                let text = whole(response).await.text;
                assert!(text.contains("word7"), "{what}: {text}");
                assert!(text.trim_end().ends_with("data: [DONE]"), "{what}: {text}");
            }
        }
    } else {
        let answer = post(&trio.crucible, &want).await;
        match unstreamed(model, kind) {
            Told::Status(status, code) => assert_refused(&answer, status, code, &what),
            told => {
                assert_eq!(answer.status, 200, "{what} {told:?}: {}", answer.text);
                assert!(
                    answer.content().ends_with("word7"),
                    "{what}: {}",
                    answer.text
                );
            }
        }
    }
    assert_eq!(
        sim.log().faults.len(),
        1,
        "{what} acted: {:?}",
        sim.log().faults
    );
    sim.reset();
    clean(&trio.crucible, &before, 1, model).await;
}

async fn everywhere(faults: &[Fault], streams: &[bool]) {
    let trio = Trio::with(SHORT, |_| {}).await;
    for fault in faults {
        for model in TRIO {
            for stream in streams {
                run(&trio, model, fault.clone(), *stream).await;
            }
        }
    }
}

fn after_three(kind: FaultKind) -> Fault {
    Fault::new(kind).after_events(3)
}

#[tokio::test]
async fn an_engine_that_never_answers_is_given_up() {
    everywhere(&[Fault::new(FaultKind::NoHeaders)], &[true, false]).await;
}

#[tokio::test]
async fn slow_headers_and_short_pauses_are_waited_for() {
    let pause = after_three(FaultKind::Stall).delay_ms(300);
    let trio = Trio::with(SHORT, |_| {}).await;
    for model in TRIO {
        for fault in [
            Fault::new(FaultKind::SlowHeaders).delay_ms(300),
            pause.clone(),
        ] {
            let before = Metrics::of(&trio.crucible).await;
            trio.of(model).arm(fault);
            let (_, answer) = stream(&trio.crucible, &body(model, "repeat 8")).await;
            assert!(answer.done && answer.error().is_none(), "{}", answer.text);
            assert!(answer.content().ends_with("word7"), "{}", answer.text);
            clean(&trio.crucible, &before, 1, model).await;
        }
    }
}

#[tokio::test]
async fn a_stalled_answer_ends_with_an_error() {
    everywhere(&[after_three(FaultKind::Stall)], &[true, false]).await;
}

#[tokio::test]
async fn a_cut_answer_is_never_taken_for_a_whole_one() {
    everywhere(&[after_three(FaultKind::Cut)], &[true, false]).await;
    everywhere(&[after_three(FaultKind::Eof)], &[true]).await;
}

#[tokio::test]
async fn an_error_inside_an_answer_is_told() {
    everywhere(&[after_three(FaultKind::ErrorEvent)], &[true]).await;
    let trio = Trio::with(SHORT, |_| {}).await;
    for model in TRIO {
        let before = Metrics::of(&trio.crucible).await;
        trio.of(model)
            .arm(Fault::new(FaultKind::ErrorEvent).after_events(0));
        let response = open(&trio.crucible, &body(model, "repeat 8")).await;
        assert_refused(&whole(response).await, 502, "engine_error", model);
        clean(&trio.crucible, &before, 1, model).await;
    }
}

#[tokio::test]
async fn errors_instead_of_an_answer_keep_a_status() {
    everywhere(
        &[
            Fault::new(FaultKind::BareError),
            Fault::new(FaultKind::Error200),
            Fault::new(FaultKind::EmptyStream),
            Fault::new(FaultKind::Http500),
            Fault::new(FaultKind::Http503),
            Fault::new(FaultKind::Redirect),
            Fault::new(FaultKind::Html),
        ],
        &[true, false],
    )
    .await;
}

#[tokio::test]
async fn the_time_to_come_back_is_passed_on() {
    let trio = Trio::with(SHORT, |_| {}).await;
    for model in TRIO {
        for stream in [true, false] {
            let before = Metrics::of(&trio.crucible).await;
            trio.of(model)
                .arm(Fault::new(FaultKind::Http429).delay_ms(7000));
            let mut want = body(model, "repeat 1");
            want["stream"] = stream.into();
            let answer = post(&trio.crucible, &want).await;
            assert_refused(&answer, 429, "queue_full", model);
            assert_eq!(answer.header("retry-after"), "7");
            settled(&trio.crucible, &before, 1).await;
        }
    }
}

#[tokio::test]
async fn malformed_events_pass_or_end_by_engine() {
    everywhere(&[after_three(FaultKind::Garbage)], &[true, false]).await;
}

#[tokio::test]
async fn comments_alone_are_no_answer() {
    everywhere(
        &[Fault::new(FaultKind::CommentsOnly)
            .after_events(0)
            .delay_ms(100)],
        &[true],
    )
    .await;
}

#[tokio::test]
async fn an_engine_that_is_gone_is_told_at_once() {
    let trio = Trio::with("", |_| {}).await;
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
        assert!(took < Duration::from_secs(2), "{took:?}: {}", answer.text);
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

/// An OpenAI server with the model `plain` whose chat answers are `chat`.
async fn scripted(chat: Script) -> (Scripted, Crucible) {
    let list = r#"{"object":"list","data":[{"id":"plain","object":"model"}]}"#;
    let engine = Scripted::start(move |path| match path {
        "/v1/models" => Script::json("200 OK", "", list),
        "/v1/chat/completions" => chat.clone(),
        _ => Script::json("404 Not Found", "", "{}"),
    })
    .await;
    let crucible = Crucible::start(&engines::engine("plain", "openai", &engine.url()));
    ready(&crucible).await;
    (engine, crucible)
}

#[tokio::test]
async fn a_redirect_is_followed_to_nowhere() {
    for status in [
        "301 Moved Permanently",
        "302 Found",
        "303 See Other",
        "307 Temporary Redirect",
        "308 Permanent Redirect",
    ] {
        let canary = Scripted::canary().await;
        let location = format!("Location: {}/v1/chat/completions\r\n", canary.url());
        let (_engine, crucible) = scripted(Script::json(status, &location, "")).await;
        for stream in [true, false] {
            let mut want = body("plain", "hi");
            want["stream"] = stream.into();
            let answer = post(&crucible, &want).await;
            assert_refused(&answer, 502, "engine_error", status);
            assert_eq!(answer.header("location"), "", "{status}");
        }
        assert_eq!(canary.calls(), 0, "{status}");
    }
}

#[tokio::test]
async fn a_redirected_poll_finds_no_engine() {
    let canary = Scripted::canary().await;
    let location = format!("Location: {}/\r\n", canary.url());
    let engine =
        Scripted::start(move |_| Script::json("307 Temporary Redirect", &location, "")).await;
    for kind in ["openai", "ollama", "lmstudio", "llamacpp"] {
        let crucible = Crucible::start(&engines::engine("moved", kind, &engine.url()));
        let polled = eventually("a failed poll", || async {
            let state = get(&crucible, "/crucible/state").await.json;
            (state["engines"][0]["state"] == "down").then_some(state)
        })
        .await;
        assert!(
            polled["engines"][0]["error"].is_string(),
            "{kind}: {polled}"
        );
    }
    assert!(engine.calls() >= 4, "{}", engine.calls());
    assert_eq!(canary.calls(), 0);
}

#[tokio::test]
async fn a_reset_connection_ends_with_one_error() {
    let event = |text: &str| {
        let data = format!(
            "data: {{\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"created\":1,\
             \"model\":\"plain\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\
             \"finish_reason\":null}}]}}\n\n"
        );
        format!("{:x}\r\n{data}\r\n", data.len())
    };
    let (_engine, crucible) = scripted(Script {
        bytes: format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
             Transfer-Encoding: chunked\r\n\r\n{}{}40\r\ndata: {{\"id\"",
            event("word0"),
            event(" word1")
        ),
        leave: Leave::Reset,
    })
    .await;
    let before = Metrics::of(&crucible).await;
    let (_, answer) = stream(&crucible, &body("plain", "hi")).await;
    assert_in_band(&answer, "engine_cut", "reset");
    assert_eq!(answer.content(), "word0 word1", "{}", answer.text);
    let errors = answer.events.iter().filter(|e| e.get("error").is_some());
    assert_eq!(errors.count(), 1, "{}", answer.text);
    let after = settled(&crucible, &before, 1).await;
    let cuts = after.sum(
        "crucible_stream_aborted_total",
        &[("cause", "upstream_cut")],
    );
    assert_eq!(cuts, 1.0);
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
        // The fifth opens it.
        trio.of(model).arm(cut().times(5));
        for _ in 0..5 {
            let (_, answer) = stream(&trio.crucible, &body(model, "repeat 8")).await;
            assert_in_band(&answer, "engine_cut", model);
        }
        let refused = open(&trio.crucible, &body(model, "repeat 8")).await;
        assert_refused(&whole(refused).await, 503, "no_engine", model);
        let mut asked = 16;
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

#[tokio::test]
async fn how_the_bytes_are_split_does_not_matter() {
    let trio = Trio::with(SHORT, |_| {}).await;
    for model in TRIO {
        let (_, plain) = stream(&trio.crucible, &body(model, "repeat 6")).await;
        let mut shapes = vec![Fault::new(FaultKind::Crlf)];
        shapes.extend([1, 2, 3, 7, 64].map(|k| Fault::new(FaultKind::Split).after_bytes(k)));
        for fault in shapes {
            let before = Metrics::of(&trio.crucible).await;
            let what = format!("{fault:?} on {model}");
            trio.of(model).arm(fault);
            let (_, answer) = stream(&trio.crucible, &body(model, "repeat 6")).await;
            assert_eq!(answer.content(), plain.content(), "{what}: {}", answer.text);
            assert_eq!(
                answer.events.len(),
                plain.events.len(),
                "{what}: {}",
                answer.text
            );
            assert!(
                answer.done && answer.error().is_none(),
                "{what}: {}",
                answer.text
            );
            settled(&trio.crucible, &before, 1).await;
        }
    }
}

#[tokio::test]
async fn whole_events_before_a_cut_arrive_whichever_byte_it_falls_on() {
    let trio = Trio::with(SHORT, |_| {}).await;
    for model in TRIO {
        for bytes in [600, 637, 651, 702, 755] {
            let before = Metrics::of(&trio.crucible).await;
            trio.of(model)
                .arm(Fault::new(FaultKind::Cut).after_bytes(bytes));
            // `Stream::parse` fails on an event that is not whole.
            let (_, answer) = stream(&trio.crucible, &body(model, "repeat 40")).await;
            assert_in_band(&answer, "engine_cut", &format!("{model} at {bytes}"));
            clean(&trio.crucible, &before, 1, model).await;
        }
    }
}

#[tokio::test]
async fn a_large_event_passes_up_to_the_limit() {
    let trio = Trio::with(&format!("{SHORT}[limits]\nevent = \"200KB\"\n"), |_| {}).await;
    for model in TRIO {
        let before = Metrics::of(&trio.crucible).await;
        let big = |bytes| after_three(FaultKind::BigEvent).after_bytes(bytes);
        trio.of(model).arm(big(100_000));
        let (_, answer) = stream(&trio.crucible, &body(model, "repeat 8")).await;
        assert!(
            answer.done && answer.error().is_none(),
            "{:.600}",
            answer.text
        );
        assert!(answer.text.len() > 100_000);
        trio.of(model).arm(big(1_000_000));
        let (_, answer) = stream(&trio.crucible, &body(model, "repeat 8")).await;
        assert_in_band(&answer, "engine_error", model);
        let after = clean(&trio.crucible, &before, 2, model).await;
        let oversize = after.sum("crucible_upstream_errors_total", &[("kind", "oversize")])
            - before.sum("crucible_upstream_errors_total", &[("kind", "oversize")]);
        assert_eq!(
            oversize,
            1.0,
            "{}",
            after.family("crucible_upstream_errors_total")
        );
    }
}

#[tokio::test]
async fn a_slow_engine_keeps_the_client_with_comments() {
    let toml = "[timeouts]\ncommit = \"100ms\"\nfirst_token = \"3s\"\n";
    let trio = Trio::with(toml, |_| {}).await;
    for model in TRIO {
        let before = Metrics::of(&trio.crucible).await;
        trio.of(model)
            .arm(Fault::new(FaultKind::SlowHeaders).delay_ms(600));
        let (_, answer) = stream(&trio.crucible, &body(model, "repeat 3")).await;
        assert!(
            answer.comments >= 1 && answer.text.starts_with(": crucible\n"),
            "{}",
            answer.text
        );
        assert_eq!(answer.content(), "word0 word1 word2");
        assert!(answer.done);
        trio.of(model)
            .arm(Fault::new(FaultKind::Http500).delay_ms(600));
        let (_, late) = stream(&trio.crucible, &body(model, "repeat 3")).await;
        assert!(
            late.comments >= 1 && !late.done && !late.broken,
            "{}",
            late.text
        );
        assert_eq!(
            late.error().expect("an error")["code"],
            "engine_error",
            "{}",
            late.text
        );
        let after = clean(&trio.crucible, &before, 2, model).await;
        let aborted = after.sum("crucible_stream_aborted_total", &[])
            - before.sum("crucible_stream_aborted_total", &[]);
        assert_eq!(
            aborted,
            1.0,
            "{}",
            after.family("crucible_stream_aborted_total")
        );
    }
}
