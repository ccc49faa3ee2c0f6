//! What Crucible loaded on an engine that a reload of the configuration takes away, or gives another
//! address: it is still ours where an engine of its address is configured again, under whatever name.

use std::sync::Arc;

use super::{memory::Owned, observe::is_of, state::Scheduler};
use crate::catalog::ModelKind;

/// A resident of an engine that is configured no more, while answers are still given by it.
pub(super) struct Departed {
    owned: Owned,
    /// Their permits.
    tickets: Vec<u64>,
}

// === impl Scheduler ===

impl Scheduler {
    /// Keeps what is ours of an engine for the next one of its address. Where it stays under its name
    /// (`moves`), answers of the old address are still counted there.
    pub(super) fn depart(&mut self, at: usize, moves: bool) {
        let state = &mut self.engines[at];
        if state.facts.spawned {
            return;
        }
        let (name, url) = (&state.facts.name, &state.facts.url);
        for resident in &mut state.residents {
            let Some(tuple) = resident.tuple.take() else {
                continue;
            };
            let owned = Owned {
                url: Arc::clone(url),
                engine: Arc::clone(name),
                model: Arc::clone(&resident.info.model),
                instance: Arc::clone(&resident.info.instance),
                context: resident.info.context,
                tuple,
            };
            let of = self.active.iter().filter(|(_, active)| {
                active.engine == *name && active.instance == resident.info.instance
            });
            let tickets: Vec<u64> = of.map(|(ticket, _)| *ticket).collect();
            if tickets.is_empty() {
                self.adoptable.push(owned);
            } else if !moves {
                self.departed.push(Departed { owned, tickets });
            }
        }
        for ((_, model), mark) in self.marks.iter().filter(|((of, _), _)| of == name) {
            let place = (Arc::clone(url), Arc::clone(model));
            let told = (mark.context, mark.configured);
            self.remembered.insert(place, told);
        }
        self.revision += 1;
    }

    /// Gives what departed to an engine of its address, with the answers that it gives.
    pub(super) fn take_over_departed(&mut self, at: usize) {
        let state = &mut self.engines[at];
        let facts = &state.facts;
        for resident in state.residents.iter_mut().filter(|r| r.tuple.is_none()) {
            let same = |departed: &Departed| is_of(&departed.owned, facts, &resident.info);
            let Some(found) = self.departed.iter().position(same) else {
                continue;
            };
            let Departed { owned, tickets } = self.departed.swap_remove(found);
            resident.tuple = Some(owned.tuple);
            resident.pinned = facts.pinned.contains(&resident.info.model);
            for ticket in tickets {
                if let Some(active) = self.active.get_mut(&ticket) {
                    active.engine = Arc::clone(&facts.name);
                    resident.active += 1;
                    state.embedding += u32::from(active.kind == ModelKind::Embedding);
                }
            }
        }
    }

    /// An answer of what departed still runs.
    pub(super) fn is_departed(&self, ticket: u64) -> bool {
        let mut departed = self.departed.iter();
        departed.any(|departed| departed.tickets.contains(&ticket))
    }

    /// An answer has ended, maybe the last one of what departed.
    pub(super) fn release_departed(&mut self, ticket: u64) {
        let mut idle = Vec::new();
        self.departed.retain_mut(|departed| {
            departed.tickets.retain(|of| *of != ticket);
            if departed.tickets.is_empty() {
                idle.push(departed.owned.clone());
            }
            !departed.tickets.is_empty()
        });
        self.adoptable.append(&mut idle);
    }

    /// What is ours and belongs to no engine now.
    pub(super) fn homeless(&self) -> impl Iterator<Item = &Owned> {
        let busy = self.departed.iter().map(|departed| &departed.owned);
        self.adoptable.iter().chain(busy)
    }
}
