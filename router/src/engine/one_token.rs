//! A prompt that an engine answers with one token: what probes of an engine and of a context send.

use crucible_config::{checked::EngineKind, engine_profile::EngineWire};
use serde_json::{Value, json};

use super::{error::EngineError, http::EngineEndpoint, ollama::ollama_options};
use crate::options::LoadTuple;

/// Sends one user message and returns the engine's whole answer, of at most one token.
///
/// `model` is the name that the engine knows, `tuple` the options that it was loaded with: an engine that
/// takes options on requests would load the model anew with others. The caller bounds the time.
pub(crate) async fn ask_for_one_token(
    endpoint: &EngineEndpoint,
    engine: EngineKind,
    model: &str,
    text: &str,
    tuple: &LoadTuple,
) -> Result<Value, EngineError> {
    let messages = json!([{ "role": "user", "content": text }]);
    let (path, body) = match engine.profile().wire {
        EngineWire::OllamaNative => {
            let mut options = ollama_options(tuple);
            options.insert("num_predict".to_owned(), 1.into());
            let body = json!({
                "model": model, "messages": messages, "stream": false, "options": options,
                // As on every request: another choice would load the model anew.
                "shift": false, "truncate": false,
            });
            ("/api/chat", body)
        }
        EngineWire::OpenAi => {
            let body = json!({
                "model": model, "messages": messages, "stream": false, "max_tokens": 1,
            });
            ("/v1/chat/completions", body)
        }
    };
    endpoint.post(path, &body).await
}

/// Reports whether an engine answered with a message, even an empty one.
pub(crate) fn is_an_answer(engine: EngineKind, answer: &Value) -> bool {
    match engine.profile().wire {
        EngineWire::OllamaNative => answer["message"].is_object(),
        EngineWire::OpenAi => answer["choices"].as_array().is_some_and(|c| !c.is_empty()),
    }
}
