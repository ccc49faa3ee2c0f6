//! The cause of the limit that a prompt exceeds, and the advice to a person about it.

use std::{fmt, sync::Arc};

use crucible_config::checked::EngineKind;

/// The cause of the limit of a context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContextBound {
    /// The model itself was trained for no longer context.
    Model,
    /// The setting `context.max`.
    Max,
    /// The configured context, because `fit = "reject"` does not let it grow.
    Configured,
    /// The memory that the pool of the engine may use.
    Memory {
        /// The name of the pool.
        pool: Arc<str>,
    },
    /// A pinned model in the same pool, beside which a larger context does not fit.
    Pinned {
        /// The name of the pool.
        pool: Arc<str>,
        /// The name of the pinned model.
        model: Arc<str>,
        /// The bytes that the pinned model uses.
        bytes: u64,
        /// The bytes that the models of the pool may use together.
        budget: u64,
    },
    /// A person or another program loaded the model, and `context.grow_foreign = false` leaves that
    /// as it is.
    Foreign {
        /// The name of the engine.
        engine: Arc<str>,
        /// The kind of the engine.
        kind: EngineKind,
        /// The name of the instance on the engine.
        instance: Arc<str>,
    },
    /// Another Crucible owns the state directory, so this one does not reload models that it did
    /// not load.
    Owned {
        /// The name of the engine.
        engine: Arc<str>,
    },
    /// Crucible cannot load models on this engine.
    Engine {
        /// The name of the engine.
        engine: Arc<str>,
        /// The kind of the engine.
        kind: EngineKind,
    },
    /// The engine loaded the model with less context than was asked for.
    Yielded {
        /// The name of the engine.
        engine: Arc<str>,
    },
}

/// The advice how a person unloads a model from an engine of this kind.
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
