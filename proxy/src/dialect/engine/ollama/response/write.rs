//! The parts of a chat completion and its events, as JSON text.

use std::time::SystemTime;

use serde_json::value::RawValue;

use crate::{
    dialect::{
        chat::cached_details,
        engine::{call_ids::CallIds, ollama::response::answer_line::AnswerCall},
    },
    usage::Usage,
};

/// Returns the present time in Unix seconds, for `created`.
pub(crate) fn created() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |d| d.as_secs())
}

/// The object that the answer to a raw prompt is, streamed and whole.
pub(super) const TEXT: &str = "text_completion";

/// Returns the beginning of an object of the answer, up to `choices`.
pub(super) fn head(object: &str, model: &str, created: u64) -> String {
    let prefix = if object == TEXT { "cmpl" } else { "chatcmpl" };
    format!(
        r#"{{"id":"{prefix}-{:032x}","object":"{object}","created":{created},"model":{},"system_fingerprint":"fp_ollama","#,
        rand::random::<u128>(),
        serde_json::Value::from(model)
    )
}

/// Returns the member `usage`.
pub(super) fn usage_json(usage: Usage) -> String {
    let details = usage.cached.map_or_else(String::new, cached_details);
    format!(
        r#""usage":{{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{}{details}}}"#,
        usage.prompt,
        usage.completion,
        usage.prompt.saturating_add(usage.completion)
    )
}

/// Appends the elements of `tool_calls`; `next` is the index of the first.
pub(super) fn write_calls(
    out: &mut Vec<u8>,
    calls: &[AnswerCall<'_>],
    next: &mut usize,
    ids: &mut CallIds,
) {
    for (at, call) in calls.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(format!(r#"{{"index":{next},"id":"#).as_bytes());
        *next += 1;
        let id = call
            .id
            .and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
        string(out, &ids.of(id.as_deref()));
        out.extend_from_slice(br#","type":"function","function":{"name":"#);
        string(out, &call.function.name);
        out.extend_from_slice(br#","arguments":"#);
        let raw = call.function.arguments.map_or("{}", RawValue::get);
        if raw.starts_with('"') {
            out.extend_from_slice(raw.as_bytes());
        } else {
            string(out, raw);
        }
        out.extend_from_slice(b"}}");
    }
}

/// Appends a JSON string. Writing into memory cannot fail.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    let _ = serde_json::to_writer(out, text);
}
