//! The comparison in words, as tables, as JSON.

use std::{collections::BTreeSet, time::Duration};

use crucible_router::replay::{ReplayOutcome, TraceRequest, WaitSummary};
use serde_json::{Map, Value, json};

use super::{Replayed, Run};
use crate::output::table;

fn s(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 100.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{seconds:.0} s")
    }
}

fn all(_: &TraceRequest) -> bool {
    true
}

/// `-` is whoever had no key.
fn client(request: &TraceRequest) -> &str {
    request.client.as_deref().unwrap_or("-")
}

/// Names that requests have, sorted.
fn names(replayed: &Replayed, of: fn(&TraceRequest) -> &str) -> BTreeSet<&str> {
    let requests = replayed.learned.trace.requests().iter();
    requests.map(of).collect()
}

/// For people.
pub(super) fn text(replayed: &Replayed) -> String {
    let trace = &replayed.learned.trace;
    let span = trace.requests().last().map_or(Duration::ZERO, |r| r.at);
    let mut parts = vec![format!(
        "{} requests in {}",
        trace.requests().len(),
        s(span)
    )];
    parts.push(overview(replayed));
    parts.push(format!(
        "by model: everything for what is loaded first. in order: first come, first served. \
         In that order nobody can do with fewer than {} loads.",
        replayed.fewest_loads
    ));
    parts.push(details(replayed, "model", |r| &r.model));
    let clients = names(replayed, client);
    if clients.len() > 1 {
        parts.push(details(replayed, "client", client));
    }
    if let Some(words) = words(replayed) {
        parts.push(words);
    }
    parts.join("\n\n")
}

fn overview(replayed: &Replayed) -> String {
    let heading = ["", "loads", "loading", "wait p50", "p95", "max", "refused"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for run in &replayed.runs {
        let sum = run.outcome.wait_summary(&replayed.learned.trace, all);
        rows.push(vec![
            run.title.clone(),
            run.outcome.loads.len().to_string(),
            s(run.outcome.load_time()),
            s(sum.p50),
            s(sum.p95),
            s(sum.max),
            sum.rejected.to_string(),
        ]);
    }
    table(&rows)
}

/// The run that is to be looked at, and the one that it is compared with.
fn pair(replayed: &Replayed) -> (Option<&Run>, Option<&Run>) {
    let find = |name| replayed.runs.iter().find(|run| run.name == name);
    match find("changed") {
        Some(changed) => (Some(changed), find("current")),
        None => (find("current"), find("logged")),
    }
}

fn details(replayed: &Replayed, heading: &str, of: fn(&TraceRequest) -> &str) -> String {
    let mut rows = vec![
        [
            heading, "requests", "loads", "wait p50", "p95", "max", "refused",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    let (Some(new), Some(old)) = pair(replayed) else {
        return String::new();
    };
    let trace = &replayed.learned.trace;
    for name in names(replayed, of) {
        let sum = |run: &Run| run.outcome.wait_summary(trace, |r| of(r) == name);
        let (before, after) = (sum(old), sum(new));
        let both = |before: String, after: String| {
            if before == after {
                after
            } else {
                format!("{before} -> {after}")
            }
        };
        let time = |of: fn(&WaitSummary) -> Duration| both(s(of(&before)), s(of(&after)));
        let loads = |run: &Run| match heading {
            "model" => run.outcome.loads_of(name).to_string(),
            _ => loads_for(&run.outcome, trace.requests(), name).to_string(),
        };
        rows.push(vec![
            name.to_string(),
            (after.served + after.rejected).to_string(),
            both(loads(old), loads(new)),
            time(|sum| sum.p50),
            time(|sum| sum.p95),
            time(|sum| sum.max),
            both(before.rejected.to_string(), after.rejected.to_string()),
        ]);
    }
    table(&rows)
}

/// How many of a client's requests had a load in their wait.
fn loads_for(outcome: &ReplayOutcome, requests: &[TraceRequest], client: &str) -> usize {
    use crucible_router::replay::RequestFate;

    let own = requests.iter().zip(&outcome.fates);
    own.filter(|(r, fate)| {
        self::client(r) == client && matches!(fate, RequestFate::Served { loaded: true, .. })
    })
    .count()
}

/// The difference in a sentence.
fn words(replayed: &Replayed) -> Option<String> {
    let (Some(new), Some(old)) = pair(replayed) else {
        return None;
    };
    if new.name != "changed" {
        return None;
    }
    let trace = &replayed.learned.trace;
    let (before, after) = (
        old.outcome.wait_summary(trace, all),
        new.outcome.wait_summary(trace, all),
    );
    let mut parts = Vec::new();
    let (was, is) = (old.outcome.loads.len(), new.outcome.loads.len());
    if was != is {
        parts.push(format!("{is} loads instead of {was}"));
    }
    for (name, was, is) in [
        ("p50 wait", before.p50, after.p50),
        ("p95 wait", before.p95, after.p95),
        ("longest wait", before.max, after.max),
    ] {
        let (was, is) = (s(was), s(is));
        if was != is {
            parts.push(format!("{name} {is} instead of {was}"));
        }
    }
    if before.rejected != after.rejected {
        parts.push(format!(
            "{} refused instead of {}",
            after.rejected, before.rejected
        ));
    }
    if parts.is_empty() {
        parts.push("no difference".to_owned());
    }
    Some(format!("{}: {}", new.title, parts.join(", ")))
}

/// For scripts.
pub(super) fn json(replayed: &Replayed) -> Value {
    let trace = &replayed.learned.trace;
    let runs: Map<String, Value> = replayed
        .runs
        .iter()
        .map(|run| {
            let mut value = summary(run.outcome.wait_summary(trace, all));
            let by = |of: fn(&TraceRequest) -> &str| {
                let each = names(replayed, of).into_iter().map(|name| {
                    let sum = run.outcome.wait_summary(trace, |r| of(r) == name);
                    (name.to_string(), summary(sum))
                });
                Value::Object(each.collect())
            };
            value["loads"] = run.outcome.loads.len().into();
            value["load_s"] = run.outcome.load_time().as_secs_f64().into();
            value["makespan_s"] = run.outcome.makespan.as_secs_f64().into();
            let mut models = by(|r| &r.model);
            for name in names(replayed, |r| &r.model) {
                models[name]["loads"] = run.outcome.loads_of(name).into();
            }
            value["models"] = models;
            value["clients"] = by(client);
            (run.name.to_owned(), value)
        })
        .collect();
    json!({
        "requests": trace.requests().len(),
        "corrupt_lines": replayed.corrupt,
        "dropped_events": replayed.dropped,
        "set": replayed.set,
        "fewest_loads": replayed.fewest_loads,
        "runs": runs,
    })
}

fn summary(sum: WaitSummary) -> Value {
    json!({
        "served": sum.served,
        "refused": sum.rejected,
        "wait_p50_s": sum.p50.as_secs_f64(),
        "wait_p95_s": sum.p95.as_secs_f64(),
        "wait_max_s": sum.max.as_secs_f64(),
    })
}
