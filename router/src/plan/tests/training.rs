//! What a request with tools gets from models that were not trained for them, or cannot call any.

use crucible_config::checked::Device;

use super::super::{
    fixture::{config, demand, engine, places, view},
    plan,
    sticky::EngineModel,
};
use crate::{catalog::ModelInfo, demand::Demand, refusal::Refusal, view::EngineView};

fn tools(model: &str) -> Demand {
    Demand {
        tools: true,
        ..demand(model)
    }
}

fn trained(is: bool) -> impl Fn(&mut ModelInfo) {
    move |model| {
        model.capabilities.tools = Some(true);
        model.capabilities.trained_for_tools = Some(is);
    }
}

fn gpu() -> EngineView {
    engine("gpu", Device::Gpu, &["m", "g"])
}

fn cpu() -> EngineView {
    engine("cpu", Device::Cpu, &["m", "c"])
}

#[test]
fn an_untrained_model_is_never_refused() {
    let alone = view([gpu().with(trained(false))]);
    let place: EngineModel = ("gpu".into(), "m".into());
    for name in ["g", "gpu/g", "m", "auto", "fast", "quality"] {
        let later = Demand {
            later_turn: true,
            ..tools(name)
        };
        for demand in [tools(name), later] {
            let plan = plan(&alone, &demand, &config(""), Some(&place)).unwrap();
            assert_eq!(plan.candidates.len(), 1, "{name}: {:?}", places(&plan));
        }
    }
}

#[test]
fn trained_models_go_first_and_the_others_stay_behind_them() {
    let mixed = || view([gpu().with(trained(false)), cpu().with(trained(true))]);
    let alias = "[[model]]\nname = \"m\"\naliases = [\"other\"]";
    let pin = "[[model]]\nname = \"m\"\nengine = \"gpu\"";
    let rule = "[[rule]]\nwhen = { tools = true }\nuse = \"gpu\"";
    let later = |demand| Demand {
        later_turn: true,
        ..demand
    };
    let none = |demand| Demand {
        tool_choice_none: true,
        ..demand
    };
    for (asked, text, planned) in [
        (tools("m"), "", vec!["cpu/m capability", "gpu/m device"]),
        (tools("other"), alias, vec!["cpu/m alias", "gpu/m device"]),
        (tools("fast"), "", vec!["cpu/c capability", "gpu/g device"]),
        (tools("auto"), "", vec!["cpu/c capability", "gpu/g device"]),
        // What is said or was decided stands.
        (tools("gpu/m"), "", vec!["gpu/m prefixed"]),
        (tools("m"), pin, vec!["gpu/m pinned"]),
        (tools("auto"), rule, vec!["gpu/g rule", "cpu/c device"]),
        (
            later(tools("auto")),
            "",
            vec!["gpu/g sticky", "cpu/c device"],
        ),
        // No tools to call: the flag says nothing.
        (demand("m"), "", vec!["gpu/m device", "cpu/m device"]),
        (none(tools("m")), "", vec!["gpu/m device", "cpu/m device"]),
    ] {
        let place: EngineModel = ("gpu".into(), "g".into());
        let plan = plan(&mixed(), &asked, &config(text), Some(&place)).unwrap();
        assert_eq!(places(&plan), planned, "{} {text}", asked.model);
    }
}

#[test]
fn of_one_engines_models_a_trained_one_is_taken() {
    let one = engine("gpu", Device::Gpu, &["a", "b"]).holding("a");
    let one = view([one.with(|model| trained(&*model.id == "b")(model))]);
    let ask = |demand: &Demand| places(&plan(&one, demand, &config(""), None).unwrap());
    assert_eq!(ask(&tools("fast")), ["gpu/b device"]);
    assert_eq!(ask(&demand("fast")), ["gpu/a device"]);
}

#[test]
fn a_choice_of_none_never_needs_tools() {
    let cannot = |model: &mut ModelInfo| model.capabilities.tools = Some(false);
    for engine in [gpu().with(cannot), cpu().with(cannot)] {
        let one = view([engine]);
        match plan(&one, &tools("m"), &config(""), None) {
            Err(Refusal::Incapable { needs, .. }) => assert_eq!(needs, "tools"),
            other => panic!("{other:?}"),
        }
        for name in ["m", "auto", "fast"] {
            let never = Demand {
                tool_choice_none: true,
                ..tools(name)
            };
            assert!(plan(&one, &never, &config(""), None).is_ok(), "{name}");
        }
    }
}
