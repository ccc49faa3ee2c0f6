//! Small requests: a title or a summary need not wait for the GPU, nor push a model out of it.

use crucible_config::checked::{Class, Device};

use super::{
    Reason,
    order::{self, is_held},
    scope::{ModelMatch, NameMatch, PlanScope},
};
use crate::catalog::ModelKind;

/// The most tokens that the prompt of a small request has.
const LARGEST_PROMPT: u64 = 2048;
/// The most tokens that a small request may ask for as its answer.
const LARGEST_ANSWER: u64 = 256;

// === impl PlanScope ===

impl<'a> PlanScope<'a> {
    /// Puts `small_model` first where the request is small and the first match is on a GPU that is
    /// busy or would have to load. The small model has to be in another memory pool and its first
    /// token has to be predicted within `routing.first_token`; else nothing changes.
    pub(super) fn spare_the_gpu(&self, hits: &mut Vec<ModelMatch<'a>>) {
        let Some(name) = &self.config.scheduler.small_model else {
            return;
        };
        let Some(best) = hits
            .first()
            .filter(|best| self.is_small() && is_taken(best))
        else {
            return;
        };
        let places = match self.resolve(name) {
            NameMatch::Models(mut places) => {
                order::settle(&mut places);
                places
            }
            NameMatch::Virtual(known) => self.expand(known),
            NameMatch::WrongKind | NameMatch::Away(_) | NameMatch::Absent => return,
        };
        let budget = self.config.routing.first_token;
        let relieves = |place: &ModelMatch<'_>| {
            place.engine.pool != best.engine.pool
                && self.can_answer(place)
                && self.prediction(place).first_token() <= budget
        };
        let Some(mut small) = places.into_iter().find(relieves) else {
            return;
        };
        small.reason = Reason::Overload;
        let is_other =
            |h: &ModelMatch<'_>| h.engine.name != small.engine.name || h.model.id != small.model.id;
        hits.retain(is_other);
        hits.insert(0, small);
    }

    /// Whether the request is a short first turn without tools and images (an agent's requests have
    /// tools) that limits its answer to 256 tokens, or that sets no limit and comes from the
    /// background.
    fn is_small(&self) -> bool {
        let demand = self.demand;
        demand.kind == ModelKind::Generation
            && !demand.tools
            && !demand.images
            && !demand.later_turn
            && demand.prompt_tokens <= LARGEST_PROMPT
            && match demand.max_tokens {
                Some(most) => most <= LARGEST_ANSWER,
                None => demand.class == Class::Background,
            }
    }
}

/// Whether the match is on a GPU whose engine has requests, or that would have to load the model
/// first.
fn is_taken(hit: &ModelMatch<'_>) -> bool {
    let engine = hit.engine;
    let loads = engine.load_control && !is_held(engine, hit.model);
    engine.device == Device::Gpu && (engine.active > 0 || engine.queued > 0 || loads)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        demand::Demand,
        plan::{fixture, plan},
        view::EngineView,
    };

    const SMALL: &str = "[scheduler]\nsmall_model = \"llama\"\n";

    fn title() -> Demand {
        Demand {
            prompt_tokens: 300,
            max_tokens: Some(40),
            ..fixture::demand("auto")
        }
    }

    fn busy() -> EngineView {
        let mut gpu = fixture::engine("gpu", Device::Gpu, &["qwen"]).holding("qwen");
        gpu.active = 1;
        gpu
    }

    fn first(gpu: EngineView, demand: &Demand, text: &str) -> (String, Reason) {
        let cpu = fixture::engine("cpu", Device::Cpu, &["big", "llama"]).holding("llama");
        let view = fixture::view([gpu, cpu]);
        let plan = plan(&view, demand, &fixture::config(text), None).unwrap();
        let (_, model, reason) = fixture::first(&plan);
        (model.to_owned(), reason)
    }

    #[test]
    fn a_title_leaves_a_busy_gpu_alone_where_that_is_configured() {
        let spared = ("llama".to_owned(), Reason::Overload);
        assert_eq!(first(busy(), &title(), SMALL), spared);
        assert_eq!(first(busy(), &title(), "").1, Reason::Predicted);
        let by_device = "[scheduler]\nsmall_model = \"quality\"\n";
        assert_eq!(first(busy(), &title(), by_device), spared);
        let absent = "[scheduler]\nsmall_model = \"nothing\"\n";
        assert_eq!(first(busy(), &title(), absent).1, Reason::Predicted);
        let mut idle = busy();
        idle.active = 0;
        assert_eq!(first(idle.clone(), &title(), SMALL).1, Reason::Predicted);
        idle.residents.clear();
        let fast = Demand {
            model: "fast".into(),
            ..title()
        };
        assert_eq!(first(idle, &fast, SMALL), spared);
    }

    #[test]
    fn what_is_named_or_not_small_goes_its_way() {
        let background = Demand {
            max_tokens: None,
            class: Class::Background,
            ..title()
        };
        assert_eq!(first(busy(), &background, SMALL).1, Reason::Overload);
        let own = |change: &dyn Fn(&mut Demand)| {
            let mut demand = title();
            change(&mut demand);
            let (model, reason) = first(busy(), &demand, SMALL);
            assert_ne!(reason, Reason::Overload, "{demand:?}");
            assert_eq!(model, "qwen");
        };
        own(&|d| d.model = "qwen".into());
        own(&|d| d.tools = true);
        own(&|d| d.later_turn = true);
        own(&|d| d.max_tokens = None);
        own(&|d| d.max_tokens = Some(4000));
        own(&|d| d.prompt_tokens = 20_000);
    }
}
