//! Whether an engine is at work, as far as it tells.

use crucible_config::checked::EngineKind;

use crate::engine::{EngineError, Listing};

/// What an engine that was asked just now may be doing for a request that it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// It is well, and says nothing against its working on the request.
    Possible,
    /// It did not answer, or with an error.
    Unwell,
    /// It is well, and nothing runs for any request of that instance.
    Nothing,
}

// === impl Work ===

impl Work {
    /// From a poll, and from how many requests the engine says that it processes. Which request a
    /// slot works for is not told, so that only an engine without any work is known to have none
    /// for this request.
    pub(crate) fn of(
        kind: EngineKind,
        instance: &str,
        poll: Result<&Listing, &EngineError>,
        processing: Option<u32>,
    ) -> Self {
        let Ok(listing) = poll else {
            return Self::Unwell;
        };
        // Only LM Studio's list of what is loaded is complete and by these names.
        let told = kind == EngineKind::Lmstudio && listing.load_control;
        let gone = told && !listing.residents.iter().any(|r| *r.instance == *instance);
        if gone || processing == Some(0) {
            return Self::Nothing;
        }
        Self::Possible
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::catalog::{ModelKind, ResidentInfo};

    #[test]
    fn only_what_an_engine_tells_speaks_against_its_working() {
        let holds = |name: &str| Listing {
            residents: vec![ResidentInfo::named(Arc::from(name), ModelKind::Generation)],
            load_control: true,
            ..Listing::default()
        };
        let old = Listing::default();
        let (own, other) = (holds("a"), holds("b"));
        let down = EngineError::Timeout;
        for (kind, poll, processing, work) in [
            (EngineKind::Lmstudio, Ok(&own), None, Work::Possible),
            (EngineKind::Lmstudio, Ok(&other), None, Work::Nothing),
            (EngineKind::Lmstudio, Ok(&old), None, Work::Possible),
            (EngineKind::Lmstudio, Err(&down), None, Work::Unwell),
            // One name of a weights file is listed, the request may have another.
            (EngineKind::Ollama, Ok(&other), None, Work::Possible),
            (EngineKind::Ollama, Ok(&own), Some(0), Work::Nothing),
            (EngineKind::Ollama, Ok(&own), Some(1), Work::Possible),
            (EngineKind::Llamacpp, Ok(&own), Some(0), Work::Nothing),
            (EngineKind::Llamacpp, Ok(&own), Some(2), Work::Possible),
            (EngineKind::Llamacpp, Ok(&own), None, Work::Possible),
            (EngineKind::Llamacpp, Err(&down), Some(1), Work::Unwell),
            (EngineKind::Openai, Ok(&old), None, Work::Possible),
        ] {
            let found = Work::of(kind, "a", poll, processing);
            assert_eq!(found, work, "{kind:?} {poll:?} {processing:?}");
        }
    }
}
