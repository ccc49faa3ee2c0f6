//! llama.cpp: a stand-in with known behaviour, the real server, and one that somebody started.

use std::path::Path;

use crucible_sim::Options;
use crucible_tests::{
    engines::{engine, start},
    target::alone,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{crucible, variant};
use crate::real;

/// In the place of llama-server: notes its flags, refuses `-fa off` and answers.
const STAND_IN: &str = include_str!("../llama_server.py");

/// Configuration for a server that Crucible starts with this command.
fn spawned(folder: &Path, command: &[String], model: &Path) -> String {
    format!(
        "listen = \"127.0.0.1:0\"\nstate_dir = '{}'\n[[engine]]\nname = \"local\"\n\
         kind = \"llamacpp\"\nmanage = \"spawn\"\npermits = 2\ncommand = {command:?}\n\
         model_path = {:?}\n[tuning.ollama]\nnum_threads = 1\n",
        folder.join("state").display(),
        model.display().to_string(),
    )
}

fn stand_in(folder: &Path) -> String {
    let script = folder.join("stand_in.py");
    std::fs::write(&script, STAND_IN).expect("written");
    let model = folder.join("tiny.gguf");
    std::fs::write(&model, b"GGUF").expect("written");
    let command = ["python3".to_owned(), script.display().to_string()];
    spawned(folder, &command, &model)
}

/// The flags of each start so far, and its process.
fn starts(folder: &Path) -> Vec<(String, String)> {
    let notes = std::fs::read_to_string(folder.join("starts")).unwrap_or_default();
    let lines = notes.lines().filter_map(|line| line.split_once(' '));
    lines
        .map(|(pid, flags)| (pid.to_owned(), flags.to_owned()))
        .collect()
}

#[tokio::test]
async fn each_variant_is_a_server_of_its_own_and_a_refused_one_is_named() {
    let folder = TempDir::new().expect("a folder");
    let toml = stand_in(folder.path());
    let report = folder.path().join("report.md");
    let file = report.display().to_string();
    let args = ["--rounds", "2", "--json", "--report", &file];
    let (code, out, err) = crucible(folder.path(), &toml, "bench", &args).await;
    assert_eq!(code, 0, "{err}");
    let told: Value = serde_json::from_str(&out).expect("JSON");
    let starts = starts(folder.path());
    for flags in [
        "-np 1",
        "-c 8192 -np 2 -t 1",
        "-c 8192 -np 2 -t 2",
        "-b 128 -ub 128 -c 8192 -np 2 -t 1",
        "-c 4096 -np 2 -t 1",
        "-ctk q8_0 -ctv q8_0 -c 8192 -np 2 -t 1",
        "-c 16384 -np 4 -t 1",
        "--load-mode none -c 8192 -np 2 -t 1",
    ] {
        let count = starts.iter().filter(|(_, f)| f == flags).count();
        assert_eq!(count, 2, "{flags}: {starts:?}");
    }
    // Refused once, then left out; the others went on.
    let refused = starts.iter().filter(|(_, f)| f.contains("-fa off"));
    assert_eq!(refused.count(), 1, "{starts:?}");
    assert_eq!(told["refused"][0]["name"], "flash attention off", "{out}");
    let words = told["refused"][0]["error"].as_str().expect("words");
    assert!(words.contains("no flash attention here"), "{words}");
    assert_eq!(told["ended_early"], Value::Null);
    for (pid, _) in &starts {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        assert!(
            status.is_empty() || status.contains("State:\tZ"),
            "{pid}: {status}"
        );
    }
    let profile = variant(&told, "profile");
    // The stand-in's own timings: 400 tokens in 2 s, 48 in 0.5 s.
    let median = |key: &str| profile["metrics"][key]["summary"]["median"].clone();
    assert_eq!(
        (median("prompt_per_s"), median("generated_per_s")),
        (json!(200.0), json!(96.0))
    );
    assert!(median("load_s").as_f64().is_some_and(|s| s > 0.0), "{out}");
    if cfg!(target_os = "linux") {
        assert!(
            median("memory_bytes").as_f64().is_some_and(|b| b > 1e6),
            "{out}"
        );
    }
    assert_eq!(
        variant(&told, "batch 128")["options"]["flags"],
        json!(["-b", "128", "-ub", "128"])
    );
    let markdown = std::fs::read_to_string(&report).expect("a report");
    assert!(
        markdown.contains("| engine | llama.cpp b7 (cpu) |"),
        "{markdown}"
    );
    assert!(
        markdown.contains("- flash attention off: refused"),
        "{markdown}"
    );
}

#[tokio::test]
async fn the_real_server_is_measured_and_ends() {
    let (command, model) = real::engine().await;
    let _alone = alone().await;
    let folder = TempDir::new().expect("a folder");
    let mark = format!("bench-{}", std::process::id());
    let mut command = command.clone();
    command.extend(["--alias".to_owned(), mark.clone()]);
    let toml = spawned(folder.path(), &command, model);
    // Few runs, by the time limit; the first one is always made.
    let args = ["--rounds", "1", "--time", "20s", "--json"];
    let (code, out, err) = crucible(folder.path(), &toml, "bench", &args).await;
    assert_eq!(code, 0, "{err}");
    let told: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(told["refused"], json!([]), "{out}");
    let metrics = &variant(&told, "engine's defaults")["metrics"];
    for key in [
        "generated_per_s",
        "prompt_per_s",
        "first_token_s",
        "load_s",
        "tokens_per_s",
    ] {
        let median = metrics[key]["summary"]["median"].as_f64();
        assert!(median.is_some_and(|n| n > 0.0), "{key}: {out}");
    }
    if cfg!(target_os = "linux") {
        // The model's 98 MB are among it.
        let memory = metrics["memory_bytes"]["summary"]["median"].as_f64();
        assert!(memory.is_some_and(|n| n > 98e6), "{out}");
        assert!(!somebody_runs_with(&mark), "a server is left");
    }
    let engine = told["measured"]["engine"].as_str().expect("an engine");
    assert!(engine.starts_with("llama.cpp "), "{engine}");
}

/// Whether a process has this among its arguments.
fn somebody_runs_with(mark: &str) -> bool {
    let entries = std::fs::read_dir("/proc").expect("a /proc");
    entries.flatten().any(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0)
            .any(|word| word == mark.as_bytes())
    })
}

#[tokio::test]
async fn a_server_that_somebody_started_is_measured_as_it_runs() {
    let folder = TempDir::new().expect("a folder");
    let mut options = Options::openai(&["tiny=1GB"]);
    options.parallel = 4;
    options.context = 16_384;
    options.rate = 500;
    options.prefill = 10_000;
    let sim = start(options).await;
    let toml = format!(
        "listen = \"127.0.0.1:0\"\nstate_dir = '{}'\n{}",
        folder.path().join("state").display(),
        engine("attached", "llamacpp", &sim.url()),
    );
    let args = ["--rounds", "2", "--json", "--tune"];
    let (code, out, err) = crucible(folder.path(), &toml, "bench", &args).await;
    assert_eq!(code, 0, "{err}");
    let told: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(told["variants"].as_array().map(Vec::len), Some(1), "{out}");
    let metrics = &variant(&told, "as it runs")["metrics"];
    assert_eq!(metrics["generated_per_s"]["summary"]["runs"], 2);
    assert_eq!(metrics["load_s"]["summary"], Value::Null);
    // Two permits, of four slots.
    assert_eq!(sim.log().peak_in_flight, 2);
    let why = told["not_varied"][0]["why"].as_str().expect("why");
    assert!(why.contains("did not start this llama.cpp"), "{why}");
    let tuned = told["tuned"].as_str().expect("words");
    assert!(tuned.starts_with("# nothing to search"), "{tuned}");
}
