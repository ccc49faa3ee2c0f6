//! The error of a stream that ends before it says anything.

use crucible_config::checked::EngineKind;

use crate::error::{Error, ErrorKind, UpstreamError};

/// The error of a stream whose first data is `[DONE]`, or whose body ends without any.
pub(crate) fn no_answer(kind: EngineKind) -> Error {
    let reason = if kind == EngineKind::Lmstudio {
        "; LM Studio does so when the prompt is longer than its context"
    } else {
        ""
    };
    Error::new(
        ErrorKind::EngineError,
        format!("the engine's stream ended without an answer{reason}"),
    )
    .upstream(UpstreamError::BadSse)
    .silent(kind)
}
