//! More context than those who wait need, where there is memory to spare: what a client's earlier
//! sessions came to, and a step ahead of an agent that has outgrown its model.
//!
//! It costs nobody anything: nothing is evicted or refused for it, and it is not remembered.

use std::time::Instant;

use super::{
    fit::{Planned, limit, size},
    line::Line,
    room::Room,
    state::{EngineState, Scheduler},
    types::Arrival,
};
use crate::{catalog::ModelKind, engine::tuple::instance_context};

// === impl Scheduler ===

impl Scheduler {
    /// The same load with more context, if that fits beside all that is there. `planned` is what those
    /// who wait need, and nothing of the model is loaded.
    pub(super) fn with_room(
        &self,
        state: &EngineState,
        line: &Line,
        arrival: &Arrival,
        planned: Planned,
        now: Instant,
    ) -> Planned {
        let facts = &state.facts;
        let short = planned.permits < facts.permits.max(1) || planned.context < arrival.need();
        if arrival.kind != ModelKind::Generation || arrival.tuple.context.is_none() || short {
            // Nothing is to spare.
            return planned;
        }
        let most = limit(arrival);
        let mark = self.marks.get(&state.place(&arrival.model));
        let remembered = mark.map_or(0, |m| m.remembered(arrival.configured));
        let mut wanted = match arrival.expected {
            0 => planned.context,
            expected => size(expected.min(most), arrival.base, most, remembered),
        };
        if arrival.grows && remembered > 0 && planned.context > remembered {
            // It was loaded with less before, and each reload costs the prompts that it had read.
            wanted = wanted.max(planned.context.saturating_mul(2).min(most));
        }
        let ceilings = mark
            .into_iter()
            .flat_map(|m| [m.yielded(now), m.refused(now)]);
        let ceilings: Vec<u64> = ceilings.flatten().map(|c| c.most).collect();
        let fits = |context: u64| {
            let whole = instance_context(facts.kind, context, planned.permits, line.size.max());
            let bytes = line.size.of_load(facts, context, planned.permits);
            let loads = ceilings.iter().all(|most| whole <= *most);
            let room = loads && matches!(self.room(state, bytes, None, now), Room::Fits);
            room.then_some(Planned {
                context,
                permits: planned.permits,
                bytes,
            })
        };
        while wanted > planned.context {
            if let Some(roomy) = fits(wanted) {
                return roomy;
            }
            wanted /= 2;
        }
        planned
    }
}
