//! A real Prometheus in front of a working Crucible: every panel of the shipped dashboard gets
//! data, the shipped rules evaluate, and the books balance.
//!
//! Needs `prometheus` and `promtool` of Debian's package `prometheus`.

#![expect(
    clippy::panic,
    clippy::float_cmp,
    reason = "a step of a test says by failing what it cannot do; counts are whole numbers"
)]

use std::{
    collections::BTreeMap,
    fs::File,
    io::{ErrorKind, Write as _},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crucible::metrics::{FAMILIES, FamilyType};
use crucible_sim::{Fault, FaultKind};
use crucible_tests::{
    chat::{body, get, open, post, post_raw, stream},
    clean::{Metrics, queued, settled},
    dashboards::{folder, queries},
    engines::{Both, client, engine, until},
    process::PATIENCE,
    rest::eventually,
};
use futures_util::{StreamExt as _, future::join_all};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::task::TaskTracker;

use super::answers::{openai, speaker};

/// The counts of an engine that had most of a prompt in its cache.
const CACHED: &str = r#","usage":{"prompt_tokens":10,"completion_tokens":1,"total_tokens":11,"prompt_tokens_details":{"cached_tokens":9}}"#;

/// Counters and histograms that the load may leave at 0, and why.
const UNTOUCHED: [(&str, &str); 6] = [
    (
        "crucible_connections_evicted_total",
        "needs all places of limits.connections to be taken",
    ),
    (
        "crucible_label_overflow_total",
        "needs more than 200 names of models",
    ),
    ("crucible_log_dropped_total", "needs a disk that is full"),
    (
        "crucible_upstream_connect_duration_seconds",
        "counts new connections only",
    ),
    (
        "crucible_retries_total",
        "needs an engine that closes a connection in the moment of a request",
    ),
    (
        "crucible_energy_joules_total",
        "needs a card or a processor that counts it",
    ),
];

/// Pause between two looks at something that is waited for.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// Rounds of the load: a series that appears with its first count has a rate only after a second
/// one, in a later scrape.
const ROUNDS: u32 = 3;

/// A Prometheus with the shipped rules that scrapes one target every second.
struct Prometheus {
    child: Child,
    url: String,
    folder: TempDir,
    started: f64,
}

/// What was sent so far.
#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    /// Chat requests.
    chats: u32,
    /// Those that were sent to an engine.
    routed: u32,
}

fn unix_now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock after 1970")
        .as_secs_f64()
}

/// A program of the package; the panic names it.
fn launched(command: &mut Command) -> Child {
    let name = command.get_program().to_string_lossy().into_owned();
    match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            panic!("`{name}` is not on the PATH: install Debian's package `prometheus`")
        }
        Err(error) => panic!("{name}: {error}"),
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

// === impl Prometheus ===

impl Prometheus {
    /// Starts it and returns once it has scraped `target`, a `host:port`.
    async fn scraping(target: &str) -> Self {
        let until = Instant::now() + PATIENCE;
        loop {
            let mut this = Self::spawn(target);
            if this.scraped(target, until).await {
                return this;
            }
            // Another program took the port between the look and the use.
            assert!(
                Instant::now() < until,
                "prometheus does not start:\n{}",
                this.log()
            );
        }
    }

    fn spawn(target: &str) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let rules = self::folder()
            .join("prometheus/rules/crucible.yml")
            .canonicalize()
            .expect("the shipped rules")
            .display()
            .to_string();
        let config = folder.path().join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             rule_files: ['{rules}']\n\
             scrape_configs: [{{job_name: crucible, static_configs: [{{targets: [{target:?}]}}]}}]\n"
        );
        std::fs::write(&config, text).expect("the configuration is written");
        let address = format!("127.0.0.1:{}", free_port());
        let log = File::create(folder.path().join("log")).expect("a log");
        let flag = |name: &str, path: &Path| format!("--{name}={}", path.display());
        let child = launched(
            Command::new("prometheus")
                .arg(flag("config.file", &config))
                .arg(flag("storage.tsdb.path", &folder.path().join("data")))
                .arg(format!("--web.listen-address={address}"))
                .current_dir(folder.path())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log),
        );
        Self {
            child,
            url: format!("http://{address}"),
            folder,
            started: unix_now(),
        }
    }

    /// Whether it came to a first scrape; `false` if it ended before.
    async fn scraped(&mut self, target: &str, until: Instant) -> bool {
        let up = format!("up{{job=\"crucible\",instance=\"{target}\"}}");
        loop {
            if self.child.try_wait().expect("a child").is_some() {
                return false;
            }
            if self.value(&up).await == Some(1.0) {
                return true;
            }
            assert!(Instant::now() < until, "no scrape:\n{}", self.log());
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// `data` of an answer of its API; `None` while it does not answer.
    async fn ask(&self, path: &str, params: &[(&str, &str)]) -> Option<Value> {
        let url = url::Url::parse_with_params(&format!("{}{path}", self.url), params)
            .expect("a valid URL");
        let response = client().get(url).send().await.ok()?;
        let text = response.text().await.ok()?;
        let answer: Value = serde_json::from_str(&text).ok()?;
        assert_eq!(answer["status"], "success", "{params:?}: {text}");
        Some(answer["data"].clone())
    }

    /// The value now of an expression with one series.
    async fn value(&self, expr: &str) -> Option<f64> {
        let data = self.ask("/api/v1/query", &[("query", expr)]).await?;
        data["result"][0]["value"][1].as_str()?.parse().ok()
    }

    /// Waits until the expression has this value.
    async fn becomes(&self, expr: &str, want: f64) {
        eventually(&format!("{expr} is {want}"), || async {
            (self.value(expr).await == Some(want)).then_some(())
        })
        .await;
    }

    /// Whether the expression has a finite sample at any second of its life, by `until`.
    async fn charts(&self, expr: &str, until: Instant) -> bool {
        loop {
            if self.finite(expr).await {
                return true;
            }
            if Instant::now() >= until {
                return false;
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }

    async fn finite(&self, expr: &str) -> bool {
        let (start, end) = (self.started.to_string(), unix_now().to_string());
        let params = [
            ("query", expr),
            ("start", &start),
            ("end", &end),
            ("step", "1"),
        ];
        let Some(data) = self.ask("/api/v1/query_range", &params).await else {
            return false;
        };
        let series = data["result"].as_array().into_iter().flatten();
        series
            .flat_map(|one| one["values"].as_array().into_iter().flatten())
            .filter_map(|sample| sample[1].as_str()?.parse::<f64>().ok())
            .any(f64::is_finite)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// === impl Sent ===

impl Sent {
    fn routed(&mut self, requests: u32) {
        self.chats += requests;
        self.routed += requests;
    }

    fn refused(&mut self) {
        self.chats += 1;
    }
}

/// Answers of both kinds from both engines, some of them after a wait for a permit.
async fn answers(both: &Both, sent: &mut Sent) {
    for model in ["qwen", "llama3.2:3b"] {
        let want = body(model, "repeat 12");
        let answer = post(&both.crucible, &want).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let (_, events) = stream(&both.crucible, &want).await;
        assert!(events.done, "{}", events.text);
        sent.routed(2);
    }
    let cached = post(&both.crucible, &body("caching/m", "hi")).await;
    assert_eq!(cached.status, 200, "{}", cached.text);
    sent.routed(1);
    let crowd = (0..4).map(|_| async {
        let answer = post(&both.crucible, &body("llama3.2:3b", "repeat 12")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    });
    join_all(crowd).await;
    sent.routed(4);
    let mut strange = body("llama3.2:3b", "repeat 2");
    strange["logit_bias"] = serde_json::json!({ "50256": -100 });
    let answer = post(&both.crucible, &strange).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    sent.routed(1);
}

/// Models that take turns in the memory of one engine.
async fn evictions(both: &Both, sent: &mut Sent) {
    for model in ["lmstudio/shared", "thinker-think", "qwen"] {
        let answer = post(&both.crucible, &body(model, "repeat 6")).await;
        assert_eq!(answer.status, 200, "{model}: {}", answer.text);
        sent.routed(1);
    }
}

/// Requests that no engine sees.
async fn refusals(both: &Both, sent: &mut Sent) {
    let answer = post(&both.crucible, &body("unheard-of", "repeat 1")).await;
    assert_eq!(answer.status, 404, "{}", answer.text);
    sent.refused();
    let answer = post_raw(&both.crucible, "{\"model\": ").await;
    assert_eq!(answer.status, 400, "{}", answer.text);
    sent.refused();
}

/// Engines that fail: before the answer with and without another to turn to, and in a stream.
async fn failures(both: &Both, sent: &mut Sent) {
    both.ollama.arm(Fault::new(FaultKind::Http500));
    let answer = post(&both.crucible, &body("llama3.2:3b", "repeat 4")).await;
    assert_eq!(answer.status, 502, "{}", answer.text);
    both.lmstudio.arm(Fault::new(FaultKind::Http500));
    let answer = post(&both.crucible, &body("qwen", "repeat 4")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    for sim in [&both.lmstudio, &both.ollama] {
        sim.arm(Fault::new(FaultKind::Cut));
    }
    for model in ["lmstudio/qwen", "llama3.2:3b"] {
        let (_, events) = stream(&both.crucible, &body(model, "repeat 8")).await;
        let error = events.error().unwrap_or_else(|| panic!("{}", events.text));
        assert_eq!(error["code"], "engine_cut", "{}", events.text);
    }
    sent.routed(4);
}

/// Clients that leave in a stream, before it, and in the queue.
async fn leavers(both: &Both, sent: &mut Sent) {
    let leave = async |crucible, model| {
        let mut events = open(crucible, &body(model, "repeat 100000"))
            .await
            .bytes_stream();
        events.next().await.expect("an event").expect("bytes");
        events
    };
    let running = [
        leave(&both.crucible, "llama3.2:3b").await,
        leave(&both.crucible, "llama3.2:3b").await,
    ];
    let waiting = abandonable(both, "llama3.2:3b");
    queued(&both.crucible, 1).await;
    waiting.abort();
    queued(&both.crucible, 0).await;
    drop(running);
    both.lmstudio.reset();
    both.lmstudio.arm(Fault::new(FaultKind::NoHeaders));
    let silent = abandonable(both, "lmstudio/qwen");
    until(&both.lmstudio, "the request", |log| log.faults.len() == 1).await;
    silent.abort();
    sent.routed(4);
}

fn abandonable(both: &Both, model: &str) -> tokio::task::JoinHandle<reqwest::Result<String>> {
    let url = both.crucible.at("/v1/chat/completions");
    let body = body(model, "repeat 3");
    TaskTracker::new()
        .spawn(async move { client().post(url).json(&body).send().await?.text().await })
}

/// `promtool check metrics` on the text; what it says.
fn checked(text: &str) -> (bool, String) {
    let mut child = launched(
        Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    );
    let mut stdin = child.stdin.take().expect("stdin is piped");
    stdin.write_all(text.as_bytes()).expect("stdin is read");
    drop(stdin);
    let out = child.wait_with_output().expect("it ends");
    let said = [out.stdout, out.stderr].concat();
    (
        out.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

/// Every family is there, and each that counts has counted.
fn assert_every_family(now: &Metrics) {
    for family in FAMILIES {
        let (series, counts) = match family.kind {
            FamilyType::Counter => (family.name.to_owned(), true),
            FamilyType::Histogram => (format!("{}_count", family.name), true),
            FamilyType::Gauge => (family.name.to_owned(), false),
        };
        let lines = now.family(&series);
        assert!(!lines.is_empty(), "{series} has no series");
        if counts {
            let excused = UNTOUCHED.iter().any(|(name, _)| *name == family.name);
            assert!(excused || now.sum(&series, &[]) > 0.0, "{lines}");
        }
    }
}

#[tokio::test]
async fn prometheus_fills_every_panel_and_the_books_balance() {
    let caching = speaker(|streamed| openai(streamed, &json!({"content": "hello"}), CACHED)).await;
    let both = Both::with(
        &format!(
            "metrics_listen = \"127.0.0.1:0\"\n{}\
             [[model]]\nname = \"qwen\"\nfallback = [\"ollama/small\"]\n",
            engine("caching", "openai", &caching.url())
        ),
        |gpu| gpu.rate = 200,
        |cpu| cpu.rate = 100,
    )
    .await;
    let metrics_url = both.crucible.metrics_url().expect("metrics_listen");
    let target = metrics_url.trim_start_matches("http://").to_owned();
    let before = Metrics::of(&both.crucible).await;
    let prometheus = Prometheus::scraping(&target).await;

    let mut sent = Sent::default();
    for round in 1..=ROUNDS {
        answers(&both, &mut sent).await;
        evictions(&both, &mut sent).await;
        refusals(&both, &mut sent).await;
        failures(&both, &mut sent).await;
        leavers(&both, &mut sent).await;
        assert_eq!(get(&both.crucible, "/v1/models").await.status, 200);
        both.crucible.signal("HUP");
        settled(&both.crucible, &before, sent.chats).await;
        // The next round's counts belong to a later scrape.
        let reloads = "sum(crucible_config_reloads_total)";
        prometheus.becomes(reloads, f64::from(round)).await;
        let chats = "sum(crucible_requests_total{endpoint=\"chat\"})";
        prometheus.becomes(chats, f64::from(sent.chats)).await;
    }

    let now = settled(&both.crucible, &before, sent.chats).await;
    let routed = now.family("crucible_routed_total");
    assert_eq!(
        now.sum("crucible_routed_total", &[]),
        f64::from(sent.routed),
        "{routed}"
    );
    let routed = "sum(crucible_routed_total)";
    prometheus.becomes(routed, f64::from(sent.routed)).await;
    for gauge in ["crucible_requests_in_flight", "crucible_queue_depth"] {
        prometheus.becomes(&format!("sum({gauge})"), 0.0).await;
    }
    assert_every_family(&now);

    let mut empty = BTreeMap::new();
    let until = Instant::now() + PATIENCE;
    for query in queries().expect("the dashboard") {
        if !prometheus.charts(&query.expr, until).await {
            empty.insert(query.expr, query.panel);
        }
    }
    assert!(empty.is_empty(), "panels without data: {empty:#?}");

    let rules = prometheus.ask("/api/v1/rules", &[]).await.expect("rules");
    let groups = rules["groups"].as_array().expect("groups");
    let rules: Vec<_> = groups
        .iter()
        .flat_map(|group| group["rules"].as_array().into_iter().flatten())
        .collect();
    assert!(!rules.is_empty());
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule}");
    }

    let scrape = client().get(format!("{metrics_url}/metrics")).send().await;
    let text = scrape.expect("an answer").text().await.expect("text");
    let (good, said) = checked(&text);
    assert!(good && said.is_empty(), "promtool: {said}");
}
