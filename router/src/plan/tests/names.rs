//! Names, aliases, pins, fallbacks and what is said of unknown ones.

use std::sync::Arc;

use crucible_config::{Config, checked::Device};

use super::super::{
    fixture::{config, demand, engine, places, view},
    scope::NAME_SHOWN,
    *,
};
use crate::{
    catalog::ModelKind,
    demand::Demand,
    refusal::Refusal,
    view::{BreakerState, Health, View},
};

fn fleet() -> View {
    view([
        engine(
            "gpu",
            Device::Gpu,
            &[
                "qwen2.5-coder-7b",
                "meta/llama-3.1",
                "both",
                "phi@q8_0",
                "phi@q4_0",
                "phi@q4_k_m",
            ],
        ),
        engine(
            "cpu",
            Device::Cpu,
            &[
                "llama3.2:latest",
                "both",
                "mistral:7b-q8_0",
                "mistral:7b-q4_0",
            ],
        ),
    ])
}

fn planned(view: &View, name: &str, text: &str) -> Result<Vec<String>, Refusal> {
    plan(view, &demand(name), &config(text), None).map(|plan| places(&plan))
}

const ALIASES: &str = r#"
[[model]]
name = "qwen2.5-coder-7b"
aliases = ["coder", "claude-*"]
[[model]]
name = "both"
engine = "cpu"
aliases = ["either"]
[[model]]
name = "auto"
aliases = ["gpt-5*"]
[[model]]
name = "llama*"
aliases = ["any-llama"]
"#;

#[test]
fn a_name_finds_its_places() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("qwen2.5-coder-7b", "", &["gpu/qwen2.5-coder-7b exact"]),
        ("QWEN2.5-Coder-7B", "", &["gpu/qwen2.5-coder-7b exact"]),
        ("meta/llama-3.1", "", &["gpu/meta/llama-3.1 exact"]),
        ("gpu/meta/llama-3.1", "", &["gpu/meta/llama-3.1 prefixed"]),
        ("GPU/Meta/llama-3.1", "", &["gpu/meta/llama-3.1 prefixed"]),
        ("llama3.2", "", &["cpu/llama3.2:latest exact"]),
        ("Llama3.2:LATEST", "", &["cpu/llama3.2:latest exact"]),
        ("cpu/llama3.2", "", &["cpu/llama3.2:latest prefixed"]),
        (
            "qwen2.5-coder-7b:latest",
            "",
            &["gpu/qwen2.5-coder-7b exact"],
        ),
        ("both", "", &["gpu/both device", "cpu/both device"]),
        ("cpu/both", "", &["cpu/both prefixed"]),
        ("both", ALIASES, &["cpu/both pinned"]),
        ("gpu/both", ALIASES, &["gpu/both prefixed"]),
        ("either", ALIASES, &["cpu/both alias"]),
        ("coder", ALIASES, &["gpu/qwen2.5-coder-7b alias"]),
        ("Coder", ALIASES, &["gpu/qwen2.5-coder-7b alias"]),
        (
            "claude-sonnet-4-5",
            ALIASES,
            &["gpu/qwen2.5-coder-7b alias"],
        ),
        ("gpu/coder", ALIASES, &["gpu/qwen2.5-coder-7b prefixed"]),
        ("any-llama", ALIASES, &["cpu/llama3.2:latest alias"]),
        ("phi", "", &["gpu/phi@q4_0 exact"]),
        ("phi@q8_0", "", &["gpu/phi@q8_0 exact"]),
        ("gpu/phi", "", &["gpu/phi@q4_0 prefixed"]),
        ("mistral:7b", "", &["cpu/mistral:7b-q4_0 exact"]),
        (
            "what",
            "default_model = \"qwen2.5-coder-7b\"",
            &["gpu/qwen2.5-coder-7b default_model"],
        ),
    ];
    for (name, text, expected) in cases {
        assert_eq!(planned(&fleet(), name, text).unwrap(), *expected, "{name}");
    }
}

#[test]
fn the_preferred_quantization_follows_row_28() {
    let text = "[tuning.ollama]\nquantization = \"q8_0\"";
    assert_eq!(
        planned(&fleet(), "phi", text).unwrap(),
        ["gpu/phi@q8_0 exact"]
    );
    let told = fleet().engines[0].clone().with(|m| {
        m.quantization = Some(
            if m.id.ends_with("q4_k_m") {
                "Q4_0"
            } else {
                "Q6_K"
            }
            .into(),
        );
    });
    assert_eq!(
        planned(&view([told]), "phi", "").unwrap(),
        ["gpu/phi@q4_k_m exact"]
    );
}

#[test]
fn default_model_may_be_an_alias_or_a_virtual_model() {
    let text = format!("default_model = \"coder\"\n\n{}", ALIASES.trim_start());
    assert_eq!(
        planned(&fleet(), "what", &text).unwrap(),
        ["gpu/qwen2.5-coder-7b default_model"]
    );
    let plan = planned(&fleet(), "what", "default_model = \"quality\"").unwrap();
    assert!(plan[0].starts_with("cpu/"), "{plan:?}");
    let plan = planned(&fleet(), "gpt-5-mini", ALIASES).unwrap();
    assert!(plan[0].ends_with("predicted"), "{plan:?}");
}

#[test]
fn the_resident_goes_before_the_gpu() {
    let [gpu, cpu] = ["gpu", "cpu"].map(|name| fleet().engine(name).cloned().unwrap());
    let held = view([gpu.clone(), cpu.clone().holding("both")]);
    assert_eq!(
        planned(&held, "both", "").unwrap(),
        ["cpu/both resident", "gpu/both device"]
    );
    let all = view([gpu.holding("both"), cpu.holding("both")]);
    assert_eq!(
        planned(&all, "both", "").unwrap(),
        ["gpu/both device", "cpu/both device"]
    );
}

#[test]
fn an_engine_that_cannot_answer_is_left_out() {
    let mut fleet = fleet();
    fleet.engines[0].breaker = BreakerState::Open;
    assert_eq!(planned(&fleet, "both", "").unwrap(), ["cpu/both exact"]);
    let detail = |fleet: &View, name: &str, text: &str| match planned(fleet, name, text) {
        Err(Refusal::NoEngine { detail, .. }) => detail,
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(
        detail(&fleet, "coder", ALIASES),
        "'gpu' fails its requests and is left alone for a while"
    );
    fleet.engines[0].health = Health::Down;
    assert_eq!(detail(&fleet, "phi", ""), "'gpu' is down");
    fleet.engines[0].models = Arc::default();
    assert_eq!(detail(&fleet, "gpu/anything", ""), "'gpu' is down");
    let pinned = "[[model]]\nname = \"big\"\nengine = \"gpu\"\naliases = [\"huge\"]";
    for name in ["big", "huge"] {
        assert_eq!(
            detail(&fleet, name, pinned),
            "'big' is pinned to 'gpu', which is down"
        );
    }
    assert!(matches!(
        planned(&fleet, "nowhere", ""),
        Err(Refusal::UnknownModel { .. })
    ));
    fleet.engines[1].health = Health::Down;
    assert_eq!(
        detail(&fleet, "nowhere", ""),
        "'gpu' is down (0 models known), 'cpu' is down (4 models known)"
    );
    assert!(detail(&View::default(), "auto", "").starts_with("no engine is configured"));
}

#[test]
fn an_engine_that_never_answered_is_not_an_unknown_name() {
    let mut silent = engine("gpu", Device::Gpu, &[]);
    silent.health = Health::Unknown;
    let cpu = engine("cpu", Device::Cpu, &["m"]);
    let refused = planned(&view([silent, cpu]), "gpu/m", "");
    match refused {
        Err(Refusal::NoEngine { detail, .. }) => assert_eq!(detail, "'gpu' has not answered yet"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_alias_of_a_model_on_two_engines_names_the_alias_first() {
    let text = "[[model]]\nname = \"both\"\naliases = [\"x/y-*\"]";
    assert_eq!(
        planned(&fleet(), "x/y-1", text).unwrap(),
        ["gpu/both alias", "cpu/both device"]
    );
}

#[test]
fn several_pins_keep_the_order_of_the_file() {
    let text = "[[model]]\nname = \"both\"\nengine = \"cpu\"\n\
                [[model]]\nname = \"both\"\nengine = \"gpu\"";
    assert_eq!(
        planned(&fleet(), "both", text).unwrap(),
        ["cpu/both pinned", "gpu/both pinned"]
    );
}

#[test]
fn a_pin_is_kept_even_where_another_engine_has_the_model() {
    let [gpu, cpu] = ["gpu", "cpu"].map(|name| fleet().engine(name).cloned().unwrap());
    let refused = planned(&view([gpu, cpu.down()]), "both", ALIASES);
    assert!(
        matches!(refused, Err(Refusal::NoEngine { .. })),
        "{refused:?}"
    );
}

#[test]
fn unknown_names_get_the_nearest_and_a_line_that_maps_them() {
    let cases = [
        (
            "qwen2.5-coder:7b",
            Some("qwen2.5-coder-7b"),
            "qwen2.5-coder-7b",
        ),
        (
            "library/mistrl:7b",
            Some("mistral:7b-q4_0"),
            "mistral:7b-q4_0",
        ),
        (
            "hf.co/x/llama-3.1:Q5",
            Some("meta/llama-3.1"),
            "meta/llama-3.1",
        ),
        ("zzz\"[", None, "qwen2.5-coder-7b"),
    ];
    for (asked, expected, target) in cases {
        let Err(Refusal::UnknownModel {
            name,
            nearest,
            hint,
            alias_of: None,
            ..
        }) = planned(&fleet(), asked, "")
        else {
            panic!("{asked} is known");
        };
        assert_eq!(name, asked);
        assert_eq!(nearest.first().map(String::as_str), expected, "{nearest:?}");
        assert!(nearest.len() <= 3);
        // Pasted as it is.
        let mapped = planned(&fleet(), asked, &hint).unwrap();
        assert_eq!(mapped.len(), 1);
        assert!(mapped[0].ends_with(&format!("/{target} alias")), "{hint}");
    }
}

#[test]
fn a_giant_name_is_answered_shortly() {
    let Err(Refusal::UnknownModel { name, .. }) = planned(&fleet(), &"é/".repeat(1 << 20), "")
    else {
        panic!("known");
    };
    assert_eq!(name.chars().count(), NAME_SHOWN);
}

#[test]
fn kinds_must_match() {
    let embedding = view([engine("gpu", Device::Gpu, &["embed", "m"]).with(|m| {
        if &*m.id == "embed" {
            m.kind = ModelKind::Embedding;
        }
    })]);
    let ask = |name: &str, kind| {
        let demand = Demand {
            kind,
            ..demand(name)
        };
        plan(&embedding, &demand, &config(""), None).map(|plan| places(&plan))
    };
    let (generation, vectors) = (ModelKind::Generation, ModelKind::Embedding);
    assert_eq!(ask("embed", vectors).unwrap(), ["gpu/embed exact"]);
    assert_eq!(ask("auto", generation).unwrap(), ["gpu/m device"]);
    for (name, kind, lacking) in [
        ("m", vectors, "embeddings"),
        ("embed", generation, "generation"),
    ] {
        match ask(name, kind) {
            Err(Refusal::Incapable { needs, .. }) => assert_eq!(needs, lacking),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn capabilities_that_are_missing_exclude_and_unknown_ones_do_not() {
    let mut demand = demand("both");
    demand.images = true;
    let [gpu, cpu] = ["gpu", "cpu"].map(|name| fleet().engine(name).cloned().unwrap());
    let blind = |m: &mut crate::catalog::ModelInfo| m.capabilities.vision = Some(false);
    let none = view([gpu.clone().with(blind), cpu.clone().with(blind)]);
    match plan(&none, &demand, &config(""), None) {
        Err(Refusal::Incapable { needs, .. }) => assert_eq!(needs, "images"),
        other => panic!("{other:?}"),
    }
    let one = plan(&view([gpu.with(blind), cpu]), &demand, &config(""), None).unwrap();
    assert_eq!(places(&one), ["cpu/both capability"]);
}

#[test]
fn fallbacks_follow_and_take_over_where_the_model_cannot_answer() {
    let text = r#"
[[model]]
name = "qwen2.5-coder-7b"
aliases = ["coder"]
fallback = ["small", "llama3.2", "qwen2.5-coder-7b", "nowhere"]
[[model]]
name = "llama3.2"
aliases = ["small"]
fallback = ["both"]
"#;
    let after = "cpu/llama3.2:latest fallback";
    assert_eq!(
        planned(&fleet(), "coder", text).unwrap(),
        ["gpu/qwen2.5-coder-7b alias", after]
    );
    let mut fleet = fleet();
    fleet.engines[0].health = Health::Down;
    assert_eq!(planned(&fleet, "coder", text).unwrap(), [after]);
    fleet.engines[0].models = Arc::default();
    assert_eq!(planned(&fleet, "coder", text).unwrap(), [after]);
}

#[test]
fn cloud_models_are_hidden_unless_allowed() {
    let cloud = view([engine("cpu", Device::Cpu, &["big:cloud"]).with(|m| m.cloud = true)]);
    let mut config = config("");
    let ask = |config: &Config| plan(&cloud, &demand("big:cloud"), config, None);
    assert!(matches!(ask(&config), Err(Refusal::UnknownModel { .. })));
    assert!(listing(&cloud, &config).is_empty());
    config.engines[1].allow_cloud = true;
    assert_eq!(places(&ask(&config).unwrap()), ["cpu/big:cloud exact"]);
}

#[test]
fn the_list_holds_every_usable_name_once() {
    let lists = "[virtual]\nmine = [\"gpu/phi*\"]\ndead = [\"gpu/none*\"]";
    let text = format!("{ALIASES}{lists}");
    let listed = listing(&fleet(), &config(&text));
    let ids: Vec<&str> = listed.iter().map(|l| &*l.id).collect();
    assert_eq!(
        ids,
        [
            "qwen2.5-coder-7b",
            "meta/llama-3.1",
            "both",
            "gpu/both",
            "phi@q8_0",
            "phi@q4_0",
            "phi@q4_k_m",
            "llama3.2:latest",
            "cpu/both",
            "mistral:7b-q8_0",
            "mistral:7b-q4_0",
            "coder",
            "either",
            "any-llama",
            "auto",
            "fast",
            "quality",
            "mine",
        ]
    );
    assert_eq!(&*listed[11].owned_by, "crucible");
    let [gpu, cpu] = ["gpu", "cpu"].map(|name| fleet().engine(name).cloned().unwrap());
    assert!(listing(&view([gpu.down(), cpu.down()]), &config(&text)).is_empty());
}
