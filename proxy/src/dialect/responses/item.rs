//! The items of a response's output, as JSON.

use super::tool_names::{ClientTool, ToolNames};
use crate::dialect::chat::json_text::quoted;

/// The word for the state of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ItemStatus {
    InProgress,
    Completed,
    /// Cut by a limit.
    Incomplete,
}

/// The kinds of a part of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PartKind {
    Text,
    Refusal,
}

/// A call, with the client's names.
#[derive(Debug)]
pub(super) struct CallNames {
    /// The id of the item.
    pub(super) item: String,
    /// The id of the call, as a JSON string.
    call_id: String,
    pub(super) tool: ClientTool,
}

// === impl ItemStatus ===

impl ItemStatus {
    const fn word(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete => "incomplete",
        }
    }
}

// === impl CallNames ===

impl CallNames {
    /// Names the call of an engine's tool; `at` is the place of the item in the output.
    pub(super) fn of(names: &ToolNames, chat: &str, id: &str, digits: &str, at: usize) -> Self {
        let tool = names.tool(chat).cloned().unwrap_or_else(|| ClientTool {
            name: chat.to_owned(),
            namespace: None,
            custom: false,
        });
        let prefix = if tool.custom { "ctc" } else { "fc" };
        let call_id = if id.is_empty() {
            format!("call_{digits}_{at}")
        } else {
            id.to_owned()
        };
        Self {
            item: item_id(prefix, digits, at),
            call_id: quoted(&call_id),
            tool,
        }
    }

    /// Returns the item. `text` is the inside of a JSON string: the arguments, or the input.
    pub(super) fn json(&self, text: &[u8], status: ItemStatus) -> Vec<u8> {
        let Self {
            item,
            call_id,
            tool,
        } = self;
        let (kind, member) = if tool.custom {
            ("custom_tool_call", "input")
        } else {
            ("function_call", "arguments")
        };
        let mut json = format!(
            r#"{{"id":"{item}","type":"{kind}","status":"{}","call_id":{call_id},"name":{}"#,
            status.word(),
            quoted(&tool.name)
        );
        if let Some(namespace) = &tool.namespace {
            json.push_str(r#","namespace":"#);
            json.push_str(&quoted(namespace));
        }
        json.push_str(",\"");
        json.push_str(member);
        json.push_str("\":\"");
        around(json, text, "\"}")
    }
}

/// Returns the id of the item at a place of the output.
pub(super) fn item_id(prefix: &str, digits: &str, at: usize) -> String {
    format!("{prefix}_{digits}_{at}")
}

/// Returns an assistant's message; `parts` are its parts, joined by commas.
pub(super) fn message(id: &str, parts: &[u8], status: ItemStatus) -> Vec<u8> {
    let status = status.word();
    let head = format!(
        r#"{{"id":"{id}","type":"message","status":"{status}","role":"assistant","content":["#
    );
    around(head, parts, "]}")
}

/// Returns a part of a message; `text` is the inside of a JSON string, `logprobs` elements of a list.
pub(super) fn part(kind: PartKind, text: &[u8], logprobs: &[u8]) -> Vec<u8> {
    match kind {
        PartKind::Refusal => around(r#"{"type":"refusal","refusal":""#.to_owned(), text, "\"}"),
        PartKind::Text => {
            let head = r#"{"type":"output_text","annotations":[],"logprobs":["#.to_owned();
            let mut json = around(head, logprobs, r#"],"text":""#);
            json.extend_from_slice(text);
            json.extend_from_slice(b"\"}");
            json
        }
    }
}

/// Returns the item of thoughts; `text` is the inside of a JSON string, and none before it is known.
pub(super) fn reasoning(id: &str, text: Option<&[u8]>, status: ItemStatus) -> Vec<u8> {
    let status = status.word();
    let head = format!(r#"{{"id":"{id}","type":"reasoning","status":"{status}","summary":["#);
    match text {
        None => around(head, b"", "]}"),
        Some(text) => {
            let part = summary_part(text);
            around(head, &part, "]}")
        }
    }
}

/// Returns the part of thoughts.
pub(super) fn summary_part(text: &[u8]) -> Vec<u8> {
    around(r#"{"type":"summary_text","text":""#.to_owned(), text, "\"}")
}

fn around(head: String, middle: &[u8], tail: &str) -> Vec<u8> {
    let mut json = head.into_bytes();
    json.reserve(middle.len() + tail.len());
    json.extend_from_slice(middle);
    json.extend_from_slice(tail.as_bytes());
    json
}
