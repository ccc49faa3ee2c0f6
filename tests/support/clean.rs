//! What must hold after every scenario: nothing is left over, everything was counted once, and
//! the next request works.

use crate::{
    chat::{body, get, post},
    process::Crucible,
    rest::eventually,
};

/// A reading of `/metrics`.
#[derive(Clone, Debug)]
pub struct Metrics(String);

// === impl Metrics ===

impl Metrics {
    /// Reads them now.
    pub async fn of(crucible: &Crucible) -> Self {
        Self(get(crucible, "/metrics").await.text)
    }

    /// Sum over the series of a name that have all these labels.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.0
            .lines()
            .filter(|line| {
                line.strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with(['{', ' ']))
            })
            .filter(|line| {
                labels
                    .iter()
                    .all(|(key, value)| line.contains(&format!("{key}=\"{value}\"")))
            })
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Chat requests that have ended.
    pub fn chats(&self) -> f64 {
        self.sum("crucible_requests_total", &[("endpoint", "chat")])
    }

    /// The lines of a family, for the text of a failed assertion.
    pub fn family(&self, name: &str) -> String {
        self.0
            .lines()
            .filter(|line| line.starts_with(name))
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// Waits until `requests` chat requests more than `before` were counted and nothing is left of
/// them, then sends a plain one to `next` and looks for panics in the log.
///
/// # Panics
/// If something is left over or the next request fails.
pub async fn clean(crucible: &Crucible, before: &Metrics, requests: u32, next: &str) -> Metrics {
    let after = settled(crucible, before, requests).await;
    let answer = post(crucible, &body(next, "repeat 1")).await;
    assert_eq!(answer.status, 200, "the next request: {}", answer.text);
    assert_eq!(answer.content(), "word0", "{}", answer.text);
    assert!(!crucible.log().contains("panicked"), "{}", crucible.log());
    settled(crucible, &after, 1).await;
    after
}

/// The first half of [`clean`].
///
/// # Panics
/// If something is left over, or counted twice or not at all.
pub async fn settled(crucible: &Crucible, before: &Metrics, requests: u32) -> Metrics {
    let want = before.chats() + f64::from(requests);
    let after = eventually("all requests are counted and gone", || async {
        let state = get(crucible, "/crucible/state").await.json;
        let now = Metrics::of(crucible).await;
        let busy = state["in_flight"]
            .as_array()
            .expect("a list")
            .iter()
            .any(|request| request["model"].is_string());
        let gone = !busy
            && state["queue"] == serde_json::json!([])
            && now.sum("crucible_requests_in_flight", &[]) == 0.0
            && now.sum("crucible_queue_depth", &[]) == 0.0;
        (gone && now.chats() >= want).then_some(now)
    })
    .await;
    assert_eq!(
        after.chats(),
        want,
        "{}",
        after.family("crucible_requests_total")
    );
    after
}

/// Requests that wait for a permit now.
///
/// # Panics
/// If the state is not what it is documented to be.
pub async fn waiting(crucible: &Crucible) -> usize {
    let state = get(crucible, "/crucible/state").await.json;
    let live = state["in_flight"].as_array().expect("a list");
    live.iter().filter(|r| r["phase"] == "queue").count()
}

/// Waits until exactly `n` requests wait for a permit.
///
/// # Panics
/// If that never happens.
pub async fn queued(crucible: &Crucible, n: usize) {
    eventually("so many wait", || async {
        (waiting(crucible).await == n).then_some(())
    })
    .await;
}
