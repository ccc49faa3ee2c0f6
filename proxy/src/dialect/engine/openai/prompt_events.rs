//! The events of llama.cpp's server that say how far it has read the prompt.
//!
//! With `return_progress` a stream begins with events such as
//!
//! ```text
//! data: {"choices":[{"delta":{"role":"assistant","content":null}}],"prompt_progress":{"total":1240,"cache":0,"processed":512,"time_ms":4170}}
//! ```
//!
//! one before the prompt is read and one after each batch of it (`tools/server/README.md`, tried with
//! b11549). `cache` and `processed` count from the beginning of the prompt, `time_ms` is the time of what
//! was read. The first event behind them has the role once more, so that nothing is lost with them.

use memchr::memmem;
use serde::Deserialize;

use crate::{dialect::chat::event_keys::value_at, sse::event, usage::PromptProgress};

/// The treatment of the events that report on the reading of the prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum PromptEvents {
    /// Nobody asked for them, or the first token has come, so that events are not searched for them.
    #[default]
    Ignored,
    /// Crucible asked for them: they are read and taken out.
    TakenOut,
    /// The client asked for them: they are read and pass.
    Passed,
}

/// Reads the report of an event; `None` where the event has none.
pub(super) fn prompt_progress(event: &[u8]) -> Option<PromptProgress> {
    #[derive(Deserialize)]
    struct ProgressEvent {
        prompt_progress: ProgressReport,
    }
    #[derive(Deserialize)]
    struct ProgressReport {
        total: u32,
        #[serde(default)]
        cache: u32,
        processed: u32,
        #[serde(default)]
        time_ms: f64,
    }
    const WORD: &[u8] = b"\"prompt_progress\"";
    let at = memmem::find(event, WORD)?;
    value_at(event, at + WORD.len()).filter(|value| value.starts_with(b"{"))?;
    let (_, data) = event::read(event)?;
    let ProgressReport {
        total,
        cache,
        processed,
        time_ms,
    } = serde_json::from_str::<ProgressEvent>(&data)
        .ok()?
        .prompt_progress;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast of a float saturates"
    )]
    let time_ms = time_ms as u32;
    Some(PromptProgress {
        total,
        cached: cache.min(total),
        processed: processed.min(total),
        time_ms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_and_what_is_none_is_not() {
        let event = |json: &str| format!("data: {json}\n\n");
        let report = PromptProgress {
            total: 1240,
            cached: 24,
            processed: 512,
            time_ms: 4170,
        };
        for (json, read) in [
            (
                r#"{"choices":[{"delta":{"content":null}}],"prompt_progress":{"total":1240,"cache":24,"processed":512,"time_ms":4170}}"#,
                Some(report),
            ),
            (
                r#"{"prompt_progress": {"total":1240,"cache":24,"processed":512,"time_ms":4170.4}}"#,
                Some(report),
            ),
            (
                r#"{"prompt_progress":{"total":3,"processed":9}}"#,
                Some(PromptProgress {
                    total: 3,
                    processed: 3,
                    ..PromptProgress::default()
                }),
            ),
            (r#"{"prompt_progress":null}"#, None),
            (r#"{"prompt_progress":{"total":-1,"processed":0}}"#, None),
            (
                r#"{"prompt_progress":{"total":4294967296,"processed":0}}"#,
                None,
            ),
            (r#"{"prompt_progress":{"total":"3","processed":0}}"#, None),
            (
                r#"{"choices":[{"delta":{"content":"\"prompt_progress\":{"}}]}"#,
                None,
            ),
            (r#"{"choices":["prompt_progress"]}"#, None),
        ] {
            assert_eq!(prompt_progress(event(json).as_bytes()), read, "{json}");
        }
    }
}
