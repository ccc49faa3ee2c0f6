//! The answer of Ollama's `/api/generate`, newline-delimited JSON, as events of OpenAI's
//! `text_completion` or as a whole one.
//!
//! ```text
//! {"response":" upon","done":false}
//! data: {...,"choices":[{"index":0,"text":" upon","logprobs":null,"finish_reason":null}]}
//! ```

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;

use super::{
    answer_line::with_line,
    line_answer::LineAnswer,
    line_reader::LineReader,
    write::{TEXT, head, string, usage_json},
};
use crate::{
    dialect::chat::{DONE, StreamProgress},
    error::Error,
    usage::{SlotReadings, Usage},
};

/// Turns a stream of `/api/generate` into `text_completion` events.
#[derive(Debug)]
pub struct OllamaText {
    lines: LineReader,
    slots: Arc<SlotReadings>,
    head: String,
    include_usage: bool,
    out: Vec<u8>,
    complete: bool,
}

/// Turns a stream of `/api/generate` into one `text_completion`.
#[derive(Debug)]
pub struct OllamaWholeText {
    lines: LineReader,
    slots: Arc<SlotReadings>,
    head: String,
    text: String,
    /// The most bytes that the answer may have.
    cap: usize,
    finish: Option<(String, Usage)>,
}

/// Appends the member `choices`, with the piece of text that an event or an answer has.
fn write_choice(out: &mut Vec<u8>, text: &str, reason: Option<&str>) {
    out.extend_from_slice(br#""choices":[{"index":0,"text":"#);
    string(out, text);
    out.extend_from_slice(br#","logprobs":null,"finish_reason":"#);
    match reason {
        Some(reason) => string(out, reason),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b"}]");
}

// === impl OllamaText ===

impl OllamaText {
    /// Makes the transcoder of a streamed answer. The client's name of the model and the time of the answer in Unix
    /// seconds are written into it; a line of the engine above `cap` bytes (`limits.event`) is an error.
    pub fn new(model: &str, created: u64, include_usage: bool, cap: usize) -> Self {
        Self {
            lines: LineReader::new(cap),
            slots: Arc::default(),
            head: head(TEXT, model, created),
            include_usage,
            out: Vec::new(),
            complete: false,
        }
    }

    /// Sets the readings of the engine's slots, from which the cached tokens are known.
    #[must_use]
    pub fn with_slots(mut self, slots: Arc<SlotReadings>) -> Self {
        self.slots = slots;
        self
    }

    fn event(&mut self, text: &str, reason: Option<&str>) {
        self.begin();
        write_choice(&mut self.out, text, reason);
        self.out.extend_from_slice(b"}\n\n");
    }

    fn begin(&mut self) {
        self.out.extend_from_slice(b"data: ");
        self.out.extend_from_slice(self.head.as_bytes());
    }
}

impl LineAnswer for OllamaText {
    fn lines(&mut self) -> &mut LineReader {
        &mut self.lines
    }

    fn line(&mut self, line: &[u8], progress: &mut StreamProgress) -> Result<(), Error> {
        if self.complete {
            return Ok(());
        }
        with_line(line, |item| {
            progress.events += 1;
            if !item.response.is_empty() {
                self.event(&item.response, None);
                progress.content += 1;
            }
            if item.is_last() {
                let usage = item.usage(&self.slots);
                self.event("", Some(&item.finish_reason(false)?));
                if self.include_usage {
                    self.begin();
                    self.out.extend_from_slice(br#""choices":[],"#);
                    self.out.extend_from_slice(usage_json(usage).as_bytes());
                    self.out.extend_from_slice(b"}\n\n");
                }
                self.out.extend_from_slice(DONE);
                self.complete = true;
                progress.usage = Some(usage);
                progress.complete = true;
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

// === impl OllamaWholeText ===

impl OllamaWholeText {
    /// Makes the transcoder of a whole answer. The client's name of the model and the time of the answer in Unix
    /// seconds are written into it; a line of the engine above `cap` bytes (`limits.event`) is an error.
    pub fn new(model: &str, created: u64, cap: usize) -> Self {
        Self {
            lines: LineReader::new(cap),
            slots: Arc::default(),
            head: head(TEXT, model, created),
            text: String::new(),
            cap,
            finish: None,
        }
    }

    /// Sets the readings of the engine's slots, from which the cached tokens are known.
    #[must_use]
    pub fn with_slots(mut self, slots: Arc<SlotReadings>) -> Self {
        self.slots = slots;
        self
    }
}

impl LineAnswer for OllamaWholeText {
    fn lines(&mut self) -> &mut LineReader {
        &mut self.lines
    }

    fn line(&mut self, line: &[u8], progress: &mut StreamProgress) -> Result<(), Error> {
        if self.finish.is_some() {
            return Ok(());
        }
        with_line(line, |item| {
            progress.events += 1;
            progress.content += u32::from(!item.response.is_empty());
            self.text.push_str(&item.response);
            if self.text.len() > self.cap {
                return Err(Error::answer_too_large());
            }
            if item.is_last() {
                let usage = item.usage(&self.slots);
                self.finish = Some((item.finish_reason(false)?, usage));
                progress.usage = Some(usage);
                progress.complete = true;
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
        let mut answer = self.head.clone().into_bytes();
        write_choice(&mut answer, &self.text, Some(reason));
        answer.push(b',');
        answer.extend_from_slice(usage_json(*usage).as_bytes());
        answer.push(b'}');
        out.push_back(answer.into());
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::tests::{CAP, run},
        *,
    };
    use crate::error::ErrorKind;

    const TALE: &str = concat!(
        "{\"model\":\"m\",\"response\":\" upon é\\\"\",\"done\":false}\n",
        "\r\n",
        "{\"response\":\" a\",\"done\":false}\n",
        "{\"response\":\"\",\"done\":true,\"done_reason\":\"length\",\"context\":[1,2],\"prompt_eval_count\":3,\"eval_count\":4}\n",
    );

    fn streamed(frames: &[&[u8]]) -> (String, Result<StreamProgress, Error>) {
        let (text, result) = run(OllamaText::new("m", 7, true, CAP), frames);
        (without_id(&text), result)
    }

    fn without_id(text: &str) -> String {
        let mut parts = text.split("cmpl-");
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            out.push_str("ID");
            out.push_str(&part[32..]);
        }
        out
    }

    #[test]
    fn a_stream_is_texts_a_finish_usage_and_done() {
        let (out, result) = streamed(&[TALE.as_bytes()]);
        result.unwrap();
        let head = r#"data: {"id":"ID","object":"text_completion","created":7,"model":"m","system_fingerprint":"fp_ollama","choices":["#;
        let mut text = String::new();
        for rest in [
            r#"{"index":0,"text":" upon é\"","logprobs":null,"finish_reason":null}]}"#,
            r#"{"index":0,"text":" a","logprobs":null,"finish_reason":null}]}"#,
            r#"{"index":0,"text":"","logprobs":null,"finish_reason":"length"}]}"#,
            r#"],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}"#,
        ] {
            text.push_str(head);
            text.push_str(rest);
            text.push_str("\n\n");
        }
        text.push_str("data: [DONE]\n\n");
        assert_eq!(out, text);
    }

    #[test]
    fn a_whole_answer_holds_the_whole_text() {
        let (out, result) = run(OllamaWholeText::new("m", 7, CAP), &[TALE.as_bytes()]);
        result.unwrap();
        assert_eq!(
            without_id(&out),
            r#"{"id":"ID","object":"text_completion","created":7,"model":"m","system_fingerprint":"fp_ollama","choices":[{"index":0,"text":" upon é\" a","logprobs":null,"finish_reason":"length"}],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}"#
        );
    }

    #[test]
    fn an_error_line_a_cut_and_a_load_are_errors() {
        for (lines, kind) in [
            (
                "{\"response\":\"a\"}\n{\"error\":\"it broke\"}\n",
                ErrorKind::EngineError,
            ),
            ("{\"response\":\"a\"}\n", ErrorKind::EngineCut),
            ("{\"response\":\"a\"}\n{\"resp", ErrorKind::EngineCut),
            (
                "{\"response\":\"\",\"done\":true,\"done_reason\":\"load\"}\n",
                ErrorKind::EngineError,
            ),
            ("", ErrorKind::EngineCut),
        ] {
            let stream = streamed(&[lines.as_bytes()]);
            assert_eq!(stream.1.unwrap_err().kind, kind, "{lines}");
            let whole = run(OllamaWholeText::new("m", 7, CAP), &[lines.as_bytes()]);
            assert_eq!(whole.1.unwrap_err().kind, kind, "{lines}");
        }
        let many = b"{\"response\":\"0123456789\"}\n".repeat(20);
        let small = run(OllamaWholeText::new("m", 7, 100), &[&many]);
        assert_eq!(small.1.unwrap_err().kind, ErrorKind::EngineError);
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_frames_are_cut(
            cuts in prop::collection::vec(0..TALE.len(), 0..8)
        ) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            let mut frames: Vec<&[u8]> = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([TALE.len()]) {
                frames.push(&TALE.as_bytes()[from..cut]);
                from = cut;
            }
            let whole = streamed(&[TALE.as_bytes()]);
            prop_assert_eq!(streamed(&frames).0, whole.0);
        }
    }
}
