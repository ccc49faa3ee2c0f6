//! What Crucible loaded on an engine that a reload of the configuration takes away, or gives another
//! address: it is still ours where an engine of its address is configured again, under whatever name.

use std::sync::Arc;

use super::{polls::is_same_load, state::Scheduler};
use crate::{catalog::ModelKind, scheduler::persisted::OwnedResident};

/// A resident of an engine that is configured no more, while answers are still given by it.
pub(super) struct DetachedResident {
    resident: OwnedResident,
    /// Their permits.
    tickets: Vec<u64>,
}

// === impl Scheduler ===

impl Scheduler {
    /// Keeps what is ours of an engine for the next one of its address. Where it stays under its name
    /// (`moves`), answers of the old address are still counted there.
    pub(super) fn detach_residents(&mut self, at: usize, moves: bool) {
        let state = &mut self.engines[at];
        if state.facts.is_child {
            return;
        }
        let (name, url) = (&state.facts.name, &state.facts.url);
        for resident in &mut state.residents {
            let Some(tuple) = resident.tuple.take() else {
                continue;
            };
            let owned = OwnedResident {
                url: Arc::clone(url),
                engine: Arc::clone(name),
                model: Arc::clone(&resident.info.model),
                instance: Arc::clone(&resident.info.instance),
                context: resident.info.context,
                tuple,
            };
            let of = self.active_permits.iter().filter(|(_, active)| {
                active.engine == *name && active.instance == resident.info.instance
            });
            let tickets: Vec<u64> = of.map(|(ticket, _)| *ticket).collect();
            if tickets.is_empty() {
                self.adoptable_residents.push(owned);
            } else if !moves {
                self.detached_residents.push(DetachedResident {
                    resident: owned,
                    tickets,
                });
            }
        }
        for ((_, model), history) in self
            .context_histories
            .iter()
            .filter(|((of, _), _)| of == name)
        {
            let key = (Arc::clone(url), Arc::clone(model));
            let told = (history.largest, history.configured_then);
            self.restored_contexts.insert(key, told);
        }
        self.revision += 1;
    }

    /// Gives what departed to an engine of its address, with the answers that it gives.
    pub(super) fn reattach_residents(&mut self, at: usize) {
        let state = &mut self.engines[at];
        let facts = &state.facts;
        for resident in state.residents.iter_mut().filter(|r| r.tuple.is_none()) {
            let same = |departed: &DetachedResident| {
                is_same_load(&departed.resident, facts, &resident.info)
            };
            let Some(found) = self.detached_residents.iter().position(same) else {
                continue;
            };
            let DetachedResident {
                resident: owned,
                tickets,
            } = self.detached_residents.swap_remove(found);
            resident.tuple = Some(owned.tuple);
            resident.pinned = facts.pinned_models.contains(&resident.info.model);
            for ticket in tickets {
                if let Some(active) = self.active_permits.get_mut(&ticket) {
                    active.engine = Arc::clone(&facts.name);
                    resident.permits_out += 1;
                    state.embedding_permits_out += u32::from(active.kind == ModelKind::Embedding);
                }
            }
        }
    }

    /// An answer of what departed still runs.
    pub(super) fn is_detached(&self, ticket: u64) -> bool {
        let mut departed = self.detached_residents.iter();
        departed.any(|departed| departed.tickets.contains(&ticket))
    }

    /// An answer has ended, maybe the last one of what departed.
    pub(super) fn release_detached(&mut self, ticket: u64) {
        let mut idle = Vec::new();
        self.detached_residents.retain_mut(|departed| {
            departed.tickets.retain(|of| *of != ticket);
            if departed.tickets.is_empty() {
                idle.push(departed.resident.clone());
            }
            !departed.tickets.is_empty()
        });
        self.adoptable_residents.append(&mut idle);
    }

    /// What is ours and belongs to no engine now.
    pub(super) fn unattached_residents(&self) -> impl Iterator<Item = &OwnedResident> {
        let busy = self
            .detached_residents
            .iter()
            .map(|departed| &departed.resident);
        self.adoptable_residents.iter().chain(busy)
    }
}
