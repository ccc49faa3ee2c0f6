//! A name that no engine lists may be that of a model that was pulled or downloaded a moment ago, or
//! of an engine that has just started: all are asked once more before it is refused.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::time::timeout;

use super::{ASK_BUDGET, Router};
use crate::{
    demand::Demand,
    plan::{Plan, Reason},
    refusal::Refusal,
    view::{Health, View},
};

/// A name that something else answers for is not asked for again so soon: the polls will tell.
const REMEMBERED: Duration = Duration::from_mins(1);
/// Names that are remembered.
const NAMES: usize = 256;

/// Names that no engine lists and something else answers for, and when they were asked for.
#[derive(Debug, Default)]
pub(super) struct StoodIn(Mutex<HashMap<String, Instant>>);

// === impl StoodIn ===

impl StoodIn {
    /// Notes a name; false where that was done a short while ago.
    fn is_new(&self, name: &str, now: Instant) -> bool {
        let mut names = self.0.lock();
        let known = names.get(name);
        if known.is_some_and(|asked| now.saturating_duration_since(*asked) < REMEMBERED) {
            return false;
        }
        if names.len() >= NAMES {
            names.clear();
        }
        names.insert(name.to_owned(), now);
        true
    }
}

// === impl Router ===

impl Router {
    /// Where a request may go, as [`Self::plan`] says; where that is nowhere the engines are asked for
    /// their lists once more, for at most 1.5 s. However many requests ask for what is not there, each
    /// engine is asked twice a second at most.
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
            Ok(_) => is_elsewhere(planned) && self.0.stood_in.is_new(&demand.model, Instant::now()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_another_model_answers_for_is_asked_for_once_a_minute() {
        let (names, now) = (StoodIn::default(), Instant::now());
        assert!(names.is_new("a", now) && names.is_new("b", now));
        assert!(!names.is_new("a", now + Duration::from_secs(59)));
        assert!(names.is_new("a", now + Duration::from_secs(61)));
        for n in 0..2 * NAMES {
            names.is_new(&n.to_string(), now);
        }
        assert!(names.0.lock().len() <= NAMES);
    }
}
