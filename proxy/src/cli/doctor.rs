//! `crucible doctor`: which settings are in effect, and what to do about those that are not.

use std::{fmt::Write as _, path::Path};

use clap::Args;
use crucible_config::{
    Config, Live,
    checked::{Engine, Manage},
};
use crucible_router::verify::{self, UNUSABLE, probe};
use serde_json::Value;

use super::{
    Common, Failure, Output,
    models::{look, look_as},
    output::{complain, say, table},
    running,
    serve::runtime,
    sources,
    tunings::{ask, shown, tally, text},
};
use crate::admin::tunings::Verified;

const GROUPS: [(&str, &str); 3] = [
    ("lmstudio", "LM Studio"),
    ("ollama", "Ollama"),
    ("environment", "Environment of Ollama"),
];

#[derive(Args, Debug)]
pub(super) struct DoctorArgs {
    /// Send a few prompts to the models that are loaded: what LM Studio makes of penalties, and
    /// whether the stated context is in effect
    #[arg(long)]
    probe: bool,
    #[command(flatten)]
    output: Output,
}

pub(super) fn run(common: &Common, asked: &DoctorArgs) -> Result<(), Failure> {
    let as_json = asked.output.json;
    let loaded = sources::loaded(common)?;
    let runtime = runtime()?;
    if asked.probe {
        runtime.block_on(probe(&loaded.config))?;
    }
    let running = runtime.block_on(ask(&loaded.config));
    let from_instance = running.is_some();
    let report = if let Some(report) = running {
        report
    } else {
        let config = Live::from_config(loaded.config.clone());
        let probes = probe::load(&loaded.config.state_dir);
        let verified = runtime.block_on(look(&config, async |router| {
            let evidence = router
                .evidence(Path::new("/"), config.current(), None, probes)
                .await;
            Verified {
                report: verify::verified(&evidence),
                findings: verify::remarks(&evidence),
            }
        }))?;
        serde_json::to_value(&verified).map_err(|e| Failure::wrong(e.to_string()))?
    };
    if as_json {
        say(&report.to_string());
    } else {
        say(&readable(&report, from_instance));
    }
    verdict(&report)
}

/// Exit code 1 where something is wrong that keeps Crucible from doing what it is told.
fn verdict(report: &Value) -> Result<(), Failure> {
    let count = |n: usize, one: &str, several: &str| match n {
        0 => None,
        1 => Some(format!("1 {one}")),
        n => Some(format!("{n} {several}")),
    };
    let failed = rows(report).iter().filter(|row| failed(row)).count();
    let mut unusable: Vec<&Value> = findings(report)
        .iter()
        .filter(|finding| UNUSABLE.iter().any(|fault| finding["fault"] == *fault))
        .map(|finding| &finding["engine"])
        .collect();
    unusable.dedup();
    let wrong = [
        count(
            unusable.len(),
            "engine cannot be used",
            "engines cannot be used",
        ),
        count(
            failed,
            "setting is not in effect",
            "settings are not in effect",
        ),
    ];
    let wrong: Vec<String> = wrong.into_iter().flatten().collect();
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Failure::wrong(wrong.join(", ")))
}

fn findings(report: &Value) -> &[Value] {
    report["findings"].as_array().map_or(&[], Vec::as_slice)
}

/// The instance reads the file at its next look, which is at once.
async fn probe(config: &Config) -> Result<(), Failure> {
    let config = Live::from_config(config.clone());
    let current = config.current();
    let state = running::ask(&current, "/crucible/state").await;
    let state = state.unwrap_or_default();
    let source = with_children(&current, &state);
    let view = look_as(&config, source, async |router| router.view()).await?;
    let mut tell = |text: &str| complain(text);
    let busy = busy(&state);
    let penalties = probe::run(&current, &view, &busy, &mut tell).await;
    let contexts = probe::context::run(&current, &view, &busy, &mut tell).await;
    if penalties.is_empty() && contexts.is_empty() {
        return Ok(());
    }
    let folder = &current.state_dir;
    probe::save(folder, &penalties)
        .and_then(|()| probe::context::save(folder, &contexts))
        .map_err(|e| Failure::wrong(format!("state_dir {}: {e}", folder.display())))
}

/// The children of the running instance are engines that can be asked at their addresses.
fn with_children(config: &Config, state: &Value) -> Config {
    let mut config = config.clone();
    let running = state["engines"].as_array().map_or(&[][..], Vec::as_slice);
    let spawned = |e: &&mut Engine| e.manage == Manage::Spawn;
    for engine in config.engines.iter_mut().filter(spawned) {
        let told = running.iter().find(|e| e["name"] == *engine.name);
        let url = told.and_then(|e| e["url"].as_str()?.parse().ok());
        if let Some(url) = url {
            engine.url = Some(url);
            engine.manage = Manage::Observe;
        }
    }
    config
}

/// What answers somebody now, as `engine/instance`.
fn busy(state: &Value) -> Vec<String> {
    let pools = state["pools"].as_array().into_iter().flatten();
    pools
        .filter_map(|pool| pool["residents"].as_array())
        .flatten()
        .filter(|resident| resident["active"].as_u64() != Some(0))
        .map(|resident| {
            let (engine, instance) = (&resident["engine"], &resident["instance"]);
            format!("{}/{}", text(engine), text(instance))
        })
        .collect()
}

fn rows(report: &Value) -> &[Value] {
    report["tunings"].as_array().map_or(&[], Vec::as_slice)
}

fn failed(row: &Value) -> bool {
    row["state"] == "not_in_effect"
}

/// The three groups, then what is wrong, then the tally.
fn readable(report: &Value, from_instance: bool) -> String {
    let all = rows(report);
    let mut out = String::new();
    for (group, title) in GROUPS {
        let of: Vec<&Value> = all.iter().filter(|row| row["group"] == group).collect();
        let cells: Vec<Vec<String>> = of
            .iter()
            .map(|row| {
                let key = text(&row["id"]);
                let key = key.split_once('.').map_or(&*key, |(_, key)| key);
                vec![
                    format!("{:>4}", text(&row["number"])),
                    key.to_owned(),
                    shown(row),
                    text(&row["state"]).replace('_', " "),
                    reason(row),
                ]
            })
            .collect();
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{title} ({})\n{}\n", of.len(), table(&cells));
    }
    for row in all.iter().filter(|row| failed(row)) {
        let _ = writeln!(
            out,
            "{} (row {}) is not in effect\n  {}\n  fix: {}\n",
            text(&row["id"]),
            text(&row["number"]),
            text(&row["evidence"]).replace("; ", "\n  "),
            text(&row["advice"]),
        );
    }
    for finding in findings(report) {
        let _ = writeln!(
            out,
            "{}: {}\n  asked {}\n  found {}\n  read from {}\n  fix: {}\n",
            text(&finding["engine"]),
            text(&finding["fault"]).replace('_', " "),
            text(&finding["asked"]),
            text(&finding["found"]),
            text(&finding["read_from"]),
            text(&finding["fix"]),
        );
    }
    if !from_instance {
        out.push_str(
            "No instance answered at the configured address: the engines were read directly, and \
             nobody enforces Crucible's own settings.\n\n",
        );
    }
    let counts = GROUPS.map(|(group, _)| {
        let of = all.iter().filter(|row| row["group"] == group);
        of.count().to_string()
    });
    let _ = write!(
        out,
        "{} = {} settings: {}",
        counts.join(" + "),
        all.len(),
        tally(all)
    );
    out
}

/// What proves a row, or why it has no proof and what would give one. A row that is wrong has a
/// paragraph of its own.
fn reason(row: &Value) -> String {
    if failed(row) {
        return String::new();
    }
    let proved = ["in_effect", "superseded"]
        .iter()
        .any(|s| row["state"] == *s);
    let evidence = text(&row["evidence"]);
    let mut parts: Vec<&str> = evidence
        .split("; ")
        .filter(|part| !part.starts_with("asked "))
        .filter(|part| proved || !part.starts_with("read from "))
        .collect();
    let advice = text(&row["advice"]);
    let advice = format!("advice: {advice}");
    if row["state"] == "unverifiable" && row["advice"].is_string() {
        parts.push(&advice);
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use crucible_config::checked::EngineKind;
    use serde_json::json;

    use super::*;

    fn report() -> Value {
        let row = |number: u32, group: &str, state: &str, evidence: &str| {
            json!({
                "id": format!("{group}.a{number}"), "group": group, "number": number, "value": 8,
                "state": state, "evidence": evidence, "advice": "ollama stop m",
            })
        };
        json!({
            "tunings": [
                row(1, "lmstudio", "in_effect", "asked 8; found 8; read from a list"),
                row(21, "ollama", "not_in_effect", "asked 8; found 64; read from /proc/7/cmdline"),
                row(32, "environment", "not_applicable", "one node; read from /sys"),
            ],
            "findings": [{
                "engine": "ollama", "fault": "old_version", "asked": "0.30.0", "found": "0.22.0",
                "read_from": "GET /api/version", "fix": "update Ollama",
            }],
        })
    }

    #[test]
    fn a_child_is_asked_at_the_address_that_the_instance_tells() {
        let mut config = Config::builtin();
        for name in ["child", "down", "own"] {
            let url = "http://127.0.0.1:1".parse().unwrap();
            let mut engine = config.discovered(EngineKind::Llamacpp, name, url);
            if name != "own" {
                (engine.manage, engine.url) = (Manage::Spawn, None);
            }
            config.engines.push(engine);
        }
        let state = json!({"engines": [
            {"name": "child", "url": "http://127.0.0.1:7"}, {"name": "down", "url": ""},
            {"name": "own", "url": "http://127.0.0.1:8"},
        ]});
        let changed = with_children(&config, &state).engines;
        let url = |at: usize| changed[at].url.as_ref().map(ToString::to_string);
        assert_eq!(url(0).as_deref(), Some("http://127.0.0.1:7/"));
        assert_eq!(changed[0].manage, Manage::Observe);
        assert_eq!(changed[1..], config.engines[1..]);
        assert_eq!(with_children(&config, &Value::Null).engines, config.engines);
    }

    #[test]
    fn a_failing_row_tells_asked_found_where_and_one_fix() {
        let told = readable(&report(), true);
        let expected = "ollama.a21 (row 21) is not in effect\n  asked 8\n  found 64\n  \
                        read from /proc/7/cmdline\n  fix: ollama stop m\n";
        assert!(told.contains(expected), "{told}");
        assert!(
            told.contains(
                "ollama: old version\n  asked 0.30.0\n  found 0.22.0\n  \
                 read from GET /api/version\n  fix: update Ollama"
            ),
            "{told}"
        );
        assert!(
            told.contains("32  a32  8  not applicable  one node"),
            "{told}"
        );
        let last = told.lines().last().unwrap();
        assert_eq!(
            last,
            "1 + 1 + 1 = 3 settings: 1 in effect, 1 not in effect, 1 not applicable, \
             0 unverifiable, 0 superseded"
        );
        assert!(readable(&report(), false).contains("No instance answered"));
    }
}
