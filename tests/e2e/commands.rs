//! The command line: exit codes, what goes to stdout and what to stderr.

mod configuration;

use std::{path::PathBuf, process::Stdio};

use crucible_tests::{
    Crucible, binary,
    chat::{body, post},
    engines::{Both, asked, client, engine},
    rest::ready,
};
use serde_json::Value;
use tempfile::TempDir;

/// Exit code, stdout, stderr.
type Said = (i32, String, String);

struct File {
    _folder: TempDir,
    path: PathBuf,
}

impl File {
    fn new(text: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("crucible.toml");
        std::fs::write(&path, text).expect("written");
        Self {
            _folder: folder,
            path,
        }
    }

    /// Runs a command on this file, off the test's runtime.
    async fn run(&self, args: &[&str], stdin: &str) -> Said {
        let mut all: Vec<String> = args.iter().map(|&a| a.to_owned()).collect();
        all.push("--config".to_owned());
        all.push(self.path.display().to_string());
        let stdin = stdin.to_owned();
        tokio::task::spawn_blocking(move || {
            let args: Vec<&str> = all.iter().map(String::as_str).collect();
            Crucible::command(&args, &stdin)
        })
        .await
        .expect("it ran")
    }
}

/// A configuration for both simulated engines, for commands that look at them.
fn config_of(both: &Both) -> File {
    File::new(&format!(
        "listen = \"127.0.0.1:0\"\n{}{}",
        engine("lmstudio", "lmstudio", &both.lmstudio.url()),
        engine("ollama", "ollama", &both.ollama.url()),
    ))
}

#[tokio::test]
async fn models_lists_what_every_engine_has() {
    let both = Both::start().await;
    let file = config_of(&both);
    let (code, out, err) = file.run(&["models"], "").await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    for name in ["qwen", "llama3.2:3b", "lmstudio", "ollama", "generation"] {
        assert!(out.contains(name), "{name}: {out}");
    }
    let (code, out, _) = file.run(&["models", "--json"], "").await;
    assert_eq!(code, 0);
    let json: Value = serde_json::from_str(&out).expect("JSON");
    let models = json["models"].as_array().expect("a list");
    let qwen = models
        .iter()
        .find(|m| m["model"] == "qwen")
        .expect("it is listed");
    assert_eq!(qwen["engine"], "lmstudio", "{qwen}");
    assert_eq!(qwen["kind"], "generation");
    assert_eq!(qwen["size_bytes"], 4_000_000_000_u64);
    assert_eq!(qwen["loaded"], false);
    assert!(
        json["engines"]
            .as_array()
            .expect("a list")
            .iter()
            .all(|e| e["state"] == "up")
    );
}

#[tokio::test]
async fn models_without_an_engine_is_exit_1_and_says_where_it_looked() {
    let file = File::new(&engine("gone", "ollama", "http://127.0.0.1:1"));
    let (code, out, err) = file.run(&["models"], "").await;
    assert_eq!(code, 1, "{err}");
    assert!(out.contains("down"), "{out}");
    assert!(
        err.contains("gone: unreachable") && err.contains("no engine is up"),
        "{err}"
    );
    let (code, _, err) = file.run(&["explain", "qwen"], "").await;
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("no_engine"), "{err}");
}

#[tokio::test]
async fn explain_tells_place_and_reason_and_sends_nothing() {
    let both = Both::start().await;
    let file = config_of(&both);
    let (code, out, err) = file.run(&["explain", "qwen"], "").await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.starts_with("qwen on lmstudio (exact)"), "{out}");
    assert!(out.contains("temperature = 0.3"), "{out}");
    let mut request = body("llama3.2:3b", "hello");
    request["temperature"] = 1.0.into();
    let (code, out, _) = file
        .run(&["explain", "--json", "-"], &request.to_string())
        .await;
    assert_eq!(code, 0, "{out}");
    let json: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(json["engine"], "ollama", "{out}");
    assert_eq!(json["reason"], "exact");
    assert_eq!(json["candidates"][0]["model"], "llama3.2:3b");
    assert!(
        json["defaults"].get("temperature").is_none(),
        "the client said it: {out}"
    );
    assert_eq!(json["defaults"]["top_p"]["value"], 0.8, "{out}");
    assert!(json["defaults"]["top_p"]["from"].is_string());
    assert_eq!(json["context"]["given"], 4096);
    let (code, out, err) = file.run(&["explain", "quen"], "").await;
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(
        err.contains("model_not_found") && err.contains("qwen"),
        "{err}"
    );
    let (code, out, err) = file.run(&["explain", "--json", "-"], "{broken").await;
    assert_eq!(code, 1, "{err}");
    let json: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(json["error"]["code"], "invalid_json");
    for sim in [&both.lmstudio, &both.ollama] {
        assert!(asked(&sim.log()).is_empty() && sim.log().loads.is_empty());
    }
}

#[tokio::test]
async fn explain_beside_an_instance_tells_what_the_instance_would_do() {
    let both = Both::start().await;
    ready(&both.crucible).await;
    let file = File::new(&format!("listen = \"{}\"\n", both.crucible.addr()));
    let mut long = body("qwen", &"word".repeat(9000));
    long["max_tokens"] = 100.into();
    for (request, given, because) in [
        (body("qwen", "hi"), 4096, "configured"),
        (long.clone(), 16_384, "needed"),
    ] {
        let (code, out, _) = file
            .run(&["explain", "--json", "-"], &request.to_string())
            .await;
        assert_eq!(code, 0, "{out}");
        let json: Value = serde_json::from_str(&out).expect("JSON");
        let context = &json["context"];
        assert_eq!(
            (&context["given"], &context["because"]),
            (&given.into(), &because.into())
        );
    }
    assert_eq!(post(&both.crucible, &long).await.status, 200);
    let (code, out, _) = file.run(&["explain", "qwen"], "").await;
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("given 16384 (loaded)"), "{out}");
    // What it refuses is refused in its words.
    let (code, out, err) = file.run(&["explain", "--json", "quen"], "").await;
    assert_eq!(code, 1, "{out}");
    let json: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(json["error"]["code"], "model_not_found");
    assert!(err.contains("model_not_found"), "{err}");
}

#[tokio::test]
async fn tunings_are_39_with_states_only_from_an_instance() {
    let alone = File::new("listen = \"127.0.0.1:0\"\n");
    let (code, out, err) = alone.run(&["tunings", "--json"], "").await;
    assert_eq!((code, err.as_str()), (0, ""));
    let json: Value = serde_json::from_str(&out).expect("JSON");
    let rows = json["tunings"].as_array().expect("rows");
    assert_eq!((json["profile"].as_str(), rows.len()), (Some("hybrid"), 39));
    for (i, row) in rows.iter().enumerate() {
        assert_eq!(row["number"], i + 1, "{row}");
        assert!(row["state"].is_null() && row["evidence"].is_null(), "{row}");
        assert!(
            row["id"].as_str().is_some_and(|id| id.contains('.')),
            "{row}"
        );
        for key in ["group", "value", "engine", "mechanism", "advice"] {
            assert!(row.get(key).is_some(), "{key}: {row}");
        }
    }
    for group in [("lmstudio", 20), ("ollama", 11), ("environment", 8)] {
        let count = rows.iter().filter(|r| r["group"] == group.0).count();
        assert_eq!(count, group.1, "{}", group.0);
    }
    let (code, out, _) = alone.run(&["tunings"], "").await;
    assert_eq!(code, 0);
    assert!(
        out.contains("ollama.num_threads") && out.contains("No instance answered"),
        "{out}"
    );
    let both = Both::start().await;
    ready(&both.crucible).await;
    let running = File::new(&format!("listen = \"{}\"\n", both.crucible.addr()));
    let (code, out, _) = running.run(&["tunings", "--json"], "").await;
    assert_eq!(code, 0);
    let json: Value = serde_json::from_str(&out).expect("JSON");
    let states = [
        "in_effect",
        "not_in_effect",
        "not_applicable",
        "unverifiable",
        "superseded",
    ];
    for row in json["tunings"].as_array().expect("rows") {
        assert!(
            row["state"].as_str().is_some_and(|s| states.contains(&s)),
            "{row}"
        );
        assert!(
            row["evidence"].as_str().is_some_and(|e| !e.is_empty()),
            "{row}"
        );
    }
}

#[tokio::test]
async fn a_new_key_opens_an_instance_that_knows_its_hash() {
    let (code, out, err) = Crucible::command(&["key", "new", "--name", "laptop"], "");
    assert_eq!((code, err.as_str()), (0, ""));
    let secret = out
        .split_whitespace()
        .find(|word| word.starts_with("crk-"))
        .expect("a secret");
    let block = &out[out.find("[[key]]").expect("a block")..];
    assert!(
        block.contains("name = \"laptop\"") && !block.contains(secret),
        "{block}"
    );
    let crucible = Crucible::start(block);
    let status = async |key: &str| {
        let request = client().get(crucible.at("/v1/models")).bearer_auth(key);
        request.send().await.expect("an answer").status().as_u16()
    };
    assert_eq!(status(secret).await, 200);
    assert_eq!(status("crk-other").await, 401);
    let (_, again, _) = Crucible::command(&["key", "new"], "");
    assert!(!again.contains(secret), "each is another");
    let (code, _, err) = Crucible::command(&["key", "new", "--name", "a\"b"], "");
    assert_eq!(code, 2, "{err}");
}

#[test]
fn help_lists_exactly_what_is_there() {
    let (code, out, _) = Crucible::command(&["--help"], "");
    assert_eq!(code, 0);
    let commands: Vec<&str> = out
        .lines()
        .skip_while(|l| !l.starts_with("Commands:"))
        .skip(1)
        .take_while(|l| !l.is_empty())
        .filter_map(|l| l.split_whitespace().next())
        .collect();
    assert!(commands.len() > 8, "{out}");
    for command in commands.iter().filter(|c| **c != "help") {
        let (code, out, err) = Crucible::command(&[command, "--help"], "");
        assert_eq!(code, 0, "{command}: {err}");
        assert!(out.contains("--config"), "{command} takes --config: {out}");
    }
    for built in [
        "serve", "try", "check", "config", "models", "explain", "tunings", "key",
    ] {
        assert!(commands.contains(&built), "{built}: {commands:?}");
    }
    let (code, out, _) = Crucible::command(&["--version"], "");
    assert_eq!(code, 0);
    assert!(out.starts_with("crucible "), "{out}");
}

#[test]
fn wrong_usage_is_exit_2_on_stderr() {
    for args in [
        &["frobnicate"][..],
        &["--nope"],
        &["explain"],
        &["config"],
        &["key"],
        &["serve", "--listen", "nowhere"],
        &["serve", "--engine", "just-a-name"],
        &["serve", "--engine", "a=cow@http://127.0.0.1:1"],
    ] {
        let (code, out, err) = Crucible::command(args, "");
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {err}");
        assert!(!err.is_empty());
    }
}

#[tokio::test]
async fn a_taken_port_is_exit_1_with_advice() {
    let crucible = Crucible::start("");
    let (code, _, err) = File::new("")
        .run(&["serve", "--listen", crucible.addr()], "")
        .await;
    assert_eq!(code, 1, "{err}");
    assert!(
        err.contains(crucible.addr()) && err.contains("--listen"),
        "{err}"
    );
}

#[tokio::test]
async fn flags_win_over_the_file_and_environment_between_them() {
    let both = Both::start().await;
    let crucible = Crucible::start_with(
        "default_model = \"from-file\"\n",
        &["--engine", &format!("only=ollama@{}", both.ollama.url())],
        &[("CRUCIBLE_DEFAULT_MODEL", "llama3.2:3b")],
    );
    let answer = post(&crucible, &body("anything", "repeat 1")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.header("x-crucible-engine"), "only");
    assert_eq!(answer.header("x-crucible-model"), "llama3.2:3b");
}

#[tokio::test]
async fn a_closed_pipe_is_no_panic() {
    let mut child = std::process::Command::new(binary::crucible())
        .args(["config", "show", "--origin", "--config"])
        .arg(File::new("").path.with_file_name("absent.toml"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    drop(child.stdout.take());
    let out = child.wait_with_output().expect("it ends");
    let err = String::from_utf8_lossy(&out.stderr);
    assert!(!err.contains("panicked"), "{err}");
    assert_eq!(out.status.code(), Some(2), "{err}");
    let mut child = std::process::Command::new(binary::crucible())
        .arg("tunings")
        .env("CRUCIBLE_LISTEN", "127.0.0.1:0")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    drop(child.stdout.take());
    let out = child.wait_with_output().expect("it ends");
    assert!(!String::from_utf8_lossy(&out.stderr).contains("panicked"));
    assert_eq!(out.status.code(), Some(0));
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_a_full_disk_refuses_is_exit_1() {
    for args in [
        ["config", "show"].as_slice(),
        &["tunings", "--json"],
        &["key", "new"],
        &[
            "env",
            "--engine",
            "o=ollama@http://127.0.0.1:1",
            "--format",
            "dotenv",
        ],
    ] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
        let out = std::process::Command::new(binary::crucible())
            .args(args)
            .env("CRUCIBLE_LISTEN", "127.0.0.1:0")
            .stdout(full.expect("it is there"))
            .output()
            .expect("it runs");
        let err = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(1), "{args:?}: {err}");
        assert!(
            err.contains("could not be written: No space left"),
            "{args:?}: {err}"
        );
    }
}
