//! Pools, what they hold, what is loading and who waits: `GET /crucible/state` for people.

use bytesize::ByteSize;
use serde_json::Value;

use super::{output::table, tunings::text};

const BESIDE: &str = "Another Crucible owns state_dir: the one that is asked here unloads only what \
                      it loaded itself.";

/// The tables, without those that would be empty.
pub(super) fn readable(state: &Value) -> String {
    let mut parts = wedged(state);
    if state["owns_state"] == false {
        parts.push(BESIDE.to_owned());
    }
    parts.push(table(&pools(state)));
    for rows in [residents(state), waiting(state)] {
        if rows.len() > 1 {
            parts.push(table(&rows));
        }
    }
    parts.join("\n\n")
}

fn wedged(state: &Value) -> Vec<String> {
    let engines = list(state, "engines").iter();
    let wedged = engines.filter(|engine| engine["wedged"] == true);
    let line = |engine: &Value| {
        let name = text(&engine["name"]);
        format!(
            "{name} is wedged: it answers polls, but loads or requests find no end. Restart it."
        )
    };
    wedged.map(line).collect()
}

fn heading<const N: usize>(words: [&str; N]) -> Vec<Vec<String>> {
    vec![words.map(str::to_owned).to_vec()]
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn size(bytes: &Value, unknown: &str) -> String {
    bytes.as_u64().map_or_else(
        || unknown.to_owned(),
        |bytes| ByteSize(bytes).display().si().to_string(),
    )
}

fn seconds(value: &Value) -> Option<String> {
    value.as_f64().map(|seconds| format!("{seconds:.0} s"))
}

fn pools(state: &Value) -> Vec<Vec<String>> {
    let mut rows = heading(["pool", "budget", "used", "loading"]);
    for pool in list(state, "pools") {
        rows.push(vec![
            text(&pool["name"]),
            size(&pool["budget_bytes"], "unknown"),
            size(&pool["used_bytes"], "unknown"),
            loading(&pool["loading"]),
        ]);
    }
    rows
}

fn loading(loading: &Value) -> String {
    if loading.is_null() {
        return String::new();
    }
    let since = seconds(&loading["since"]).unwrap_or_default();
    let usually =
        seconds(&loading["expected_s"]).map_or_else(String::new, |s| format!(", usually {s}"));
    format!("{} for {since}{usually}", text(&loading["model"]))
}

fn residents(state: &Value) -> Vec<Vec<String>> {
    let mut rows = heading(["pool", "holds", "memory", "answers", "idle", "kept"]);
    for pool in list(state, "pools") {
        for resident in list(pool, "residents") {
            let kept = match (&resident["pinned"], &resident["owned"]) {
                (Value::Bool(true), _) => "pinned",
                (_, Value::Bool(true)) => "until idle",
                _ => "loaded by others",
            };
            rows.push(vec![
                text(&pool["name"]),
                format!("{}/{}", text(&resident["engine"]), text(&resident["model"])),
                size(&resident["bytes"], ""),
                text(&resident["active"]),
                seconds(&resident["idle_s"]).unwrap_or_default(),
                kept.to_owned(),
            ]);
        }
    }
    rows
}

fn waiting(state: &Value) -> Vec<Vec<String>> {
    let mut rows = heading(["place", "waits for", "since", "because"]);
    for waiter in list(state, "queue") {
        rows.push(vec![
            text(&waiter["position"]),
            format!("{}/{}", text(&waiter["engine"]), text(&waiter["model"])),
            seconds(&waiter["waiting_s"]).unwrap_or_default(),
            text(&waiter["reason"]).replace('_', " "),
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
            "pools": [{
                "name": "gpu", "budget_bytes": 12_000_000_000_u64, "used_bytes": null,
                "loading": { "model": "qwen", "since": 3.2, "expected_s": 12.0 },
                "residents": [{
                    "engine": "gpu", "model": "old", "bytes": 5_000_000_000_u64, "active": 1,
                    "idle_s": 0.0, "pinned": false, "owned": false,
                }],
            }],
            "queue": [{
                "engine": "gpu", "model": "qwen", "position": 1, "waiting_s": 3.0,
                "reason": "load_running",
            }],
        });
        assert_eq!(
            readable(&state),
            "pool  budget   used     loading\n\
             gpu   12.0 GB  unknown  qwen for 3 s, usually 12 s\n\n\
             pool  holds    memory  answers  idle  kept\n\
             gpu   gpu/old  5.0 GB  1        0 s   loaded by others\n\n\
             place  waits for  since  because\n\
             1      gpu/qwen   3 s    load running"
        );
    }
}
