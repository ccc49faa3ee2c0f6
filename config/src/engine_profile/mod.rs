//! The differences between the kinds of engine, as data.
//!
//! Every kind has one [`EngineProfile`], a constant in a file of its own below this module. Code that
//! treats kinds differently reads a field of the profile instead of matching on
//! [`EngineKind`](crate::checked::EngineKind), so that a new kind is one profile here and one driver in
//! the router, and nobody forgets a place. Only real behaviour (how a list is read, how a model is
//! loaded) lives in the drivers.
//!
//! ```
//! use crucible_config::checked::EngineKind;
//!
//! let ollama = EngineKind::Ollama.profile();
//! assert_eq!(ollama.product, "Ollama");
//! assert_eq!(ollama.default_url, Some("http://127.0.0.1:11434"));
//! assert!(ollama.prefill_stops_on_cancel);
//! ```

mod facts;
mod kinds;
mod llamacpp;
mod lmstudio;
mod ollama;
mod openai;
mod section;

pub use self::{
    facts::{
        EngineAdvice, EngineProfile, EngineWire, LoadOptions, ManagementPath, PassedPath,
        ResidentProfile, SlotContext, SpawnProfile,
    },
    section::TuningSection,
};
