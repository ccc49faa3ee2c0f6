//! The memory of which gauges the last view of the router set.

use std::collections::{HashMap, HashSet};

/// The series that the last view set, so that those of models that were unloaded go to 0, and those of
/// engines that are configured no more are removed.
#[derive(Debug, Default)]
pub(super) struct ViewSeries {
    /// The loaded models that have a series, each as the name of its engine and its label.
    pub(super) models: HashSet<(String, String)>,
    /// By engine, the models that were loaded once and are no more.
    pub(super) unloaded: HashMap<String, HashSet<String>>,
    /// By engine, the kind and the version that its series `crucible_engine_info` has as labels.
    pub(super) versions: HashMap<String, [String; 2]>,
    /// The engines whose series exist.
    pub(super) engines: Vec<String>,
}
