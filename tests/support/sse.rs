//! Reading an event stream as a client library would.

use futures_util::StreamExt as _;
use serde_json::Value;

use crate::process::PATIENCE;

/// A finished event stream.
#[derive(Debug, Default)]
pub struct Stream {
    /// Every `data:` that is JSON, in order.
    pub events: Vec<Value>,
    /// `[DONE]` came, and came last.
    pub done: bool,
    /// Comment lines (heartbeats).
    pub comments: usize,
    /// The body as received.
    pub text: String,
    /// The connection broke instead of ending the body.
    pub broken: bool,
}

impl Stream {
    /// The text of all content deltas.
    pub fn content(&self) -> String {
        self.joined("content")
    }

    /// The text of all reasoning deltas.
    pub fn reasoning(&self) -> String {
        self.joined("reasoning_content")
    }

    fn joined(&self, key: &str) -> String {
        self.events
            .iter()
            .filter_map(|e| e["choices"][0]["delta"][key].as_str())
            .collect()
    }

    /// The last finish reason.
    pub fn finish_reason(&self) -> Option<&str> {
        self.events
            .iter()
            .filter_map(|e| e["choices"][0]["finish_reason"].as_str())
            .next_back()
    }

    /// The in-band error, if one came.
    pub fn error(&self) -> Option<&Value> {
        self.events.iter().find_map(|e| e.get("error"))
    }

    /// Parses a whole body.
    ///
    /// # Panics
    /// If an event is not JSON.
    pub fn parse(text: &str) -> Self {
        let mut this = Self {
            text: text.to_owned(),
            ..Self::default()
        };
        for line in text.lines() {
            if let Some(data) = line.strip_prefix("data:") {
                let data = data.trim();
                this.done = data == "[DONE]";
                if !this.done {
                    this.events
                        .push(serde_json::from_str(data).unwrap_or_else(|e| panic!("{e}: {data}")));
                }
            } else if line.starts_with(':') {
                this.comments += 1;
            }
        }
        this
    }

    /// Reads a response to its end.
    pub async fn read(response: reqwest::Response) -> Self {
        let mut bytes = Vec::new();
        let mut broken = false;
        let mut body = response.bytes_stream();
        loop {
            match tokio::time::timeout(PATIENCE, body.next()).await {
                Ok(Some(Ok(chunk))) => bytes.extend_from_slice(&chunk),
                Ok(Some(Err(_))) | Err(_) => {
                    broken = true;
                    break;
                }
                Ok(None) => break,
            }
        }
        let mut this = Self::parse(&String::from_utf8_lossy(&bytes));
        this.broken = broken;
        this
    }
}
