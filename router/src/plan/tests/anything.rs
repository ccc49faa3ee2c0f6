//! Whatever is known and asked: a plan with a candidate that can answer, or a refusal.

use std::sync::LazyLock;

use crucible_config::{Config, checked::Device};
use proptest::prelude::*;

use super::super::{
    fixture::{config, engine, view},
    order::is_available,
    sticky::EngineModel,
    *,
};
use crate::demand::Demand;
use crate::{
    catalog::ModelKind,
    view::{BreakerState, EngineView, Health},
};

const TEXT: &str = r#"
default_model = "coder"

[[model]]
name = "a"
aliases = ["coder", "gpt-*"]
fallback = ["b:latest", "fast", "a"]
[[model]]
name = "b"
engine = "cpu"
[[model]]
name = "auto"
aliases = ["claude-*"]
[virtual]
mine = ["gpu/*", "quality", "coder"]
[[rule]]
when = { words = ["x"], tools = true }
use = "mine"
[[rule]]
when = { images = true }
use = "b"
"#;

static CONFIG: LazyLock<Config> = LazyLock::new(|| config(TEXT.trim_start()));

fn any_name() -> impl Strategy<Value = String> {
    let parts = prop::sample::select(vec![
        "a", "b", "/", ":latest", "gpu", "cpu", "auto", "fast", "quality", "mine", "coder",
        "gpt-4", "claude-x", "-q4_0", "@q8_0", "é", "*", ":", "@", "", " ",
    ]);
    prop::collection::vec(parts, 0..5).prop_map(|parts| parts.concat())
}

fn any_engine() -> impl Strategy<Value = EngineView> {
    let health = prop::sample::select(vec![
        Health::Unknown,
        Health::Up,
        Health::Degraded,
        Health::Down,
    ]);
    let breaker = prop::sample::select(vec![
        BreakerState::Closed,
        BreakerState::Open,
        BreakerState::HalfOpen,
    ]);
    let models = prop::collection::vec((any_name(), any::<[Option<bool>; 3]>()), 0..6);
    let name = prop::sample::select(vec!["gpu", "cpu", "third"]);
    (name, any::<bool>(), health, breaker, models, 0..4_u32).prop_map(
        |(name, on_gpu, health, breaker, models, load)| {
            let device = if on_gpu { Device::Gpu } else { Device::Cpu };
            let ids: Vec<&str> = models.iter().map(|(id, _)| id.as_str()).collect();
            let mut view = engine(name, device, &ids).with(|model| {
                let facts = models.iter().find(|(id, _)| **id == *model.id);
                let Some((_, [tools, vision, other])) = facts else {
                    return;
                };
                model.capabilities.tools = *tools;
                model.capabilities.vision = *vision;
                model.cloud = *other == Some(true);
                if *other == Some(false) {
                    model.kind = ModelKind::Embedding;
                    model.max_context = Some(512);
                }
            });
            view.health = health;
            view.breaker = breaker;
            view.permits = load;
            view.queued = load.saturating_sub(1);
            view.active = load;
            match ids.first() {
                Some(id) if load > 1 => view.holding(id),
                _ => view,
            }
        },
    )
}

fn any_demand() -> impl Strategy<Value = Demand> {
    let tokens = prop_oneof![0..10_000_u64, Just(u64::MAX)];
    let said = prop::sample::select(vec!["", "x", "plan it", "fix the typo", "éé"]);
    (any_name(), any::<[bool; 4]>(), tokens, said).prop_map(
        |(model, [embedding, tools, images, later_turn], prompt_tokens, said)| Demand {
            model,
            kind: if embedding {
                ModelKind::Embedding
            } else {
                ModelKind::Generation
            },
            tools,
            images,
            later_turn,
            prompt_tokens,
            last_user: said.into(),
            ..Demand::default()
        },
    )
}

proptest! {
    #[test]
    fn a_plan_can_be_carried_out(
        engines in prop::collection::vec(any_engine(), 0..4),
        demand in any_demand(),
        sticky in (any_name(), any_name()),
    ) {
        let view = view(engines);
        let place: EngineModel = (sticky.0.into(), sticky.1.into());
        let config = &*CONFIG;
        if let Ok(plan) = plan(&view, &demand, config, Some(&place)) {
            prop_assert!(!plan.candidates.is_empty());
            for (at, candidate) in plan.candidates.iter().enumerate() {
                let same = |c: &Candidate| c.engine == candidate.engine && c.model == candidate.model;
                prop_assert!(!plan.candidates[..at].iter().any(same), "{candidate:?} twice");
                let able = view.engines.iter().filter(|e| e.name == candidate.engine).any(|e| {
                    is_available(e) && e.models.iter().any(|m| {
                        m.id == candidate.model
                            && m.kind == demand.kind
                            && !m.cloud
                            && !(demand.tools && m.capabilities.tools == Some(false))
                            && !(demand.images && m.capabilities.vision == Some(false))
                    })
                });
                prop_assert!(able, "{candidate:?} cannot answer");
            }
        }
        let listed = listing(&view, config);
        for (at, one) in listed.iter().enumerate() {
            prop_assert!(!listed[..at].iter().any(|l| l.id == one.id), "{:?} twice", one.id);
        }
    }
}
