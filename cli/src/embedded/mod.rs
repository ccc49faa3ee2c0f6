//! The embedded engine of `try`: a `llama-server` from the PATH, else llama.cpp's server from a
//! Python wheel. It serves a small model; wheel and model are kept in the user's cache folder.
//!
//! [`plan()`] searches the machine and decides, [`describe`] says what would be fetched and how
//! large it is, and [`prepare`] fetches it and returns the command. Only `try` calls this, after it
//! has asked the user: `serve` never downloads.
//!
//! ```
//! use std::path::Path;
//!
//! use crucible_cli::embedded::{CacheState, FoundPrograms, decide, describe};
//!
//! let found = FoundPrograms {
//!     llama_server: Some("/usr/bin/llama-server".into()),
//!     python: None,
//!     cache: CacheState { root: "/home/u/.cache/crucible/engine".into(), server: false, model: false },
//! };
//! let plan = decide(&found, Some(Path::new("mine.gguf"))).unwrap();
//! assert!(!plan.fetches());
//! assert!(describe(&plan).contains("nothing is fetched"));
//! ```

mod announce;
mod engine;
mod error;
mod install;
mod lookup;
mod model_file;
mod package;
mod pinned;
mod pip;
mod plan;
mod staging;
#[cfg(all(test, unix))]
mod testing;

pub use self::{
    announce::{CommandShell, ReadyEngine, announce},
    engine::{EMBEDDED_PERMITS, ENGINE_NAME, EmbeddedEngine},
    error::EmbeddedError,
    install::prepare,
    lookup::plan,
    package::{MODEL_PACKAGE, PinnedPackage, SERVER_PACKAGE},
    pinned::PinnedWheel,
    plan::{
        CacheState, EmbeddedPlan, FoundPrograms, InstallStep, ModelSource, ServerProgram, decide,
        describe,
    },
};
