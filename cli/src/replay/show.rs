//! The comparison as tables with a closing sentence, and as JSON.

use std::{collections::BTreeSet, time::Duration};

use crucible_router::replay::{ReplayOutcome, RequestFate, TraceRequest, WaitSummary};
use serde_json::{Map, Value, json};

use super::comparison::{ReplayComparison, ReplayedRun};
use crate::output::{plural, table};

fn seconds(duration: Duration) -> String {
    let secs = duration.as_secs_f64();
    if secs < 100.0 {
        format!("{secs:.1} s")
    } else {
        format!("{secs:.0} s")
    }
}

fn every_request(_: &TraceRequest) -> bool {
    true
}

/// Returns the name of the request's client, or `-` where it had no key.
fn client(request: &TraceRequest) -> &str {
    request.client.as_deref().unwrap_or("-")
}

/// Returns the different names that `of` gives the requests, sorted.
fn request_names(comparison: &ReplayComparison, of: fn(&TraceRequest) -> &str) -> BTreeSet<&str> {
    let requests = comparison.traffic.trace.requests().iter();
    requests.map(of).collect()
}

/// Returns the comparison as text for a terminal.
pub(super) fn text(comparison: &ReplayComparison) -> String {
    let trace = &comparison.traffic.trace;
    let span = trace.requests().last().map_or(Duration::ZERO, |r| r.at);
    let mut parts = vec![format!(
        "{} in {}",
        plural(trace.requests().len(), "request", "requests"),
        seconds(span)
    )];
    parts.push(overview(comparison));
    parts.push(format!(
        "by model: everything for what is loaded first. in order: first come, first served. \
         In that order nobody can do with fewer than {}.",
        plural(comparison.fewest_loads, "load", "loads")
    ));
    parts.push(details(comparison, "model", |r| &r.model));
    let clients = request_names(comparison, client);
    if clients.len() > 1 {
        parts.push(details(comparison, "client", client));
    }
    if let Some(words) = difference(comparison) {
        parts.push(words);
    }
    parts.join("\n\n")
}

fn overview(comparison: &ReplayComparison) -> String {
    let heading = ["", "loads", "loading", "wait p50", "p95", "max", "refused"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for run in &comparison.runs {
        let sum = run
            .outcome
            .wait_summary(&comparison.traffic.trace, every_request);
        rows.push(vec![
            run.title.clone(),
            run.outcome.loads.len().to_string(),
            seconds(run.outcome.load_time()),
            seconds(sum.p50),
            seconds(sum.p95),
            seconds(sum.max),
            sum.rejected.to_string(),
        ]);
    }
    table(&rows)
}

/// Returns the run of interest and the one with which it is compared: the changed settings against
/// the current ones, or the current ones against the log.
fn compared_runs(comparison: &ReplayComparison) -> (Option<&ReplayedRun>, Option<&ReplayedRun>) {
    let find = |name| comparison.runs.iter().find(|run| run.name == name);
    match find("changed") {
        Some(changed) => (Some(changed), find("current")),
        None => (find("current"), find("logged")),
    }
}

fn details(comparison: &ReplayComparison, heading: &str, of: fn(&TraceRequest) -> &str) -> String {
    let mut rows = vec![
        [
            heading, "requests", "loads", "wait p50", "p95", "max", "refused",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    let (Some(new), Some(old)) = compared_runs(comparison) else {
        return String::new();
    };
    let trace = &comparison.traffic.trace;
    for name in request_names(comparison, of) {
        let sum = |run: &ReplayedRun| run.outcome.wait_summary(trace, |r| of(r) == name);
        let (before, after) = (sum(old), sum(new));
        let both = |before: String, after: String| {
            if before == after {
                after
            } else {
                format!("{before} -> {after}")
            }
        };
        let time =
            |of: fn(&WaitSummary) -> Duration| both(seconds(of(&before)), seconds(of(&after)));
        let loads = |run: &ReplayedRun| match heading {
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

/// Returns how many of a client's requests had to wait for a load.
fn loads_for(outcome: &ReplayOutcome, requests: &[TraceRequest], client: &str) -> usize {
    let own = requests.iter().zip(&outcome.fates);
    own.filter(|(r, fate)| {
        self::client(r) == client && matches!(fate, RequestFate::Served { loaded: true, .. })
    })
    .count()
}

/// Returns the effect of the changed settings in a sentence; `None` where no settings were changed.
fn difference(comparison: &ReplayComparison) -> Option<String> {
    let (Some(new), Some(old)) = compared_runs(comparison) else {
        return None;
    };
    if new.name != "changed" {
        return None;
    }
    let trace = &comparison.traffic.trace;
    let (before, after) = (
        old.outcome.wait_summary(trace, every_request),
        new.outcome.wait_summary(trace, every_request),
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
        let (was, is) = (seconds(was), seconds(is));
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

/// Returns the comparison as JSON, with times in seconds.
pub(super) fn json(comparison: &ReplayComparison) -> Value {
    let trace = &comparison.traffic.trace;
    let runs: Map<String, Value> = comparison
        .runs
        .iter()
        .map(|run| {
            let mut value = summary(run.outcome.wait_summary(trace, every_request));
            let by = |of: fn(&TraceRequest) -> &str| {
                let each = request_names(comparison, of).into_iter().map(|name| {
                    let sum = run.outcome.wait_summary(trace, |r| of(r) == name);
                    (name.to_string(), summary(sum))
                });
                Value::Object(each.collect())
            };
            value["loads"] = run.outcome.loads.len().into();
            value["load_s"] = run.outcome.load_time().as_secs_f64().into();
            value["makespan_s"] = run.outcome.makespan.as_secs_f64().into();
            let mut models = by(|r| &r.model);
            for name in request_names(comparison, |r| &r.model) {
                models[name]["loads"] = run.outcome.loads_of(name).into();
            }
            value["models"] = models;
            value["clients"] = by(client);
            (run.name.to_owned(), value)
        })
        .collect();
    json!({
        "requests": trace.requests().len(),
        "corrupt_lines": comparison.corrupt,
        "dropped_events": comparison.dropped,
        "set": comparison.set,
        "fewest_loads": comparison.fewest_loads,
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
