//! The log of a load: what the client sent and saw, and what the engines did, under the names by which Crucible
//! counts the same.

use std::collections::BTreeMap;

use crucible_sim::{LoadOutcome, LogView};
use crucible_tests::{
    Crucible,
    chat::{Whole, body, get, open, post},
    clean::Metrics,
    engines::client,
    rest::eventually,
    sse::Stream,
};
use futures_util::{StreamExt as _, stream::BoxStream};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Counts of a family under some of its labels. Those of one family are disjoint, and all there is of it.
type Counts = BTreeMap<Vec<(String, String)>, u64>;

#[derive(Debug, Default)]
pub(super) struct CountedLog {
    counts: BTreeMap<&'static str, Counts>,
    /// Counts of engines whose exact number only Crucible knows: as much at least, and nothing else is asked of them.
    least: Vec<(&'static str, &'static str, u64)>,
    requests: u64,
}

// === impl CountedLog ===

impl CountedLog {
    pub(super) fn add(&mut self, family: &'static str, labels: &[(&str, &str)], count: u64) {
        let labels = labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let counts = self.counts.entry(family).or_default();
        *counts.entry(labels.collect()).or_default() += count;
    }

    pub(super) fn at_least(&mut self, family: &'static str, engine: &'static str, count: u64) {
        self.least.push((family, engine, count));
    }

    /// A chat that has ended with this status.
    pub(super) fn ended(&mut self, engine: &str, streamed: bool, status: u16) {
        self.requests += 1;
        let (streamed, status) = (streamed.to_string(), status.to_string());
        let of = [
            ("endpoint", "chat"),
            ("engine", engine),
            ("stream", &*streamed),
        ];
        self.add("crucible_request_duration_seconds_count", &of, 1);
        let of = [&of[..], &[("code", &*status)]].concat();
        self.add("crucible_requests_total", &of, 1);
        self.add(
            "crucible_overhead_seconds_count",
            &[("endpoint", "chat")],
            1,
        );
        if engine != "none" {
            self.add("crucible_routed_total", &[("engine", engine)], 1);
        }
    }

    pub(super) fn left(&mut self, engine: &str, phase: &str, streamed: bool) {
        self.ended(engine, streamed, 499);
        self.add("crucible_client_disconnects_total", &[("phase", phase)], 1);
    }

    pub(super) fn rejected(&mut self, engine: &str, reason: &str, status: u16) {
        let of = [
            ("engine", engine),
            ("reason", reason),
            ("code", &*status.to_string()),
        ];
        self.add("crucible_rejected_total", &of, 1);
    }

    pub(super) fn upstream(&mut self, engine: &str, kind: &str) {
        self.upstreams(engine, kind, 1);
    }

    pub(super) fn upstreams(&mut self, engine: &str, kind: &str, count: u64) {
        let of = [("engine", engine), ("kind", kind)];
        self.add("crucible_upstream_errors_total", &of, count);
    }

    pub(super) fn aborted(&mut self, engine: &str, cause: &str) {
        let of = [("engine", engine), ("cause", cause)];
        self.add("crucible_stream_aborted_total", &of, 1);
    }

    /// Asks for a whole answer, which has this status, and counts it.
    pub(super) async fn whole(
        &mut self,
        crucible: &Crucible,
        engine: &str,
        model: &str,
        status: u16,
    ) {
        let answer = self.any(crucible, engine, model).await;
        assert_eq!(answer.status, status, "{}", answer.text);
    }

    /// Asks for a whole answer and counts it, whatever it is.
    pub(super) async fn any(&mut self, crucible: &Crucible, engine: &str, model: &str) -> Whole {
        let answer = post(crucible, &body(model, "repeat 12")).await;
        self.ended(engine, false, answer.status);
        if answer.status == 200 {
            assert_eq!(
                answer.header("x-crucible-engine"),
                engine,
                "{}",
                answer.text
            );
            self.used(engine, &answer.json["usage"]);
            // Ollama is asked for a stream whatever the client wants.
            if engine == "cpu" {
                self.words(engine, answer.content().split(' ').count() as u64);
            }
        }
        answer
    }

    /// Asks for a stream, which ends well or with this error, and counts it.
    pub(super) async fn stream(
        &mut self,
        crucible: &Crucible,
        engine: &str,
        model: &str,
        error: Option<&str>,
    ) {
        let mut want = body(model, "repeat 12");
        want["stream_options"] = json!({ "include_usage": true });
        let answer = open(crucible, &want).await;
        let (status, answer) = (answer.status().as_u16(), Stream::read(answer).await);
        assert_eq!(status, 200, "{}", answer.text);
        let said = answer.error().map(|error| error["code"].clone());
        assert_eq!(said, error.map(Value::from), "{}", answer.text);
        self.ended(engine, true, status);
        let bytes = answer.text.len() as u64;
        self.add("crucible_stream_bytes_total", &[("engine", engine)], bytes);
        let content = |event: &&Value| {
            let text = event["choices"][0]["delta"]["content"].as_str();
            text.is_some_and(|text| !text.is_empty())
        };
        let words = answer.events.iter().filter(content).count() as u64;
        self.words(engine, words);
        let usage = answer
            .events
            .iter()
            .rev()
            .find(|event| event["usage"].is_object());
        match usage {
            Some(event) => self.used(engine, &event["usage"]),
            None => self.add(
                "crucible_tokens_estimated_total",
                &[("engine", engine)],
                words,
            ),
        }
        assert_eq!(usage.is_some(), error.is_none(), "{}", answer.text);
    }

    /// Words that came one after the other.
    fn words(&mut self, engine: &str, words: u64) {
        let of = [("engine", engine)];
        self.add("crucible_inter_token_seconds_count", &of, words - 1);
        self.add("crucible_time_to_first_token_seconds_count", &of, 1);
        self.add("crucible_prefill_seconds_count", &of, 1);
    }

    /// The tokens that the client was told.
    fn used(&mut self, engine: &str, usage: &Value) {
        for (kind, pointer) in [
            ("prompt", "prompt_tokens"),
            ("completion", "completion_tokens"),
        ] {
            let count = usage[pointer].as_u64().expect("counts");
            let of = [("engine", engine), ("type", kind)];
            self.add("crucible_tokens_total", &of, count);
            self.add("crucible_request_tokens_sum", &of, count);
            self.add("crucible_request_tokens_count", &of, 1);
        }
    }

    /// What an engine's own log says of loads and of models that left.
    pub(super) fn loads(&mut self, engine: &str, log: &LogView) {
        for load in &log.loads {
            let outcome = match load.outcome {
                LoadOutcome::Loaded => "ok",
                LoadOutcome::Failed => "error",
                other => panic!("{other:?}: {load:?}"),
            };
            let of = [("engine", engine), ("outcome", outcome)];
            self.add("crucible_model_loads_total", &of, 1);
            if outcome == "ok" {
                let of = [("engine", engine)];
                self.add("crucible_model_load_duration_seconds_count", &of, 1);
            }
        }
        for unload in &log.unloads {
            let of = [("engine", engine), ("model", &*unload.instance)];
            self.add("crucible_model_evictions_total", &of, 1);
        }
    }

    /// Waits until all requests are counted and compares every family of the log.
    pub(super) async fn balances(&self, crucible: &Crucible) {
        let want = number(self.requests);
        let now = eventually("all requests are counted", || async {
            let now = Metrics::of(crucible).await;
            let gone = [
                "crucible_requests_in_flight",
                "crucible_queue_depth",
                "crucible_prefill_requests",
            ]
            .iter()
            .all(|gauge| now.sum(gauge, &[]) == 0.0);
            (gone && now.sum("crucible_requests_total", &[]) >= want).then_some(now)
        })
        .await;
        let mut wrong = Vec::new();
        for (family, counts) in &self.counts {
            let mut all = 0.0;
            for (labels, want) in counts {
                let of: Vec<(&str, &str)> = labels.iter().map(|(k, v)| (&**k, &**v)).collect();
                let (shown, want) = (now.sum(family, &of), number(*want));
                all += want;
                if shown != want {
                    wrong.push(format!("{family} {of:?} is {shown}, not {want}"));
                }
            }
            let free = self.least.iter().filter(|(name, ..)| name == family);
            let free: f64 = free
                .map(|(_, engine, _)| now.sum(family, &[("engine", engine)]))
                .sum();
            let shown = now.sum(family, &[]) - free;
            if shown != all {
                wrong.push(format!("{family} is {shown} in all, not {all}"));
            }
        }
        for (family, engine, least) in &self.least {
            let shown = now.sum(family, &[("engine", engine)]);
            if shown < number(*least) {
                wrong.push(format!(
                    "{family} of {engine} is {shown}, not at least {least}"
                ));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        let phases = now.sum("crucible_request_phase_seconds_total", &[]);
        let durations = now.sum("crucible_request_duration_seconds_sum", &[]);
        assert!((phases - durations).abs() < 1e-3, "{phases} {durations}");
    }
}

fn number(count: u64) -> f64 {
    f64::from(u32::try_from(count).expect("a small count"))
}

/// Waits until the state has requests in these phases, and compares them with the gauges: an engine works on those
/// in `prefill` and `stream`, and those in `queue` stand in the queue.
pub(super) async fn agrees(crucible: &Crucible, phases: &[&str]) {
    eventually("state and gauges agree", || async {
        let state = get(crucible, "/crucible/state").await.json;
        let now = Metrics::of(crucible).await;
        let all = state["in_flight"].as_array().expect("a list");
        let count = |wanted: &[&str]| {
            let of = all.iter().filter_map(|request| request["phase"].as_str());
            of.filter(|phase| wanted.contains(phase)).count()
        };
        let gauge = |name| now.sum(name, &[]);
        let at_engines = count(&["prefill", "stream"]) as u64;
        let waiting = count(&["queue"]) as u64;
        let queue = state["queue"].as_array().expect("a list").len() as u64;
        let found = phases.iter().all(|phase| count(&[phase]) == 1) && all.len() == phases.len();
        (found
            && gauge("crucible_requests_in_flight") == number(at_engines)
            && gauge("crucible_queue_depth") == number(waiting)
            && queue == waiting)
            .then_some(())
    })
    .await;
}

/// A stream of which one event was read, and how many bytes that was.
pub(super) async fn left_stream(
    crucible: &Crucible,
    model: &str,
) -> (BoxStream<'static, reqwest::Result<bytes::Bytes>>, u64) {
    let answer = open(crucible, &body(model, "repeat 100000")).await;
    let mut stream = answer.bytes_stream().boxed();
    let event = stream.next().await.expect("an event").expect("bytes");
    (stream, event.len() as u64)
}

/// A request that nobody waits for once the task is dropped.
pub(super) fn abandonable(crucible: &Crucible, model: &str) -> JoinHandle<()> {
    let send = client()
        .post(crucible.at("/v1/chat/completions"))
        .json(&body(model, "repeat 3"));
    tokio::spawn(async move {
        if let Ok(answer) = send.send().await {
            let _ = answer.text().await;
        }
    })
}
