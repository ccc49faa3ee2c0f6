//! Waiting for what must become true, and for Crucible to be at rest.

use std::{future::Future, time::Instant};

use crucible_documents::StateDoc;
use serde_json::Value;

use crate::{
    chat::get,
    process::{Crucible, PATIENCE},
};

/// Asks again until there is an answer.
///
/// # Panics
/// If there never is one.
pub async fn eventually<T, F>(what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(Instant::now() < until, "never: {what}");
        // Between two looks, not instead of one.
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

/// The state of this moment.
///
/// # Panics
/// If there is none, or it is not as documented.
pub async fn state(crucible: &Crucible) -> StateDoc {
    let answer = get(crucible, "/crucible/state").await;
    serde_json::from_str(&answer.text).expect("a state")
}

fn holds_permits(state: &StateDoc) -> bool {
    state
        .engines
        .iter()
        .any(|engine| engine.permits.active != 0)
}

/// Waits until nothing is in flight, queued or held at an engine, and no connection but the
/// asking one is open.
///
/// # Panics
/// If it never comes to rest.
pub async fn at_rest(crucible: &Crucible) {
    eventually("rest after the refusals", || async {
        let state = state(crucible).await;
        let open = metric(crucible, "crucible_connections_open").await;
        // One for the connection that asks now.
        let quiet = state.in_flight.is_empty() && state.queue.is_empty() && open <= 1;
        (quiet && !holds_permits(&state)).then_some(())
    })
    .await;
}

/// Waits until nobody holds a permit and, where it is to be remembered, the load of a model is.
///
/// # Panics
/// If it never comes to that.
pub async fn idle(crucible: &Crucible, remembered: Option<&str>) {
    let file = crucible
        .config()
        .with_file_name("state")
        .join("residents.json");
    eventually("idle, and the load written down", || async {
        let state = state(crucible).await;
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        (!holds_permits(&state) && remembered.is_none_or(|model| text.contains(model)))
            .then_some(())
    })
    .await;
}

/// Waits until Crucible is ready.
///
/// # Panics
/// If it never is.
pub async fn ready(crucible: &Crucible) {
    eventually("ready", || async {
        (get(crucible, "/readyz").await.status == 200).then_some(())
    })
    .await;
}

/// Waits until the log says this: lines are written some milliseconds after what they tell.
///
/// # Panics
/// If it never does.
pub async fn logged(crucible: &Crucible, text: &str) {
    eventually(text, || async {
        crucible.log().contains(text).then_some(())
    })
    .await;
}

/// The sum of a family's samples, 0 if there is none.
///
/// # Panics
/// If there is no answer.
pub async fn metric(crucible: &Crucible, name: &str) -> u64 {
    sample(&get(crucible, "/metrics").await.text, name)
}

/// The sum of the samples whose line starts with `prefix` up to a brace, a comma or a space.
///
/// # Panics
/// If a value is no whole number.
pub fn sample(text: &str, prefix: &str) -> u64 {
    text.lines()
        .filter(|line| {
            line.strip_prefix(prefix)
                .is_some_and(|rest| rest.starts_with(['{', ' ', ',', '}']))
        })
        .filter_map(|line| line.rsplit(' ').next())
        .map(|value| value.parse::<u64>().expect("a whole number"))
        .sum()
}

/// The JSON of a raw HTTP answer.
pub fn json_of(raw: &str) -> Value {
    raw.split_once("\r\n\r\n")
        .and_then(|(_, body)| serde_json::from_str(body).ok())
        .unwrap_or_default()
}
