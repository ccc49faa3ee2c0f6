//! Spans of requests at a real receiver (Python's `opentelemetry-proto`), and the trace that goes on to the
//! engine. `TEST_OTLP_PYTHON` names an interpreter that can import `opentelemetry.proto`.

mod collector;

use std::time::{Duration, Instant};

use crucible_sim::{Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{body, get, open, post},
    engines::{client, engine, start},
    process::{PATIENCE, free_port},
    rest::{eventually, ready},
    scripted::{Script, Scripted},
    sse::Stream,
};
use serde_json::json;

use self::collector::{Collector, Spans, has_its_attributes, length};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CLIENTS_SPAN: &str = "b7ad6b7169203331";

async fn ollama(toml: &str, change: impl FnOnce(&mut Options)) -> (Sim, Crucible) {
    let mut options = Options::ollama(&["m=1GB"]);
    change(&mut options);
    let sim = start(options).await;
    let engine = engine("e", "ollama", &sim.url());
    let crucible = Crucible::start(&format!("{toml}\n{engine}permits = 1\n"));
    (sim, crucible)
}

async fn traced(crucible: &Crucible, text: &str, parent: &str) -> Stream {
    let mut request = body("m", text);
    request["stream"] = true.into();
    let response = client()
        .post(crucible.at("/v1/chat/completions"))
        .header("traceparent", parent)
        .header("tracestate", "vendor=1")
        .json(&request)
        .send()
        .await;
    Stream::read(response.expect("an answer")).await
}

/// The headers of the generations that the engine saw.
fn headers_of(sim: &Sim, name: &str) -> Vec<Option<String>> {
    let log = sim.log();
    let asked = log
        .requests
        .iter()
        .filter(|r| r.path == "/api/chat" && r.body.len() > 60);
    asked.map(|r| r.header(name).map(str::to_owned)).collect()
}

/// Two requests for a model that is not loaded, one behind the other in the one slot.
async fn first_and_queued(sim: &Sim, crucible: &Crucible) {
    // One word is about 2 tokens of prompt: half a second; ten words take 0.9 s.
    let parent = format!("00-{TRACE}-{CLIENTS_SPAN}-01");
    let first = traced(crucible, "repeat 10", &parent);
    let second = async {
        crucible_tests::engines::until(sim, "a load", |log| {
            log.requests
                .iter()
                .any(|r| matches!(r.path.as_str(), "/api/chat" | "/api/generate"))
        })
        .await;
        traced(crucible, "repeat 3", "junk").await
    };
    let (first, second) = tokio::join!(first, second);
    assert!(first.done && second.done, "{} {}", first.text, second.text);
}

#[tokio::test]
async fn a_queued_loaded_streamed_request_is_a_trace_with_its_phases() {
    let collector = Collector::start(&[]);
    let (sim, crucible) = ollama(&collector.toml(), |o| {
        o.load_time = Duration::from_secs(1);
        o.prefill = 4;
        o.rate = 10;
        o.parallel = 1;
    })
    .await;
    first_and_queued(&sim, &crucible).await;
    let spans = Spans::of_requests(&collector, 2);
    let root = spans.continued(CLIENTS_SPAN);
    assert_eq!(root["trace"], TRACE);
    assert_eq!(
        (&root["service"], &root["scope"]),
        (&"crucible".into(), &"crucible".into())
    );
    has_its_attributes(&root["attributes"]);

    let (queue, load) = (spans.phase(root, "queue"), spans.phase(root, "load"));
    let (prefill, generate) = (spans.phase(root, "prefill"), spans.phase(root, "generate"));
    // Busy machines are slow, not quick.
    assert!((1.0..4.0).contains(&length(load)), "{load}");
    assert!(length(queue) >= length(load), "{queue}");
    assert!((0.4..4.0).contains(&length(prefill)), "{prefill}");
    assert!((0.8..4.0).contains(&length(generate)), "{generate}");
    assert!(length(root) >= length(queue) + length(prefill) + length(generate));

    // The other one waited for the first, in a trace of its own.
    let other = spans.other_request(root);
    assert_eq!(other["parent"], "");
    assert_ne!(other["trace"], TRACE);
    let waited = spans.phase(other, "queue");
    let until = generate["end"].as_f64().unwrap_or(0.0);
    assert!(
        waited["end"].as_f64().is_some_and(|end| end >= until - 0.1),
        "{waited} {generate}"
    );

    // The engine is told of Crucible's own span.
    let told = headers_of(&sim, "traceparent");
    let own = format!("00-{TRACE}-{}-01", root["id"].as_str().unwrap_or_default());
    assert!(told.contains(&Some(own)), "{told:?}");
    assert!(headers_of(&sim, "tracestate").contains(&Some("vendor=1".to_owned())));
}

#[tokio::test]
async fn a_client_that_wants_no_record_gets_none() {
    let collector = Collector::start(&[]);
    let (sim, crucible) = ollama(&collector.toml(), |_| {}).await;
    let unsampled = format!("00-{TRACE}-{CLIENTS_SPAN}-00");
    assert!(traced(&crucible, "repeat 1", &unsampled).await.done);
    assert!(traced(&crucible, "repeat 2", "junk").await.done);
    let mut lines = Vec::new();
    collector.until(&mut lines, |lines| {
        lines.iter().any(|l| l["name"] == "generate")
    });
    assert!(!lines.iter().any(|l| l["trace"] == TRACE), "{lines:#?}");
    let told = headers_of(&sim, "traceparent");
    let passed = |p: &str| p.starts_with(&format!("00-{TRACE}-")) && p.ends_with("-00");
    assert!(told.iter().flatten().any(|p| passed(p)), "{told:?}");
}

#[tokio::test]
async fn without_a_collector_a_trace_goes_on_as_it_came() {
    let (sim, crucible) = ollama("", |_| {}).await;
    let parent = format!("00-{TRACE}-{CLIENTS_SPAN}-01");
    assert!(traced(&crucible, "repeat 1", &parent).await.done);
    assert!(traced(&crucible, "repeat 2", "00-junk").await.done);
    assert!(
        open(&crucible, &body("m", "repeat 3"))
            .await
            .status()
            .is_success()
    );
    assert_eq!(headers_of(&sim, "traceparent"), [Some(parent), None, None]);
    let states = headers_of(&sim, "tracestate");
    assert_eq!(states, [Some("vendor=1".to_owned()), None, None]);
}

/// What is no chat is part of its client's trace too.
#[tokio::test]
async fn a_trace_goes_on_with_whatever_is_sent_to_an_engine_for_a_client() {
    let sim = start(Options::openai(&["m"])).await;
    let crucible = Crucible::start(&format!(
        "[guard]\nopen = [\"/slots\"]\n{}",
        engine("e", "llamacpp", &sim.url())
    ));
    ready(&crucible).await;
    let parent = format!("00-{TRACE}-{CLIENTS_SPAN}-01");
    let count =
        json!({ "model": "m", "max_tokens": 9, "messages": [{ "role": "user", "content": "hi" }] });
    for (method, path, sent, on_engine) in [
        ("POST", "/tokenize", json!({ "content": "hi" }), "/tokenize"),
        ("GET", "/slots", json!({}), "/slots"),
        (
            "POST",
            "/completion",
            json!({ "prompt": "repeat 2" }),
            "/completion",
        ),
        (
            "POST",
            "/v1/messages/count_tokens",
            count,
            "/v1/chat/completions/input_tokens",
        ),
    ] {
        sim.reset();
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let request = client()
            .request(method, crucible.at(path))
            .header("traceparent", &parent)
            .header("tracestate", "vendor=1");
        let answer = request.json(&sent).send().await.expect("an answer");
        let status = answer.status();
        assert_eq!(status, 200, "{path}: {:?}", answer.text().await);
        let log = sim.log();
        let headers = |name| {
            let all = log
                .requests
                .iter()
                .filter(|r| r.path.starts_with(on_engine));
            all.filter_map(|r| r.header(name)).collect::<Vec<_>>()
        };
        assert_eq!(headers("traceparent"), [&parent], "{path}");
        assert_eq!(headers("tracestate"), ["vendor=1"], "{path}");
    }
}

/// The path of traces is added to the endpoint's, once.
#[tokio::test]
async fn spans_go_to_the_path_that_check_names() {
    for (own, whole) in [
        ("", "/v1/traces"),
        ("/v1/traces", "/v1/traces"),
        ("/otel/", "/otel/v1/traces"),
    ] {
        let collector = Scripted::start(|_| Script::json("200 OK", "", "{}")).await;
        let toml = format!("[otlp]\nendpoint = \"{}{own}\"\n", collector.url());
        let (_sim, crucible) = ollama(&toml, |_| {}).await;
        let config = crucible.config().display().to_string();
        let checked = tokio::task::spawn_blocking(move || {
            Crucible::command(&["check", "--config", &config], "")
        });
        let (code, out, err) = checked.await.expect("it ran");
        let url = format!("spans go to {}{whole})", collector.url());
        assert!(code == 0 && out.contains(&url), "{out}{err}");
        let answer = post(&crucible, &body("m", "repeat 1")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        eventually(whole, || async {
            (!collector.asked(whole).is_empty()).then_some(())
        })
        .await;
    }
}

/// Waits until the spans of 20 requests are counted as lost.
async fn spans_are_lost(crucible: &Crucible) {
    let by = Instant::now() + PATIENCE;
    loop {
        let metrics = get(crucible, "/metrics").await.text;
        let lost = metrics
            .split("crucible_log_dropped_total{sink=\"otlp\"} ")
            .nth(1)
            .and_then(|rest| rest.lines().next()?.parse::<f64>().ok());
        if lost.is_some_and(|lost| lost >= 20.0) {
            return;
        }
        assert!(Instant::now() < by, "{metrics}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_gone_slow_or_broken_costs_spans_and_nothing_else() {
    let gone = format!("[otlp]\nendpoint = \"http://127.0.0.1:{}\"\n", free_port());
    let slow = Collector::start(&["--delay", "60"]);
    let broken = Collector::start(&["--status", "500"]);
    for (name, toml) in [
        ("gone", gone),
        ("slow", slow.toml()),
        ("broken", broken.toml()),
    ] {
        let (_sim, mut crucible) = ollama(&toml, |_| {}).await;
        for _ in 0..20 {
            let asked = Instant::now();
            assert_eq!(
                post(&crucible, &body("m", "repeat 2")).await.status,
                200,
                "{name}"
            );
            assert!(asked.elapsed() < Duration::from_secs(30), "{name}");
        }
        if name != "slow" {
            spans_are_lost(&crucible).await;
        }
        let asked = Instant::now();
        crucible.signal("TERM");
        assert!(crucible.wait().success(), "{name}");
        let took = asked.elapsed();
        assert!(took < Duration::from_secs(30), "{name}: {took:?}");
    }
}
