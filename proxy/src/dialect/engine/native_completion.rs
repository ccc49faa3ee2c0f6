//! Answers of llama.cpp's own `/completion` and `/infill` (b11434, `tools/server/server-task.cpp`,
//! `to_json_non_oaicompat`), which go to their client as they are: the token counts are read on the side.

use std::collections::VecDeque;

use bytes::Bytes;
use crucible_config::checked::EngineKind;
use serde::Deserialize as _;
use serde_json::Value;

use super::{
    engine_error::error_in_event,
    openai::no_answer::no_answer,
    watched_stream::{EventAction, EventWatch, WatchedStream},
};
use crate::{
    dialect::chat::{EngineTranscoder, StreamProgress},
    error::Error,
    sse::event,
    usage::{LlamaCounts, ReportedObject, Usage},
};

/// The [`EngineTranscoder`] of a streamed answer, whose events pass untouched.
#[derive(Debug)]
pub(crate) struct NativeCompletion {
    stream: WatchedStream<NativeEvents>,
}

/// The facts about an answer that its events have told so far.
#[derive(Debug)]
struct NativeEvents {
    kind: EngineKind,
    events: u32,
    /// The sum over the prompts that have ended: a request may have several.
    usage: Option<Usage>,
}

/// Returns the token counts of a whole answer, summed over its prompts; `None` where it tells none, as vectors do
/// and an answer of which the client chose the members.
pub(crate) fn usage(answer: &[u8]) -> Option<Usage> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    match &answer {
        Value::Array(each) => each.iter().filter_map(counts).reduce(Usage::plus),
        one => counts(one),
    }
}

fn counts(answer: &Value) -> Option<Usage> {
    let told = ReportedObject::<LlamaCounts>::deserialize(answer).ok()?;
    Usage::of_llama(&told.0)
}

// === impl NativeCompletion ===

impl NativeCompletion {
    /// Makes a transcoder for the answer of an engine of a kind; `cap` is the largest event in bytes.
    pub(crate) fn new(kind: EngineKind, cap: usize) -> Self {
        let watch = NativeEvents {
            kind,
            events: 0,
            usage: None,
        };
        Self {
            stream: WatchedStream::new(watch, cap),
        }
    }
}

impl EngineTranscoder for NativeCompletion {
    fn push(&mut self, frame: Bytes, out: &mut VecDeque<Bytes>) -> Result<StreamProgress, Error> {
        self.stream.push(frame, out)
    }

    fn finish(&mut self, out: &mut VecDeque<Bytes>) -> Result<StreamProgress, Error> {
        let mut progress = StreamProgress::default();
        if let Some(whole) = self.stream.end(out, &mut progress)? {
            // It is what the engine answered, though no stream.
            progress.events += 1;
            progress.usage = usage(&whole);
            out.push_back(whole);
        } else {
            self.stream.tail(event::is_whole, out, &mut progress)?;
            if self.stream.watch.events == 0 {
                return Err(no_answer(self.stream.watch.kind));
            }
        }
        progress.complete = true;
        Ok(progress)
    }
}

// === impl NativeEvents ===

impl EventWatch for NativeEvents {
    fn see(&mut self, event: &[u8], progress: &mut StreamProgress) -> Result<EventAction, Error> {
        let Some((name, data)) = event::read(event) else {
            return Ok(EventAction::Forward);
        };
        if let Some(error) = error_in_event(self.kind, &name, &data) {
            return Err(error);
        }
        let value: Value = serde_json::from_str(&data).unwrap_or_default();
        self.events += 1;
        progress.events += 1;
        progress.content += u32::from(
            value["content"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
        );
        progress.complete = value["stop"] == true;
        // The end of another prompt of the same request may follow.
        progress.open = progress.complete;
        if progress.complete
            && let Some(counts) = counts(&value)
        {
            let sum = self.usage.map_or(counts, |before| before.plus(counts));
            self.usage = Some(sum);
            progress.usage = Some(sum);
        }
        Ok(EventAction::Forward)
    }

    fn is_over(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: &str =
        "data: {\"index\":0,\"content\":\"all\",\"stop\":false,\"tokens_predicted\":1}\n\n";
    const LAST: &str = "data: {\"content\":\"\",\"stop\":true,\"tokens_predicted\":7,\"tokens_evaluated\":5,\
        \"tokens_cached\":11,\"timings\":{\"cache_n\":2,\"prompt_n\":3,\"prompt_ms\":6.5,\
        \"predicted_n\":7,\"predicted_ms\":14}}\n\n";

    fn played(stream: &str, cut: usize) -> (Result<StreamProgress, Error>, String) {
        let mut transcoder = NativeCompletion::new(EngineKind::Llamacpp, 1 << 16);
        let mut out = VecDeque::new();
        let (mut all, mut failed) = (StreamProgress::default(), None);
        for frame in stream.as_bytes().chunks(cut) {
            match transcoder.push(Bytes::copy_from_slice(frame), &mut out) {
                Ok(progress) => all.join(progress),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        let ended = match failed {
            Some(error) => Err(error),
            None => transcoder.finish(&mut out).map(|end| {
                all.join(end);
                all
            }),
        };
        let out: Vec<u8> = out.into_iter().flatten().collect();
        (ended, String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_stream_passes_untouched_and_its_counts_are_read() {
        let stream = format!("{PIECE}:\n\n{LAST}");
        for cut in [1, 3, 17, 4096] {
            let (ended, out) = played(&stream, cut);
            let progress = ended.unwrap();
            assert_eq!(out, stream, "{cut}");
            assert_eq!((progress.events, progress.content), (2, 1));
            assert!(progress.complete);
            let usage = progress.usage.unwrap();
            assert_eq!((usage.prompt, usage.completion), (5, 7));
            assert_eq!(usage.cached, Some(2));
            assert_eq!(usage.timing.output.unwrap().tokens, 7);
        }
    }

    #[test]
    fn the_prompts_of_one_request_are_counted_together() {
        let (ended, _) = played(&format!("{PIECE}{LAST}{PIECE}{LAST}"), 4096);
        let usage = ended.unwrap().usage.unwrap();
        assert_eq!((usage.prompt, usage.completion), (10, 14));
        assert_eq!(usage.cached, Some(4));
        // Their times overlap, so that they are nobody's pace.
        assert_eq!(usage.timing, crate::usage::Timing::default());
        let one = br#"{"content":"a","tokens_predicted":1,"tokens_evaluated":2}"#;
        let counts =
            |answer: &[u8]| super::usage(answer).map(|usage| (usage.prompt, usage.completion));
        assert_eq!(counts(one), Some((2, 1)));
        assert_eq!(
            counts(&[b"[", &one[..], b",", one, b"]"].concat()),
            Some((4, 2))
        );
        for none in [
            &b"[{\"index\":0,\"embedding\":[[0.1]]}]"[..],
            b"{\"content\":\"a\"}",
            b"7",
            b"{",
        ] {
            assert_eq!(counts(none), None);
        }
    }

    #[test]
    fn an_error_among_the_events_and_a_stream_without_any_are_errors() {
        let error =
            r#"data: {"error":{"code":500,"message":"out of memory","type":"server_error"}}"#;
        let (ended, out) = played(&format!("{PIECE}{error}\n\n"), 4096);
        assert!(ended.unwrap_err().message.contains("out of memory"));
        assert_eq!(out, PIECE);
        assert!(played(":\n\n", 4096).0.is_err());
        let whole = r#"{"content":"a","stop":true,"tokens_predicted":1,"tokens_evaluated":2}"#;
        let (ended, out) = played(whole, 5);
        assert_eq!(
            (out.as_str(), ended.unwrap().usage.unwrap().prompt),
            (whole, 2)
        );
    }
}
