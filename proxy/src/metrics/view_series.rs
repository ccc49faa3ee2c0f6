//! The memory of which gauges the last view of the router set.

use std::collections::{HashMap, HashSet};

/// The pools whose series exist.
pub(super) type PoolSeries = HashSet<String>;

/// The series that the last view set, so that those of models that were unloaded go to 0, and those of
/// engines that are configured no more are removed.
#[derive(Debug, Default)]
pub(super) struct ViewSeries {
    /// The loaded models that have a series, each as the name of its engine and its label.
    pub(super) models: HashSet<(String, String)>,
    /// The models of each engine that were loaded once and are no more.
    pub(super) unloaded: HashMap<String, HashSet<String>>,
    /// The kind and the version of each engine, which are labels of its series
    /// `crucible_engine_info`.
    pub(super) versions: HashMap<String, [String; 2]>,
    /// The number of graphics cards whose series exist.
    pub(super) cards: usize,
    /// The pools whose series exist.
    pub(super) pools: PoolSeries,
    /// The engines whose series exist.
    pub(super) engines: Vec<String>,
}
