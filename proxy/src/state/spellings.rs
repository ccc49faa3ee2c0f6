//! The names under which engines answer although they list no such name.

use std::{collections::HashSet, sync::Arc};

use parking_lot::Mutex;

/// The most names that are remembered.
const MOST: usize = 256;

/// The names that engines write into their answers and list nowhere: each is taken for another
/// spelling of the model that was asked for, once the engine was asked for its list in vain.
#[derive(Debug, Default)]
pub(crate) struct EngineSpellings(Mutex<HashSet<(Arc<str>, String)>>);

// === impl EngineSpellings ===

impl EngineSpellings {
    /// Whether this engine was found to answer under this name.
    pub(crate) fn knows(&self, engine: &Arc<str>, name: &str) -> bool {
        let known = (Arc::clone(engine), name.to_owned());
        self.0.lock().contains(&known)
    }

    /// Remembers that this engine answers under this name; beyond the bound nothing is remembered.
    pub(crate) fn add(&self, engine: &Arc<str>, name: &str) {
        let mut names = self.0.lock();
        if names.len() < MOST {
            names.insert((Arc::clone(engine), name.to_owned()));
        }
    }
}
