//! An answer of Ollama that comes in lines, as the transcoder that it is.

use std::{collections::VecDeque, mem};

use bytes::Bytes;

use super::{answer_line::cut, line_reader::LineReader};
use crate::{
    dialect::chat::{EngineTranscoder, StreamProgress},
    error::Error,
};

/// Makes something of the lines of an answer: events of a stream, or one document at its end. Every such
/// answer is an [`EngineTranscoder`].
pub(super) trait LineAnswer: Send {
    /// Returns the reader of the lines.
    fn lines(&mut self) -> &mut LineReader;

    /// Takes one line; lines behind the last one are passed over.
    ///
    /// # Errors
    /// The line is an error of the engine, or cannot be read.
    fn line(&mut self, line: &[u8], progress: &mut StreamProgress) -> Result<(), Error>;

    /// Appends the events that are ready. A document is never ready before its end.
    fn send(&mut self, _out: &mut VecDeque<Bytes>) {}

    /// Reports whether the last line has come, so that nothing may follow.
    fn is_over(&self) -> bool;

    /// Appends the rest once the engine's body has ended; reports whether the last line has come.
    fn end(&mut self, out: &mut VecDeque<Bytes>) -> bool;
}

impl<A: LineAnswer> EngineTranscoder for A {
    fn push(&mut self, frame: Bytes, out: &mut VecDeque<Bytes>) -> Result<StreamProgress, Error> {
        let mut progress = StreamProgress::default();
        let mut lines = mem::replace(self.lines(), LineReader::new(0));
        let result = lines.push(&frame, |line| self.line(line, &mut progress));
        *self.lines() = lines;
        self.send(out);
        match result {
            // What follows the last line is no part of the answer, however long it is.
            Err(_) if self.is_over() => Ok(progress),
            result => result.map(|()| progress),
        }
    }

    fn finish(&mut self, out: &mut VecDeque<Bytes>) -> Result<StreamProgress, Error> {
        let mut progress = StreamProgress::default();
        let count = self.lines().count;
        let tail = mem::take(&mut self.lines().partial);
        let result = self.line(&tail, &mut progress);
        if self.end(out) {
            return Ok(progress);
        }
        Err(cut(&tail, count, result))
    }

    fn fail(&mut self, _error: &Error) -> Option<Bytes> {
        self.is_over().then(Bytes::new)
    }
}
