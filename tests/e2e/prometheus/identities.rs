//! What must agree among the families of every instance, whatever has happened to it.

use std::time::Instant;

use crucible_tests::process::PATIENCE;

use super::server::Prometheus;

/// Two sums that are equal for each instance.
const IDENTITIES: [(&str, &str); 7] = [
    (
        "crucible_requests_total",
        "crucible_request_duration_seconds_count",
    ),
    ("crucible_requests_total", "crucible_overhead_seconds_count"),
    (
        "crucible_requests_total{engine!=\"none\"}",
        "crucible_routed_total",
    ),
    (
        "crucible_requests_total{code=\"499\"}",
        "crucible_client_disconnects_total",
    ),
    (
        "crucible_request_tokens_sum{type=\"prompt\"}",
        "crucible_tokens_total{type=\"prompt\"}",
    ),
    (
        "crucible_request_tokens_sum{type=\"completion\"}",
        "crucible_tokens_total{type=\"completion\"}",
    ),
    (
        "crucible_request_duration_seconds_sum",
        "crucible_request_phase_seconds_total",
    ),
];

/// Seconds by which sums of times may differ, which are added in another order.
const ROUNDING: &str = "0.001";

/// Waits until all of them hold at once for every instance that runs.
pub(super) async fn hold(prometheus: &Prometheus) {
    let until = Instant::now() + PATIENCE / 3;
    loop {
        let mut wrong = Vec::new();
        for (one, other) in IDENTITIES {
            let sum = |family| format!("sum by (instance) ({family})");
            let differ = format!(
                "abs({} - {}) > {ROUNDING} and on (instance) up == 1",
                sum(one),
                sum(other)
            );
            let instances = prometheus.labels(&differ, "instance").await;
            let counted = format!("sum({one}) > 0 and on () sum({other}) > 0");
            if !instances.is_empty() || prometheus.value(&counted).await.is_none() {
                wrong.push(format!("{one} and {other} of {instances:?}"));
            }
        }
        if wrong.is_empty() {
            return;
        }
        assert!(Instant::now() < until, "{wrong:#?}");
        // A request may have ended while the last scrape was made.
        prometheus.scraped_anew().await;
    }
}
