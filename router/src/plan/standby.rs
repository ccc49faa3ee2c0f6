//! The choice of the candidate that may take over when the wait for another is too long. Only one
//! that the configuration names as a `fallback` of the model may.

use super::{
    Plan, Reason,
    make::fallback,
    scope::{ModelMatch, PlanScope},
};
use crate::{demand::Demand, view::View};
use crucible_config::Config;

/// Returns the position in the plan of the first candidate behind `at` that is a configured
/// fallback of the one at `at`; `None` where there is none.
pub fn standby(
    view: &View,
    demand: &Demand,
    config: &Config,
    plan: &Plan,
    at: usize,
) -> Option<usize> {
    let busy = plan.candidates.get(at)?;
    let settings = config.model_settings(&busy.engine, &busy.model)?;
    if settings.fallback.is_empty() {
        return None;
    }
    let engine = view.engine(&busy.engine)?;
    let model = engine.models.iter().find(|m| m.id == busy.model)?;
    let scope = PlanScope {
        view,
        demand,
        config,
    };
    let hit = ModelMatch {
        engine,
        model,
        reason: Reason::Fallback,
    };
    let configured = fallback(&scope, &busy.model, Some(hit));
    let later = plan.candidates.iter().enumerate().skip(at + 1);
    later
        .filter(|(_, candidate)| {
            let same = |h: &ModelMatch<'_>| {
                h.engine.name == candidate.engine && h.model.id == candidate.model
            };
            configured.iter().any(same)
        })
        .map(|(to, _)| to)
        .next()
}

#[cfg(test)]
mod tests {
    use crucible_config::checked::Device;

    use super::*;
    use crate::plan::{fixture, plan};

    fn standby_of(name: &str, text: &str) -> Option<(usize, String)> {
        let view = fixture::view([
            fixture::engine("gpu", Device::Gpu, &["qwen", "both"]),
            fixture::engine("cpu", Device::Cpu, &["llama", "both"]),
        ]);
        let (config, demand) = (fixture::config(text), fixture::demand(name));
        let plan = plan(&view, &demand, &config, None).unwrap();
        let to = standby(&view, &demand, &config, &plan, 0)?;
        let candidate = &plan.candidates[to];
        Some((to, format!("{}/{}", candidate.engine, candidate.model)))
    }

    #[test]
    fn only_a_configured_fallback_takes_over() {
        let fallback = "[[model]]\nname = \"qwen\"\nfallback = [\"llama\"]\n";
        assert_eq!(standby_of("qwen", fallback), Some((1, "cpu/llama".into())));
        assert_eq!(standby_of("qwen", ""), None);
        assert_eq!(standby_of("both", fallback), None);
        let same = "[[model]]\nname = \"both\"\nfallback = [\"cpu/both\"]\n";
        assert_eq!(standby_of("both", same), Some((1, "cpu/both".into())));
        assert_eq!(standby_of("both", ""), None);
    }
}
