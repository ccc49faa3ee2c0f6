//! What is loaded at the start.

use crucible_config::{checked::Config, glob::is_glob, name::after_engine};

use super::Router;
use crate::{catalog::ModelKind, demand::Demand, event::LoadTrigger};

impl Router {
    /// Loads what is pinned or to be warm, one after the other, as a request for it would.
    pub(super) async fn warm_up(&self) {
        self.settled().await;
        let config = (self.0.config)();
        if !config.tuning.lmstudio.model_warmup {
            return;
        }
        for name in warm_names(&config) {
            let demand = |kind| Demand {
                model: name.clone(),
                kind,
                request_id: "warm-up".into(),
                // An empty prompt: what is configured is loaded.
                max_tokens: Some(1),
                ..Demand::default()
            };
            let mut demand_of = demand(ModelKind::Generation);
            let mut plan = self.plan_asking(&demand_of).await;
            if plan.is_err() {
                demand_of = demand(ModelKind::Embedding);
                plan = self.plan(&demand_of).or(plan);
            }
            let outcome = match plan.as_ref().map(|plan| plan.candidates.first()) {
                Ok(Some(candidate)) => {
                    let budget = config.timeouts.load + config.timeouts.queue;
                    let warm = LoadTrigger::Warmup;
                    self.wait_for(candidate, &demand_of, warm, budget)
                        .await
                        .map(drop)
                }
                Ok(None) => continue,
                Err(refusal) => Err(refusal.clone()),
            };
            if let Err(refusal) = outcome {
                tracing::warn!(model = name, "not warm: {refusal}");
            }
        }
    }
}

/// Pinned models that are named in full, then those of `[startup] warm`.
pub(crate) fn warm_names(config: &Config) -> Vec<String> {
    let pinned = config.models.iter().filter(|m| m.pin && !is_glob(&m.name));
    let pinned = pinned.map(|m| match &m.engine {
        Some(engine) if after_engine(&m.name, engine).is_none() => format!("{engine}/{}", m.name),
        _ => m.name.clone(),
    });
    let mut names: Vec<String> = pinned.collect();
    for name in &config.warm {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}
