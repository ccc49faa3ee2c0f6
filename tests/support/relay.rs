//! A relay in front of a real engine that writes down what Crucible asked, in which order, and
//! what the engine held at that moment: the evidence that simulators have in their log.

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    response::Response,
};
use futures_util::StreamExt as _;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::{engines::client, process::listen};

/// One POST to the engine. Taken down before it is passed on.
#[derive(Clone, Debug)]
pub struct Call {
    /// Path.
    pub path: String,
    /// Body.
    pub body: Value,
    /// Models that the engine's `/api/ps` named before.
    pub held: Vec<String>,
    /// Process ids of the engine's runners that were there before (Linux).
    pub runners: BTreeSet<u32>,
    /// Before it was passed on.
    pub begun: Instant,
    /// The last byte of its answer, or its client left.
    pub ended: Option<Instant>,
}

/// A listener on 127.0.0.1 in front of an Ollama, ended when it is dropped.
#[derive(Debug)]
pub struct Relay {
    url: String,
    calls: Arc<Mutex<Vec<Call>>>,
    task: JoinHandle<()>,
}

struct Ahead {
    engine: String,
    client: reqwest::Client,
    calls: Arc<Mutex<Vec<Call>>>,
}

/// Dropped with the body of an answer.
struct Ending(Arc<Mutex<Vec<Call>>>, usize);

// === impl Call ===

impl Call {
    /// The model it is about.
    pub fn model(&self) -> &str {
        self.body["model"].as_str().unwrap_or_default()
    }

    /// Asks Ollama to unload.
    pub fn unloads(&self) -> bool {
        self.path == "/api/generate" && self.body["keep_alive"] == 0
    }

    /// Asks Ollama to load.
    pub fn loads(&self) -> bool {
        self.path == "/api/generate" && !self.unloads()
    }

    /// Asks for an answer.
    pub fn answers(&self) -> bool {
        self.path == "/api/chat"
    }

    /// Began before the other began, and was not over by then.
    pub fn runs_at(&self, other: &Self) -> bool {
        self.begun < other.begun && self.ended.is_none_or(|ended| ended > other.begun)
    }
}

// === impl Relay ===

impl Relay {
    /// In front of that Ollama.
    ///
    /// # Panics
    /// If no port is free.
    pub async fn start(engine: &str) -> Self {
        let calls = Arc::new(Mutex::default());
        let ahead = Arc::new(Ahead {
            engine: engine.trim_end_matches('/').to_owned(),
            client: client(),
            calls: Arc::clone(&calls),
        });
        let listener = listen().await;
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let app = Router::new().fallback(pass).with_state(ahead);
        #[expect(clippy::disallowed_methods, reason = "aborted when this is dropped")]
        let task = tokio::spawn(async move {
            axum::serve(listener, app).await.expect("it serves");
        });
        Self { url, calls, task }
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What was asked so far, in order.
    ///
    /// # Panics
    /// If the relay panicked.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().clone()
    }

    /// The loads among it.
    pub fn loads(&self) -> Vec<Call> {
        let calls = self.calls();
        calls.into_iter().filter(Call::loads).collect()
    }
}

// === impl Drop for Relay, Ending ===

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.lock()[self.1].ended = Some(Instant::now());
    }
}

async fn pass(State(ahead): State<Arc<Ahead>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.expect("a whole body");
    let path = parts.uri.path().to_owned();
    let asked = matches!(path.as_str(), "/api/generate" | "/api/chat");
    let ending = if asked {
        let held = listed(&ahead.client, &ahead.engine).await;
        let held = held.iter().filter_map(|m| m["name"].as_str());
        let call = Call {
            path,
            body: serde_json::from_slice(&body).unwrap_or_default(),
            held: held.map(str::to_owned).collect(),
            runners: runners(),
            begun: Instant::now(),
            ended: None,
        };
        let mut calls = ahead.calls.lock();
        calls.push(call);
        Some(Ending(Arc::clone(&ahead.calls), calls.len() - 1))
    } else {
        None
    };
    let url = format!("{}{}", ahead.engine, parts.uri);
    let mut onward = ahead.client.request(parts.method, url).body(body);
    if let Some(kind) = parts.headers.get("content-type") {
        onward = onward.header("content-type", kind);
    }
    let answer = onward.send().await.expect("the engine answers");
    let mut reply = Response::builder().status(answer.status());
    if let Some(kind) = answer.headers().get("content-type") {
        reply = reply.header("content-type", kind);
    }
    let bytes = answer.bytes_stream().inspect(move |_| {
        // Owned by the body, so that it ends with it.
        let _ = &ending;
    });
    reply.body(Body::from_stream(bytes)).expect("a response")
}

/// The entries of Ollama's `/api/ps`.
///
/// # Panics
/// If it does not answer.
pub async fn listed(client: &reqwest::Client, engine: &str) -> Vec<Value> {
    let url = format!("{}/api/ps", engine.trim_end_matches('/'));
    let answer = client.get(url).send().await.expect("/api/ps answers");
    let json: Value = answer.json().await.expect("JSON");
    json["models"].as_array().cloned().unwrap_or_default()
}

/// Processes that serve a model file out of an Ollama's blobs; none where there is no `/proc`.
pub fn runners() -> BTreeSet<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        line.contains("--model") && line.contains("/blobs/sha256-")
    })
    .collect()
}
