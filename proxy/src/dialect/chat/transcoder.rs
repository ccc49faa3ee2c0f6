//! Transcoders: how the frames of an engine's stream become the events of a client's.
//!
//! An [`EngineTranscoder`] turns an engine's frames into chat events, a [`ClientTranscoder`] turns chat
//! events into a client's, and [`chained`] makes one of both.
//!
//! One chat event on its way to a client of Ollama's API:
//!
//! ```
//! use std::collections::VecDeque;
//!
//! use bytes::Bytes;
//! use crucible::dialect::{self, ClientRequest};
//! use crucible_config::Config;
//! use http::HeaderMap;
//!
//! let chat = dialect::of_path("/api/chat").unwrap().read(ClientRequest {
//!     headers: &HeaderMap::new(),
//!     body: Bytes::from_static(br#"{"model":"m","messages":[{"role":"user","content":"Hi"}]}"#),
//!     config: &Config::builtin(),
//! })?;
//! let mut transcoder = chat.writer.unwrap().transcoder();
//! let mut lines = VecDeque::new();
//! let event = b"data: {\"choices\":[{\"delta\":{\"content\":\"Hello\"}}]}\n\n";
//! transcoder.push(Bytes::from_static(event), &mut lines)?;
//! // {"model":"m","created_at":"...","message":{"role":"assistant","content":"Hello"},"done":false}
//! assert!(lines[0].ends_with(b"\"content\":\"Hello\"},\"done\":false}\n"));
//!
//! transcoder.finish(&mut lines)?;
//! assert!(lines[1].windows(11).any(|part| part == b"\"done\":true"));
//! # Ok::<(), crucible::error::Error>(())
//! ```

use std::collections::VecDeque;

use bytes::Bytes;

use crate::{
    error::Error,
    usage::{PromptProgress, Usage},
};

/// The progress of an answer by one push of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamProgress {
    /// The number of complete events with data in this push; comments are not counted.
    pub events: u32,
    /// The number of these events with content, reasoning or a tool call.
    pub content: u32,
    /// Whether a tool was called.
    pub calls: bool,
    /// The last report on the reading of the prompt in this push, where the engine was asked for some.
    pub prompt: Option<PromptProgress>,
    /// The token counts, once the engine has sent them.
    pub usage: Option<Usage>,
    /// Whether the stream has reached its proper end (`finish_reason` or `[DONE]`; `done: true`).
    pub complete: bool,
    /// Whether the engine may send more although the stream is complete: the token counts and the rest
    /// of another choice come between `finish_reason` and `[DONE]`.
    pub open: bool,
}

/// Turns the frames of an engine's stream into whole chat events.
///
/// Frames may be split anywhere, and the output does not depend on where (property-tested).
pub trait EngineTranscoder: Send {
    /// Takes one frame as it was read and appends the events that are to be sent.
    ///
    /// # Errors
    /// The stream has to end. The events appended before are still sent, then the error in-band.
    fn push(&mut self, frame: Bytes, out: &mut VecDeque<Bytes>) -> Result<StreamProgress, Error>;

    /// Returns the model that the engine's first event names as the one that answers; `None` where the
    /// transcoder does not look for it.
    fn answerer(&self) -> Option<&str> {
        None
    }

    /// Takes the end of the engine's body and appends the events that are still to be sent.
    ///
    /// # Errors
    /// The body was cut before its proper end, or was empty.
    fn finish(&mut self, out: &mut VecDeque<Bytes>) -> Result<StreamProgress, Error>;

    /// Returns the event that ends the client's stream with this error; `None` where errors do not
    /// depend on what was sent before, so that the client's format writes it. Empty bytes mean that the
    /// answer is over, so that nothing may follow.
    fn fail(&mut self, _error: &Error) -> Option<Bytes> {
        None
    }
}

/// Turns chat events into the events of another client format.
pub trait ClientTranscoder: Send {
    /// Takes one or more whole chat events, as an [`EngineTranscoder`] appends them, and appends the
    /// client's events for them.
    ///
    /// # Errors
    /// The format cannot express an event; the stream has to end.
    fn push(&mut self, events: Bytes, out: &mut VecDeque<Bytes>) -> Result<(), Error>;

    /// Takes the proper end of the chat events and appends the end of the client's stream.
    ///
    /// # Errors
    /// The format cannot end the stream so.
    fn finish(&mut self, out: &mut VecDeque<Bytes>) -> Result<(), Error>;

    /// Returns the event that ends the client's stream with an error; `None` where it does not depend on
    /// the events before, so that the client's format writes it. Empty bytes mean that the answer is
    /// over, so that nothing may follow.
    fn fail(&mut self, _error: &Error) -> Option<Bytes> {
        None
    }
}

/// An engine's transcoder with a client's behind it.
struct ChainedTranscoder {
    engine: Box<dyn EngineTranscoder>,
    client: Box<dyn ClientTranscoder>,
    /// Chat events on their way from one to the other; empty between two calls.
    between: VecDeque<Bytes>,
}

/// Returns the transcoder from an engine's frames to a client's events. Without a client's transcoder
/// this is the engine's own, at no further cost.
pub fn chained(
    engine: Box<dyn EngineTranscoder>,
    client: Option<Box<dyn ClientTranscoder>>,
) -> Box<dyn EngineTranscoder> {
    match client {
        None => engine,
        Some(client) => Box::new(ChainedTranscoder {
            engine,
            client,
            between: VecDeque::new(),
        }),
    }
}

// === impl StreamProgress ===

impl StreamProgress {
    /// Adds the progress of a later push.
    pub(crate) fn join(&mut self, later: Self) {
        self.events += later.events;
        self.content += later.content;
        self.prompt = later.prompt.or(self.prompt);
        self.usage = later.usage.or(self.usage);
        self.calls |= later.calls;
        self.complete = later.complete;
        self.open = later.open;
    }
}

// === impl ChainedTranscoder ===

impl ChainedTranscoder {
    /// Hands the engine's chat events on, also before its error, because they came before it.
    fn pass(
        &mut self,
        result: Result<StreamProgress, Error>,
        out: &mut VecDeque<Bytes>,
    ) -> Result<StreamProgress, Error> {
        for events in self.between.drain(..) {
            self.client.push(events, out)?;
        }
        result
    }
}

impl EngineTranscoder for ChainedTranscoder {
    fn push(&mut self, frame: Bytes, out: &mut VecDeque<Bytes>) -> Result<StreamProgress, Error> {
        let result = self.engine.push(frame, &mut self.between);
        self.pass(result, out)
    }

    fn answerer(&self) -> Option<&str> {
        self.engine.answerer()
    }

    fn finish(&mut self, out: &mut VecDeque<Bytes>) -> Result<StreamProgress, Error> {
        let result = self.engine.finish(&mut self.between);
        let progress = self.pass(result, out)?;
        self.client.finish(out)?;
        Ok(progress)
    }

    fn fail(&mut self, error: &Error) -> Option<Bytes> {
        self.client.fail(error)
    }
}

#[cfg(test)]
mod tests {
    use crucible_config::checked::EngineKind;

    use super::*;
    use crate::dialect::engine::openai::passthrough::ChatPassthrough;

    /// A client format of lines: the number of bytes of each group of chat events, then `end`.
    struct Lengths;

    impl ClientTranscoder for Lengths {
        fn push(&mut self, events: Bytes, out: &mut VecDeque<Bytes>) -> Result<(), Error> {
            out.push_back(format!("{}\n", events.len()).into());
            Ok(())
        }

        fn finish(&mut self, out: &mut VecDeque<Bytes>) -> Result<(), Error> {
            out.push_back(Bytes::from_static(b"end\n"));
            Ok(())
        }
    }

    const EVENT: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n";

    fn engine() -> Box<dyn EngineTranscoder> {
        Box::new(ChatPassthrough::new(EngineKind::Llamacpp, false, 1 << 16))
    }

    fn text(out: VecDeque<Bytes>) -> String {
        let out: Vec<u8> = out.into_iter().flatten().collect();
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn chat_events_become_the_clients_and_its_end_comes_after_the_engines() {
        let mut chain = chained(engine(), Some(Box::new(Lengths)));
        let mut out = VecDeque::new();
        let progress = chain
            .push(Bytes::from_static(EVENT.as_bytes()), &mut out)
            .unwrap();
        assert_eq!((progress.events, progress.content), (1, 1));
        let end =
            "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
        chain
            .push(Bytes::from_static(end.as_bytes()), &mut out)
            .unwrap();
        assert!(chain.finish(&mut out).is_ok());
        let out = text(out);
        assert!(out.starts_with(&format!("{}\n", EVENT.len())), "{out}");
        assert!(out.ends_with("end\n"), "{out}");
        assert!(!out.contains("data:"), "{out}");
    }

    #[test]
    fn a_cut_engine_is_an_error_without_the_clients_end() {
        let mut chain = chained(engine(), Some(Box::new(Lengths)));
        let mut out = VecDeque::new();
        chain
            .push(Bytes::from_static(EVENT.as_bytes()), &mut out)
            .unwrap();
        assert!(chain.finish(&mut out).is_err());
        assert!(!text(out).contains("end"));
    }

    #[test]
    fn a_client_of_chat_events_gets_the_engines_bytes() {
        let mut plain = chained(engine(), None);
        let mut out = VecDeque::new();
        plain
            .push(Bytes::from_static(EVENT.as_bytes()), &mut out)
            .unwrap();
        assert_eq!(text(out), EVENT);
    }
}
