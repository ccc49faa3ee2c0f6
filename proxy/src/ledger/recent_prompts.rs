//! The last prompts that each model read, for `/crucible/state`.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use crucible_documents::state::PromptDoc;
use foldhash::fast::RandomState;
use parking_lot::Mutex;

use crate::request::RequestFacts;

/// The prompts of one model that are kept.
const EACH: usize = 8;
/// The models of all engines of which prompts are kept.
const MOST_MODELS: usize = 256;

/// The last prompts by engine and model, the newest last.
#[derive(Debug, Default)]
pub(crate) struct RecentPrompts(Mutex<HashMap<ModelPlace, VecDeque<PromptDoc>, RandomState>>);

/// The names of an engine and of a model there.
type ModelPlace = (Arc<str>, Arc<str>);

// === impl RecentPrompts ===

impl RecentPrompts {
    /// Adds the prompt of a request that has ended, where its engine counted it.
    pub(super) fn add(&self, record: &RequestFacts) {
        let (Some(engine), Some(model), Some(usage)) =
            (&record.engine, &record.model, record.usage)
        else {
            return;
        };
        let mut recent = self.0.lock();
        let place = (Arc::clone(engine), Arc::clone(model));
        if recent.len() >= MOST_MODELS && !recent.contains_key(&place) {
            return;
        }
        let prompts = recent.entry(place).or_default();
        if prompts.len() >= EACH {
            prompts.pop_front();
        }
        prompts.push_back(PromptDoc {
            tokens: usage.prompt,
            cached: usage.cached,
            estimated: usage.cached_is_estimated,
        });
    }

    /// The last prompts of a model, by any of its names.
    pub(crate) fn of(&self, engine: &Arc<str>, names: &[Arc<str>]) -> Vec<PromptDoc> {
        let recent = self.0.lock();
        let places = names
            .iter()
            .map(|name| (Arc::clone(engine), Arc::clone(name)));
        let found = places.filter_map(|place| recent.get(&place));
        found.flatten().copied().collect()
    }
}
