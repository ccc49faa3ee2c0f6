//! The way in which a request ended, by its facts.

use crucible_documents::{ANSWERED_OUTCOME, CLIENT_GONE_STATUS};
use http::StatusCode;
use tracing::Level;

use super::facts::RequestFacts;
use crate::error::{AbortCause, ErrorKind};

/// The way in which a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestEnding {
    /// The answer was handed to the connection whole.
    Answered,
    /// An error ended it, before or after the first byte.
    Failed(ErrorKind),
    /// Its client left, in the queue as in the stream, or was given up because it did not read.
    Abandoned(AbortCause),
}

// === impl RequestEnding ===

impl RequestEnding {
    /// The ending by the facts of a request that has ended. An answer that Crucible ended with an error counts as
    /// failed, whatever its client did then.
    pub(super) fn of(facts: &RequestFacts) -> Self {
        if let Some(kind) = facts.error {
            return Self::Failed(kind);
        }
        let cause = facts.abort.filter(|_| streams(facts));
        let is_open = !facts.ended && (facts.status.is_none() || facts.stream);
        match cause.or_else(|| is_open.then_some(AbortCause::ClientGone)) {
            Some(cause) => Self::Abandoned(cause),
            None => Self::Answered,
        }
    }

    /// The word of every document, log line and span: `ok`, the code of an error, `client_gone` or `client_slow`.
    pub(crate) const fn outcome(self) -> &'static str {
        match self {
            Self::Answered => ANSWERED_OUTCOME,
            Self::Failed(kind) => kind.code(),
            Self::Abandoned(cause) => cause.as_str(),
        }
    }

    /// Whether the client left before the end. One that was given up because it did not read has not left.
    pub(crate) fn is_left(self) -> bool {
        self == Self::Abandoned(AbortCause::ClientGone)
    }

    /// The error that ended it.
    pub(crate) const fn error(self) -> Option<ErrorKind> {
        match self {
            Self::Failed(kind) => Some(kind),
            Self::Answered | Self::Abandoned(_) => None,
        }
    }

    /// The level of the request's log line.
    pub(crate) fn level(self) -> Level {
        self.error().map_or(Level::INFO, ErrorKind::level)
    }

    /// The status that is told: the one that was sent, or 499 where the client left before the end.
    pub(super) fn status(self, facts: &RequestFacts) -> StatusCode {
        let closed = || StatusCode::from_u16(CLIENT_GONE_STATUS).unwrap_or(StatusCode::BAD_REQUEST);
        let sent = facts.status.filter(|_| !self.is_left());
        sent.unwrap_or_else(closed)
    }

    /// The cause for which a stream did not reach its end after its 200 had been sent.
    pub(super) fn abort(self, facts: &RequestFacts) -> Option<AbortCause> {
        if !streams(facts) {
            return None;
        }
        match self {
            Self::Answered => None,
            Self::Failed(kind) => facts.abort.or(Some(abort_cause(kind))),
            Self::Abandoned(cause) => Some(cause),
        }
    }
}

/// Whether the answer was a stream whose 200 was sent.
fn streams(facts: &RequestFacts) -> bool {
    facts.stream && facts.status == Some(StatusCode::OK)
}

const fn abort_cause(kind: ErrorKind) -> AbortCause {
    match kind {
        ErrorKind::FirstTokenTimeout => AbortCause::FirstTokenTimeout,
        ErrorKind::IdleTimeout => AbortCause::IdleTimeout,
        ErrorKind::LoadTimeout => AbortCause::LoadTimeout,
        ErrorKind::EngineCut | ErrorKind::EngineUnreachable => AbortCause::UpstreamCut,
        ErrorKind::Draining => AbortCause::Shutdown,
        _ => AbortCause::UpstreamBadData,
    }
}

#[cfg(test)]
mod tests {
    use crucible_documents::{CLIENT_GONE_OUTCOME, EndingClass};

    use super::*;

    fn told(facts: &RequestFacts) -> (&'static str, u16, Option<&'static str>) {
        let ending = RequestEnding::of(facts);
        let abort = ending.abort(facts).map(AbortCause::as_str);
        (ending.outcome(), ending.status(facts).as_u16(), abort)
    }

    fn answered(stream: bool) -> RequestFacts {
        RequestFacts {
            stream,
            status: Some(StatusCode::OK),
            ended: true,
            ..RequestFacts::default()
        }
    }

    #[test]
    fn a_whole_answer_is_ok_streamed_or_not() {
        for stream in [true, false] {
            assert_eq!(told(&answered(stream)), ("ok", 200, None));
        }
    }

    #[test]
    fn a_client_that_left_is_told_alike_in_the_queue_and_in_the_stream() {
        for stream in [true, false] {
            let queued = RequestFacts {
                stream,
                ..RequestFacts::default()
            };
            assert_eq!(told(&queued), ("client_gone", 499, None));
        }
        for abort in [None, Some(AbortCause::ClientGone)] {
            let streamed = RequestFacts {
                ended: false,
                abort,
                ..answered(true)
            };
            let cause = Some("client_gone");
            assert_eq!(told(&streamed), ("client_gone", 499, cause), "{abort:?}");
        }
    }

    #[test]
    fn a_client_that_does_not_read_has_not_left() {
        let slow = RequestFacts {
            ended: false,
            abort: Some(AbortCause::ClientSlow),
            ..answered(true)
        };
        assert_eq!(told(&slow), ("client_slow", 200, Some("client_slow")));
        assert!(!RequestEnding::of(&slow).is_left());
    }

    #[test]
    fn an_error_is_told_before_what_the_client_did_then() {
        for (facts, expected) in [
            (answered(true), ("engine_cut", 200, Some("upstream_cut"))),
            (
                RequestFacts {
                    ended: false,
                    abort: Some(AbortCause::ClientGone),
                    ..answered(true)
                },
                ("engine_cut", 200, Some("client_gone")),
            ),
            (
                RequestFacts {
                    status: Some(StatusCode::BAD_GATEWAY),
                    ..answered(true)
                },
                ("engine_cut", 502, None),
            ),
            (answered(false), ("engine_cut", 200, None)),
        ] {
            let failed = RequestFacts {
                error: Some(ErrorKind::EngineCut),
                ..facts
            };
            assert_eq!(told(&failed), expected);
            assert_eq!(RequestEnding::of(&failed).level(), Level::WARN);
        }
    }

    #[test]
    fn readers_of_documents_know_the_words() {
        let class = |outcome: &str| EndingClass::of(outcome, 200);
        assert_eq!(AbortCause::ClientGone.as_str(), CLIENT_GONE_OUTCOME);
        assert_eq!(class(AbortCause::ClientSlow.as_str()), EndingClass::Failed);
        for kind in ErrorKind::ALL {
            assert_eq!(class(kind.code()), EndingClass::Failed, "{kind:?}");
        }
    }
}
