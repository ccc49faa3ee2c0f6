//! The memory of which gauges the last view of the router set.

use std::collections::{HashMap, HashSet};

/// The series that the last view set, so that those of models that were unloaded go to 0, and those of
/// engines that are configured no more are removed.
#[derive(Debug, Default)]
pub(super) struct ViewSeries {
    pub(super) models: HashSet<(String, String)>,
    /// By engine, the models that were loaded once and are no more.
    pub(super) unloaded: HashMap<String, HashSet<String>>,
    pub(super) versions: HashMap<String, [String; 2]>,
    /// The engines whose series exist.
    pub(super) engines: Vec<String>,
}
