//! A real receiver of spans (Python's `opentelemetry-proto`), and the spans of requests among what it got.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Instant,
};

use crucible_tests::process::PATIENCE;
use serde_json::Value;

use crate::client::python_with;

/// A receiver that runs until this is dropped.
pub(super) struct Collector {
    pub(super) child: Child,
    lines: Receiver<Value>,
    port: u16,
}

/// What came to a receiver, and the spans among it.
pub(super) struct Spans(Vec<Value>);

// === impl Collector ===

impl Collector {
    pub(super) fn start(options: &[&str]) -> Self {
        let python = python_with(
            "TEST_OTLP_PYTHON",
            "otlp",
            "opentelemetry.proto.collector.trace.v1.trace_service_pb2",
            &["opentelemetry-proto==1.45.2"],
        );
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/otlp_receiver.py");
        let mut child = Command::new(python)
            .arg(script)
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the receiver starts");
        let mut out = BufReader::new(child.stdout.take().expect("its output"));
        let mut first = String::new();
        out.read_line(&mut first).expect("its first line");
        let port = first.trim().trim_start_matches("listening ").parse();
        let (send, lines) = channel();
        thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).expect("JSON");
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            lines,
            port: port.expect("a port"),
        }
    }

    pub(super) fn toml(&self) -> String {
        format!("[otlp]\nendpoint = \"http://127.0.0.1:{}\"\n", self.port)
    }

    /// Waits for a line that `want` accepts, and returns all spans so far.
    pub(super) fn until(&self, seen: &mut Vec<Value>, want: impl Fn(&[Value]) -> bool) {
        let by = Instant::now() + PATIENCE;
        while !want(seen) {
            let left = by.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            seen.push(line.unwrap_or_else(|_| panic!("never: {seen:#?}")));
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// === impl Spans ===

impl Spans {
    /// Waits for so many requests with the children of each.
    pub(super) fn of_requests(collector: &Collector, count: usize) -> Self {
        let mut lines = Vec::new();
        for name in ["chat m:latest", "generate"] {
            collector.until(&mut lines, |lines| {
                lines.iter().filter(|line| line["name"] == name).count() == count
            });
        }
        assert!(
            lines
                .iter()
                .any(|l| l["path"] == "/v1/traces" && l["type"] == "application/x-protobuf")
        );
        lines.retain(|line| line["name"].is_string());
        Self(lines)
    }

    /// The request that goes on with the trace of a client's span.
    pub(super) fn continued(&self, parent: &str) -> &Value {
        let mut spans = self.0.iter();
        let found = spans.find(|span| span["parent"] == parent);
        found.expect("the continued trace")
    }

    /// The request that is not this one.
    pub(super) fn other_request(&self, root: &Value) -> &Value {
        let mut spans = self.0.iter();
        let found = spans.find(|s| s["name"] == "chat m:latest" && s["id"] != root["id"]);
        found.expect("another request")
    }

    /// A phase of a request, which lies within its trace and its time.
    pub(super) fn phase(&self, root: &Value, name: &str) -> &Value {
        let of_root = |s: &&Value| s["parent"] == root["id"] && s["name"] == name;
        let found = self.0.iter().find(of_root);
        let found = found.unwrap_or_else(|| panic!("no {name}: {:#?}", self.0));
        assert_eq!(found["trace"], root["trace"]);
        for (inner, outer) in [
            (&root["start"], &found["start"]),
            (&found["end"], &root["end"]),
        ] {
            assert!(inner.as_f64() <= outer.as_f64(), "{found} {root}");
        }
        found
    }
}

/// The seconds that a span took.
pub(super) fn length(span: &Value) -> f64 {
    span["end"].as_f64().unwrap_or(0.0) - span["start"].as_f64().unwrap_or(0.0)
}

/// The attributes of a whole answer of ten tokens.
pub(super) fn has_its_attributes(attributes: &Value) {
    for (name, value) in [
        ("gen_ai.operation.name", Value::from("chat")),
        ("gen_ai.request.model", "m".into()),
        ("gen_ai.response.model", "m:latest".into()),
        ("gen_ai.usage.output_tokens", 10.into()),
        ("http.response.status_code", 200.into()),
        ("crucible.engine", "e".into()),
        ("crucible.reason", "exact".into()),
        ("crucible.outcome", "ok".into()),
    ] {
        assert_eq!(attributes[name], value, "{name}: {attributes}");
    }
    assert!(
        attributes["gen_ai.usage.input_tokens"]
            .as_u64()
            .is_some_and(|n| n > 0)
    );
}
