//! A real Prometheus with the shipped rules, and what it has scraped.
//!
//! Needs `prometheus` and `promtool` of Debian's package `prometheus`.

use std::{
    collections::BTreeSet,
    fs::File,
    io::ErrorKind,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crucible_dashboards::folder;
use crucible_tests::{
    engines::client,
    process::{PATIENCE, free_port},
    rest::eventually,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The key that it shows to whatever it scrapes, and the hash of it for a `[[key]]` block.
const SECRET: &str = "crk-of-prometheus";
pub(super) const HASH: &str =
    "sha256:30e4566000dc058226911af93f1b20b8b25122c5a6a25d2400943367eeb2f0b1";

/// The folder in which Prometheus finds targets that came later.
const FOUND: &str = "targets";

/// Pause between two looks at something that is waited for.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// A Prometheus with rules that scrapes its targets every second.
pub(super) struct Prometheus {
    child: Child,
    url: String,
    folder: TempDir,
    started: f64,
}

fn unix_now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock after 1970")
        .as_secs_f64()
}

/// A program of the package; the panic names it.
pub(super) fn launched(command: &mut Command) -> Child {
    let name = command.get_program().to_string_lossy().into_owned();
    match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            panic!("`{name}` is not on the PATH: install Debian's package `prometheus`")
        }
        Err(error) => panic!("{name}: {error}"),
    }
}

// === impl Prometheus ===

impl Prometheus {
    /// Starts it with the shipped rules, each of whose lines `change` may change, and returns once it has
    /// scraped all `targets`, each a `host:port`.
    pub(super) async fn scraping(targets: &[&str], change: impl Fn(&str) -> String) -> Self {
        let rules = folder().join("prometheus/rules/crucible.yml");
        let rules = std::fs::read_to_string(rules).expect("the shipped rules");
        let rules = rules
            .lines()
            .map(|line| change(line) + "\n")
            .collect::<String>();
        let until = Instant::now() + PATIENCE;
        loop {
            let mut this = Self::spawn(targets, &rules);
            if this.scraped(targets, until).await {
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

    fn spawn(targets: &[&str], rules: &str) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        std::fs::write(folder.path().join("rules.yml"), rules).expect("the rules are written");
        let config = folder.path().join("prometheus.yml");
        // The job has no name that a rule could know.
        let text = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             rule_files: [rules.yml]\n\
             scrape_configs: [{{job_name: local-models, authorization: {{credentials: {SECRET}}}, static_configs: [{{targets: {targets:?}}}], \
             file_sd_configs: [{{files: [\"{FOUND}/*.json\"]}}]}}]\n"
        );
        std::fs::create_dir(folder.path().join(FOUND)).expect("a folder for targets");
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

    /// Whether it came to a first scrape of each target; `false` if it ended before.
    async fn scraped(&mut self, targets: &[&str], until: Instant) -> bool {
        let want = f64::from(u32::try_from(targets.len()).expect("a few"));
        let scraped = if targets.is_empty() {
            "vector(0)"
        } else {
            "sum(up)"
        };
        loop {
            if self.child.try_wait().expect("a child").is_some() {
                return false;
            }
            if self.value(scraped).await == Some(want) {
                return true;
            }
            assert!(Instant::now() < until, "no scrape:\n{}", self.log());
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }

    /// Scrapes one more target from now on, so many milliseconds apart.
    pub(super) fn admit(&self, target: &str, every_ms: u32) {
        let every = format!("{every_ms}ms");
        let group = json!([{ "targets": [target], "labels": {
            "__scrape_interval__": every, "__scrape_timeout__": every } }]);
        let folder = self.folder.path().join(FOUND);
        // It reads what ends with `.json`, which is whole from the first moment.
        let (part, whole) = (folder.join(target), folder.join(format!("{target}.json")));
        std::fs::write(&part, group.to_string()).expect("a target is written");
        std::fs::rename(part, whole).expect("a target is named");
    }

    /// The values of one label that an expression has now.
    pub(super) async fn labels(&self, expr: &str, label: &str) -> BTreeSet<String> {
        let data = self.ask("/api/v1/query", &[("query", expr)]).await;
        let data = data.unwrap_or_default();
        let series = data["result"].as_array().into_iter().flatten();
        series
            .filter_map(|one| one["metric"][label].as_str())
            .map(str::to_owned)
            .collect()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// `data` of an answer of its API; `None` while it does not answer.
    pub(super) async fn ask(&self, path: &str, params: &[(&str, &str)]) -> Option<Value> {
        let url = url::Url::parse_with_params(&format!("{}{path}", self.url), params)
            .expect("a valid URL");
        let response = client().get(url).send().await.ok()?;
        let text = response.text().await.ok()?;
        let answer: Value = serde_json::from_str(&text).ok()?;
        assert_eq!(answer["status"], "success", "{params:?}: {text}");
        Some(answer["data"].clone())
    }

    /// The value now of an expression with one series.
    pub(super) async fn value(&self, expr: &str) -> Option<f64> {
        let data = self.ask("/api/v1/query", &[("query", expr)]).await?;
        data["result"][0]["value"][1].as_str()?.parse().ok()
    }

    /// Waits until the expression has this value.
    pub(super) async fn becomes(&self, expr: &str, want: f64) {
        eventually(&format!("{expr} is {want}"), || async {
            (self.value(expr).await == Some(want)).then_some(())
        })
        .await;
    }

    /// Waits for the next scrape of all targets.
    pub(super) async fn scraped_anew(&self) {
        let now = unix_now();
        let newest = "min(timestamp(up))";
        eventually("a scrape", || async {
            (self.value(newest).await? > now).then_some(())
        })
        .await;
    }

    /// The alerts that are pending or fire, as `name: state of engine`.
    pub(super) async fn alerts(&self) -> Vec<String> {
        let data = self.ask("/api/v1/alerts", &[]).await.expect("alerts");
        let alerts = data["alerts"].as_array().expect("a list");
        let text = |alert: &Value, pointer: &str| {
            alert
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or("-")
                .to_owned()
        };
        let shown = alerts.iter().map(|alert| {
            let (name, state) = (text(alert, "/labels/alertname"), text(alert, "/state"));
            format!("{name}: {state} of {}", text(alert, "/labels/engine"))
        });
        shown.collect()
    }

    /// Whether the expression has a finite sample at any second of its life, by `until`.
    pub(super) async fn charts(&self, expr: &str, until: Instant) -> bool {
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
