//! The models that are loaded at the start.

use super::RouterHandle;
use crate::{catalog::ModelKind, demand::Demand, event::LoadTrigger};

// === impl RouterHandle ===

impl RouterHandle {
    /// Loads the pinned models and those of `[startup] warm`, one after the other, as requests for them
    /// would.
    pub(super) async fn warm_up(&self) {
        self.settled().await;
        let config = (self.0.config)();
        if !config.tuning.lmstudio.model_warmup {
            return;
        }
        for name in config.models_to_load() {
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
