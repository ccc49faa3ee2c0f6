//! Residents of an engine that a reload of the configuration takes away or gives another address.
//!
//! They stay Crucible's: they are attached again where an engine of their address is configured,
//! under whatever name.

use std::sync::Arc;

use super::{ownership::DetachedResident, polls::is_same_load, state::Scheduler};
use crate::{catalog::ModelKind, scheduler::persisted::OwnedResident};

// === impl Scheduler ===

impl Scheduler {
    /// Keeps the residents that Crucible loaded on an engine for the next engine of its address.
    /// Where the engine keeps its name and changes its address (`keeps_name`), answers of the old
    /// address are still counted there.
    pub(super) fn detach_residents(&mut self, at: usize, keeps_name: bool) {
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
            } else if !keeps_name {
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

    /// Gives detached residents to the engine of their address, with the answers that still run on
    /// them.
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

    /// Whether the answer of this ticket runs on a detached resident.
    pub(super) fn is_detached(&self, ticket: u64) -> bool {
        let mut departed = self.detached_residents.iter();
        departed.any(|departed| departed.tickets.contains(&ticket))
    }

    /// Takes back the permit of an answer that ran on a detached resident. With its last one the
    /// resident may be adopted.
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

    /// All residents that are Crucible's and belong to no engine now.
    pub(super) fn unattached_residents(&self) -> impl Iterator<Item = &OwnedResident> {
        let busy = self
            .detached_residents
            .iter()
            .map(|departed| &departed.resident);
        self.adoptable_residents.iter().chain(busy)
    }
}
