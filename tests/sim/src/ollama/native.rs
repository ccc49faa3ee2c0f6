//! The native answer: one JSON object a line. Ollama 0.33.0-rc2, api/types.go: durations in
//! nanoseconds; counts and durations that are zero are left out; a call's arguments are an object.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use crate::generate::{Answer, Piece};
use crate::http::Reply;
use crate::ollama::errors;
use crate::wire::encode::{Encode, Framing, Totals, joined};

pub(crate) struct Native {
    pub(crate) chat: bool,
    pub(crate) model: String,
    pub(crate) calls: u64,
}

pub(crate) fn timestamp(at: SystemTime) -> String {
    humantime::format_rfc3339_nanos(at).to_string()
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

// === impl Native ===

impl Native {
    fn item(&self, text: &str, thinking: &str, calls: &[Value]) -> Map<String, Value> {
        let mut item = Map::new();
        item.insert("model".into(), json!(self.model));
        item.insert("created_at".into(), json!(timestamp(SystemTime::now())));
        if self.chat {
            let mut message = Map::new();
            message.insert("role".into(), json!("assistant"));
            message.insert("content".into(), json!(text));
            if !thinking.is_empty() {
                message.insert("thinking".into(), json!(thinking));
            }
            if !calls.is_empty() {
                message.insert("tool_calls".into(), json!(calls));
            }
            item.insert("message".into(), Value::Object(message));
        } else {
            item.insert("response".into(), json!(text));
            if !thinking.is_empty() {
                item.insert("thinking".into(), json!(thinking));
            }
        }
        item.insert("done".into(), json!(false));
        item
    }

    fn call(&mut self, name: &str, arguments: &Value) -> Value {
        let index = self.calls;
        self.calls += 1;
        // An id since 0.12.10.
        let function = json!({"index": index, "name": name, "arguments": arguments});
        json!({"id": format!("call_{index:08}"), "function": function})
    }

    fn finish(item: &mut Map<String, Value>, totals: &Totals) {
        item.insert("done".into(), json!(true));
        item.insert("done_reason".into(), json!(totals.finish));
        let metrics = [
            ("total_duration", nanos(totals.total)),
            ("load_duration", nanos(totals.load)),
            ("prompt_eval_count", totals.prompt_tokens),
            ("prompt_eval_duration", nanos(totals.prefill)),
            ("eval_count", totals.completion_tokens),
            ("eval_duration", nanos(totals.generation)),
        ];
        for (key, value) in metrics.into_iter().filter(|(_, value)| *value > 0) {
            item.insert(key.into(), json!(value));
        }
    }
}

impl Encode for Native {
    fn framing(&self) -> Framing {
        Framing::Ndjson
    }

    fn open(&mut self) -> Vec<String> {
        Vec::new()
    }

    fn piece(&mut self, piece: &Piece) -> Vec<String> {
        let item = match piece {
            Piece::Text(text) => self.item(text, "", &[]),
            Piece::Thinking(text) => self.item("", text, &[]),
            Piece::Call(call) => {
                let call = self.call(&call.name, &call.arguments);
                self.item("", "", &[call])
            }
        };
        vec![Value::Object(item).to_string()]
    }

    fn close(&mut self, totals: &Totals) -> Vec<String> {
        let mut item = self.item("", "", &[]);
        Self::finish(&mut item, totals);
        vec![Value::Object(item).to_string()]
    }

    fn error(&mut self, message: &str) -> Vec<String> {
        vec![json!({"error": message}).to_string()]
    }

    fn whole(&mut self, answer: &Answer, totals: &Totals) -> Value {
        let (thinking, text, calls) = joined(answer);
        let calls: Vec<Value> = calls
            .iter()
            .map(|call| self.call(&call.name, &call.arguments))
            .collect();
        let mut item = self.item(&text, &thinking, &calls);
        Self::finish(&mut item, totals);
        Value::Object(item)
    }

    fn failed(&self, message: &str) -> Reply {
        errors::native(500, message)
    }
}
