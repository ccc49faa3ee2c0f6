//! The alerts, live: silent while all is well and much is asked that is no answer of an engine, and firing for an
//! engine that was killed and for a Crucible that is gone.

use crucible_sim::Options;
use crucible_tests::{
    Crucible,
    chat::{body, get, post},
    engines::{engine, start},
    rest::eventually,
};

use super::server::Prometheus;

/// A wait of a minute is one of two seconds here.
fn sooner(line: &str) -> String {
    match line.split_once("for: ") {
        Some((before, _)) if before.trim().is_empty() => format!("{before}for: 2s"),
        _ => line.to_owned(),
    }
}

/// Waits until this alert fires.
async fn fires(prometheus: &Prometheus, alert: &str) {
    eventually(alert, || async {
        let alerts = prometheus.alerts().await;
        alerts.iter().any(|one| one == alert).then_some(())
    })
    .await;
}

#[tokio::test]
async fn alerts_are_silent_beside_scrapes_and_fire_for_a_killed_engine() {
    let sim = start(Options::ollama(&["llama3.2:3b=2GB"])).await;
    let crucible = Crucible::start(&format!(
        "metrics_listen = \"127.0.0.1:0\"\n{}",
        engine("ollama", "ollama", &sim.url())
    ));
    let target = crucible.metrics_url().expect("metrics_listen");
    let target = target.trim_start_matches("http://").to_owned();
    let prometheus = Prometheus::scraping(&[&target], sooner).await;

    for round in 1..=3 {
        for _ in 0..20 {
            for path in ["/metrics", "/healthz", "/", "/v1/models", "/no/such/path"] {
                get(&crucible, path).await;
            }
        }
        let answer = post(&crucible, &body("llama3.2:3b", "repeat 2")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        // A series that appears with its first count has a rate after a second one, in a later scrape.
        let seen = "sum(crucible_requests_total{endpoint=\"chat\",code=\"200\"})";
        prometheus.becomes(seen, f64::from(round)).await;
    }
    // Every rule has seen these requests, and has had the time to fire.
    let evaluated =
        "min_over_time(engine:crucible_requests:rate5m{engine=\"ollama\"}[3s]) > bool 0";
    prometheus.becomes(evaluated, 1.0).await;
    let silence: [String; 0] = [];
    assert_eq!(prometheus.alerts().await, silence);

    drop(sim);
    fires(&prometheus, "CrucibleEngineDown: firing of ollama").await;
    let answer = post(&crucible, &body("llama3.2:3b", "repeat 2")).await;
    assert_eq!(answer.status, 503, "{}", answer.text);

    drop(crucible);
    fires(&prometheus, "CrucibleDown: firing of -").await;
}
