//! The child is a small Python server that understands llama-server's flags.

use std::{path::Path, time::Duration};

use tokio::time::Instant;

use super::{child::STABLE, *};
use crate::{
    engine::{LoadTuple, client},
    machine::processes,
};

/// Answers like llama.cpp's server; ends when its stdin closes, as the real stand-in does.
const SERVER: &str = r#"
import json, sys, threading, os
from http.server import BaseHTTPRequestHandler, HTTPServer
flags = dict(zip(sys.argv[1::2], sys.argv[2::2]))
slots = int(flags["-np"])
class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        if os.path.exists(os.path.join(os.path.dirname(flags["-m"]), "mute")):
            return
        body = {
            "/health": {"status": "ok"},
            "/v1/models": {"data": [{"id": flags["-m"], "meta": {"n_ctx_train": 8192}}]},
            "/props": {"total_slots": slots,
                       "default_generation_settings": {"n_ctx": int(flags["-c"]) // slots}},
        }.get(self.path, {"error": "no"})
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    def log_message(self, *a): pass
def watch():
    sys.stdin.read()
    os._exit(0)
threading.Thread(target=watch, daemon=True).start()
HTTPServer((flags["--host"], int(flags["--port"])), Answers).serve_forever()
"#;

fn spawned(folder: &Path, command: &[&str]) -> Spawned {
    let model = folder.join("tiny-q4.gguf");
    std::fs::write(&model, b"GGUF").unwrap();
    let command = command.iter().map(|w| (*w).to_owned()).collect();
    Spawned::new(
        Arc::from("own"),
        client(Duration::from_secs(1)),
        command,
        model,
        None,
        Arc::default(),
    )
}

fn order() -> LoadOrder {
    LoadOrder {
        model: Arc::from("tiny-q4"),
        kind: ModelKind::Generation,
        tuple: LoadTuple {
            context: Some(1024),
            threads: Some(1),
            ..LoadTuple::default()
        },
        permits: 2,
        pinned: false,
    }
}

#[tokio::test]
async fn a_load_starts_the_child_and_an_unload_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("serve.py");
    std::fs::write(&script, SERVER).unwrap();
    let engine = spawned(folder.path(), &["python3", script.to_str().unwrap()]);
    assert_eq!(engine.base_url(), None);
    let idle = engine.list().await.unwrap();
    assert_eq!((&*idle.models[0].id, idle.residents.len()), ("tiny-q4", 0));

    let resident = engine.load(order()).await.unwrap();
    assert_eq!((resident.context, resident.parallel), (Some(2048), Some(2)));
    let address = engine.base_url();
    assert!(address.is_some());
    assert!(engine.process().is_some());
    // Loaded already: the same child.
    engine.load(order()).await.unwrap();
    assert_eq!(engine.base_url(), address);
    assert_eq!(
        engine.list().await.unwrap().models[0].max_context,
        Some(8192)
    );

    engine.unload(&resident).await.unwrap();
    assert_eq!(engine.base_url(), None);
    assert!(engine.list().await.unwrap().residents.is_empty());
}

/// Its silence was taken for an empty server.
#[tokio::test]
async fn a_child_that_is_silent_is_no_server_without_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("serve.py");
    std::fs::write(&script, SERVER).unwrap();
    let engine = spawned(folder.path(), &["python3", script.to_str().unwrap()]);
    let resident = engine.load(order()).await.unwrap();
    std::fs::write(folder.path().join("mute"), "").unwrap();
    let silent = engine.list().await;
    assert!(
        matches!(silent, Err(EngineError::Unreachable(_))),
        "{silent:?}"
    );
    assert!(engine.process().is_some());
    std::fs::remove_file(folder.path().join("mute")).unwrap();
    let listed = engine.list().await.unwrap().residents;
    assert_eq!(listed, std::slice::from_ref(&resident));
    engine.unload(&resident).await.unwrap();
    assert!(engine.process().is_none());
}

#[tokio::test]
async fn a_child_that_dies_is_reported_with_its_last_lines() {
    let folder = tempfile::tempdir().unwrap();
    let engine = spawned(
        folder.path(),
        &["sh", "-c", "echo no such model >&2; exit 3"],
    );
    let error = engine.load(order()).await.unwrap_err();
    let EngineError::Refused {
        status: 500,
        message,
    } = error
    else {
        panic!("{error:?}")
    };
    assert!(message.contains("exit status: 3"), "{message}");
    assert!(
        message.ends_with("its last lines: no such model"),
        "{message}"
    );
    assert!(engine.crashes().not_before.is_some());
}

/// A shell that starts the server instead of becoming it, and does not pass signals on.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_a_shell_started_ends_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("serve.py");
    let watch = "threading.Thread(target=watch, daemon=True).start()";
    std::fs::write(&script, SERVER.replace(watch, "")).unwrap();
    let line = format!("python3 {} \"$@\" & wait", script.display());
    let engine = spawned(folder.path(), &["sh", "-c", &line, "sh"]);
    let root = Path::new("/");
    for crash in [false, true] {
        let resident = engine.load(order()).await.unwrap();
        let mut child = engine.running().unwrap().child;
        let group = processes::of_group(root, child.pid).unwrap();
        assert_eq!(group.len(), 2, "{group:?}");
        if crash {
            let shell = i32::try_from(child.pid).unwrap();
            let shell = rustix::process::Pid::from_raw(shell).unwrap();
            rustix::process::kill_process(shell, rustix::process::Signal::KILL).unwrap();
            child.ended.wait_for(Option::is_some).await.unwrap();
        } else {
            engine.unload(&resident).await.unwrap();
        }
        // Killed, it takes a moment to be gone.
        while processes::of_group(root, child.pid) != Some(Vec::new()) {
            sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn a_command_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let engine = spawned(folder.path(), &["/nowhere/llama-server"]);
    let error = engine.load(order()).await.unwrap_err();
    assert!(
        error.to_string().contains("/nowhere/llama-server"),
        "{error}"
    );
}

#[tokio::test]
async fn a_model_file_that_is_not_there_is_no_list() {
    let folder = tempfile::tempdir().unwrap();
    let engine = spawned(folder.path(), &["sh"]);
    std::fs::remove_file(folder.path().join("tiny-q4.gguf")).unwrap();
    let error = engine.list().await.unwrap_err().to_string();
    let named = error.contains("model file") && error.contains("tiny-q4.gguf");
    assert!(named, "{error}");
}

#[test]
fn starts_wait_longer_after_each_crash_until_one_lasted() {
    let now = Instant::now();
    let wait = |crashes: CrashHistory| crashes.not_before.unwrap() - now;
    let first = CrashHistory::default().after_failure(now, now);
    let second = first.after_failure(now, now);
    assert_eq!(
        (wait(first), wait(second)),
        (Duration::from_secs(1), Duration::from_secs(2))
    );
    let many = (0..9).fold(second, |c, _| c.after_failure(now, now));
    assert_eq!(wait(many), Duration::from_secs(30));
    assert_eq!(many.after_failure(now, now + STABLE).in_a_row, 1);
}
