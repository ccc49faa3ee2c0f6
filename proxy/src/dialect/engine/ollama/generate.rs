//! Raw prompts, for Ollama's `/api/generate` (0.33).
//!
//! Its OpenAI layer puts the chat template around every prompt, loses the context size and drops what it
//! does not know; the native path takes a prompt as it is where `raw` is set. A `suffix` needs the model's own
//! template for insertion, which stands in for `raw` then. The prompt is never cut, and `keep_alive` is never
//! sent.

use std::sync::Arc;

use crucible_config::checked::EngineKind;
use serde_json::{Map, Value};

use super::{
    request::{NUMBERS, dropped, format, runner, sampling},
    response::{OllamaText, OllamaWholeText, created},
};
use crate::{
    dialect::{
        chat::{ChatRequest, asks_for_usage, field_error::unsupported},
        engine::{
            completion::RawPrompt,
            engine_format::{AnswerShape, EngineCall, EngineTarget},
            fields::{number_rules::NumberRules, numbers::rewritten_numbers},
        },
    },
    error::Error,
    usage::SlotReadings,
};

/// The members of a raw prompt's request that Ollama has no place for.
const UNREAD: [&str; 3] = ["echo", "best_of", "logprobs"];

/// Reads a raw prompt and checks its request for Ollama, which takes one text.
pub(super) fn check(request: &ChatRequest) -> Result<RawPrompt<'_>, Error> {
    let prompt = RawPrompt::read(request)?;
    prompt.need_one_text(EngineKind::Ollama.profile().product)?;
    let rules = NumberRules {
        logprobs_count: true,
        ..NUMBERS
    };
    rewritten_numbers(&request.body, &request.peek, &rules)?;
    Ok(prompt)
}

/// Writes a raw prompt with the load options of the model.
pub(super) fn write(request: &ChatRequest, target: &EngineTarget<'_>) -> Result<EngineCall, Error> {
    let ChatRequest { body, peek, .. } = request;
    let prompt = check(request)?;
    let insert = (target.capabilities)().insert;
    if prompt.has_suffix && insert == Some(false) {
        return Err(no_template(target.model));
    }
    let mut notes = Vec::new();
    let mut options = runner(target.tuple);
    let defaults = sampling(body, peek, target.defaults, &mut options, &mut notes)?;
    let mut members = members(&prompt, target);
    members.insert("options".to_owned(), options.into());
    let dropped = dropped(body, peek, &mut notes);
    for name in UNREAD {
        let says_nothing = |value: &str| matches!(value, "false" | "0" | "1") && name != "logprobs";
        if peek
            .raw(body, name)
            .is_some_and(|value| !says_nothing(value))
        {
            notes.push(format!(
                "{name} is dropped: Ollama has none for a raw prompt"
            ));
        }
    }
    let format = format(body, peek, &mut notes)?;
    let suffix = peek.raw(body, "suffix").filter(|_| prompt.has_suffix);
    let raw = [
        ("prompt", prompt.text),
        ("suffix", suffix),
        ("format", format.as_deref()),
    ];
    let asked = peek.model.as_deref().unwrap_or(target.model);
    let slots: Arc<SlotReadings> = Arc::default();
    let answer = if peek.stream {
        let usage = asks_for_usage(body, peek);
        let text = OllamaText::new(asked, created(), usage, target.event_limit);
        AnswerShape::Stream(Box::new(text.with_slots(Arc::clone(&slots))))
    } else {
        let text = OllamaWholeText::new(asked, created(), target.event_limit);
        AnswerShape::Aggregate(Box::new(text.with_slots(Arc::clone(&slots))))
    };
    Ok(EngineCall {
        path: "/api/generate",
        body: written(target.model, members, raw).into(),
        answer,
        defaults,
        notes,
        dropped,
        may_call_tools: false,
        slots: Some(slots),
        is_clients: false,
    })
}

/// The members that say how the prompt is taken.
fn members(prompt: &RawPrompt<'_>, target: &EngineTarget<'_>) -> Map<String, Value> {
    let mut members = Map::new();
    members.insert("stream".to_owned(), true.into());
    if !prompt.has_suffix {
        members.insert("raw".to_owned(), true.into());
    }
    if !target.tuple.as_loaded {
        members.insert("shift".to_owned(), false.into());
    }
    members.insert("truncate".to_owned(), false.into());
    if (target.capabilities)().thinking == Some(true) {
        // It would take what looks like thoughts out of the text.
        members.insert("think".to_owned(), false.into());
    }
    members
}

fn no_template(model: &str) -> Error {
    let message = format!(
        "'{model}' has no template for insertion, so that it cannot write before a `suffix`; take a model \
         whose capabilities name \"insert\", such as a base model for code"
    );
    unsupported("suffix", message)
}

/// Writes the body. The members of `raw` are JSON texts that keep their bytes.
fn written(model: &str, members: Map<String, Value>, raw: [(&str, Option<&str>); 3]) -> String {
    let mut text = format!("{{\"model\":{}", Value::from(model));
    for (name, json) in raw {
        if let Some(json) = json {
            text.push_str(",\"");
            text.push_str(name);
            text.push_str("\":");
            text.push_str(json);
        }
    }
    text.push(',');
    let rest = Value::from(members).to_string();
    text.push_str(rest.trim_start_matches('{'));
    text
}

#[cfg(test)]
mod tests {
    use crucible_config::{
        Config,
        checked::{DefaultSource, FilledValue, RequestDefaults},
    };
    use crucible_router::{catalog::Capabilities, engine::LoadTuple};

    use super::*;
    use crate::dialect::{chat::RequestTask, engine::testing::request};

    fn sent(members: &str, capabilities: Capabilities) -> Result<(String, Vec<String>), Error> {
        let tuple = LoadTuple {
            context: Some(4096),
            threads: Some(4),
            ..LoadTuple::default()
        };
        let defaults = RequestDefaults {
            temperature: Some(FilledValue {
                value: 0.3,
                from: DefaultSource::Profile,
            }),
            ..RequestDefaults::default()
        };
        let target = EngineTarget {
            model: "coder:latest",
            instance: "coder:latest",
            context: Some(4096),
            tuple: &tuple,
            defaults: &defaults,
            prefix: Config::builtin().prefix,
            capabilities: &|| capabilities,
            event_limit: 1 << 20,
        };
        let call = write(&request(RequestTask::Completion, members), &target)?;
        Ok((String::from_utf8_lossy(&call.body).into_owned(), call.notes))
    }

    #[test]
    fn a_prompt_is_raw_and_keeps_its_bytes() {
        let plain = Capabilities::default();
        let (body, notes) = sent(r#""prompt":"a\u00e9","max_tokens":9,"stop":"x""#, plain).unwrap();
        assert_eq!(
            body,
            r#"{"model":"coder:latest","prompt":"a\u00e9","stream":true,"raw":true,"shift":false,"truncate":false,"options":{"num_ctx":4096,"num_thread":4,"temperature":0.3,"num_predict":9,"stop":["x"]}}"#
        );
        assert!(notes.is_empty(), "{notes:?}");
        let members = r#""prompt":["a"],"echo":true,"best_of":3,"logprobs":2,"temperature":0"#;
        let (body, notes) = sent(members, plain).unwrap();
        assert!(body.contains(r#""prompt":"a""#), "{body}");
        assert!(body.contains(r#""temperature":0"#), "{body}");
        assert_eq!(notes.len(), 3, "{notes:?}");
    }

    #[test]
    fn a_suffix_needs_the_template_and_never_vanishes() {
        let inserts = |insert| Capabilities {
            insert,
            thinking: Some(true),
            ..Capabilities::default()
        };
        for insert in [Some(true), None] {
            let (body, _) = sent(r#""prompt":"a","suffix":"b""#, inserts(insert)).unwrap();
            assert!(body.contains(r#""prompt":"a","suffix":"b""#), "{body}");
            assert!(!body.contains("raw"), "{body}");
            assert!(body.contains(r#""think":false"#), "{body}");
        }
        let error = sent(r#""prompt":"a","suffix":"b""#, inserts(Some(false))).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("suffix"));
        assert!(error.message.contains("insert"), "{error}");
        let (body, _) = sent(r#""prompt":"a","suffix":"""#, inserts(Some(false))).unwrap();
        assert!(body.contains(r#""raw":true"#), "{body}");
    }
}
