//! The plan by behaviour, as tables.

mod anything;
mod names;
mod served;
mod training;
mod virtuals;

use std::collections::BTreeSet;

use crucible_config::{Config, checked::Device};

use super::{
    fixture::{config, demand, engine, first, view},
    sticky::EngineModel,
    *,
};
use crate::{demand::Demand, view::View};

/// Every reason has a request that gets it; `overload` is given by the scheduler's overflow.
#[test]
fn every_reason_is_produced() {
    let both = || {
        view([
            engine("gpu", Device::Gpu, &["m", "g"]),
            engine("cpu", Device::Cpu, &["m", "c"]),
        ])
    };
    let tools = |mut demand: Demand| {
        demand.tools = true;
        demand
    };
    let said = |text: &str| Demand {
        last_user: text.into(),
        ..demand("auto")
    };
    let later = Demand {
        later_turn: true,
        ..demand("auto")
    };
    let cpu_holds = || {
        let [gpu, cpu] = ["gpu", "cpu"].map(|name| both().engine(name).cloned().unwrap());
        view([gpu, cpu.holding("m")])
    };
    let without_tools = || {
        let [gpu, cpu] = ["gpu", "cpu"].map(|name| both().engine(name).cloned().unwrap());
        view([gpu.with(|m| m.capabilities.tools = Some(false)), cpu])
    };
    let g_down = || {
        let [gpu, cpu] = ["gpu", "cpu"].map(|name| both().engine(name).cloned().unwrap());
        view([gpu.down(), cpu])
    };
    let place: EngineModel = ("cpu".into(), "c".into());
    let alias = "[[model]]\nname = \"g\"\naliases = [\"other\"]\nfallback = [\"c\"]";
    let cases: Vec<(Reason, View, Demand, Config)> = vec![
        (Reason::Exact, both(), demand("g"), config("")),
        (Reason::Prefixed, both(), demand("cpu/m"), config("")),
        (Reason::Alias, both(), demand("other"), config(alias)),
        (
            Reason::DefaultModel,
            both(),
            demand("what"),
            config("default_model = \"c\""),
        ),
        (
            Reason::Pinned,
            both(),
            demand("m"),
            config("[[model]]\nname = \"m\"\nengine = \"cpu\""),
        ),
        (Reason::Resident, cpu_holds(), demand("m"), config("")),
        (Reason::Device, both(), demand("m"), config("")),
        (
            Reason::Rule,
            both(),
            said("deploy it"),
            config("[[rule]]\nwhen = { words = [\"deploy\"] }\nuse = \"cpu\""),
        ),
        (
            Reason::Keyword,
            // A load of 5 s beside an answer that takes 6.4 s longer.
            cpu_holds(),
            Demand {
                max_tokens: Some(64),
                ..said("plan the architecture")
            },
            config(""),
        ),
        (Reason::Sticky, both(), later, config("")),
        (Reason::Predicted, both(), demand("auto"), config("")),
        (
            Reason::Capability,
            without_tools(),
            tools(demand("m")),
            config(""),
        ),
        (Reason::Fallback, g_down(), demand("g"), config(alias)),
    ];
    let mut produced = BTreeSet::new();
    for (reason, view, demand, config) in cases {
        let plan = plan(&view, &demand, &config, Some(&place)).unwrap();
        assert_eq!(first(&plan).2, reason, "{:?}", fixture::places(&plan));
        produced.insert(reason.as_str());
    }
    let all: BTreeSet<_> = Reason::ALL.map(Reason::as_str).into();
    let missing: Vec<_> = all.difference(&produced).copied().collect();
    assert_eq!(missing, ["overload"]);
}
