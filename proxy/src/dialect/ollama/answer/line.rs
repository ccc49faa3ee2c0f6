//! One line of an answer, which is also the form of a whole one.

use std::{fmt::Write as _, time::SystemTime};

use crate::dialect::ollama::one_line;

/// What every line of an answer has: the client's name of the model, and whether lines hold a message.
#[derive(Clone, Debug)]
pub(in crate::dialect::ollama) struct LineHead {
    /// The JSON of the model's name.
    pub(in crate::dialect::ollama) model: String,
    /// Whether the text stands in a message, as `/api/chat` has it; else in `response`.
    pub(in crate::dialect::ollama) is_message: bool,
}

/// The piece of an answer that a line adds; what is empty is not there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LinePiece<'a> {
    /// The inside of a JSON string.
    pub(super) content: &'a str,
    /// The inside of a JSON string.
    pub(super) thinking: &'a str,
    /// The elements of the list of calls.
    pub(super) calls: &'a str,
    /// The elements of the list of the probabilities of tokens.
    pub(super) logprobs: &'a str,
}

// === impl LineHead ===

impl LineHead {
    /// Appends a line that is not the last one, with its end.
    pub(super) fn write(&self, piece: LinePiece<'_>, out: &mut String) {
        let from = out.len();
        self.open(piece, out);
        out.push_str(r#","done":false"#);
        close(piece, out);
        one_line::join(out, from);
        out.push('\n');
    }

    /// Appends the last line, or a whole answer, without a line's end. `facts` are the members that follow
    /// `done`, each with a comma before it.
    pub(super) fn write_last(&self, piece: LinePiece<'_>, facts: &str, out: &mut String) {
        let from = out.len();
        self.open(piece, out);
        out.push_str(r#","done":true"#);
        out.push_str(facts);
        close(piece, out);
        one_line::join(out, from);
    }

    /// Returns an answer without text, as [`Self::write_last`].
    pub(in crate::dialect::ollama) fn empty(&self, facts: &str) -> String {
        let mut out = String::new();
        self.write_last(LinePiece::default(), facts, &mut out);
        out
    }

    fn open(&self, piece: LinePiece<'_>, out: &mut String) {
        let Self { model, is_message } = self;
        let at = humantime::format_rfc3339_micros(SystemTime::now());
        // Writing to a String cannot fail.
        let _ = write!(out, r#"{{"model":{model},"created_at":"{at}","#);
        let LinePiece {
            content,
            thinking,
            calls,
            ..
        } = piece;
        let _ = if *is_message {
            write!(
                out,
                r#""message":{{"role":"assistant","content":"{content}""#
            )
        } else {
            write!(out, r#""response":"{content}""#)
        };
        if !thinking.is_empty() {
            let _ = write!(out, r#","thinking":"{thinking}""#);
        }
        if *is_message {
            if !calls.is_empty() {
                let _ = write!(out, r#","tool_calls":[{calls}]"#);
            }
            out.push('}');
        }
    }
}

fn close(piece: LinePiece<'_>, out: &mut String) {
    if !piece.logprobs.is_empty() {
        let _ = write!(out, r#","logprobs":[{}]"#, piece.logprobs);
    }
    out.push('}');
}

// === impl LinePiece ===

impl LinePiece<'_> {
    /// Reports whether the piece adds nothing.
    pub(super) fn is_empty(&self) -> bool {
        let parts = [self.content, self.thinking, self.calls, self.logprobs];
        parts.iter().all(|part| part.is_empty())
    }
}
