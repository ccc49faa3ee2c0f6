//! The error of a stream that ends before it says anything.

use crucible_config::checked::EngineKind;

use crate::error::{Error, ErrorKind, UpstreamError};

/// The error of a stream whose first data is `[DONE]`, or whose body ends without any.
pub(crate) fn no_answer(kind: EngineKind) -> Error {
    Error::new(
        ErrorKind::EngineError,
        "the engine's stream ended without an answer; LM Studio does so when the prompt is longer \
         than its context",
    )
    .upstream(UpstreamError::BadSse)
    .silent(kind)
}
