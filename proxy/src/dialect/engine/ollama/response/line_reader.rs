//! The lines of Ollama's NDJSON, from frames that may be cut anywhere.
//!
//! It is written by hand, in 50 lines, because `tokio_util`'s `LinesCodec` makes a `String` of each line
//! and fails without saying whose fault a line beyond the cap is: here a line that lies in one frame is
//! not copied, and the error is the engine's. A translated chunk costs 1.16 times one that passes
//! unchanged (`docs/benchmark.md`). The fuzz target `ollama_lines` holds that the lines are the stream.

use memchr::memchr;

use crate::error::{Error, ErrorKind, UpstreamError};

/// Splits frames into lines, none longer than `cap` bytes.
#[derive(Debug)]
pub(crate) struct LineReader {
    /// The last line, as long as its end has not come.
    pub(crate) partial: Vec<u8>,
    /// The number of lines that have come to their end.
    pub(crate) count: u64,
    cap: usize,
}

// === impl LineReader ===

impl LineReader {
    /// Starts at the beginning of an answer whose lines have at most `cap` bytes.
    pub(crate) const fn new(cap: usize) -> Self {
        Self {
            partial: Vec::new(),
            count: 0,
            cap,
        }
    }

    /// Takes a frame and calls `line` with each line that it completes, without its end.
    ///
    /// # Errors
    ///
    /// A line beyond the cap, or the error of `line`.
    pub(crate) fn push(
        &mut self,
        mut frame: &[u8],
        mut line: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        while let Some(end) = memchr(b'\n', frame) {
            self.check(end)?;
            self.count += 1;
            if self.partial.is_empty() {
                line(&frame[..end])?;
            } else {
                self.partial.extend_from_slice(&frame[..end]);
                line(&self.partial)?;
                self.partial.clear();
            }
            frame = &frame[end + 1..];
        }
        self.check(frame.len())?;
        self.partial.extend_from_slice(frame);
        Ok(())
    }

    fn check(&self, more: usize) -> Result<(), Error> {
        if self.partial.len() + more > self.cap {
            return Err(Error::new(
                ErrorKind::EngineError,
                format!("a line of the engine is longer than {} bytes", self.cap),
            )
            .upstream(UpstreamError::Oversize));
        }
        Ok(())
    }
}
