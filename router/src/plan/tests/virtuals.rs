//! Virtual models: rules, stickiness, words and predictions.

use std::time::Duration;

use crucible_config::checked::Device;

use super::super::{
    fixture::{config, demand, engine, first, places, view},
    sticky::EngineModel,
    *,
};
use crate::{
    demand::Demand,
    view::{EngineView, View},
};

fn gpu() -> EngineView {
    engine("gpu", Device::Gpu, &["b", "a"])
}

fn cpu() -> EngineView {
    engine("cpu", Device::Cpu, &["y", "x"])
}

fn planned(view: &View, demand: &Demand, text: &str) -> Vec<String> {
    places(&plan(view, demand, &config(text), None).unwrap())
}

#[test]
fn built_in_ones_go_by_device() {
    let both = view([cpu(), gpu()]);
    assert_eq!(
        planned(&both, &demand("fast"), ""),
        ["gpu/a device", "cpu/x device"]
    );
    assert_eq!(
        planned(&both, &demand("Quality"), ""),
        ["cpu/x device", "gpu/a device"]
    );
    let two = {
        let mut other = engine("cpu", Device::Gpu, &["z"]);
        other.pool = "second".into();
        view([gpu(), other])
    };
    assert_eq!(
        planned(&two, &demand("quality"), ""),
        ["cpu/z device", "gpu/a device"]
    );
    for name in ["auto", "fast", "quality"] {
        assert_eq!(planned(&view([cpu()]), &demand(name), ""), ["cpu/x device"]);
        assert_eq!(
            planned(&view([gpu().down(), cpu()]), &demand(name), ""),
            ["cpu/x device"]
        );
    }
}

#[test]
fn one_best_model_per_engine_resident_then_pinned_then_by_name() {
    let fast = demand("fast");
    assert_eq!(planned(&view([gpu()]), &fast, ""), ["gpu/a device"]);
    let pinned = "[[model]]\nname = \"b\"\npin = true";
    assert_eq!(planned(&view([gpu()]), &fast, pinned), ["gpu/b device"]);
    let held = view([gpu().holding("a")]);
    assert_eq!(planned(&held, &fast, pinned), ["gpu/a device"]);
    let quantized = view([engine("gpu", Device::Gpu, &["m-q2_k", "m-q4_0", "z"])]);
    assert_eq!(planned(&quantized, &fast, ""), ["gpu/m-q4_0 device"]);
    let elsewhere = "[[model]]\nname = \"a\"\nengine = \"cpu\"";
    assert_eq!(planned(&view([gpu()]), &fast, elsewhere), ["gpu/b device"]);
}

#[test]
fn configured_lists_keep_their_order_and_cycles_end() {
    let text = r#"
[virtual]
mine = ["cpu/y*", "fast", "gpu/b"]
names = ["x", "gpu"]
"#;
    let both = view([gpu(), cpu()]);
    assert_eq!(
        planned(&both, &demand("mine"), text),
        [
            "cpu/y device",
            "gpu/a device",
            "cpu/x device",
            "gpu/b device"
        ]
    );
    assert_eq!(
        planned(&both, &demand("NAMES"), text),
        ["cpu/x device", "gpu/a device"]
    );
    let mut cyclic = config(text);
    cyclic
        .virtual_models
        .insert("one".into(), vec!["two".into(), "gpu/*".into()]);
    cyclic
        .virtual_models
        .insert("two".into(), vec!["one".into(), "cpu/*".into()]);
    let plan = plan(&both, &demand("one"), &cyclic, None).unwrap();
    assert_eq!(places(&plan), ["cpu/x device", "gpu/a device"]);
}

#[test]
fn the_first_rule_that_holds_decides() {
    let text = r#"
[[rule]]
when = { model = "auto", tokens_over = 8000 }
use = "quality"
[[rule]]
when = { words = ["Deploy Now"] }
use = "gpu/b"
[[rule]]
when = { header = { x-team = "infra" } }
use = "cpu"
[[rule]]
when = { tools = true }
use = "fast"
"#;
    let both = view([gpu(), cpu().holding("y")]);
    let auto = demand("auto");
    let cases: [(Demand, &str); 5] = [
        (
            Demand {
                prompt_tokens: 8001,
                last_user: "deploy now".into(),
                ..auto.clone()
            },
            "cpu/y rule",
        ),
        (
            Demand {
                last_user: "deploy\nnow!".into(),
                ..demand("quality")
            },
            "gpu/b rule",
        ),
        (
            Demand {
                headers: vec![("x-team".into(), "infra".into())],
                tools: true,
                ..auto.clone()
            },
            "cpu/y rule",
        ),
        (
            Demand {
                tools: true,
                ..auto.clone()
            },
            "gpu/a rule",
        ),
        (auto.clone(), "gpu/a predicted"),
    ];
    for (demand, expected) in cases {
        assert_eq!(planned(&both, &demand, text)[0], expected);
    }
    // A model's own name is never rerouted.
    let named = Demand {
        tools: true,
        ..demand("x")
    };
    assert_eq!(planned(&both, &named, text), ["cpu/x exact"]);
    // A rule whose target is down leaves the virtual model its own places.
    let tools = Demand {
        tools: true,
        ..auto
    };
    let down = view([gpu().down(), cpu()]);
    assert_eq!(planned(&down, &tools, text), ["cpu/x rule"]);
    let header = Demand {
        headers: vec![("x-team".into(), "infra".into())],
        ..demand("auto")
    };
    let down = view([gpu(), cpu().down()]);
    assert_eq!(planned(&down, &header, text), ["gpu/a device"]);
}

#[test]
fn auto_avoids_a_first_token_beyond_the_budget() {
    let long = Demand {
        prompt_tokens: 6000,
        ..demand("auto")
    };
    // 100 s of prompt on the CPU, 6 s and a load of 5 s on the GPU.
    let both = view([cpu().holding("x"), gpu()]);
    let plan_long = plan(&both, &long, &config(""), None).unwrap();
    assert_eq!(first(&plan_long), ("gpu", "a", Reason::Predicted));
    assert_eq!(
        plan_long.candidates[0].predicted.map(|p| p.first_token()),
        Some(Duration::from_secs(11))
    );
}

#[test]
fn auto_goes_where_the_answer_ends_first() {
    let ask = |prompt_tokens, max_tokens| Demand {
        prompt_tokens,
        max_tokens,
        ..demand("auto")
    };
    // The CPU has its model loaded and writes 8 tokens per second; the GPU writes 40 after a load
    // of 5 s.
    let both = view([cpu().holding("x"), gpu()]);
    for (demand, expected) in [
        (ask(30, None), "gpu/a predicted"),
        (ask(30, Some(5)), "cpu/x predicted"),
        (ask(30, Some(40)), "cpu/x predicted"),
        (ask(30, Some(60)), "gpu/a predicted"),
        // A long prompt is read sooner by the GPU, however short the answer.
        (ask(1000, Some(5)), "gpu/a predicted"),
    ] {
        assert_eq!(planned(&both, &demand, "")[0], expected, "{demand:?}");
    }
    // Once both are loaded, the faster one has the short ones too.
    let loaded = view([cpu().holding("x"), gpu().holding("a")]);
    assert_eq!(
        planned(&loaded, &ask(30, Some(5)), "")[0],
        "gpu/a predicted"
    );
    // Who has to wait on the GPU for the answers of others does not.
    let mut busy = gpu().holding("a");
    (busy.permits, busy.active, busy.queued) = (1, 1, 9);
    busy.residents[0].active = 1;
    let queue = view([cpu().holding("x"), busy]);
    assert_eq!(
        planned(&queue, &ask(30, Some(60)), "")[0],
        "cpu/x predicted"
    );
    // The budget of the first token binds first: the load alone is beyond it.
    let short = "[routing]\nfirst_token = \"3s\"";
    assert_eq!(planned(&both, &ask(30, None), short)[0], "cpu/x predicted");
    // Where nobody meets it, the earliest first token goes first.
    let shorter = "[routing]\nfirst_token = \"100ms\"";
    assert_eq!(
        planned(&both, &ask(30, None), shorter)[0],
        "cpu/x predicted"
    );
}

#[test]
fn words_break_ties_only() {
    let said = |text: &str| Demand {
        last_user: text.into(),
        ..demand("auto")
    };
    let mut second = engine("cpu", Device::Gpu, &["y", "x"]).holding("x");
    second.pool = "second".into();
    let near = view([gpu().holding("a"), second]);
    let far = view([gpu().holding("a"), cpu()]);
    let rule = "[[rule]]\nwhen = { words = [\"plan\"] }\nuse = \"fast\"";
    for (view, text, configured, expected) in [
        (&near, "plan this", "", "cpu/x keyword"),
        (&near, "fix the typo", "", "gpu/a keyword"),
        (&near, "an explanation", "", "gpu/a predicted"),
        (
            &near,
            "plan this",
            "builtin_rules = false",
            "gpu/a predicted",
        ),
        (&near, "plan this", rule, "gpu/a rule"),
        (&far, "plan this", "", "gpu/a predicted"),
    ] {
        let plan = planned(view, &said(text), configured);
        assert_eq!(plan[0], expected, "{text:?} {configured:?}");
        assert_eq!(plan.len(), 2);
    }
    let quality = Demand {
        last_user: "fix the typo".into(),
        ..demand("quality")
    };
    assert_eq!(planned(&near, &quality, "")[0], "cpu/x device");
}

#[test]
fn words_do_not_choose_what_misses_the_budget() {
    let mut second = engine("cpu", Device::Gpu, &["z"]);
    second.pool = "second".into();
    // 6 s of prompt on the first, 5 s of load more on the second.
    let both = view([gpu().holding("a"), second]);
    let said = Demand {
        prompt_tokens: 6000,
        last_user: "plan this".into(),
        ..demand("auto")
    };
    for (budget, expected) in [
        ("60s", "cpu/z keyword"),
        ("8s", "gpu/a predicted"),
        ("1s", "cpu/z keyword"),
    ] {
        let text = format!("[routing]\nfirst_token = \"{budget}\"");
        assert_eq!(planned(&both, &said, &text)[0], expected, "{budget}");
    }
}

#[test]
fn a_conversation_leaves_a_place_that_the_policy_no_longer_allows() {
    let place: EngineModel = ("cpu".into(), "y".into());
    let later = Demand {
        later_turn: true,
        ..demand("auto")
    };
    let both = view([gpu().holding("a"), cpu()]);
    for text in [
        "[virtual]\nauto = [\"gpu/*\"]",
        "[[model]]\nname = \"y\"\nengine = \"gpu\"",
    ] {
        let plan = plan(&both, &later, &config(text), Some(&place)).unwrap();
        assert_eq!(first(&plan).0, "gpu", "{text}");
    }
}

#[test]
fn the_fallbacks_of_the_chosen_model_follow() {
    let text = "[[model]]\nname = \"a\"\nfallback = [\"y\", \"b\"]\n[virtual]\nmine = [\"gpu/*\"]";
    let mine = demand("mine");
    assert_eq!(
        planned(&view([gpu(), cpu()]), &mine, text),
        ["gpu/a device", "cpu/y fallback", "gpu/b fallback"]
    );
    assert_eq!(
        planned(&view([gpu(), cpu().down()]), &mine, text),
        ["gpu/a device", "gpu/b fallback"]
    );
}

#[test]
fn auto_stays_where_the_conversation_was() {
    let place: EngineModel = ("cpu".into(), "y".into());
    let later = Demand {
        later_turn: true,
        prompt_tokens: 60_000,
        last_user: "fix the typo".into(),
        ..demand("auto")
    };
    let ask = |view: &View, demand: &Demand| {
        places(&plan(view, demand, &config(""), Some(&place)).unwrap())
    };
    let both = view([gpu().holding("a"), cpu()]);
    assert_eq!(ask(&both, &later), ["cpu/y sticky", "gpu/a device"]);
    let opening = Demand {
        later_turn: false,
        ..later.clone()
    };
    assert_eq!(ask(&both, &opening)[0], "gpu/a predicted");
    let named = Demand {
        model: "fast".into(),
        ..later.clone()
    };
    assert_eq!(ask(&both, &named)[0], "gpu/a device");
    let down = view([gpu(), cpu().down()]);
    assert_eq!(ask(&down, &later), ["gpu/a device"]);
    let tools = Demand {
        tools: true,
        ..later
    };
    let unable = view([gpu(), cpu().with(|m| m.capabilities.tools = Some(false))]);
    assert_eq!(ask(&unable, &tools), ["gpu/a capability"]);
}

#[test]
fn a_context_that_cannot_fit_excludes_where_another_fits() {
    let long = Demand {
        prompt_tokens: 5000,
        ..demand("auto")
    };
    let short = view([gpu().with(|m| m.max_context = Some(4096)), cpu()]);
    assert_eq!(planned(&short, &long, ""), ["cpu/x capability"]);
    let none = view([gpu().with(|m| m.max_context = Some(4096))]);
    assert_eq!(planned(&none, &long, ""), ["gpu/a device"]);
}

#[test]
fn the_policy_reads_prompts_only_where_it_may_use_them() {
    let text = "[[model]]\nname = \"auto\"\naliases = [\"gpt-*\"]\n[virtual]\nmine = [\"gpu/*\"]";
    let config_of = config(text);
    for (name, expected) in [
        ("auto", true),
        ("FAST", true),
        ("mine", true),
        ("gpt-4o", true),
        ("qwen", false),
    ] {
        assert_eq!(is_virtual(name, &config_of), expected, "{name}");
    }
    assert!(is_virtual("qwen", &config("default_model = \"auto\"")));
}
