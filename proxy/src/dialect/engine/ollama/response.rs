//! The answer of Ollama's `/api/chat`, newline-delimited JSON, as chat events or as one chat
//! completion.
//!
//! An error line, a line that is no JSON and an end without `done` are errors, never a silent stop. An
//! answer has one `id` and one `created`, and its `model` is the name that the client sent.
//!
//! ```text
//! {"message":{"content":"Hi"},"done":false}
//! data: {...,"choices":[{"index":0,"delta":{"role":"assistant","content":"Hi"},"finish_reason":null}]}
//! ```

mod answer_line;
mod line_answer;
pub(crate) mod line_reader;
pub(crate) mod native;
mod text;
mod write;

use std::{
    collections::{HashSet, VecDeque},
    mem,
    sync::Arc,
};

use bytes::Bytes;
use serde_json::value::RawValue;

pub use self::text::{OllamaText, OllamaWholeText};
pub(crate) use self::write::created;
use crate::{
    dialect::{
        chat::StreamProgress,
        engine::{
            call_ids::CallIds,
            ollama::response::{
                answer_line::{AnswerLine, AnswerMessage, with_line},
                line_answer::LineAnswer,
                line_reader::LineReader,
                write::{head, string, usage_json, write_calls},
            },
        },
    },
    error::Error,
    usage::{SlotReadings, Usage},
};

/// Turns a stream of `/api/chat` into `chat.completion.chunk` events.
#[derive(Debug)]
pub struct OllamaStream {
    lines: LineReader,
    prefix: Vec<u8>,
    /// The length of `prefix` up to `choices`, for the event of the token counts; `None` where it is
    /// not asked for.
    head: Option<usize>,
    out: Vec<u8>,
    started: bool,
    calls: usize,
    ids: CallIds,
    hides_thinking: bool,
    slots: Arc<SlotReadings>,
    complete: bool,
}

/// Turns a stream of `/api/chat` into one `chat.completion`.
#[derive(Debug)]
pub struct OllamaAggregate {
    lines: LineReader,
    head: String,
    content: String,
    reasoning: String,
    calls: Vec<u8>,
    count: usize,
    ids: CallIds,
    hides_thinking: bool,
    slots: Arc<SlotReadings>,
    logprobs: String,
    /// The most bytes that the answer may have.
    cap: usize,
    finish: Option<(String, Usage)>,
}

/// The facts of a conversation by which its answer is written.
#[derive(Debug, Default)]
pub struct ConversationState {
    /// Ids of the tool calls in the conversation; a new call gets another id.
    pub call_ids: HashSet<String>,
    /// Whether the client does not want to see the thoughts.
    pub hides_thinking: bool,
    /// The readings of the engine's slots during the answer, for the cached tokens.
    pub slots: Arc<SlotReadings>,
}

// === impl OllamaStream ===

impl OllamaStream {
    /// Makes the transcoder of a streamed answer. The client's name of the model and the time of the answer in Unix
    /// seconds are written into it; a line of the engine above `cap` bytes (`limits.event`) is an error.
    pub fn new(model: &str, created: u64, include_usage: bool, cap: usize) -> Self {
        let mut prefix = b"data: ".to_vec();
        prefix.extend_from_slice(head("chat.completion.chunk", model, created).as_bytes());
        let head = prefix.len();
        prefix.extend_from_slice(br#""choices":[{"index":0,"delta":{"#);
        Self {
            lines: LineReader::new(cap),
            prefix,
            head: include_usage.then_some(head),
            out: Vec::new(),
            started: false,
            calls: 0,
            ids: CallIds::default(),
            hides_thinking: false,
            slots: Arc::default(),
            complete: false,
        }
    }

    /// Sets the facts of the conversation that is answered.
    #[must_use]
    pub fn after(mut self, before: ConversationState) -> Self {
        self.ids = CallIds::new(before.call_ids);
        self.hides_thinking = before.hides_thinking;
        self.slots = before.slots;
        self
    }

    /// Writes the events of one line; reports whether it held anything new.
    fn item(&mut self, item: &AnswerLine<'_>) -> bool {
        let empty = AnswerMessage::default();
        let message = item.message.as_ref().unwrap_or(&empty);
        let calls = message.tool_calls.as_deref().unwrap_or_default();
        let mut logprobs = item.logprobs;
        if !message.thinking.is_empty() && !self.hides_thinking {
            self.open();
            self.out.extend_from_slice(br#""reasoning_content":"#);
            string(&mut self.out, &message.thinking);
            self.close(logprobs.take());
        }
        if !message.content.is_empty() || !calls.is_empty() || !self.started || logprobs.is_some() {
            self.open();
            self.out.extend_from_slice(br#""content":"#);
            string(&mut self.out, &message.content);
            if !calls.is_empty() {
                self.out.extend_from_slice(br#","tool_calls":["#);
                write_calls(&mut self.out, calls, &mut self.calls, &mut self.ids);
                self.out.push(b']');
            }
            self.close(logprobs);
        }
        !message.thinking.is_empty() || !message.content.is_empty() || !calls.is_empty()
    }

    fn open(&mut self) {
        self.out.extend_from_slice(&self.prefix);
        if !mem::replace(&mut self.started, true) {
            self.out.extend_from_slice(br#""role":"assistant","#);
        }
    }

    fn close(&mut self, logprobs: Option<&RawValue>) {
        self.out.push(b'}');
        if let Some(raw) = logprobs {
            self.out.extend_from_slice(br#","logprobs":{"content":"#);
            self.out.extend_from_slice(raw.get().as_bytes());
            self.out.push(b'}');
        }
        self.out
            .extend_from_slice(b",\"finish_reason\":null}]}\n\n");
    }

    fn end(&mut self, reason: &str, usage: Usage) {
        self.out.extend_from_slice(&self.prefix);
        self.out.extend_from_slice(br#"},"finish_reason":"#);
        string(&mut self.out, reason);
        self.out.extend_from_slice(b"}]}\n\n");
        if let Some(head) = self.head {
            self.out.extend_from_slice(&self.prefix[..head]);
            self.out.extend_from_slice(br#""choices":[],"#);
            self.out.extend_from_slice(usage_json(usage).as_bytes());
            self.out.extend_from_slice(b"}\n\n");
        }
        self.out.extend_from_slice(b"data: [DONE]\n\n");
        self.complete = true;
    }
}

impl LineAnswer for OllamaStream {
    fn lines(&mut self) -> &mut LineReader {
        &mut self.lines
    }

    fn line(&mut self, line: &[u8], progress: &mut StreamProgress) -> Result<(), Error> {
        if self.complete {
            return Ok(());
        }
        with_line(line, |item| {
            progress.events += 1;
            if self.item(item) {
                progress.content += 1;
            }
            if item.is_last() {
                let usage = item.usage(&self.slots);
                self.end(&item.finish_reason(self.calls > 0)?, usage);
                progress.usage = Some(usage);
                progress.complete = true;
                progress.calls = self.calls > 0;
            }
            Ok(())
        })
    }

    fn send(&mut self, out: &mut VecDeque<Bytes>) {
        if !self.out.is_empty() {
            out.push_back(Bytes::copy_from_slice(&self.out));
            self.out.clear();
        }
    }

    fn is_over(&self) -> bool {
        self.complete
    }

    fn end(&mut self, out: &mut VecDeque<Bytes>) -> bool {
        self.send(out);
        self.complete
    }
}

// === impl OllamaAggregate ===

impl OllamaAggregate {
    /// Makes the transcoder of a streamed answer. The client's name of the model and the time of the answer in Unix
    /// seconds are written into it; a line of the engine above `cap` bytes (`limits.event`) is an error.
    pub fn new(model: &str, created: u64, cap: usize) -> Self {
        Self {
            lines: LineReader::new(cap),
            head: head("chat.completion", model, created),
            content: String::new(),
            reasoning: String::new(),
            calls: Vec::new(),
            count: 0,
            ids: CallIds::default(),
            hides_thinking: false,
            slots: Arc::default(),
            logprobs: String::new(),
            cap,
            finish: None,
        }
    }

    /// The same after a conversation.
    #[must_use]
    pub fn after(mut self, before: ConversationState) -> Self {
        self.ids = CallIds::new(before.call_ids);
        self.hides_thinking = before.hides_thinking;
        self.slots = before.slots;
        self
    }

    fn answer(&self, reason: &str, usage: Usage) -> Vec<u8> {
        let mut out = self.head.clone().into_bytes();
        out.extend_from_slice(br#""choices":[{"index":0,"message":{"role":"assistant","content":"#);
        string(&mut out, &self.content);
        if !self.reasoning.is_empty() {
            out.extend_from_slice(br#","reasoning_content":"#);
            string(&mut out, &self.reasoning);
        }
        if self.count > 0 {
            out.extend_from_slice(br#","tool_calls":["#);
            out.extend_from_slice(&self.calls);
            out.push(b']');
        }
        out.push(b'}');
        if !self.logprobs.is_empty() {
            out.extend_from_slice(br#","logprobs":{"content":["#);
            out.extend_from_slice(self.logprobs.as_bytes());
            out.extend_from_slice(b"]}");
        }
        out.extend_from_slice(br#","finish_reason":"#);
        string(&mut out, reason);
        out.extend_from_slice(b"}],");
        out.extend_from_slice(usage_json(usage).as_bytes());
        out.push(b'}');
        out
    }
}

impl LineAnswer for OllamaAggregate {
    fn lines(&mut self) -> &mut LineReader {
        &mut self.lines
    }

    fn line(&mut self, line: &[u8], progress: &mut StreamProgress) -> Result<(), Error> {
        if self.finish.is_some() {
            return Ok(());
        }
        with_line(line, |item| {
            progress.events += 1;
            if let Some(message) = &item.message {
                let calls = message.tool_calls.as_deref().unwrap_or_default();
                self.content.push_str(&message.content);
                if !self.hides_thinking {
                    self.reasoning.push_str(&message.thinking);
                }
                if !calls.is_empty() {
                    if self.count > 0 {
                        self.calls.push(b',');
                    }
                    write_calls(&mut self.calls, calls, &mut self.count, &mut self.ids);
                }
                if !(message.content.is_empty() && message.thinking.is_empty() && calls.is_empty())
                {
                    progress.content += 1;
                }
            }
            if let Some(inner) = item
                .logprobs
                .and_then(|raw| raw.get().strip_prefix('[')?.strip_suffix(']'))
                .filter(|inner| !inner.trim().is_empty())
            {
                if !self.logprobs.is_empty() {
                    self.logprobs.push(',');
                }
                self.logprobs.push_str(inner);
            }
            let parts = [&self.content, &self.reasoning, &self.logprobs];
            let length: usize = parts.iter().map(|part| part.len()).sum();
            if length + self.calls.len() > self.cap {
                return Err(Error::answer_too_large());
            }
            if item.is_last() {
                let usage = item.usage(&self.slots);
                self.finish = Some((item.finish_reason(self.count > 0)?, usage));
                progress.usage = Some(usage);
                progress.complete = true;
                progress.calls = self.count > 0;
            }
            Ok(())
        })
    }

    fn is_over(&self) -> bool {
        self.finish.is_some()
    }

    fn end(&mut self, out: &mut VecDeque<Bytes>) -> bool {
        let Some((reason, usage)) = &self.finish else {
            return false;
        };
        out.push_back(self.answer(reason, *usage).into());
        true
    }
}

#[cfg(test)]
mod goldens;
#[cfg(test)]
mod tests;
