//! The stream of an answer in a client's format, written from chat events.
//!
//! A client format says with an [`EventTranslator`] only how an answer, its end and an error look in it. The
//! [`TranslatingTranscoder`] around it finds the data of the events, ends the stream once, and sends what
//! came before an error before the error.
//!
//! ```text
//! data: {"choices":[{"delta":{"content":"Hi"}}]}   translator.answer(..)
//! data: [DONE]                                     translator.end()
//! ```

use std::{collections::VecDeque, mem};

use bytes::Bytes;

use super::{ClientTranscoder, chat_answer::ChatAnswer, event_data};
use crate::error::Error;

/// Writes the events of a client's format for what the chat events of one answer say.
///
/// What is written stays with the translator until it is taken.
pub(crate) trait EventTranslator: Send {
    /// Writes the events for a piece of the answer. No piece comes after the end.
    ///
    /// # Errors
    /// The piece cannot be expressed, or more would have to be kept than the answer may have.
    fn answer(&mut self, answer: &ChatAnswer<'_>) -> Result<(), Error>;

    /// Writes the end of the answer. It is called at most once.
    fn end(&mut self);

    /// Returns what was written since the last call; `None` where that is nothing.
    fn take(&mut self) -> Option<Bytes>;

    /// Returns the events that end an unfinished answer with an error; `None` where they do not depend on
    /// the events before, so that the client's format writes them.
    fn failed(&mut self, _error: &Error) -> Option<Bytes> {
        None
    }
}

/// A [`ClientTranscoder`] over a translator.
#[derive(Debug)]
pub(crate) struct TranslatingTranscoder<T> {
    translator: T,
    is_ended: bool,
}

// === impl TranslatingTranscoder ===

impl<T: EventTranslator> TranslatingTranscoder<T> {
    /// Makes the transcoder of one answer.
    pub(crate) const fn new(translator: T) -> Self {
        Self {
            translator,
            is_ended: false,
        }
    }

    /// Takes the data of one event.
    fn data(&mut self, data: &str) -> Result<(), Error> {
        if self.is_ended {
            return Ok(());
        }
        if data == "[DONE]" {
            self.end();
            return Ok(());
        }
        self.translator.answer(&ChatAnswer::of(data)?)
    }

    fn end(&mut self) {
        if !mem::replace(&mut self.is_ended, true) {
            self.translator.end();
        }
    }
}

impl<T: EventTranslator> ClientTranscoder for TranslatingTranscoder<T> {
    fn push(&mut self, events: Bytes, out: &mut VecDeque<Bytes>) -> Result<(), Error> {
        let result = event_data::each(&events, |data| self.data(data));
        // What came before an error is sent before it.
        out.extend(self.translator.take());
        result
    }

    fn finish(&mut self, out: &mut VecDeque<Bytes>) -> Result<(), Error> {
        self.end();
        out.extend(self.translator.take());
        Ok(())
    }

    fn fail(&mut self, error: &Error) -> Option<Bytes> {
        if self.is_ended {
            // Nothing follows the end of an answer.
            return Some(Bytes::new());
        }
        let failed = self.translator.failed(error);
        self.is_ended = failed.is_some();
        failed
    }
}
