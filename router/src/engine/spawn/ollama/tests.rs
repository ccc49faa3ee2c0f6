//! The child is a small Python program in the place of `ollama`.
#![cfg(unix)]

use std::{fs, path::Path};

use super::*;
use crate::engine::{client, ollama_recipe::EnvironmentVariable, testing::resident};

/// Writes down what it was started with, then answers like an Ollama without models.
///
/// Python reads it: a file that was just written cannot always be executed, since a child that
/// another test starts at that moment has it open for writing (`ETXTBSY`).
const STAND_IN: &str = r#"
import json, os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
folder = os.path.dirname(os.path.abspath(sys.argv[0]))
with open(os.path.join(folder, "started"), "a") as log:
    log.write(json.dumps({"arguments": sys.argv[1:], "environment": dict(os.environ)}) + "\n")
if os.path.exists(os.path.join(folder, "broken")):
    print("Error: listen: address already in use", flush=True)
    sys.exit(1)
class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/crash": os._exit(3)
        body = {"/api/version": {"version": "0.33.0"}}.get(self.path, {"models": []})
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    def log_message(self, *a): pass
host, port = os.environ["OLLAMA_HOST"].rsplit(":", 1)
HTTPServer((host, int(port)), Answers).serve_forever()
"#;

fn engine(folder: &Path) -> SpawnedOllama {
    SpawnedOllama::new(client(Duration::from_secs(1)), setup(folder))
}

fn setup(folder: &Path) -> OllamaSetup {
    let script = folder.join("ollama.py");
    fs::write(&script, STAND_IN).unwrap();
    let variable = |name: &str, value: &str| EnvironmentVariable {
        name: name.to_owned(),
        value: value.to_owned(),
        note: None,
    };
    OllamaSetup {
        name: Arc::from("ollama"),
        command: vec!["python3".to_owned(), script.display().to_string()],
        url: None,
        recipe: OllamaRecipe {
            variables: vec![
                variable("OLLAMA_NUM_PARALLEL", "2"),
                variable("CUDA_VISIBLE_DEVICES", "-1"),
            ],
            ..OllamaRecipe::default()
        },
        keep_alive: Duration::from_mins(5),
        memory_max: None,
        children: Arc::default(),
    }
}

fn started(folder: &Path) -> Vec<serde_json::Value> {
    let log = fs::read_to_string(folder.join("started")).unwrap_or_default();
    log.lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect()
}

#[tokio::test]
async fn the_first_poll_starts_it_with_its_environment_and_the_end_stops_it() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path());
    let listing = engine.list().await.unwrap();
    assert_eq!(listing.version.as_deref(), Some("0.33.0"));
    engine.list().await.unwrap();
    let url = engine.base_url().unwrap();
    let starts = started(folder.path());
    assert_eq!(starts.len(), 1);
    assert_eq!(starts[0]["arguments"], serde_json::json!(["serve"]));
    let variables = &starts[0]["environment"];
    assert_eq!(variables["OLLAMA_NUM_PARALLEL"], "2");
    assert_eq!(variables["CUDA_VISIBLE_DEVICES"], "-1");
    let host = format!("127.0.0.1:{}", url.port().unwrap());
    assert_eq!(variables["OLLAMA_HOST"], host);
    engine.unload(&resident("")).await.unwrap();
    assert_eq!(engine.base_url(), None);
    assert!(engine.list().await.is_err());
    assert_eq!(started(folder.path()).len(), 1);
}

#[tokio::test]
async fn after_a_crash_it_is_started_again_but_not_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path());
    engine.list().await.unwrap();
    let mut ended = engine.running().unwrap().child.ended;
    let at = engine.address().unwrap();
    let _ = EngineEndpoint::new(engine.client.clone(), at, None)
        .get("/crash")
        .await;
    ended.wait_for(Option::is_some).await.unwrap();
    let error = engine.list().await.unwrap_err();
    assert!(
        error.to_string().contains("ended (exit status: 3)"),
        "{error}"
    );
    assert_eq!(started(folder.path()).len(), 1);
    // The wait is over.
    engine.crashes.lock().not_before = None;
    engine.list().await.unwrap();
    assert_eq!(started(folder.path()).len(), 2);
    engine.unload(&resident("")).await.unwrap();
}

#[tokio::test]
async fn one_that_does_not_come_up_is_told_in_its_own_words() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path());
    fs::write(folder.path().join("broken"), "").unwrap();
    let error = engine.list().await.unwrap_err();
    assert!(
        error.to_string().contains("address already in use"),
        "{error}"
    );
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("ollama").display().to_string();
    let setup = OllamaSetup {
        command: vec![missing.clone()],
        ..setup(folder.path())
    };
    let engine = SpawnedOllama::new(client(Duration::from_secs(1)), setup);
    let error = engine.list().await.unwrap_err().to_string();
    assert!(
        error.contains(&format!("cannot start '{missing}'")),
        "{error}"
    );
}

/// `root` imitates Linux 6.8 where Crucible is alone in a control group that was given to it.
fn given_a_group(root: &Path) -> PathBuf {
    let own = std::process::id();
    let group = root.join("sys/fs/cgroup/run.scope");
    fs::create_dir_all(&group).unwrap();
    fs::create_dir_all(root.join(format!("proc/{own}"))).unwrap();
    fs::write(root.join("sys/fs/cgroup/cgroup.controllers"), "memory").unwrap();
    fs::write(root.join(format!("proc/{own}/cgroup")), "0::/run.scope\n").unwrap();
    fs::write(group.join("cgroup.controllers"), "memory").unwrap();
    fs::write(group.join("cgroup.procs"), format!("{own}\n")).unwrap();
    group
}

fn limited(folder: &Path, root: &Path) -> SpawnedOllama {
    let setup = OllamaSetup {
        memory_max: Some(3_000_000_000),
        children: Arc::new(Children::new(Path::new(""), root)),
        ..setup(folder)
    };
    SpawnedOllama::new(client(Duration::from_secs(1)), setup)
}

#[tokio::test]
async fn it_runs_in_a_group_with_the_limit_of_row_24() {
    let folder = tempfile::tempdir().unwrap();
    let root = tempfile::tempdir().unwrap();
    let group = given_a_group(root.path());
    let engine = limited(folder.path(), root.path());
    assert_eq!(engine.limit(), None);
    engine.list().await.unwrap();
    assert_eq!(engine.limit(), Some(Ok(3_000_000_000)));
    let made = fs::read_dir(&group).unwrap().filter_map(|entry| {
        let path = entry.ok()?.path();
        let name = path.file_name()?.to_str()?.starts_with("engine-ollama-");
        name.then_some(path)
    });
    let made: Vec<PathBuf> = made.collect();
    let [made] = &*made else { panic!("{made:?}") };
    let read = |file| fs::read_to_string(made.join(file)).unwrap();
    assert_eq!(read("memory.max"), "3000000000");
    let pid = engine.running().unwrap().child.pid;
    assert_eq!(read("cgroup.procs"), pid.to_string());
    engine.unload(&resident("")).await.unwrap();
    // Who is left in it would be killed.
    assert_eq!(read("cgroup.kill"), "1");
}

#[tokio::test]
async fn without_a_group_it_runs_all_the_same_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let root = tempfile::tempdir().unwrap();
    let engine = limited(folder.path(), root.path());
    engine.list().await.unwrap();
    let why = engine.limit().unwrap().unwrap_err().why;
    assert_eq!(why, "this system has no control groups of version 2");
    engine.unload(&resident("")).await.unwrap();
}
