//! Engines that fail in every way the simulators know: what the client is told, and that nothing
//! is left over.

mod gone;
mod kept;
mod shapes;
mod sockets;

use crucible_sim::{Fault, FaultKind};
use crucible_tests::{
    chat::{Whole, body, open, post, stream, whole},
    clean::{Metrics, clean, settled},
    engines::{TRIO, Trio},
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
        | FaultKind::Json200
        | FaultKind::Bare200
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
            Fault::new(FaultKind::Json200),
            Fault::new(FaultKind::Bare200),
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
    for stream in [true, false] {
        let trio = Trio::with(SHORT, |_| {}).await;
        for model in TRIO {
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
