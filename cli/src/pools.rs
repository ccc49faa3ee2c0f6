//! Tables of the pools, with what is loaded and loading there and which requests wait.

use bytesize::ByteSize;
use crucible_documents::{
    StateDoc,
    state::{LoadingDoc, ResidentDoc},
};

use crate::output::table;

const NOT_OWNER: &str = "Another Crucible owns state_dir: the one that is asked here unloads only \
                         what it loaded itself.";

/// Returns the tables, without those that would be empty.
pub(crate) fn readable(state: &StateDoc) -> String {
    let mut parts = wedged(state);
    if !state.owns_state {
        parts.push(NOT_OWNER.to_owned());
    }
    parts.push(table(&pools(state)));
    for rows in [residents(state), waiting(state)] {
        if rows.len() > 1 {
            parts.push(table(&rows));
        }
    }
    parts.join("\n\n")
}

fn wedged(state: &StateDoc) -> Vec<String> {
    let wedged = state.engines.iter().filter(|engine| engine.wedged);
    let sentence = "is wedged: it answers polls, but loads or requests find no end. Restart it.";
    wedged
        .map(|engine| format!("{} {sentence}", engine.name))
        .collect()
}

fn heading<const N: usize>(words: [&str; N]) -> Vec<Vec<String>> {
    vec![words.map(str::to_owned).to_vec()]
}

fn size(bytes: u64) -> String {
    ByteSize(bytes).display().si().to_string()
}

fn pools(state: &StateDoc) -> Vec<Vec<String>> {
    let mut rows = heading(["pool", "budget", "used", "loading"]);
    for pool in &state.pools {
        rows.push(vec![
            pool.name.to_string(),
            pool.budget_bytes.map_or_else(|| "unknown".to_owned(), size),
            size(pool.used_bytes),
            pool.loading.as_ref().map_or_else(String::new, loading),
        ]);
    }
    rows
}

fn loading(loading: &LoadingDoc) -> String {
    let usually = loading
        .expected_s
        .map_or_else(String::new, |s| format!(", usually {s:.0} s"));
    format!("{} for {:.0} s{usually}", loading.model, loading.since)
}

fn residents(state: &StateDoc) -> Vec<Vec<String>> {
    let mut rows = heading(["pool", "holds", "memory", "answers", "idle", "kept"]);
    for pool in &state.pools {
        for resident in &pool.residents {
            rows.push(vec![
                pool.name.to_string(),
                format!("{}/{}", resident.engine, resident.model),
                resident.bytes.map_or_else(String::new, size),
                resident.active.to_string(),
                format!("{:.0} s", resident.idle_s),
                kept(resident).to_owned(),
            ]);
        }
    }
    rows
}

const fn kept(resident: &ResidentDoc) -> &'static str {
    match (resident.pinned, resident.owned) {
        (true, _) => "pinned",
        (false, true) => "until idle",
        (false, false) => "loaded by others",
    }
}

fn waiting(state: &StateDoc) -> Vec<Vec<String>> {
    let mut rows = heading(["place", "waits for", "since", "because"]);
    for waiter in &state.queue {
        rows.push(vec![
            waiter.position.to_string(),
            format!("{}/{}", waiter.engine, waiter.model),
            format!("{:.0} s", waiter.waiting_s),
            waiter.reason.replace('_', " "),
        ]);
    }
    rows
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_load_says_since_when_and_how_long_it_usually_takes() {
        let state = json!({
            "owns_state": true, "engines": [], "in_flight": [],
            "pools": [{
                "name": "gpu", "budget_bytes": 12_000_000_000_u64, "used_bytes": 7_000_000_000_u64,
                "loading": { "model": "qwen", "since": 3.2, "expected_s": 12.0 },
                "residents": [{
                    "engine": "gpu", "model": "old", "bytes": 5_000_000_000_u64, "active": 1,
                    "idle_s": 0.0, "pinned": false, "owned": false,
                }],
            }],
            "queue": [{
                "request_id": "r", "engine": "gpu", "model": "qwen", "position": 1,
                "waiting_s": 3.0, "reason": "load_running",
            }],
        });
        assert_eq!(
            readable(&serde_json::from_value(state).unwrap()),
            "pool  budget   used    loading\n\
             gpu   12.0 GB  7.0 GB  qwen for 3 s, usually 12 s\n\n\
             pool  holds    memory  answers  idle  kept\n\
             gpu   gpu/old  5.0 GB  1        0 s   loaded by others\n\n\
             place  waits for  since  because\n\
             1      gpu/qwen   3 s    load running"
        );
    }
}
