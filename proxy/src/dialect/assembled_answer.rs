//! The texts of an answer, whatever its format: put together from the events of a stream, or read from one document.
//!
//! It reads leniently, for a person's eyes: an event that says nothing in any known way is passed over.

use crucible_documents::inspector::{AssembledAnswerDoc, AssembledCallDoc};
use serde_json::Value;

/// The most calls that are put together.
const MOST_CALLS: usize = 256;

/// Puts an answer together from the bytes that went to the client.
pub(crate) fn assembled(answer: &[u8]) -> AssembledAnswerDoc {
    let mut whole = AnswerAssembly::default();
    if let Ok(document) = serde_json::from_slice::<Value>(answer) {
        whole.add(&document);
        return whole.0;
    }
    for line in answer.split(|byte| *byte == b'\n') {
        let line = line.trim_ascii();
        let data = line.strip_prefix(b"data:").unwrap_or(line);
        if let Ok(event) = serde_json::from_slice::<Value>(data) {
            whole.add(&event);
        }
    }
    whole.0
}

/// An answer that is being put together.
#[derive(Debug, Default)]
struct AnswerAssembly(AssembledAnswerDoc);

// === impl AnswerAssembly ===

impl AnswerAssembly {
    /// Adds an event of a stream, or a whole answer.
    fn add(&mut self, event: &Value) {
        let error = &event["error"];
        if let Some(message) = error.as_str().or_else(|| error["message"].as_str()) {
            self.0.error = Some(message.to_owned());
        }
        if let Some(kind) = event["type"].as_str() {
            self.add_typed(kind, event);
            return;
        }
        // OpenAI's choices, of which the first one is shown.
        let choice = &event["choices"][0];
        push(&mut self.0.text, &choice["text"]);
        self.add_message(&choice["delta"]);
        self.add_message(&choice["message"]);
        // Ollama's lines and llama.cpp's own events.
        self.add_message(&event["message"]);
        push(&mut self.0.text, &event["response"]);
        push(&mut self.0.thinking, &event["thinking"]);
        push(&mut self.0.text, &event["content"]);
        // A whole answer of the Responses API.
        self.add_blocks(&event["output"]);
    }

    /// Adds a message of OpenAI's or Ollama's form, or a part of one.
    fn add_message(&mut self, message: &Value) {
        push(&mut self.0.text, &message["content"]);
        for thinking in ["reasoning_content", "reasoning", "thinking"] {
            push(&mut self.0.thinking, &message[thinking]);
        }
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            let function = &call["function"];
            self.add_call(&function["name"], &function["arguments"]);
        }
    }

    /// Adds the blocks of a message of Anthropic's form, or the items of an answer of the Responses API.
    fn add_blocks(&mut self, blocks: &Value) {
        for block in blocks.as_array().into_iter().flatten() {
            match block["type"].as_str() {
                Some("text" | "output_text" | "summary_text" | "reasoning_text") => {
                    push(&mut self.0.text, &block["text"]);
                }
                Some("thinking") => push(&mut self.0.thinking, &block["thinking"]),
                Some("tool_use" | "custom_tool_call") => {
                    self.add_call(&block["name"], &block["input"]);
                }
                Some("function_call") => self.add_call(&block["name"], &block["arguments"]),
                Some("reasoning") => {
                    let mut thought = Self::default();
                    thought.add_blocks(&block["summary"]);
                    thought.add_blocks(&block["content"]);
                    self.0.thinking.push_str(&thought.0.text);
                }
                _ => self.add_blocks(&block["content"]),
            }
        }
    }

    /// Adds an event, or a document, that names its type: Anthropic's and those of the Responses API.
    fn add_typed(&mut self, kind: &str, event: &Value) {
        let delta = &event["delta"];
        match kind {
            "message" => self.add_blocks(&event["content"]),
            "content_block_start" => {
                let block = &event["content_block"];
                if block["type"] == "tool_use" {
                    self.add_call(&block["name"], &Value::Null);
                }
            }
            "content_block_delta" => {
                push(&mut self.0.text, &delta["text"]);
                push(&mut self.0.thinking, &delta["thinking"]);
                if delta["partial_json"].is_string() {
                    self.add_call(&Value::Null, &delta["partial_json"]);
                }
            }
            "response.output_text.delta" => push(&mut self.0.text, delta),
            "response.reasoning_text.delta" | "response.reasoning_summary_text.delta" => {
                push(&mut self.0.thinking, delta);
            }
            "response.output_item.done" => {
                let item = &event["item"];
                if item["type"] != "message" && item["type"] != "reasoning" {
                    self.add_blocks(&Value::Array(vec![item.clone()]));
                }
            }
            "response.failed" => {
                if let Some(message) = event["response"]["error"]["message"].as_str() {
                    self.0.error = Some(message.to_owned());
                }
            }
            _ => {}
        }
    }

    /// Adds a call, or a part of the last one: a part has no name.
    fn add_call(&mut self, name: &Value, arguments: &Value) {
        let name = name.as_str().unwrap_or_default();
        if !name.is_empty() && self.0.calls.len() < MOST_CALLS {
            self.0.calls.push(AssembledCallDoc {
                name: name.to_owned(),
                arguments: String::new(),
            });
        }
        let Some(call) = self.0.calls.last_mut() else {
            return;
        };
        match arguments {
            Value::Null => {}
            Value::String(part) => call.arguments.push_str(part),
            whole => call.arguments.push_str(&whole.to_string()),
        }
    }
}

fn push(text: &mut String, part: &Value) {
    if let Some(part) = part.as_str() {
        text.push_str(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(answer: &str) -> (String, String, String) {
        let whole = assembled(answer.as_bytes());
        let calls = whole.calls.iter();
        let calls: Vec<_> = calls
            .map(|c| format!("{}({})", c.name, c.arguments))
            .collect();
        (whole.text, whole.thinking, calls.join(" "))
    }

    #[test]
    fn every_format_is_put_together() {
        let (hello, thought, call) = ("hello", "hm", r#"f({"a":1})"#);
        for answer in [
            r#"{"choices":[{"message":{"content":"hello","reasoning_content":"hm","tool_calls":[{"function":{"name":"f","arguments":"{\"a\":1}"}}]}}]}"#,
            "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}\n\n: ping\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"hel\"}}]}\r\n\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"lo\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]}}]}\n\ndata: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"a\\\":1}\"}}]}}]}\n\ndata: [DONE]\n\n",
            r#"{"type":"message","content":[{"type":"thinking","thinking":"hm"},{"type":"text","text":"hello"},{"type":"tool_use","name":"f","input":{"a":1}}]}"#,
            "event: x\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"thinking\":\"hm\"}}\n\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"hello\"}}\n\ndata: {\"type\":\"content_block_start\",\"content_block\":{\"type\":\"tool_use\",\"name\":\"f\",\"input\":{}}}\n\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"partial_json\":\"{\\\"a\\\":1}\"}}\n\n",
            r#"{"object":"response","output":[{"type":"reasoning","summary":[{"type":"summary_text","text":"hm"}]},{"type":"message","content":[{"type":"output_text","text":"hello"}]},{"type":"function_call","name":"f","arguments":"{\"a\":1}"}]}"#,
            "data: {\"type\":\"response.reasoning_summary_text.delta\",\"delta\":\"hm\"}\n\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"hello\"}\n\ndata: {\"type\":\"response.output_item.done\",\"item\":{\"type\":\"function_call\",\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\"}}\n\n",
            "{\"message\":{\"thinking\":\"hm\"}}\n{\"message\":{\"content\":\"hello\",\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{\"a\":1}}}]}}\n{\"done\":true}\n",
        ] {
            let found = text_of(answer);
            assert_eq!(
                found,
                (hello.into(), thought.into(), call.into()),
                "{answer}"
            );
        }
        for answer in [
            "data: {\"choices\":[{\"text\":\"hel\"}]}\n\ndata: {\"choices\":[{\"text\":\"lo\"}]}\n\n",
            "{\"response\":\"hel\"}\n{\"response\":\"lo\",\"done\":true}\n",
            "data: {\"content\":\"hello\",\"stop\":true}\n\n",
        ] {
            assert_eq!(text_of(answer).0, hello, "{answer}");
        }
        let failed = assembled(b"data: {\"error\":{\"message\":\"cut\"}}\n\n");
        assert_eq!(failed.error.as_deref(), Some("cut"));
        assert_eq!(text_of("no JSON \u{0} at all").0, "");
    }
}
