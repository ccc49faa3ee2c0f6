//! Transcoders: how the frames of an engine's stream become the events of a client's.
//!
//! An [`EngineTranscoder`] turns an engine's frames into chat events, a [`ClientTranscoder`] turns chat
//! events into a client's, and [`chained`] makes one of both.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::{error::Error, usage::Usage};

/// What one push moved forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamProgress {
    /// Complete events of the engine seen in this push (comments are none).
    pub events: u32,
    /// Of these, events with content, reasoning or a tool call.
    pub content: u32,
    /// Tools were called.
    pub calls: bool,
    /// Counts, once the engine told them.
    pub usage: Option<Usage>,
    /// The stream reached its proper end (`finish_reason` or `[DONE]`; `done: true`).
    pub complete: bool,
    /// It is complete as it stands, but the engine may send more: the counts, or the rest of
    /// another choice, come between `finish_reason` and `[DONE]`.
    pub open: bool,
}

/// Turns the frames of an engine's stream into chat events, whole events only.
///
/// Frames may be split anywhere; the output must not depend on where (property-tested).
pub trait EngineTranscoder: Send {
    /// Takes one frame as read; appends what is to be sent. An error ends the stream: what was
    /// appended before it is still sent, then the error in-band.
    fn push(&mut self, frame: Bytes, out: &mut VecDeque<Bytes>) -> Result<StreamProgress, Error>;

    /// The model that the engine's first event names as the one that answers, where that is looked for.
    fn answerer(&self) -> Option<&str> {
        None
    }

    /// The engine's body ended. An error says that it was cut (no proper end) or empty.
    fn finish(&mut self, out: &mut VecDeque<Bytes>) -> Result<StreamProgress, Error>;
}

/// Turns chat events into the events of another client format.
pub trait ClientTranscoder: Send {
    /// Takes one or more whole chat events, as an [`EngineTranscoder`] appends them, and appends what is
    /// to be sent for them. An error ends the stream.
    fn push(&mut self, events: Bytes, out: &mut VecDeque<Bytes>) -> Result<(), Error>;

    /// The chat events have ended properly; appends what ends the client's stream.
    fn finish(&mut self, out: &mut VecDeque<Bytes>) -> Result<(), Error>;
}

/// An engine's transcoder with a client's behind it.
struct ChainedTranscoder {
    engine: Box<dyn EngineTranscoder>,
    client: Box<dyn ClientTranscoder>,
    /// Chat events on their way from one to the other; empty between two calls.
    between: VecDeque<Bytes>,
}

/// The transcoder from an engine's frames to a client's events. Without a client's transcoder it is the
/// engine's own, at no further cost.
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
    /// Adds what a later push moved.
    pub(crate) fn join(&mut self, later: Self) {
        self.events += later.events;
        self.content += later.content;
        self.usage = later.usage.or(self.usage);
        self.calls |= later.calls;
        self.complete = later.complete;
        self.open = later.open;
    }
}

// === impl ChainedTranscoder ===

impl ChainedTranscoder {
    /// Hands on what the engine's transcoder gave, also before its error: that was said before it.
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
