//! Frames as lines.

use memchr::memchr;

use crate::error::{Error, Kind, UpstreamError};

/// Bytes as lines, none longer than `cap`.
#[derive(Debug)]
pub(crate) struct Lines {
    /// The last line, while its end has not come.
    pub(crate) partial: Vec<u8>,
    cap: usize,
}

// === impl Lines ===

impl Lines {
    pub(crate) const fn new(cap: usize) -> Self {
        Self {
            partial: Vec::new(),
            cap,
        }
    }

    pub(crate) fn push(
        &mut self,
        mut frame: &[u8],
        mut line: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        while let Some(end) = memchr(b'\n', frame) {
            self.check(end)?;
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
                Kind::EngineError,
                format!("a line of the engine is longer than {} bytes", self.cap),
            )
            .upstream(UpstreamError::Oversize));
        }
        Ok(())
    }
}
