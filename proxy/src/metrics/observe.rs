//! The router's events, counted as they happen.

use std::time::Duration;

use crucible_router::event::{Event, EventObserver, EvictionReason};

use super::{
    Metrics,
    labels::{Outcome, eviction_reason, load_outcome, load_trigger},
};

impl EventObserver for Metrics {
    fn observe(&self, event: &Event) {
        let v = self.vectors();
        match event {
            Event::Load {
                engine,
                model,
                outcome,
                trigger,
                took,
            } => {
                let (outcome, trigger) = (load_outcome(*outcome), load_trigger(*trigger));
                let model = self.listed(model);
                v.model_loads
                    .with_label_values(&[&**engine, model, outcome, trigger])
                    .inc();
                if outcome == "ok" {
                    v.model_load_duration
                        .with_label_values(&[&**engine, model])
                        .observe(took.as_secs_f64());
                }
            }
            // What is unloaded at the end nobody scrapes any more; the other is seen by what failed, in the log
            // and in the state.
            Event::Evicted {
                reason: EvictionReason::Exit,
                ..
            }
            | Event::Wedged { .. } => {}
            Event::Evicted {
                engine,
                model,
                reason,
            } => v
                .model_evictions
                .with_label_values(&[&**engine, self.listed(model), eviction_reason(*reason)])
                .inc(),
            Event::Granted {
                engine,
                waited,
                loaded,
            } => count_wait(self, engine, *loaded, *waited),
            Event::HealthCheck {
                engine,
                ok,
                lists_residents,
            } => {
                let outcome = if *ok { Outcome::Ok } else { Outcome::Error };
                let labels = [&**engine, outcome.as_str()];
                v.health_checks.with_label_values(&labels).inc();
                if *lists_residents {
                    v.residency_polls.with_label_values(&labels).inc();
                }
            }
        }
    }
}

fn count_wait(metrics: &Metrics, engine: &str, loaded: bool, waited: Duration) {
    metrics
        .vectors()
        .queue_wait
        .with_label_values(&[engine, if loaded { "load" } else { "slot" }])
        .observe(waited.as_secs_f64());
}
