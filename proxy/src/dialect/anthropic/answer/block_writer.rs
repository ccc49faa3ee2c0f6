//! The events of content blocks, of which one is open at a time.

use std::io::Write as _;

use crate::dialect::chat::json_text::quoted;

/// The signature of every block of thinking. Clients send a block back only where it has one; Crucible
/// takes any.
pub(super) const SIGNATURE: &str = "crucible";

/// The kind of the content block that is open in a stream: text, thinking or a call of a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockKind {
    Text,
    Thinking,
    Tool,
}

/// Writes the events of the blocks of one message.
#[derive(Debug, Default)]
pub(super) struct BlockWriter {
    /// Events that are to be sent.
    pub(super) out: Vec<u8>,
    open: Option<BlockKind>,
    /// The number of blocks so far.
    count: usize,
}

/// Appends an event of this name. Writing into memory cannot fail.
pub(super) fn event(out: &mut Vec<u8>, name: &str, data: std::fmt::Arguments<'_>) {
    let _ = write!(out, "event: {name}\ndata: {data}\n\n");
}

// === impl BlockWriter ===

impl BlockWriter {
    /// Appends text to the block of text, which is opened where it is not. `inner` stands between the
    /// quotes of JSON.
    pub(super) fn text(&mut self, inner: &str) {
        self.ensure(BlockKind::Text);
        self.delta("text_delta", "text", inner);
    }

    /// Appends thinking to the block of thinking, which is opened where it is not.
    pub(super) fn thinking(&mut self, inner: &str) {
        self.ensure(BlockKind::Thinking);
        self.delta("thinking_delta", "thinking", inner);
    }

    /// Opens the block of a call.
    pub(super) fn open_tool(&mut self, id: &str, name: &str) {
        self.close();
        let (id, name) = (quoted(id), quoted(name));
        self.begin(
            BlockKind::Tool,
            format_args!(r#"{{"type":"tool_use","id":{id},"name":{name},"input":{{}}}}"#),
        );
    }

    /// Appends a piece of the arguments of the open call, which stands between the quotes of JSON.
    pub(super) fn arguments(&mut self, inner: &str) {
        self.delta("input_json_delta", "partial_json", inner);
    }

    /// Closes the open block.
    pub(super) fn close(&mut self) {
        let Some(kind) = self.open.take() else {
            return;
        };
        if kind == BlockKind::Thinking {
            self.delta("signature_delta", "signature", SIGNATURE);
        }
        let at = self.count - 1;
        event(
            &mut self.out,
            "content_block_stop",
            format_args!(r#"{{"type":"content_block_stop","index":{at}}}"#),
        );
    }

    fn ensure(&mut self, kind: BlockKind) {
        if self.open == Some(kind) {
            return;
        }
        self.close();
        match kind {
            BlockKind::Text => self.begin(kind, format_args!(r#"{{"type":"text","text":""}}"#)),
            _ => self.begin(
                kind,
                format_args!(r#"{{"type":"thinking","thinking":"","signature":""}}"#),
            ),
        }
    }

    fn begin(&mut self, kind: BlockKind, block: std::fmt::Arguments<'_>) {
        let at = self.count;
        self.count += 1;
        self.open = Some(kind);
        event(
            &mut self.out,
            "content_block_start",
            format_args!(
                r#"{{"type":"content_block_start","index":{at},"content_block":{block}}}"#
            ),
        );
    }

    fn delta(&mut self, kind: &str, member: &str, inner: &str) {
        let at = self.count.saturating_sub(1);
        event(
            &mut self.out,
            "content_block_delta",
            format_args!(
                r#"{{"type":"content_block_delta","index":{at},"delta":{{"type":"{kind}","{member}":"{inner}"}}}}"#
            ),
        );
    }
}
