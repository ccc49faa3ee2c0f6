//! One line of Ollama's answer.

use std::borrow::Cow;

use crucible_config::checked::EngineKind;
use http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    dialect::engine_error::engine_error,
    error::{Error, Kind},
    metrics::UpstreamError,
    relay::transcode::{Timing, Usage},
};

/// One line.
#[derive(Deserialize)]
pub(super) struct Item<'a> {
    #[serde(borrow, default)]
    pub(super) message: Option<Message<'a>>,
    #[serde(default)]
    pub(super) done: bool,
    #[serde(default)]
    done_reason: Option<String>,
    #[serde(default)]
    prompt_eval_count: Option<u64>,
    #[serde(default)]
    prompt_eval_duration: Option<u64>,
    #[serde(default)]
    eval_count: Option<u64>,
    #[serde(default)]
    eval_duration: Option<u64>,
    #[serde(borrow, default)]
    pub(super) logprobs: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// What is new of the answer.
#[derive(Default, Deserialize)]
pub(super) struct Message<'a> {
    #[serde(borrow, default)]
    pub(super) content: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) thinking: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) tool_calls: Option<Vec<Call<'a>>>,
}

/// A whole tool call.
#[derive(Deserialize)]
pub(super) struct Call<'a> {
    #[serde(default)]
    pub(super) id: Option<String>,
    #[serde(borrow)]
    pub(super) function: Function<'a>,
}

/// Its function.
#[derive(Deserialize)]
pub(super) struct Function<'a> {
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) arguments: Option<&'a RawValue>,
}

// === impl Item ===

impl Item<'_> {
    /// Its counts; what is missing is 0.
    pub(super) fn usage(&self) -> Usage {
        Usage {
            prompt: self.prompt_eval_count.unwrap_or(0),
            completion: self.eval_count.unwrap_or(0),
            cached: None,
            reasoning: None,
            timing: Timing::of_ollama(
                (self.prompt_eval_count, self.prompt_eval_duration),
                (self.eval_count, self.eval_duration),
            ),
        }
    }

    /// `finish_reason`; `called`: tool calls were sent.
    pub(super) fn finish_reason(&self, called: bool) -> Result<String, Error> {
        match self.done_reason.as_deref() {
            None | Some("" | "stop") if called => Ok("tool_calls".to_owned()),
            None | Some("") => Ok("stop".to_owned()),
            Some("load" | "unload") => Err(Error::new(
                Kind::EngineError,
                "the engine loaded or unloaded the model instead of answering",
            )),
            Some(reason) => Ok(reason.to_owned()),
        }
    }
}

/// Parses one line; a blank one is none, an error line is an error.
pub(super) fn with_item(
    line: &[u8],
    act: impl FnOnce(&Item<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let line = line.trim_ascii();
    if line.is_empty() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(line);
    let item: Item<'_> = serde_json::from_str(&text).map_err(|_| {
        if !text.starts_with(['{', '<']) {
            // Words, or a bare string: what they say matters more than their form.
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            return engine_error(EngineKind::Ollama, status, line);
        }
        Error::new(
            Kind::EngineError,
            "the engine sent a line that is no answer",
        )
        .upstream(UpstreamError::BadJson)
    })?;
    if item.error.is_some_and(|error| error.get() != "null") {
        // Ollama 0.33: whatever fails after the first item comes as a line in a 200.
        return Err(engine_error(
            EngineKind::Ollama,
            StatusCode::INTERNAL_SERVER_ERROR,
            line,
        ));
    }
    act(&item)
}

/// The error of a stream without a proper end; a tail that is half a line says nothing more.
pub(super) fn cut(tail: &[u8], result: Result<(), Error>) -> Error {
    match result {
        Err(error) if is_whole(tail) => error,
        _ => Error::new(Kind::EngineCut, "the engine's answer ended in the middle"),
    }
}

/// Words, or a JSON to its end.
fn is_whole(tail: &[u8]) -> bool {
    let tail = tail.trim_ascii();
    !tail.starts_with(b"{") || tail.ends_with(b"}")
}
