//! The measurements of one client: how long its answers are and how much context they need.

use std::{collections::BTreeMap, sync::Arc};

use super::{context_needs::ContextNeeds, running_mean::RunningMean};

/// The number of clients that are kept; the one that asked longest ago makes room.
pub(super) const MOST_CLIENTS: usize = 256;

/// The measurements of one client: the length of its answers per engine and model, and the context that
/// its sessions needed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ClientMeasurements {
    /// The number of the client's last answer among those of all clients.
    pub(super) last_answer: u64,
    /// The mean tokens of the client's answers, whatever model gave them.
    pub(super) answer_tokens: RunningMean,
    /// The mean tokens of the answers of each engine and model, where the model was chosen for the
    /// client.
    pub(super) engines: BTreeMap<Arc<str>, BTreeMap<Arc<str>, RunningMean>>,
    /// The context that the client's requests needed.
    pub(super) context_needs: ContextNeeds,
}

// === impl ClientMeasurements ===

impl ClientMeasurements {
    /// Returns the mean tokens of this client's answers from the model; `None` where none was
    /// measured.
    pub(super) fn answer_tokens_of(&self, engine: &str, model: &str) -> Option<&RunningMean> {
        self.engines.get(engine)?.get(model)
    }
}
