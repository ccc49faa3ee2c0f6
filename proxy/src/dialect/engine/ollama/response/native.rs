//! The answers of Ollama for clients of Ollama's own API: the lines pass, with the client's name of the model.
//!
//! They are read on the way for counts, calls, errors and their end, so that an error line and an end without
//! `done` are errors here as in every other format.

use std::{collections::VecDeque, fmt::Write as _, mem, sync::Arc};

use bytes::Bytes;
use serde_json::{Value, value::RawValue};

use super::{
    answer_line::{AnswerLine, with_line},
    line_answer::LineAnswer,
    line_reader::LineReader,
    write::string,
};
use crate::{
    body::{object::JsonObject, surrogates},
    dialect::{
        chat::StreamProgress,
        engine::{
            document::{AnswerDocument, DocumentReader},
            embeddings::VectorReader,
        },
    },
    error::{Error, ErrorKind, UpstreamError},
    usage::{MOST_TOKENS, SlotReadings, Usage},
};

/// Passes the lines of a streamed answer.
#[derive(Debug)]
pub(crate) struct PassedLines {
    lines: LineReader,
    name: ModelName,
    slots: Arc<SlotReadings>,
    out: Vec<u8>,
    has_calls: bool,
    complete: bool,
}

/// Gathers the lines of a streamed answer to the document that the client asked for.
#[derive(Debug)]
pub(crate) struct PassedWhole {
    lines: LineReader,
    name: ModelName,
    slots: Arc<SlotReadings>,
    content: String,
    thinking: String,
    /// The elements of the list of calls.
    calls: String,
    count: usize,
    logprobs: String,
    /// Whether the text stands in `message`; else in `response`.
    is_message: bool,
    /// The last line.
    last: Option<Vec<u8>>,
    cap: usize,
}

/// Passes a document of vectors.
#[derive(Debug)]
pub(crate) struct PassedVectors {
    name: ModelName,
    /// Knows the inputs, for the error of one that is too long.
    inputs: VectorReader,
}

/// The names of the model: the engine's, which its answers repeat, and the client's.
#[derive(Debug)]
struct ModelName {
    /// The beginning of a line with the engine's name.
    from: Vec<u8>,
    /// The same with the client's; empty where both are one.
    to: Vec<u8>,
    /// The JSON of the client's name.
    asked: String,
}

// === impl ModelName ===

impl ModelName {
    fn new((own, asked): (&str, &str)) -> Self {
        let asked_json = Value::from(asked).to_string();
        let line = |name: &str| format!(r#"{{"model":{name}"#).into_bytes();
        Self {
            from: line(&Value::from(own).to_string()),
            to: if own == asked {
                Vec::new()
            } else {
                line(&asked_json)
            },
            asked: asked_json,
        }
    }

    /// Appends a line with the client's name.
    fn write(&self, line: &[u8], out: &mut Vec<u8>) {
        if self.to.is_empty() {
            out.extend_from_slice(line);
        } else if let Some(rest) = line.strip_prefix(&*self.from) {
            out.extend_from_slice(&self.to);
            out.extend_from_slice(rest);
        } else {
            self.replace(line, out);
        }
    }

    /// Appends a line whose name stands in another place, or is spelt in another way.
    fn replace(&self, line: &[u8], out: &mut Vec<u8>) {
        let text = std::str::from_utf8(line).ok();
        let object = text.and_then(JsonObject::of);
        let place = object.and_then(|object| {
            let mut members = object.members.iter();
            members
                .find(|(name, ..)| name == "model")
                .map(|(_, _, value)| value.clone())
        });
        match place {
            None => out.extend_from_slice(line),
            Some(place) => {
                out.extend_from_slice(&line[..place.start]);
                out.extend_from_slice(self.asked.as_bytes());
                out.extend_from_slice(&line[place.end..]);
            }
        }
    }
}

// === impl PassedLines ===

impl PassedLines {
    /// Starts at the beginning of a streamed answer. `names` are the engine's name of the model and
    /// the client's; `cap` is the longest line in bytes (`limits.event`).
    pub(crate) fn new(names: (&str, &str), slots: Arc<SlotReadings>, cap: usize) -> Self {
        Self {
            lines: LineReader::new(cap),
            name: ModelName::new(names),
            slots,
            out: Vec::new(),
            has_calls: false,
            complete: false,
        }
    }
}

impl LineAnswer for PassedLines {
    fn lines(&mut self) -> &mut LineReader {
        &mut self.lines
    }

    fn is_over(&self) -> bool {
        self.complete
    }

    fn line(&mut self, line: &[u8], progress: &mut StreamProgress) -> Result<(), Error> {
        if self.is_over() {
            return Ok(());
        }
        // Half a character would make the line unreadable to the client.
        let text = String::from_utf8_lossy(line);
        let line = surrogates::mended_text(text.trim_ascii());
        with_line(line.as_bytes(), |item| {
            progress.events += 1;
            progress.content += u32::from(item.has_content());
            self.has_calls |= item.calls() > 0;
            if item.is_last() {
                item.finish_reason(self.has_calls)?;
                progress.usage = Some(item.usage(&self.slots));
                progress.complete = true;
                progress.calls = self.has_calls;
                self.complete = true;
            }
            self.name.write(line.as_bytes(), &mut self.out);
            self.out.push(b'\n');
            Ok(())
        })
    }

    fn send(&mut self, out: &mut VecDeque<Bytes>) {
        if !self.out.is_empty() {
            out.push_back(mem::take(&mut self.out).into());
        }
    }

    fn end(&mut self, out: &mut VecDeque<Bytes>) -> bool {
        self.send(out);
        self.complete
    }
}

// === impl PassedWhole ===

impl PassedWhole {
    /// Takes the same parameters as [`PassedLines::new`] for an answer that is one document.
    pub(crate) fn new(names: (&str, &str), slots: Arc<SlotReadings>, cap: usize) -> Self {
        Self {
            lines: LineReader::new(cap),
            name: ModelName::new(names),
            slots,
            content: String::new(),
            thinking: String::new(),
            calls: String::new(),
            count: 0,
            logprobs: String::new(),
            is_message: false,
            last: None,
            cap,
        }
    }

    fn take(&mut self, item: &AnswerLine<'_>) -> Result<(), Error> {
        self.content.push_str(&item.response);
        self.thinking.push_str(&item.thinking);
        if let Some(message) = &item.message {
            self.is_message = true;
            self.content.push_str(&message.content);
            self.thinking.push_str(&message.thinking);
        }
        for call in item
            .message
            .iter()
            .filter_map(|m| m.tool_calls.as_ref())
            .flatten()
        {
            let comma = if self.count > 0 { "," } else { "" };
            let id = call
                .id
                .map_or_else(String::new, |id| format!(r#""id":{},"#, id.get()));
            let name = Value::from(&*call.function.name);
            let arguments = call.function.arguments.map_or("{}", RawValue::get);
            // Writing to a String cannot fail.
            let _ = write!(
                self.calls,
                r#"{comma}{{{id}"function":{{"index":{},"name":{name},"arguments":{arguments}}}}}"#,
                self.count
            );
            self.count += 1;
        }
        let inner = item.logprobs.and_then(|raw| {
            let inner = raw.get().strip_prefix('[')?.strip_suffix(']')?.trim();
            (!inner.is_empty()).then_some(inner)
        });
        if let Some(inner) = inner {
            if !self.logprobs.is_empty() {
                self.logprobs.push(',');
            }
            self.logprobs.push_str(inner);
        }
        let parts = [&self.content, &self.thinking, &self.calls, &self.logprobs];
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if length > self.cap {
            return Err(Error::answer_too_large());
        }
        Ok(())
    }

    /// Writes the document: the last line, with the whole text in the place of its own.
    fn document(&self, last: &[u8]) -> Vec<u8> {
        let text = String::from_utf8_lossy(last);
        let mut out = format!(r#"{{"model":{}"#, self.name.asked).into_bytes();
        let object = JsonObject::of(&text);
        for (name, key, value) in object.iter().flat_map(|object| &object.members) {
            let is_own = matches!(&**name, "model" | "logprobs" | "thinking");
            match &**name {
                "message" | "response" => self.write_text(&mut out),
                _ if is_own => {}
                _ => {
                    out.push(b',');
                    out.extend_from_slice(text[key.clone()].as_bytes());
                    out.push(b':');
                    out.extend_from_slice(text[value.clone()].as_bytes());
                }
            }
        }
        if !self.logprobs.is_empty() {
            out.extend_from_slice(format!(r#","logprobs":[{}]"#, self.logprobs).as_bytes());
        }
        out.push(b'}');
        out
    }

    fn write_text(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.is_message {
            br#","message":{"role":"assistant","content":"#
        } else {
            br#","response":"#
        });
        string(out, &self.content);
        if !self.thinking.is_empty() {
            out.extend_from_slice(br#","thinking":"#);
            string(out, &self.thinking);
        }
        if self.count > 0 {
            out.extend_from_slice(format!(r#","tool_calls":[{}]"#, self.calls).as_bytes());
        }
        if self.is_message {
            out.push(b'}');
        }
    }
}

impl LineAnswer for PassedWhole {
    fn lines(&mut self) -> &mut LineReader {
        &mut self.lines
    }

    fn is_over(&self) -> bool {
        self.last.is_some()
    }

    fn line(&mut self, line: &[u8], progress: &mut StreamProgress) -> Result<(), Error> {
        if self.is_over() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(line);
        let line = surrogates::mended_text(text.trim_ascii());
        with_line(line.as_bytes(), |item| {
            progress.events += 1;
            progress.content += u32::from(item.has_content());
            self.take(item)?;
            if item.is_last() {
                item.finish_reason(self.count > 0)?;
                progress.usage = Some(item.usage(&self.slots));
                progress.complete = true;
                progress.calls = self.count > 0;
                self.last = Some(line.as_bytes().to_vec());
            }
            Ok(())
        })
    }

    fn end(&mut self, out: &mut VecDeque<Bytes>) -> bool {
        let Some(last) = &self.last else {
            return false;
        };
        out.push_back(self.document(last).into());
        true
    }
}

// === impl PassedVectors ===

impl PassedVectors {
    /// Starts at the beginning of an answer with vectors. `names` are the engine's name of the
    /// model and the client's; `inputs` knows the texts.
    pub(crate) fn new(names: (&str, &str), inputs: VectorReader) -> Self {
        Self {
            name: ModelName::new(names),
            inputs,
        }
    }
}

impl DocumentReader for PassedVectors {
    fn limit(&self, event_limit: usize) -> usize {
        self.inputs.limit(event_limit)
    }

    fn read(self: Box<Self>, document: &Bytes) -> Result<AnswerDocument, Error> {
        let vectors: Value = serde_json::from_slice(document).unwrap_or_default();
        if !(vectors["embeddings"].is_array() || vectors["embedding"].is_array()) {
            return Err(Error::new(
                ErrorKind::EngineError,
                "the engine's answer holds no vectors",
            )
            .upstream(UpstreamError::BadJson));
        }
        let prompt = vectors["prompt_eval_count"].as_u64();
        let usage = prompt
            .filter(|count| *count <= MOST_TOKENS)
            .map(|prompt| Usage {
                prompt,
                ..Usage::default()
            });
        let mut body = Vec::with_capacity(document.len() + 64);
        self.name.write(document.trim_ascii(), &mut body);
        Ok(AnswerDocument {
            body: body.into(),
            usage,
            model: None,
        })
    }

    fn refused(&self, error: Error) -> Error {
        self.inputs.refused(error)
    }
}
