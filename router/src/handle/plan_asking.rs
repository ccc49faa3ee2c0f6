//! A name that no engine lists may be that of a model that was pulled or downloaded a moment ago, or
//! of an engine that has just started: all are asked once more before it is refused.

use std::time::Instant;

use tokio::time::timeout;

use super::{ASK_BUDGET, RouterHandle};
use crate::{
    demand::Demand,
    plan::{Plan, Reason},
    refusal::Refusal,
    view::{Health, View},
};

// === impl RouterHandle ===

impl RouterHandle {
    /// Plans a request as [`Self::plan`] does. Where there is no plan, the engines are asked for
    /// their lists once more, for at most 1.5 s; each engine at most twice a second, however many
    /// requests ask for unknown names.
    pub async fn plan_asking(&self, demand: &Demand) -> Result<Plan, Refusal> {
        let planned = self.plan(demand);
        if !self.may_have_changed(&planned, demand) {
            return planned;
        }
        let fleet = &self.0.fleet;
        let mut changed = fleet.subscribe();
        let asked = fleet.ask_all();
        let asking = async {
            loop {
                let done = asked.is_answered(&fleet.view());
                self.fresh_view();
                let planned = self.plan(demand);
                if done || !is_elsewhere(&planned) || changed.changed().await.is_err() {
                    return planned;
                }
            }
        };
        timeout(ASK_BUDGET, asking)
            .await
            .unwrap_or_else(|_| self.plan(demand))
    }

    fn may_have_changed(&self, planned: &Result<Plan, Refusal>, demand: &Demand) -> bool {
        match planned {
            Err(Refusal::NoEngine { .. }) => may_come_up(&self.view()),
            Ok(_) => {
                is_elsewhere(planned) && self.0.stand_ins.is_new(&demand.model, Instant::now())
            }
            Err(_) => is_elsewhere(planned),
        }
    }
}

/// Nothing that is listed and up has this name itself.
fn is_elsewhere(planned: &Result<Plan, Refusal>) -> bool {
    match planned {
        Err(Refusal::UnknownModel { .. } | Refusal::NoEngine { .. }) => true,
        // A virtual model of which nothing is there.
        Err(Refusal::Incapable { needs, .. }) => *needs == "generation",
        Err(_) => false,
        Ok(plan) => plan
            .candidates
            .first()
            .is_some_and(|c| matches!(c.reason, Reason::DefaultModel | Reason::Fallback)),
    }
}

/// Some engine is not there, or does not answer. One that fails its requests is known to be there.
fn may_come_up(view: &View) -> bool {
    let is_off = |health| matches!(health, Health::Down | Health::Unknown);
    view.engines.is_empty() || view.engines.iter().any(|engine| is_off(engine.health))
}
