//! An engine's own faults, recognised by its words.
//!
//! Engines give such faults any status: LM Studio (0.3, 0.4) answers 400 where its runtime broke, with
//! a bare string or an object, and the same words come in a 200, in a 500 and as an event of a stream.

/// A fault that an engine reports of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnFault {
    /// The engine has not loaded the model that it was asked for.
    NotLoaded,
    /// The engine broke while it worked.
    Broke,
}

/// Words of an engine that has not loaded the model, in lower case: LM Studio's, then those of
/// llama.cpp's server as a router.
const NOT_LOADED: &[&str] = &[
    "no models loaded",
    "no model loaded",
    "no model is loaded",
    "model unloaded",
    "model was unloaded",
    "model has been unloaded",
    "cannot find model with instance reference",
    "invalid model identifier",
    "model is not loaded",
    "model not loaded",
    "model is not running",
];

/// Words of an engine that broke, in lower case: LM Studio's runtimes, Ollama's runners, and
/// llama.cpp's words that both pass on.
const BROKE: &[&str] = &[
    "channel error",
    "has crashed",
    "model crashed",
    "exited unexpectedly",
    // A tool's, in a message that is quoted, stands without it.
    "(exit code",
    "engine protocol",
    "fetch failed",
    "socket hang up",
    "econnre",
    "unexpectedly stopped",
    "process has terminated",
    "process no longer running",
    "process is no longer running",
    "compute error",
    "cuda error",
    "out of memory",
    "code:500",
    "code: 500",
    "\"code\":500",
];

// === impl OwnFault ===

impl OwnFault {
    /// Returns the fault that words in lower case report; `None` where they report none of the engine.
    pub(super) fn of(lower: &str) -> Option<Self> {
        let has = |texts: &[&str]| texts.iter().any(|text| lower.contains(text));
        let named = || lower.contains("model") && lower.contains("is not loaded");
        if has(NOT_LOADED) || named() {
            return Some(Self::NotLoaded);
        }
        has(BROKE).then_some(Self::Broke)
    }
}
