//! The members that whole answers on `/api/v0` have beside those of OpenAI: `stats`, `model_info` and `runtime`
//! (<https://lmstudio.ai/docs/app/api/endpoints/rest>). A member that nobody knows is left out.

use std::{fmt::Write as _, time::Duration};

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::{
    body::object::JsonObject,
    dialect::{
        chat::chat_answer::{AnswerEnd, ChatAnswer, ChatDelta},
        listed_model::ListedModel,
        measured_answer::MeasuredAnswer,
    },
};

/// The members that are written anew where an engine has some of its own.
const MEMBERS: [&str; 3] = ["stats", "model_info", "runtime"];

/// Returns the completion with these members at its end. What is no object stays as it is.
pub(crate) fn with_facts(
    completion: &Bytes,
    measured: &MeasuredAnswer,
    listed: Option<&ListedModel<'_>>,
) -> Bytes {
    let text = std::str::from_utf8(completion).unwrap_or_default();
    let Some(object) = JsonObject::of(text) else {
        return completion.clone();
    };
    let mut out = String::with_capacity(text.len() + 512);
    for (name, key, value) in &object.members {
        if !MEMBERS.contains(&&**name) {
            out.push(if out.is_empty() { '{' } else { ',' });
            out.push_str(&text[key.start..value.end]);
        }
    }
    let members = [
        stats(measured, stop_reason(text, measured)),
        listed.map_or_else(Map::new, model_info),
        listed.map_or_else(Map::new, runtime),
    ];
    for (name, members) in MEMBERS.into_iter().zip(members) {
        out.push(if out.is_empty() { '{' } else { ',' });
        // Writing to a String cannot fail.
        let _ = write!(out, "\"{name}\":{}", Value::Object(members));
    }
    out.push('}');
    out.into()
}

/// The speeds of an answer, in seconds and tokens for each.
fn stats(measured: &MeasuredAnswer, stop_reason: Option<&str>) -> Map<String, Value> {
    let generation = measured.generation.filter(|took| !took.is_zero());
    let rate = measured.tokens.zip(generation).map(|(tokens, took)| {
        f64::from(u32::try_from(tokens).unwrap_or(u32::MAX)) / took.as_secs_f64()
    });
    let seconds = |took: Duration| json!(took.as_secs_f64());
    known([
        ("tokens_per_second", rate.map(|rate| json!(rate))),
        ("time_to_first_token", measured.first_token.map(seconds)),
        ("generation_time", generation.map(seconds)),
        ("stop_reason", stop_reason.map(|word| json!(word))),
    ])
}

/// LM Studio's word for the end of the answer; `None` where two ends would look alike.
fn stop_reason(completion: &str, measured: &MeasuredAnswer) -> Option<&'static str> {
    let answer = ChatAnswer::of(completion).ok()?;
    let choice = answer.choice()?;
    let calls = choice.delta.iter().flat_map(ChatDelta::calls).next();
    match choice.end()? {
        AnswerEnd::Length if measured.has_limit => Some("maxPredictedTokensReached"),
        AnswerEnd::Length => Some("contextLengthReached"),
        AnswerEnd::Done if calls.is_some() => Some("toolCalls"),
        AnswerEnd::Done if !measured.has_stops => Some("eosFound"),
        AnswerEnd::Done | AnswerEnd::Filter => None,
    }
}

fn model_info(listed: &ListedModel<'_>) -> Map<String, Value> {
    let model = listed.model;
    known([
        (
            "arch",
            model.metadata.architecture.as_deref().map(Value::from),
        ),
        ("quant", model.quantization.as_deref().map(Value::from)),
        ("format", format(listed).map(Value::from)),
        ("context_length", listed.context.map(Value::from)),
    ])
}

/// The program that generated the answer.
fn runtime(listed: &ListedModel<'_>) -> Map<String, Value> {
    let engine = listed.engine;
    known([
        ("name", Some(engine.kind.profile().title.into())),
        ("version", engine.version.as_deref().map(Value::from)),
        (
            "supported_formats",
            format(listed).map(|format| json!([format])),
        ),
    ])
}

/// The format of the weights, where the engine tells it or knows one alone.
fn format<'a>(listed: &ListedModel<'a>) -> Option<&'a str> {
    let told = listed.model.format.as_deref();
    told.or(listed.engine.kind.profile().weights_format)
}

fn known<const N: usize>(members: [(&str, Option<Value>); N]) -> Map<String, Value> {
    let told = members.into_iter();
    told.filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#"{"id":"1", "choices":[{"index":0,"message":{"content":"a"},"finish_reason":"FINISH"}],"usage":{"x":1.50},"stats":{}}"#;

    fn stats_of(finish: &str, measured: MeasuredAnswer) -> Value {
        let answer = Bytes::from(ANSWER.replace("FINISH", finish));
        let written = with_facts(&answer, &measured, None);
        let text = std::str::from_utf8(&written).unwrap();
        // All other bytes stay.
        assert!(text.starts_with("{\"id\":\"1\","), "{text}");
        assert!(text.contains("\"usage\":{\"x\":1.50}"), "{text}");
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(
            (&value["model_info"], &value["runtime"]),
            (&json!({}), &json!({}))
        );
        value["stats"].clone()
    }

    #[test]
    fn what_was_measured_is_told_and_nothing_else() {
        let measured = MeasuredAnswer {
            first_token: Some(Duration::from_millis(250)),
            generation: Some(Duration::from_secs(2)),
            tokens: Some(100),
            ..MeasuredAnswer::default()
        };
        assert_eq!(
            stats_of("stop", measured),
            json!({"tokens_per_second": 50.0, "time_to_first_token": 0.25, "generation_time": 2.0, "stop_reason": "eosFound"})
        );
        let none = MeasuredAnswer::default();
        assert_eq!(stats_of("stop", none), json!({"stop_reason": "eosFound"}));
        assert_eq!(
            stats_of("length", none),
            json!({"stop_reason": "contextLengthReached"})
        );
        let bounded = MeasuredAnswer {
            has_stops: true,
            has_limit: true,
            ..none
        };
        assert_eq!(stats_of("stop", bounded), json!({}));
        assert_eq!(
            stats_of("length", bounded),
            json!({"stop_reason": "maxPredictedTokensReached"})
        );
    }

    #[test]
    fn an_answer_that_calls_tools_says_so() {
        let answer = r#"{"choices":[{"message":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}"#;
        assert_eq!(
            stop_reason(answer, &MeasuredAnswer::default()),
            Some("toolCalls")
        );
    }

    #[test]
    fn what_is_no_object_stays() {
        for text in ["[]", "", "{"] {
            let answer = Bytes::from_static(text.as_bytes());
            assert_eq!(
                with_facts(&answer, &MeasuredAnswer::default(), None),
                answer
            );
        }
    }
}
