//! Context beyond what those who wait need, where memory is to spare.
//!
//! A first load has room for what its client's earlier sessions came to, and a model that an agent
//! has outgrown is loaded one step ahead. That costs nobody anything: nothing is evicted or refused
//! for it, and it is not remembered.

use std::time::Instant;

use super::{
    context_size::{PlannedLoad, context_to_load},
    engine_state::EngineState,
    memory_fit::MemoryFit,
    model_queue::ModelQueue,
    state::Scheduler,
};
use crate::{catalog::ModelKind, options::instance_context, scheduler::messages::PermitRequest};

// === impl Scheduler ===

impl Scheduler {
    /// The same load with more context, if that fits beside everything that is there. `planned` is
    /// what those who wait need. An instance of the model that is still loaded goes before the load.
    pub(super) fn with_spare_context(
        &self,
        state: &EngineState,
        queue: &ModelQueue,
        request: &PermitRequest,
        planned: PlannedLoad,
        now: Instant,
    ) -> PlannedLoad {
        let facts = &state.facts;
        let short = planned.permits < facts.permits_per_resident.max(1)
            || planned.context < request.needed_context();
        if request.kind != ModelKind::Generation || request.tuple.context.is_none() || short {
            // Nothing is to spare.
            return planned;
        }
        let most = request.context_limit();
        let history = self.context_histories.get(&state.model_key(&request.model));
        let remembered = history.map_or(0, |m| m.remembered_context(request.configured_context));
        let mut wanted = match request.expected_context {
            0 => planned.context,
            expected => context_to_load(expected.min(most), request.base_context, most, remembered),
        };
        if request.growing_prompts && remembered > 0 && planned.context > remembered {
            // It was loaded with less before, and each reload costs the prompts that it had read.
            wanted = wanted.max(planned.context.saturating_mul(2).min(most));
        }
        let ceilings = history
            .into_iter()
            .flat_map(|m| [m.engine_ceiling(now), m.memory_ceiling(now)]);
        let ceilings: Vec<u64> = ceilings.flatten().map(|c| c.most_tokens).collect();
        let mut residents = state.residents.iter();
        let replaced = residents.find(|r| r.info.model == request.model && !r.unlisted);
        let replaced = replaced.map(|r| &*r.info.instance);
        let fits = |context: u64| {
            let whole = instance_context(
                facts.kind,
                context,
                planned.permits,
                queue.model_size.max_context(),
            );
            let bytes = queue.model_size.load_bytes(facts, context, planned.permits);
            let loads = ceilings.iter().all(|most| whole <= *most);
            let room = || self.memory_fit(state, request.kind, bytes, replaced, now);
            let room = loads && matches!(room(), MemoryFit::Fits);
            room.then_some(PlannedLoad {
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
