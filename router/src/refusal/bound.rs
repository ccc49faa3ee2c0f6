//! What sets the limit that a prompt exceeds, and what a person can do about it.

use std::{fmt, sync::Arc};

use crucible_config::checked::EngineKind;

/// What sets the limit of a context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContextBound {
    /// The model itself: it was made for no more.
    Model,
    /// `context.max`.
    Max,
    /// What is configured, because `fit = "reject"` lets nothing grow.
    Configured,
    /// The memory that its pool may use.
    Memory {
        /// The pool.
        pool: Arc<str>,
    },
    /// A pinned model, beside which no more fits.
    Pinned {
        /// The pool.
        pool: Arc<str>,
        /// What is pinned.
        model: Arc<str>,
        /// What that takes.
        bytes: u64,
        /// What the pool may use.
        budget: u64,
    },
    /// A person loaded it, and `context.grow_foreign = false` leaves that as it is.
    Foreign {
        /// The engine.
        engine: Arc<str>,
        /// What it speaks.
        kind: EngineKind,
        /// The instance.
        instance: Arc<str>,
    },
    /// This Crucible loads nothing anew that it did not load: another one owns the folder of state.
    Owned {
        /// The engine.
        engine: Arc<str>,
    },
    /// Crucible loads nothing there.
    Engine {
        /// The engine.
        engine: Arc<str>,
        /// What it speaks.
        kind: EngineKind,
    },
    /// The engine gave less than was asked for.
    Yielded {
        /// The engine.
        engine: Arc<str>,
    },
}

/// How a person takes a model out of an engine's memory.
pub fn how_to_eject(kind: EngineKind, instance: &str) -> String {
    let advice = kind.profile().advice.unload;
    advice.replace("{instance}", instance)
}

impl fmt::Display for ContextBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model => f.write_str(
                "That is the longest context this model was made for; a longer prompt needs \
                 another model.",
            ),
            Self::Max => {
                f.write_str("The limit is `context.max` in crucible.toml; raise it there.")
            }
            Self::Configured => f.write_str(
                "The limit is the configured `context`, which `fit = \"reject\"` keeps from \
                 growing; raise `context`, or set `fit = \"grow\"`, in crucible.toml.",
            ),
            Self::Memory { pool } => write!(
                f,
                "More context of this model does not fit the memory of pool '{pool}'; raise \
                 `budget` of [pool.{pool}] in crucible.toml, or ask a smaller model."
            ),
            Self::Pinned {
                pool,
                model,
                bytes,
                budget,
            } => write!(
                f,
                "More does not fit beside '{model}', which is pinned and takes {} MB of a budget of \
                 {} MB; raise `budget` of [pool.{pool}], or unpin it, in crucible.toml.",
                bytes / 1_000_000,
                budget / 1_000_000
            ),
            Self::Foreign {
                engine,
                kind,
                instance,
            } => write!(
                f,
                "'{instance}' on '{engine}' was loaded with that by a person or another program; \
                 {}, or set `context.grow_foreign = true` in crucible.toml, and Crucible loads it \
                 with more.",
                how_to_eject(*kind, instance)
            ),
            Self::Owned { engine } => write!(
                f,
                "It was loaded on '{engine}' with that, and not by this Crucible, which owns no \
                 folder of state and so leaves it alone; ask the Crucible that does, or give this \
                 one a `state_dir` of its own."
            ),
            Self::Engine { engine, kind } => write!(
                f,
                "'{engine}' was started with that, and Crucible {}.",
                kind.profile().advice.more_context
            ),
            Self::Yielded { engine } => write!(
                f,
                "'{engine}' was asked for more and loaded the model with that; a smaller model, or \
                 more memory, gives more."
            ),
        }
    }
}
