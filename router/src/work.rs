//! Whether an engine is at work, as far as it tells.

use crucible_config::checked::EngineKind;

use crate::catalog::ResidentInfo;

/// The work that an engine may be doing for a request that it took, as of a question just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// The engine answered, and may be working on the request.
    Possible,
    /// The engine did not answer, or answered with an error.
    Unwell,
    /// The engine answered, and nothing runs for any request of that instance.
    Nothing,
}

// === impl Work ===

impl Work {
    /// Judges by what the last good poll reported, and by the number of requests that the engine
    /// says it is `processing`. No engine says which request a slot works for, so only one without
    /// any work is known to have none for this request.
    pub(crate) fn of(
        kind: EngineKind,
        load_control: bool,
        residents: &[ResidentInfo],
        instance: &str,
        processing: Option<u32>,
    ) -> Self {
        let lists = kind.profile().residents.complete && load_control;
        let gone = lists && !residents.iter().any(|r| *r.instance == *instance);
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
    use crate::catalog::ModelKind;

    #[test]
    fn only_what_an_engine_tells_speaks_against_its_working() {
        for (kind, load_control, holds, processing, work) in [
            (EngineKind::Lmstudio, true, "a", None, Work::Possible),
            (EngineKind::Lmstudio, true, "b", None, Work::Nothing),
            // Servers before 0.4 do not tell what is loaded.
            (EngineKind::Lmstudio, false, "b", None, Work::Possible),
            // One name of a weights file is listed, the request may have another.
            (EngineKind::Ollama, true, "b", None, Work::Possible),
            (EngineKind::Ollama, true, "a", Some(0), Work::Nothing),
            (EngineKind::Ollama, true, "a", Some(1), Work::Possible),
            (EngineKind::Llamacpp, false, "a", Some(0), Work::Nothing),
            (EngineKind::Llamacpp, false, "a", Some(2), Work::Possible),
            (EngineKind::Llamacpp, false, "a", None, Work::Possible),
            (EngineKind::Openai, false, "b", None, Work::Possible),
        ] {
            let resident = ResidentInfo::named(Arc::from(holds), ModelKind::Generation);
            let found = Work::of(kind, load_control, &[resident], "a", processing);
            assert_eq!(found, work, "{kind:?} {holds} {processing:?}");
        }
    }
}
