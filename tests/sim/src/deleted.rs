//! Models that a person deletes while the engine runs, and pulls or downloads again. Ollama 0.33.0-rc2, server/routes.go
//! `DeleteHandler`: the name is gone from `/api/tags` at once and every request for it is a 404; its
//! runner, if there is one, stays in `/api/ps` until it expires.

use std::collections::BTreeSet;

use parking_lot::{Mutex, MutexGuard};

#[derive(Debug, Default)]
pub(crate) struct Deleted(Mutex<BTreeSet<String>>);

// === impl Deleted ===

impl Deleted {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock()
    }

    pub(crate) fn add(&self, model: &str) {
        self.lock().insert(model.to_owned());
    }

    pub(crate) fn remove(&self, model: &str) {
        self.lock().remove(model);
    }

    pub(crate) fn has(&self, model: &str) -> bool {
        self.lock().contains(model)
    }
}
