//! The chat events of a whole answer, for engines that answer with one JSON where a stream was asked
//! for.

use bytes::Bytes;
use crucible_config::checked::EngineKind;
use serde_json::{Map, Value, json};

use super::{no_answer::no_answer, readable::readable};
use crate::{
    body::surrogates,
    dialect::{
        chat::DONE,
        engine::engine_error::{error_in_success, not_an_answer},
    },
    error::Error,
};

/// Returns the events that a body of one chat completion would have been: for each choice one event
/// and one for its end, one for the token counts, and `[DONE]`.
///
/// # Errors
/// The body is no chat completion, has no choices, or is an engine's error.
pub(crate) fn events(kind: EngineKind, body: Bytes) -> Result<Vec<Bytes>, Error> {
    let (body, _) = surrogates::mended(readable(body));
    if let Some(error) = error_in_success(kind, &body) {
        return Err(error);
    }
    let Ok(Value::Object(answer)) = serde_json::from_slice::<Value>(&body) else {
        return Err(not_an_answer(kind, &body));
    };
    let Some(choices) = answer.get("choices").and_then(Value::as_array) else {
        return Err(not_an_answer(kind, &body));
    };
    if choices.is_empty() {
        return Err(no_answer(kind));
    }
    // The choices may be long, and each event has a copy of the rest.
    let mut head: Map<String, Value> = answer
        .iter()
        .filter(|(name, _)| *name != "usage")
        .map(|(name, value)| {
            let is_long = name == "choices";
            (
                name.clone(),
                if is_long { Value::Null } else { value.clone() },
            )
        })
        .collect();
    if choices.iter().all(|choice| choice.get("text").is_none()) {
        head.insert("object".to_owned(), "chat.completion.chunk".into());
    }
    let with = |choices: Value| {
        let mut chunk = head.clone();
        chunk.insert("choices".to_owned(), choices);
        event(&Value::Object(chunk))
    };
    let mut events = Vec::with_capacity(2 * choices.len() + 2);
    for (at, choice) in choices.iter().enumerate() {
        let index = choice.get("index").cloned().unwrap_or_else(|| at.into());
        let (name, piece, end) = piece(choice);
        let mut said = json!({ "index": index, name: piece, "finish_reason": null });
        if let Some(logprobs) = choice.get("logprobs") {
            said["logprobs"] = logprobs.clone();
        }
        events.push(with(json!([said])));
        let reason = choice
            .get("finish_reason")
            .filter(|reason| !reason.is_null() && *reason != "");
        let reason = reason.cloned().unwrap_or_else(|| "stop".into());
        events.push(with(
            json!([{ "index": index, name: end, "finish_reason": reason }]),
        ));
    }
    if let Some(usage) = answer.get("usage").filter(|usage| usage.is_object()) {
        let mut last = head.clone();
        last.insert("choices".to_owned(), json!([]));
        last.insert("usage".to_owned(), usage.clone());
        events.push(event(&Value::Object(last)));
    }
    events.push(Bytes::from_static(DONE));
    Ok(events)
}

/// Returns the name of an event's content, the content of a choice, and that of the choice's end.
fn piece(choice: &Value) -> (&'static str, Value, Value) {
    match choice.get("text") {
        Some(text) => ("text", text.clone(), "".into()),
        None => ("delta", delta(choice), json!({})),
    }
}

/// Returns the message of a choice as a delta, in which tool calls are numbered.
fn delta(choice: &Value) -> Value {
    let message = choice.get("message").and_then(Value::as_object);
    let mut delta: Map<String, Value> = message.cloned().unwrap_or_default();
    if let Some(Value::Array(calls)) = delta.get_mut("tool_calls") {
        for (at, call) in calls.iter_mut().enumerate() {
            if let Value::Object(call) = call
                && !call.contains_key("index")
            {
                call.insert("index".to_owned(), at.into());
            }
        }
    }
    delta.into()
}

fn event(data: &Value) -> Bytes {
    format!("data: {data}\n\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_whole_answer_is_its_delta_its_end_its_usage_and_done() {
        let body = r#"{"id":"c","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"a","tool_calls":[{"id":"x","function":{"name":"f"}},{"id":"y","function":{"name":"g"}}]},"finish_reason":"tool_calls"},{"message":{"content":"b"}}],"usage":{"prompt_tokens":1,"completion_tokens":2},"x":7}"#;
        let head = r#"data: {"id":"c","object":"chat.completion.chunk","model":"m","choices":"#;
        let events = events(EngineKind::Openai, body.into()).unwrap();
        let events: Vec<_> = events.iter().map(|e| String::from_utf8_lossy(e)).collect();
        assert_eq!(
            events,
            [
                format!(
                    "{head}{},\"x\":7}}\n\n",
                    r#"[{"index":0,"delta":{"role":"assistant","content":"a","tool_calls":[{"id":"x","function":{"name":"f"},"index":0},{"id":"y","function":{"name":"g"},"index":1}]},"finish_reason":null}]"#
                ),
                format!(
                    "{head}{},\"x\":7}}\n\n",
                    r#"[{"index":0,"delta":{},"finish_reason":"tool_calls"}]"#
                ),
                format!(
                    "{head}{},\"x\":7}}\n\n",
                    r#"[{"index":1,"delta":{"content":"b"},"finish_reason":null}]"#
                ),
                format!(
                    "{head}{},\"x\":7}}\n\n",
                    r#"[{"index":1,"delta":{},"finish_reason":"stop"}]"#
                ),
                format!(
                    "{head}[],\"x\":7,{}}}\n\n",
                    r#""usage":{"prompt_tokens":1,"completion_tokens":2}"#
                ),
                "data: [DONE]\n\n".to_owned(),
            ]
        );
    }

    #[test]
    fn a_whole_text_is_its_text_its_end_and_done() {
        let body = r#"{"object":"text_completion","choices":[{"index":0,"text":"a","finish_reason":"length"}]}"#;
        let events = events(EngineKind::Openai, body.into()).unwrap();
        let events: Vec<_> = events.iter().map(|e| String::from_utf8_lossy(e)).collect();
        let event = |choice: &str| {
            format!("data: {{\"object\":\"text_completion\",\"choices\":[{choice}]}}\n\n")
        };
        assert_eq!(
            events,
            [
                event(r#"{"index":0,"text":"a","finish_reason":null}"#),
                event(r#"{"index":0,"text":"","finish_reason":"length"}"#),
                "data: [DONE]\n\n".to_owned(),
            ]
        );
    }

    #[test]
    fn what_is_no_answer_is_an_error_with_what_it_says() {
        for (body, kind, says) in [
            (
                r#"{"error":"it broke"}"#,
                ErrorKind::EngineError,
                "it broke",
            ),
            (
                r#"{"error":{"message":"Cannot truncate prompt with n_keep (5) >= n_ctx (4)"}}"#,
                ErrorKind::ContextLengthExceeded,
                "n_keep (5)",
            ),
            (
                r#""Failed to load model""#,
                ErrorKind::LoadFailed,
                "Failed to load model",
            ),
            ("it broke", ErrorKind::EngineError, "it broke"),
            (
                r#"{"detail":"it broke"}"#,
                ErrorKind::EngineError,
                "it broke",
            ),
            (
                r#"{"choices":[]}"#,
                ErrorKind::EngineError,
                "without an answer",
            ),
            ("<html>", ErrorKind::EngineError, "page"),
        ] {
            let error = events(EngineKind::Lmstudio, body.into()).unwrap_err();
            assert_eq!(error.kind, kind, "{body}");
            assert!(error.message.contains(says), "{body}: {error}");
        }
    }
}
