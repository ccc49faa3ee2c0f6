//! The response object: its id and the fields of the request that it repeats.

use crate::{
    dialect::chat::{
        client_object::ClientObject,
        json_text::{decoded, quoted},
    },
    usage::Usage,
};
use std::{
    fmt::Write as _,
    time::{SystemTime, UNIX_EPOCH},
};

/// The members that are repeated as the client wrote them, each with its value where it is absent.
const REPEATED: [(&str, &str); 12] = [
    ("max_output_tokens", "null"),
    ("max_tool_calls", "null"),
    ("metadata", "{}"),
    ("parallel_tool_calls", "true"),
    ("prompt_cache_key", "null"),
    ("reasoning", r#"{"effort":null,"summary":null}"#),
    ("safety_identifier", "null"),
    ("temperature", "null"),
    ("tool_choice", r#""auto""#),
    ("top_logprobs", "0"),
    ("top_p", "null"),
    ("user", "null"),
];

/// The members that are the same in every answer. Tools and instructions are not repeated, because
/// they are long and stand in three events.
const FIXED: &str = r#""background":false,"instructions":null,"previous_response_id":null,"service_tier":"default","store":false,"tools":[],"truncation":"disabled""#;

/// The `status` of a response object at one moment of its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResponseStatus {
    InProgress,
    Completed,
    /// With the reason for which the answer stopped early.
    Incomplete(&'static str),
    Failed,
}

/// The parts of a response that are known from its request.
#[derive(Debug)]
pub(super) struct ResponseHead {
    /// The digits that all ids of this response have in common.
    pub(super) digits: String,
    /// The client's name of the model; `None` where the engine's is told.
    pub(super) model: Option<String>,
    /// Whether Codex asked, which takes `response.incomplete` for a failure.
    pub(super) is_codex: bool,
    /// Whether the probabilities of tokens are wanted.
    pub(super) logprobs: bool,
    created_at: u64,
    /// The members that stay the same, as JSON without braces.
    fixed: String,
}

/// The parts of a response that its answer changes.
pub(super) struct ResponseState<'a> {
    pub(super) status: ResponseStatus,
    pub(super) model: &'a str,
    /// The finished items, as JSON.
    pub(super) output: &'a [u8],
    /// The error, as JSON.
    pub(super) error: Option<&'a str>,
    pub(super) usage: Option<Usage>,
}

// === impl ResponseHead ===

impl ResponseHead {
    /// Makes the head of a response to a request with these fields.
    pub(super) fn of(fields: &ClientObject<'_>, is_codex: bool, logprobs: bool) -> Self {
        let mut fixed = FIXED.to_owned();
        for (name, absent) in REPEATED {
            let value = fields.get(name).unwrap_or(absent);
            // Writing to a string cannot fail.
            let _ = write!(fixed, r#","{name}":{value}"#);
        }
        let text = fields
            .get("text")
            .and_then(|raw| ClientObject::of(raw, "text").ok());
        let of = |name: &str| text.as_ref().and_then(|text| text.get(name));
        let format = of("format").unwrap_or(r#"{"type":"text"}"#);
        let verbosity = of("verbosity").unwrap_or(r#""medium""#);
        let _ = write!(
            fixed,
            r#","text":{{"format":{format},"verbosity":{verbosity}}}"#
        );
        Self {
            digits: digits(),
            model: fields
                .get("model")
                .filter(|raw| raw.starts_with('"') && *raw != r#""""#)
                .map(|raw| decoded(raw).into_owned()),
            is_codex,
            logprobs,
            created_at: now(),
            fixed,
        }
    }

    /// Makes the head of a response that fails before its request is known.
    pub(super) fn unknown() -> Self {
        Self::of(&ClientObject::default(), false, false)
    }

    /// Appends the response object.
    pub(super) fn write(&self, state: &ResponseState<'_>, out: &mut Vec<u8>) {
        let (status, reason) = match state.status {
            ResponseStatus::InProgress => ("in_progress", None),
            ResponseStatus::Completed => ("completed", None),
            ResponseStatus::Incomplete(reason) => ("incomplete", Some(reason)),
            ResponseStatus::Failed => ("failed", None),
        };
        let mut text = String::with_capacity(self.fixed.len() + 512);
        let Self {
            digits, created_at, ..
        } = self;
        let model = quoted(state.model);
        let _ = write!(
            text,
            r#"{{"id":"resp_{digits}","object":"response","created_at":{created_at},"status":"{status}","model":{model}"#
        );
        if state.status == ResponseStatus::Completed {
            let _ = write!(text, r#","completed_at":{}"#, now());
        } else {
            text.push_str(r#","completed_at":null"#);
        }
        let error = state.error.unwrap_or("null");
        let _ = write!(text, r#","error":{error}"#);
        let _ = match reason {
            Some(reason) => write!(text, r#","incomplete_details":{{"reason":"{reason}"}}"#),
            None => write!(text, r#","incomplete_details":null"#),
        };
        text.push(',');
        text.push_str(&self.fixed);
        text.push_str(r#","usage":"#);
        match state.usage {
            Some(usage) => usage_json(usage, &mut text),
            None => text.push_str("null"),
        }
        text.push_str(r#","output":["#);
        out.extend_from_slice(text.as_bytes());
        out.extend_from_slice(state.output);
        out.extend_from_slice(b"]}");
    }
}

fn usage_json(usage: Usage, out: &mut String) {
    let Usage {
        prompt, completion, ..
    } = usage;
    let _ = write!(
        out,
        r#"{{"input_tokens":{prompt},"input_tokens_details":{{"cached_tokens":{},"cache_write_tokens":0}},"output_tokens":{completion},"output_tokens_details":{{"reasoning_tokens":{}}},"total_tokens":{}}}"#,
        usage.cached.unwrap_or(0),
        usage.reasoning.unwrap_or(0),
        prompt.saturating_add(completion),
    );
}

/// Returns 128 random bits in hexadecimal.
fn digits() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// Returns the present time in Unix seconds.
fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
