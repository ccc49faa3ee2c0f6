use std::path::Path;

use super::*;
use crate::checked::Device;

fn config(text: &str) -> Config {
    let file = Some((Path::new("crucible.toml"), Ok(text.to_owned())));
    load_text(file, &[], &ConfigFlags::default())
        .unwrap_or_else(|p| panic!("{p}"))
        .config
}

fn temperature(
    config: &Config,
    engine: &str,
    model: &str,
    key: Option<&ClientKey>,
) -> Option<FilledValue<f64>> {
    config
        .request_defaults(config.engine(engine).unwrap(), model, key)
        .temperature
}

const LAYERED: &str = r#"
    [[engine]]
    name = "gpu"
    kind = "lmstudio"
    [[engine]]
    name = "cpu"
    kind = "ollama"
    [[engine]]
    name = "quiet"
    kind = "openai"
    url = "http://127.0.0.1:9000"
    defaults = false
    [[model]]
    name = "qwen*"
    context = 8192
    defaults = { temperature = 0.6 }
    [[model]]
    name = "Qwen3:8b"
    engine = "cpu"
    context = 16384
    defaults = false
    [[key]]
    name = "warm"
    hash = "sha256:0000000000000000000000000000000000000000000000000000000000000001"
    context = 2048
    defaults = { temperature = 1 }
    [[key]]
    name = "plain"
    hash = "sha256:0000000000000000000000000000000000000000000000000000000000000002"
    defaults = false
"#;

#[test]
fn the_builtin_profile_is_the_literal_one() {
    let config = Config::builtin();
    assert_eq!(config.listen, ["127.0.0.1:8484".parse().unwrap()]);
    assert_eq!(config.tuning.lmstudio.temperature, Some(0.3));
    assert_eq!(config.tuning.ollama.memory_limit, 16_000_000_000);
    assert_eq!(config.tuning.environment.CUDA_VISIBLE_DEVICES, "");
    assert_eq!(config.timeouts.idle.as_secs(), 30);
    assert_eq!(config.limits.event, 8_000_000);
    assert!(config.builtin_rules);
}

#[test]
fn the_agent_profile_has_more_context_and_no_sampling_defaults() {
    let config = config("profile = \"agent\"");
    assert_eq!(config.tuning.lmstudio.context_length, 32768);
    assert_eq!(config.tuning.ollama.context_size, 32768);
    assert_eq!(config.tuning.lmstudio.presence_penalty, None);
    assert_eq!(config.tuning.lmstudio.batch_size, 512);
    assert_eq!(config.timeouts.first_token.as_secs(), 900);
    assert_eq!(config.timeouts.response.as_secs(), 1800);
    assert_eq!(config.timeouts.tool_call.as_secs(), 1800);
}

#[test]
fn what_agent_takes_from_hybrid_says_so() {
    let text = "profile = \"agent\"".to_owned();
    let file = Some((Path::new("crucible.toml"), Ok(text)));
    let loaded = load_text(file, &[], &ConfigFlags::default()).unwrap_or_else(|p| panic!("{p}"));
    let source = |path: &str| {
        let mut all = loaded.shown.iter();
        let one = all.find(|one| one.path == path);
        one.map(|one| one.origin.source.as_str())
    };
    assert_eq!(source("timeouts.response"), Some("profile agent"));
    assert_eq!(source("timeouts.load"), Some("profile agent, as in hybrid"));
    assert_eq!(
        source("tuning.lmstudio.context_length"),
        Some("profile agent")
    );
}

#[test]
fn an_exact_name_wins_over_a_glob_in_any_case() {
    let config = config(LAYERED);
    let context = |engine: &str, model: &str| {
        config
            .model_settings(engine, model)
            .and_then(|block| block.context)
    };
    assert_eq!(context("cpu", "qwen3:8b"), Some(16384));
    assert_eq!(
        context("gpu", "QWEN3:8b"),
        Some(8192),
        "the exact block is pinned elsewhere"
    );
    assert_eq!(context("gpu", "llama"), None);
}

#[test]
fn defaults_come_from_key_then_model_then_profile() {
    let config = config(LAYERED);
    let (warm, plain) = (&config.keys[0], &config.keys[1]);
    let filled = |value, from| Some(FilledValue { value, from });
    assert_eq!(
        temperature(&config, "gpu", "x", None),
        filled(0.3, DefaultSource::Profile)
    );
    assert_eq!(
        temperature(&config, "gpu", "qwen2", None),
        filled(0.6, DefaultSource::Model)
    );
    assert_eq!(
        temperature(&config, "gpu", "qwen2", Some(warm)),
        filled(1.0, DefaultSource::Key)
    );
    assert_eq!(temperature(&config, "cpu", "qwen3:8b", None), None);
    assert_eq!(
        temperature(&config, "cpu", "qwen3:8b", Some(warm)),
        filled(1.0, DefaultSource::Key)
    );
    assert_eq!(temperature(&config, "gpu", "x", Some(plain)), None);
    assert_eq!(temperature(&config, "quiet", "x", Some(warm)), None);
}

#[test]
fn a_models_context_wins_over_a_keys() {
    let config = config(LAYERED);
    let gpu = config.engine("gpu").unwrap();
    let key = Some(&*config.keys[0]);
    assert_eq!(config.context_for(gpu, "qwen2", key, None).value, 8192);
    assert_eq!(config.context_for(gpu, "x", key, None).value, 2048);
    assert_eq!(config.context_for(gpu, "x", None, None).value, 4096);
}

#[test]
fn a_modelfiles_context_stands_between_the_profile_and_all_that_is_configured() {
    let base = "[[engine]]\nname = \"cpu\"\nkind = \"ollama\"\n";
    let key = "[[key]]\nname = \"k\"\ncontext = 2048\nhash = \"sha256:\
        0000000000000000000000000000000000000000000000000000000000000001\"\n";
    let block = |text: &str| format!("[[model]]\nname = \"m*\"\n{text}\n");
    for (text, value, from) in [
        (String::new(), 6000, DefaultSource::Modelfile),
        (
            "profile = \"agent\"\n".into(),
            6000,
            DefaultSource::Modelfile,
        ),
        (block("context = 8192"), 8192, DefaultSource::Model),
        (
            block("modelfile_context = false"),
            4096,
            DefaultSource::Profile,
        ),
        (
            block("modelfile_context = true"),
            6000,
            DefaultSource::Modelfile,
        ),
        (
            "[tuning.ollama]\ncontext_size = 4096\n".into(),
            4096,
            DefaultSource::Profile,
        ),
        (
            "[tuning.lmstudio]\ncontext_length = 4096\n".into(),
            6000,
            DefaultSource::Modelfile,
        ),
        (key.into(), 2048, DefaultSource::Key),
    ] {
        // Top-level keys come first.
        let whole = if text.starts_with("profile") {
            format!("{text}{base}")
        } else {
            format!("{base}{text}")
        };
        let config = config(&whole);
        let (engine, key) = (config.engine("cpu").unwrap(), config.keys.first());
        let filled = config.context_for(engine, "mine", key.map(AsRef::as_ref), Some(6000));
        assert_eq!((filled.value, filled.from), (value, from), "{text}");
    }
    let other = config("[[engine]]\nname = \"e\"\nkind = \"lmstudio\"");
    let filled = other.context_for(other.engine("e").unwrap(), "m", None, Some(6000));
    assert_eq!(filled.from, DefaultSource::Profile);
}

#[test]
fn kinds_have_their_own_permits_queue_and_device() {
    let config = Config::builtin();
    let url = Url::parse("http://127.0.0.1:1").unwrap();
    let made = |kind| {
        let engine = config.discovered(kind, "x", url.clone());
        (engine.permits, engine.queue, engine.device)
    };
    assert_eq!(made(EngineKind::Ollama), (2, 10, Device::Auto));
    assert_eq!(made(EngineKind::Lmstudio), (2, 64, Device::Gpu));
    assert_eq!(made(EngineKind::Llamacpp), (2, 64, Device::Cpu));
    assert_eq!(made(EngineKind::Openai), (32, 256, Device::Gpu));
}

#[test]
fn a_block_means_a_model_by_every_name_that_requests_may_use() {
    let engine = "[[engine]]\nname = \"cpu\"\nkind = \"ollama\"\n";
    for (name, model, meant) in [
        ("cpu/small-a", "small-a:latest", true),
        ("CPU/Small-A", "small-a", true),
        ("cpu/small*", "small-a", true),
        ("cpu/*", "pub/small-a", true),
        ("small-a:latest", "small-a", true),
        ("llama3.1:8b", "llama3.1:8b-q4_0", true),
        ("gpu/small-a", "small-a", false),
        ("gpu/*", "small-a", false),
    ] {
        let config = config(&format!("{engine}[[model]]\nname = \"{name}\"\npin = true"));
        let found = config
            .model_settings("cpu", model)
            .is_some_and(|block| block.pin);
        assert_eq!(found, meant, "{name} {model}");
    }
    let several = config(&format!(
        "{engine}[[model]]\nname = \"cpu/*\"\ncontext = 1024\n\
         [[model]]\nname = \"cpu/a\"\ncontext = 2048\n[[model]]\nname = \"a\"\ncontext = 3072"
    ));
    let context = |model| several.model_settings("cpu", model).and_then(|b| b.context);
    assert_eq!((context("a"), context("b")), (Some(3072), Some(1024)));
}

#[test]
fn a_glob_added_after_checking_still_matches() {
    let mut config = config(LAYERED);
    config.models[0].name = "phi-?".into();
    assert!(config.model_settings("gpu", "PHI-4").is_some());
}
