//! Names that only the engine itself gave.

use crucible_config::checked::{Device, EngineKind};

use super::super::{
    fixture::{config, demand, engine, places, view},
    plan,
};
use crate::{refusal::Refusal, view::View};

/// `pub/qwen` is loaded twice and by a person as `my-coder`; Ollama has a model of its own.
fn fleet(kind: EngineKind) -> View {
    let mut gpu = engine("gpu", Device::Gpu, &["pub/qwen", "phi"]).with(|model| {
        if &*model.id == "pub/qwen" {
            model.quantization = Some("Q4_K_M".into());
        }
    });
    gpu.kind = kind;
    for instance in ["pub/qwen", "pub/qwen:2", "my-coder"] {
        gpu = gpu.holding("pub/qwen");
        if let Some(resident) = gpu.residents.last_mut() {
            resident.info.instance = instance.into();
        }
    }
    view([gpu, engine("cpu", Device::Cpu, &["llama"])])
}

#[test]
fn identifiers_and_the_selected_variant_are_found() {
    let fleet = fleet(EngineKind::Lmstudio);
    for (name, reason) in [
        ("pub/qwen:2", "exact"),
        ("my-coder", "exact"),
        ("pub/qwen@q4_k_m", "exact"),
        ("PUB/Qwen@Q4_K_M", "exact"),
        ("gpu/my-coder", "prefixed"),
        ("gpu/pub/qwen:2", "prefixed"),
        ("gpu/pub/qwen@q4_k_m", "prefixed"),
    ] {
        let plan = plan(&fleet, &demand(name), &config(""), None).expect(name);
        assert_eq!(places(&plan), [format!("gpu/pub/qwen {reason}")], "{name}");
    }
    for name in [
        "pub/qwen:3",
        "My-Coder",
        "pub/qwen@q8_0",
        "phi@q4_k_m",
        "cpu/my-coder",
    ] {
        let refused = plan(&fleet, &demand(name), &config(""), None);
        assert!(
            matches!(refused, Err(Refusal::UnknownModel { .. })),
            "{name}"
        );
    }
}

#[test]
fn what_a_person_configured_and_other_engines_names_come_first() {
    let fleet = fleet(EngineKind::Lmstudio);
    let alias = "[[model]]\nname = \"llama\"\naliases = [\"my-coder\"]";
    let plan_of =
        |name: &str, text: &str| plan(&fleet, &demand(name), &config(text), None).unwrap();
    assert_eq!(places(&plan_of("my-coder", alias)), ["cpu/llama alias"]);
    // A pin of the model holds under its other names too.
    let pin = "[[model]]\nname = \"pub/qwen\"\nengine = \"gpu\"";
    assert_eq!(places(&plan_of("my-coder", pin)), ["gpu/pub/qwen exact"]);
    // Only LM Studio answers to identifiers.
    let other = self::fleet(EngineKind::Openai);
    assert!(plan(&other, &demand("my-coder"), &config(""), None).is_err());
}

#[test]
fn a_tag_in_another_case_is_meant_before_no_tag() {
    let view = view([
        engine("gpu", Device::Gpu, &["shared"]),
        engine("cpu", Device::Cpu, &["shared:latest"]),
    ]);
    for (name, place) in [
        ("shared", "gpu/shared exact"),
        ("SHARED", "gpu/shared exact"),
        ("shared:latest", "cpu/shared:latest exact"),
        ("Shared:LATEST", "cpu/shared:latest exact"),
        ("cpu/Shared:LATEST", "cpu/shared:latest prefixed"),
    ] {
        assert_eq!(
            places(&plan(&view, &demand(name), &config(""), None).unwrap()),
            [place],
            "{name}"
        );
    }
}
