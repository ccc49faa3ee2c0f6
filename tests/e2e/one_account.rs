//! The log line, the event log, the timeline and the metrics tell the same numbers of one request.

use std::time::Duration;

use crucible_documents::{
    event_log::{LoggedEvent, RequestEvent},
    timeline::{AnsweredRequest, TimelineEntry},
};
use crucible_sim::{Fault, FaultKind, Options};
use crucible_tests::{
    Crucible,
    chat::{body, get, open, stream},
    clean::Metrics,
    engines::{client, engine, start},
    rest::{eventually, metric, ready, state},
};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

/// What is said of one request at each place.
struct Told {
    line: Value,
    logged: RequestEvent,
    shown: AnsweredRequest,
}

/// The first event of the stream: the last 15 minutes.
async fn timeline(crucible: &Crucible) -> Vec<TimelineEntry> {
    let answer = client().get(crucible.at("/crucible/events")).send().await;
    let mut stream = answer.expect("events").bytes_stream();
    let mut text = String::new();
    while !text.contains("\n\n") {
        let piece = stream.next().await.expect("more").expect("a piece");
        text.push_str(std::str::from_utf8(&piece).expect("text"));
    }
    let data = text.lines().find_map(|line| line.strip_prefix("data: "));
    serde_json::from_str(data.expect("data")).expect("a timeline")
}

/// Asks for a stream and gathers what is said of it.
async fn told(crucible: &Crucible, request: &Value) -> Told {
    let (headers, answer) = stream(crucible, request).await;
    assert!(answer.done, "{}", answer.text);
    let id = headers["x-request-id"].to_str().expect("an id");
    let lines = crucible.config().with_file_name("state/events.jsonl");
    let logged = eventually("the event log has it", || async {
        let text = std::fs::read_to_string(&lines).unwrap_or_default();
        let events = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let mut last = events.filter_map(|event| match event {
            LoggedEvent::Request(request) => Some(request),
            _ => None,
        });
        last.next_back()
    });
    let line = eventually("the log has it", || async {
        let log = crucible.log();
        let mut lines = log
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        lines.find(|line: &Value| line["message"] == "request" && line["id"] == *id)
    });
    let (logged, line) = (logged.await, line.await);
    let shown = timeline(crucible)
        .await
        .into_iter()
        .find_map(|entry| match entry {
            TimelineEntry::Answer(answer) if *answer.request_id == *id => Some(answer),
            _ => None,
        });
    Told {
        line,
        logged,
        shown: shown.expect("an entry"),
    }
}

#[tokio::test]
async fn a_tool_call_behind_a_load_has_the_same_numbers_at_each_place() {
    let mut options = Options::lmstudio(&["first=1GB"]);
    options.load_time = Duration::from_secs(1);
    let sim = start(options).await;
    let crucible = Crucible::start(&format!(
        "[log]\nformat = \"json\"\n{}",
        engine("gpu", "lmstudio", &sim.url())
    ));
    ready(&crucible).await;
    let mut request = body("first", "call tool f");
    request["tools"] =
        json!([{ "type": "function", "function": { "name": "f", "parameters": {} } }]);
    let told = told(&crucible, &request).await;
    let about = format!("{:?} {:?} {}", told.shown, told.logged, told.line);
    // The engine counts one token and sends the call in several pieces at once.
    assert_eq!(told.line["tokens"], 1, "{about}");
    assert_eq!(
        (told.shown.output_tokens, told.logged.output_tokens),
        (1, 1),
        "{about}"
    );
    assert_eq!(told.shown.tokens_per_second, None, "{about}");
    for (name, shown) in [
        ("queue_s", told.shown.queue_s),
        ("load_s", told.shown.load_s),
    ] {
        let line = told.line[name].as_f64().expect(name);
        assert!((line - shown).abs() < 0.001, "{name}: {about}");
    }
    assert!(told.shown.load_s >= 1.0, "{about}");
    // Nobody had looked at the metrics before, and the load is the model's all the same.
    let labels = "engine=\"gpu\",model=\"first\"";
    for (name, value) in [
        (
            format!("crucible_tokens_total{{{labels},type=\"completion\"}}"),
            1,
        ),
        (
            format!("crucible_model_loads_total{{{labels},outcome=\"ok\",trigger=\"request\"}}"),
            1,
        ),
        (
            format!("crucible_model_load_duration_seconds_count{{{labels}}}"),
            1,
        ),
    ] {
        assert_eq!(metric(&crucible, &name).await, value, "{name}");
    }
    let text = get(&crucible, "/metrics").await.text;
    let rates = format!("crucible_output_tokens_per_second_count{{{labels}}} 1");
    assert!(!text.contains(&rates), "{text}");
}

/// The seconds of a phase that the metrics have for an engine.
async fn spent(crucible: &Crucible, engine: &str, phase: &str) -> f64 {
    let labels = [("engine", engine), ("phase", phase)];
    let metrics = Metrics::of(crucible).await;
    metrics.sum("crucible_request_phase_seconds_total", &labels)
}

#[tokio::test]
async fn an_attempt_that_failed_is_no_wait_for_the_engine_that_answers() {
    let failing = start(Options::openai(&["first"])).await;
    let answering = start(Options::lmstudio(&["second=1GB"])).await;
    let crucible = Crucible::start(&format!(
        "[log]\nformat = \"json\"\n[[model]]\nname = \"first\"\nfallback = [\"second\"]\n{}{}",
        engine("failing", "openai", &failing.url()),
        engine("answering", "lmstudio", &answering.url()),
    ));
    ready(&crucible).await;
    failing.arm(Fault::new(FaultKind::Http500).delay_ms(2000));
    let told = told(&crucible, &body("first", "repeat 1")).await;
    let about = format!("{:?} {:?} {}", told.shown, told.logged, told.line);
    assert_eq!(told.line["engine"], "answering", "{about}");
    let failed = told.line["failed_s"].as_f64().expect("failed_s");
    assert!(failed >= 2.0, "{about}");
    assert!((failed - told.shown.failed_s).abs() < 0.001, "{about}");
    // What it waited for the second engine is what is left of the time before its answer.
    let total = told.line["total_s"].as_f64().expect("total_s");
    let waited = told.logged.wait_ms + told.logged.held_ms.expect("a permit");
    let waited = Duration::from_millis(waited).as_secs_f64();
    assert!(waited <= total - failed + 0.002, "{about}");
    assert!(
        told.shown.queue_s + told.shown.load_s <= total - failed,
        "{about}"
    );
    let counted = spent(&crucible, "answering", "failed").await;
    assert!((counted - failed).abs() < 0.001, "{counted} {about}");
    let queue = spent(&crucible, "answering", "queue").await;
    assert!(
        (queue - told.shown.queue_s).abs() < 0.001,
        "{queue} {about}"
    );
    assert_eq!(
        spent(&crucible, "failing", "queue").await.to_bits(),
        0,
        "{about}"
    );
}

#[tokio::test]
async fn tokens_of_an_attempt_that_failed_are_none_of_the_next_one() {
    let failing = start(Options::ollama(&["first=1GB"])).await;
    let busy = start(Options::lmstudio(&["second=1GB"])).await;
    let crucible = Crucible::start(&format!(
        "[[model]]\nname = \"first\"\nfallback = [\"second\"]\n{}{}permits = 1\n",
        engine("failing", "ollama", &failing.url()),
        engine("busy", "lmstudio", &busy.url()),
    ));
    ready(&crucible).await;
    let mut running = open(&crucible, &body("second", "repeat 100000"))
        .await
        .bytes_stream();
    running.next().await.expect("an event").expect("bytes");
    // An answer that is gathered of a stream, of which the client has got nothing yet.
    failing.arm(Fault::new(FaultKind::Cut).after_events(5));
    let send = client()
        .post(crucible.at("/v1/chat/completions"))
        .json(&body("first", "repeat 40"));
    let waiting = tokio::spawn(send.send());
    let flight = eventually("the second attempt waits", || async {
        let mut flights = state(&crucible).await.in_flight.into_iter();
        flights.find(|flight| flight.phase == "queue" && flight.engine.as_deref() == Some("busy"))
    })
    .await;
    assert_eq!(flight.tokens, 0, "{flight:?}");
    waiting.abort();
    let left = eventually("its end is told", || async {
        let entries = timeline(&crucible).await.into_iter();
        let mut answers = entries.filter_map(|entry| match entry {
            TimelineEntry::Answer(answer) => Some(answer),
            _ => None,
        });
        answers.next()
    })
    .await;
    assert_eq!(
        (&*left.outcome, left.output_tokens, left.tokens_per_second),
        ("client_gone", 0, None),
        "{left:?}"
    );
}
