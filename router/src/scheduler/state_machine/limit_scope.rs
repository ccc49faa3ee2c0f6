//! Over which models a limit of memory or of their number counts.

/// The models that a limit counts: of one engine by their number, of one or several pools by their
/// memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LimitScope {
    /// The generation models of one engine, by `max_loaded_models`.
    EngineModels,
    /// All models of one pool, by its budget.
    PoolMemory,
    /// All models of the pools that share one memory, by their shared budget.
    SharedMemory,
}
