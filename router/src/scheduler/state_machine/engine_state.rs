//! One engine as the scheduler keeps it: its facts, its residents, and the queues for its models.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{model_key::ModelKey, model_queue::ModelQueue, resident::Resident};
use crate::{catalog::ModelKind, scheduler::messages::EngineFacts};

/// The scheduler's state of one engine: its permits, its queue and its residents.
pub(super) struct EngineState {
    /// The facts of its last poll.
    pub(super) facts: EngineFacts,
    /// The instances that it holds, as far as is known.
    pub(super) residents: Vec<Resident>,
    /// A queue for each model that somebody waits for, and for each variant of its options.
    pub(super) queues: Vec<ModelQueue>,
    /// The number of generation and of embedding requests that wait.
    pub(super) waiting_by_lane: [usize; 2],
    /// Embedding permits that are granted and have not come back.
    pub(super) embedding_permits_out: u32,
    /// The mean time from grant to release, and the number of answers that it is the mean of.
    pub(super) service_time: (Duration, u32),
    /// Whether a load never ended although the engine answered its polls.
    pub(super) wedged: bool,
    /// The bytes of loads that were given up, by model, until the engine lists what it has loaded.
    pub(super) abandoned_loads: BTreeMap<Arc<str>, u64>,
    /// The number of the last poll that may have begun before the last operation ended.
    pub(super) distrust_polls_to: u64,
    /// The time at which the last load ended.
    pub(super) last_load_ended: Option<Instant>,
}

// === impl EngineState ===

impl EngineState {
    /// An engine of which no poll was seen yet.
    pub(super) fn new(facts: EngineFacts) -> Self {
        Self {
            facts,
            residents: Vec::new(),
            queues: Vec::new(),
            waiting_by_lane: [0; 2],
            embedding_permits_out: 0,
            service_time: (Duration::ZERO, 0),
            wedged: false,
            abandoned_loads: BTreeMap::new(),
            distrust_polls_to: 0,
            last_load_ended: None,
        }
    }

    /// The position of the queue for that model, variant and kind, if there is one.
    pub(super) fn queue_index(&self, model: &str, variant: u64, kind: ModelKind) -> Option<usize> {
        let own =
            |l: &ModelQueue| l.kind == kind && l.option_variant == variant && *l.model == *model;
        self.queues.iter().position(own)
    }

    /// Whether somebody waits for that model, with whatever options.
    pub(super) fn has_waiters_for(&self, model: &str) -> bool {
        self.queues.iter().any(|l| *l.model == *model)
    }

    /// Whether the listing in these facts counts. One that may have begun before the last operation
    /// ended does not.
    pub(super) fn accepts_listing(&mut self, facts: &EngineFacts) -> bool {
        if facts.polls < self.facts.polls {
            // It was configured anew and counts from the start.
            self.distrust_polls_to = 0;
        }
        facts.listing_poll > self.distrust_polls_to
    }

    /// The key of one of its models.
    pub(super) fn model_key(&self, model: &Arc<str>) -> ModelKey {
        (Arc::clone(&self.facts.name), Arc::clone(model))
    }
}
