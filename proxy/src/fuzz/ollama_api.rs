//! The reader of the requests of Ollama's clients, and the lines that are made of chat events or pass.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use crucible_config::{
    Config,
    checked::{EngineKind, RequestDefaults},
};
use crucible_router::{catalog::Capabilities, engine::LoadTuple};
use http::HeaderMap;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, value::RawValue};

use super::{CUTS, frames, without_ids};
use crate::dialect::{
    self, ClientRequest,
    chat::{AnswerWriter, ChatRequest, EngineTranscoder, chained},
    engine::{
        EngineTarget, format_of,
        ollama::response::native::{PassedLines, PassedWhole},
        openai::passthrough::ChatPassthrough,
    },
};

/// The largest event of an engine.
const LARGE: usize = 1 << 20;

const PATHS: [&str; 4] = [
    "/api/chat",
    "/api/generate",
    "/api/embed",
    "/api/embeddings",
];

/// Asserts that a request of any bytes is refused with an error in Ollama's form, or becomes a chat request
/// that is JSON and always the same one, and a body for an Ollama that is JSON without a `keep_alive`.
///
/// # Panics
///
/// Where one of these does not hold.
pub fn ollama_request(data: &[u8]) {
    for path in PATHS {
        match (read(path, data), read(path, data)) {
            (Ok(chat), Ok(again)) => {
                assert_eq!(chat.body, again.body);
                assert_eq!(chat.notes, again.notes);
                assert!(serde_json::from_slice::<IgnoredAny>(&chat.body).is_ok());
                assert!(chat.notes.iter().all(|note| !note.contains(['\n', '\r'])));
                for_ollama(&chat);
            }
            (Err(error), Err(_)) => {
                assert!(error.status().is_client_error(), "{error}");
                let document = dialect::of_path(path).map(|format| format.error(&error));
                let document: Value =
                    serde_json::from_slice(&document.unwrap_or_default()).unwrap_or_default();
                assert!(document["error"].is_string(), "{document}");
            }
            (first, _) => assert!(first.is_ok() && first.is_err(), "read in two ways"),
        }
    }
}

fn read(path: &str, data: &[u8]) -> Result<ChatRequest, crate::error::Error> {
    let request = ClientRequest {
        headers: &HeaderMap::new(),
        body: Bytes::copy_from_slice(data),
        config: &Config::builtin(),
    };
    let format = dialect::of_path(path).unwrap_or_else(dialect::unasked);
    format.read(request)
}

fn for_ollama(chat: &ChatRequest) {
    let (tuple, defaults) = (LoadTuple::default(), RequestDefaults::default());
    let target = EngineTarget {
        model: "m",
        instance: "m",
        context: None,
        tuple: &tuple,
        defaults: &defaults,
        prefix: Config::builtin().prefix,
        capabilities: &Capabilities::default,
        event_limit: LARGE,
    };
    if let Ok(call) = format_of(EngineKind::Ollama).write(chat, &target) {
        let body: HashMap<String, &RawValue> =
            serde_json::from_slice(&call.body).unwrap_or_default();
        assert!(!body.contains_key("keep_alive"), "{body:?}");
        let model = body.get("model").map(|raw| raw.get());
        assert_eq!(model, Some("\"m\""));
    }
}

/// Asserts that a client gets the same whole lines however an engine's bytes come, that `done` stands in the
/// last line alone, and that nothing follows it: of chat events, and of an Ollama's own lines.
///
/// # Panics
///
/// Where one of these does not hold.
pub fn ollama_stream(data: &[u8]) {
    for path in &PATHS[..2] {
        let of = || {
            let body = br#"{"model":"m","messages":[{"role":"user","content":"x"}],"prompt":"x"}"#;
            let writer = read(path, body).ok().and_then(|chat| chat.writer);
            let client = writer.map(|writer| AnswerWriter::transcoder(&*writer));
            let engine = ChatPassthrough::new(EngineKind::Llamacpp, false, LARGE);
            chained(Box::new(engine), client)
        };
        same_lines(data, of);
    }
    same_lines(data, || {
        Box::new(PassedLines::new(("m", "other"), Arc::default(), LARGE))
    });
    let whole = || Box::new(PassedWhole::new(("m", "other"), Arc::default(), LARGE));
    let first = answer(whole(), data, CUTS[0]);
    assert!(first.1 != "complete" || serde_json::from_str::<IgnoredAny>(&first.0).is_ok());
    for lengths in CUTS {
        assert_eq!(answer(whole(), data, lengths), first, "cut by {lengths:?}");
    }
}

#[derive(Deserialize)]
struct LineEnd {
    #[serde(default)]
    done: bool,
}

fn same_lines(data: &[u8], of: impl Fn() -> Box<dyn EngineTranscoder>) {
    let whole = answer(of(), data, CUTS[0]);
    let lines: Vec<&str> = whole.0.split_inclusive('\n').collect();
    for (at, line) in lines.iter().enumerate() {
        assert!(line.ends_with('\n'), "no whole line: {line}");
        // Half a character is no fault of the form.
        let value: Result<LineEnd, _> = serde_json::from_str(line);
        assert!(value.is_ok(), "no JSON: {line}");
        let is_done = value.is_ok_and(|line| line.done);
        assert!(
            !is_done || at + 1 == lines.len(),
            "a line follows the last: {lines:?}"
        );
        assert!(
            whole.1 != "complete" || is_done || at + 1 < lines.len(),
            "no end: {lines:?}"
        );
    }
    for lengths in CUTS {
        assert_eq!(answer(of(), data, lengths), whole, "cut by {lengths:?}");
    }
}

/// What the client gets of such a stream of an engine, and how it ends.
fn answer(mut of: Box<dyn EngineTranscoder>, data: &[u8], lengths: &[usize]) -> (String, String) {
    let mut out = VecDeque::new();
    let pushed = frames(data, lengths)
        .try_for_each(|frame| of.push(Bytes::copy_from_slice(frame), &mut out).map(drop));
    let ended = match pushed.and_then(|()| of.finish(&mut out)) {
        Ok(_) => "complete".to_owned(),
        Err(error) => error.to_string(),
    };
    let sent = without_ids(out.into_iter().flatten().collect());
    (without_times(&String::from_utf8_lossy(&sent)), ended)
}

/// The members of a line that hold a moment or a duration.
const TIMES: [&str; 5] = [
    "created_at",
    "total_duration",
    "load_duration",
    "prompt_eval_duration",
    "eval_duration",
];

/// Takes the moments and the durations out of lines of Ollama's.
pub(crate) fn without_times(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(",\"") {
        let (before, member) = rest.split_at(at);
        out.push_str(before);
        let value = TIMES.iter().find_map(|name| {
            let after = member[2..].strip_prefix(name)?;
            after.strip_prefix("\":")
        });
        let end = if let Some(value) = value {
            member.len() - value.len() + length(value)
        } else {
            out.push_str(&member[..2]);
            2
        };
        rest = &member[end..];
    }
    out.push_str(rest);
    out
}

/// The length of the string or the number at the beginning of a text.
fn length(value: &str) -> usize {
    let Some(inside) = value.strip_prefix('"') else {
        return value.find([',', '}']).unwrap_or(value.len());
    };
    let mut is_escaped = false;
    let end = inside.find(|c| {
        let ends = c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        ends
    });
    end.map_or(value.len(), |end| end + 2)
}
