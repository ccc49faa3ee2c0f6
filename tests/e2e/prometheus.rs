//! A real Prometheus in front of a working Crucible: every panel and variable of the shipped dashboards gets
//! data, the shipped rules evaluate, the counts are those of the load's own log, and alerts fire when they
//! should and only then.
//!
//! Needs `prometheus` and `promtool` of Debian's package `prometheus`. Graphics cards, energy and a control group
//! come from a stand-in that is scraped beside Crucible, since a machine that tests need not have any.

mod alerts;
mod every_word;
mod identities;
mod load;
mod scenes;
mod server;

use std::{
    collections::BTreeMap,
    io::Write as _,
    process::{Command, Stdio},
    time::Instant,
};

use crucible::metrics::{FAMILIES, FamilyType};
use crucible_dashboards::{PanelQuery, folder, queries, variables};
use crucible_tests::{
    clean::{Metrics, settled},
    engines::{Both, client, engine},
    process::PATIENCE,
    scripted::{Script, Scripted},
};
use serde_json::json;

use self::{
    every_word::OF_SCENES,
    load::{LoadLog, round},
    server::{Prometheus, launched},
};
use super::answers::{openai, speaker};

/// The counts of an engine that had most of a prompt in its cache.
const CACHED: &str = r#","usage":{"prompt_tokens":10,"completion_tokens":1,"total_tokens":11,"prompt_tokens_details":{"cached_tokens":9}}"#;

/// A page that never reads is dropped after longer than the load takes: `event_readers` has the test that counts it.
const OF_SILENT_PAGES: &str = "crucible_pages_dropped_total";

/// Families that only some machines have, which the stand-in shows.
const OF_SOME_MACHINES: [&str; 2] = ["crucible_gpu_", "crucible_energy_"];

/// Rounds of the load: a series that appears with its first count has a rate only after a second
/// one, in a later scrape.
const ROUNDS: u32 = 3;

/// A page of metrics of a graphics card, of energy, of an engine in a control group and of a setting that is not
/// in effect, for the panels of what this machine may not have.
async fn stand_in() -> Scripted {
    let page = folder().join("../tests/dashboards/draw/machine.prom");
    let page = std::fs::read_to_string(page).expect("the stand-in's page");
    let page = page
        .replace("{sway}", "12")
        .replace("{joules}", "900")
        .replace("{package}", "90");
    let setting =
        "crucible_tuning_state{setting=\"lmstudio.flash_attention\",state=\"not_in_effect\"} 1\n";
    Scripted::start(move |_| Script::typed("text/plain; version=0.0.4", &(page.clone() + setting)))
        .await
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

/// Every family is there, and each that counts has counted, but those that take a scene of their own.
fn assert_every_family(now: &Metrics) {
    for family in FAMILIES {
        if OF_SOME_MACHINES
            .iter()
            .any(|start| family.name.starts_with(start))
        {
            continue;
        }
        let (series, counts) = match family.kind {
            FamilyType::Counter => (family.name.to_owned(), true),
            FamilyType::Histogram => (format!("{}_count", family.name), true),
            FamilyType::Gauge => (family.name.to_owned(), false),
        };
        let lines = now.family(&series);
        let excused = OF_SCENES.contains(&family.name) || family.name == OF_SILENT_PAGES;
        if counts {
            assert!(!lines.is_empty(), "{series} has no series");
            assert!(excused || now.sum(&series, &[]) > 0.0, "{lines}");
        }
    }
}

/// What Prometheus has to show, if all was counted once: by the load's own log, and with nothing left over.
fn expected(log: &LoadLog) -> Vec<(String, u64)> {
    let chats = |labels: &str| format!("sum(crucible_requests_total{{endpoint=\"chat\"{labels}}})");
    let mut expected = vec![
        (chats(""), log.chats.into()),
        (
            "sum(crucible_request_duration_seconds_count{endpoint=\"chat\"})".to_owned(),
            log.chats.into(),
        ),
        (chats(",code=\"502\""), log.failed.into()),
        ("sum(crucible_routed_total)".to_owned(), log.routed.into()),
        (
            "sum(crucible_fallbacks_total{outcome=\"ok\"})".to_owned(),
            log.fallbacks.into(),
        ),
    ];
    for (kind, &count) in &log.tokens {
        let tokens = format!("sum(crucible_tokens_total{{type=\"{kind}\"}})");
        expected.push((tokens, count));
    }
    for (status, &count) in &log.rejected {
        let rejected = format!("sum(crucible_rejected_total{{code=\"{status}\"}})");
        expected.push((rejected, count.into()));
    }
    for (status, &count) in &log.refused {
        expected.push((chats(&format!(",code=\"{status}\"")), count.into()));
    }
    for (cause, count) in [
        ("upstream_cut", log.cut),
        ("client_gone", log.left["stream"]),
    ] {
        let aborted = format!("sum(crucible_stream_aborted_total{{cause=\"{cause}\"}})");
        expected.push((aborted, count.into()));
    }
    for (phase, &count) in &log.left {
        let left = format!("sum(crucible_client_disconnects_total{{phase=\"{phase}\"}})");
        expected.push((left, count.into()));
    }
    for gauge in [
        "crucible_requests_in_flight",
        "crucible_queue_depth",
        "crucible_queue_waiting",
        "crucible_prefill_requests",
        "crucible_pool_loading",
        "crucible_oldest_in_flight_seconds",
    ] {
        expected.push((format!("sum({gauge})"), 0));
    }
    expected
}

async fn assert_counters_equal(prometheus: &Prometheus, log: &LoadLog) {
    let expected = expected(log);
    let until = Instant::now() + PATIENCE / 6;
    loop {
        let mut wrong = Vec::new();
        for (expr, want) in &expected {
            let shown = prometheus.value(expr).await;
            if shown != Some(f64::from(u32::try_from(*want).expect("a small count"))) {
                wrong.push(format!("{expr} is {shown:?}, not {want}"));
            }
        }
        if wrong.is_empty() {
            return;
        }
        assert!(Instant::now() < until, "{wrong:#?}");
        // The last scrape may be of a moment ago.
        prometheus.scraped_anew().await;
    }
}

/// Every query of every panel has data, but those that take a scene of their own; every variable offers
/// values.
async fn assert_panels_have_data(prometheus: &Prometheus) {
    let mut empty = BTreeMap::new();
    let until = Instant::now() + PATIENCE / 3;
    for PanelQuery { panel, expr, .. } in queries() {
        let excused = OF_SCENES.iter().any(|name| expr.contains(name));
        if !excused && !prometheus.charts(&expr, until).await {
            empty.insert(expr, panel);
        }
    }
    assert!(empty.is_empty(), "panels without data: {empty:#?}");
    for (label, series) in variables() {
        let path = format!("/api/v1/label/{label}/values");
        let values = prometheus.ask(&path, &[("match[]", &series)]).await;
        let values = values.expect("values");
        assert!(
            !values.as_array().expect("a list").is_empty(),
            "{label} of {series}"
        );
    }
}

/// Every rule evaluates without an error.
async fn assert_rules_evaluate(prometheus: &Prometheus) {
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
}

#[tokio::test]
async fn prometheus_fills_every_panel_and_its_counters_equal_the_log() {
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
    let machine = stand_in().await;
    let machine_url = machine.url();
    let machine = machine_url.trim_start_matches("http://");
    let before = Metrics::of(&both.crucible).await;
    // No alert waits here: what fires has to be charted too.
    let prometheus = Prometheus::scraping(&[&target, machine], |line| {
        if line.trim_start().starts_with("for: ") {
            String::new()
        } else {
            line.to_owned()
        }
    })
    .await;

    let mut log = LoadLog::default();
    for number in 1..=ROUNDS {
        round(&both, &mut log).await;
        settled(&both.crucible, &before, log.chats).await;
        // The next round's counts belong to a later scrape.
        let reloads = "sum(crucible_config_reloads_total)";
        prometheus.becomes(reloads, f64::from(number)).await;
        let chats = "sum(crucible_requests_total{endpoint=\"chat\"})";
        prometheus.becomes(chats, f64::from(log.chats)).await;
    }

    let now = settled(&both.crucible, &before, log.chats).await;
    assert_counters_equal(&prometheus, &log).await;
    assert_every_family(&now);
    assert_panels_have_data(&prometheus).await;
    assert_rules_evaluate(&prometheus).await;

    let scrape = client().get(format!("{metrics_url}/metrics")).send().await;
    let text = scrape.expect("an answer").text().await.expect("text");
    let (good, said) = checked(&text);
    assert!(good && said.is_empty(), "promtool: {said}");
}
