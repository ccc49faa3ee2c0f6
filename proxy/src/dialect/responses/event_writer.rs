//! The events of a response: named, numbered and written without a tree.

use bytes::Bytes;

/// The longest piece that is copied, so that the buffer behind it stays, in bytes.
const KEPT: usize = 2048;

/// Writes events. Each one is begun, gets its members and is ended.
#[derive(Debug, Default)]
pub(super) struct EventWriter {
    sequence: u64,
    out: Vec<u8>,
}

// === impl EventWriter ===

impl EventWriter {
    /// Begins an event of this type.
    pub(super) fn begin(&mut self, kind: &str) -> &mut Self {
        for part in ["event: ", kind, "\ndata: {\"type\":\"", kind, "\""] {
            self.out.extend_from_slice(part.as_bytes());
        }
        let sequence = self.sequence;
        self.sequence += 1;
        self.number("sequence_number", sequence)
    }

    pub(super) fn number(&mut self, name: &str, number: u64) -> &mut Self {
        let mut digits = itoa::Buffer::new();
        self.raw(name, digits.format(number).as_bytes())
    }

    /// Adds a text that needs no escapes.
    pub(super) fn plain(&mut self, name: &str, text: &str) -> &mut Self {
        self.string(name, text.as_bytes())
    }

    /// Adds a string; `inner` stands between its quotes.
    pub(super) fn string(&mut self, name: &str, inner: &[u8]) -> &mut Self {
        self.key(name);
        self.out.push(b'"');
        self.out.extend_from_slice(inner);
        self.out.push(b'"');
        self
    }

    /// Adds a value that is JSON.
    pub(super) fn raw(&mut self, name: &str, json: &[u8]) -> &mut Self {
        self.key(name);
        self.out.extend_from_slice(json);
        self
    }

    /// Adds a value that `write` appends.
    pub(super) fn with(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) -> &mut Self {
        self.key(name);
        write(&mut self.out);
        self
    }

    /// Ends the event.
    pub(super) fn end(&mut self) {
        self.out.extend_from_slice(b"}\n\n");
    }

    /// Returns what was written since the last call.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        match self.out.len() {
            0 => None,
            // The buffer is kept for the next token.
            1..=KEPT => {
                let written = Bytes::copy_from_slice(&self.out);
                self.out.clear();
                Some(written)
            }
            _ => Some(std::mem::take(&mut self.out).into()),
        }
    }

    fn key(&mut self, name: &str) {
        for part in [",\"", name, "\":"] {
            self.out.extend_from_slice(part.as_bytes());
        }
    }
}
