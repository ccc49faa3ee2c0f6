//! Names over the same weights: one runner of their engine, one resident, one set of options.
//!
//! Their load has the largest context that any of them is configured with, and stays if any of them
//! is pinned. Where their descriptions have options that Crucible does not send, a load by another
//! name is another load: that is told.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

use crucible_config::{
    Config,
    checked::{self, ClientKey, FilledValue},
};

use crate::{
    catalog::{ModelInfo, ModelKind},
    options::LoadTuple,
};

/// The runner of a name; itself where nothing is known of it.
pub(crate) fn runner(models: &[ModelInfo], name: &Arc<str>) -> Arc<str> {
    let found = models.iter().find(|m| m.id == *name);
    Arc::clone(found.map_or(name, |m| &m.runner))
}

/// The names that share this one's runner, itself first.
pub(crate) fn sharing<'a>(models: &'a [ModelInfo], name: &'a str) -> Vec<&'a str> {
    let mut names = vec![name];
    if let Some(own) = models.iter().find(|m| *m.id == *name) {
        let others = models.iter().filter(|m| m.runner == own.runner);
        names.extend(others.map(|m| &*m.id).filter(|id| *id != name));
    }
    names
}

/// Context per request that a load of this name has before any growth.
pub(crate) fn context(
    config: &Config,
    engine: &checked::EngineConfig,
    models: &[ModelInfo],
    name: &str,
    key: Option<&ClientKey>,
) -> FilledValue<u64> {
    let context = |name: &str| {
        let model = models.iter().find(|m| *m.id == *name);
        config.context_for(
            engine,
            name,
            key,
            model.and_then(ModelInfo::described_context),
        )
    };
    let own = context(name);
    let others = sharing(models, name).into_iter().skip(1).map(context);
    others.fold(own, |most, other| {
        if other.value > most.value {
            other
        } else {
            most
        }
    })
}

/// One of the names is never to be unloaded.
pub(crate) fn pinned(config: &Config, engine: &str, models: &[ModelInfo], name: &str) -> bool {
    let mut names = sharing(models, name).into_iter();
    names.any(|name| config.model_settings(engine, name).is_some_and(|m| m.pin))
}

/// Options of the descriptions that a load with this tuple leaves as they are.
pub(crate) fn unsent(model: &ModelInfo, tuple: &LoadTuple) -> Vec<(String, String)> {
    let sent = |key: &str| match key {
        "num_ctx" => tuple.context.is_some(),
        "num_batch" => tuple.batch.is_some(),
        "num_gpu" => tuple.gpu_layers.is_some(),
        "num_thread" => tuple.threads.is_some(),
        "use_mmap" => tuple.mmap.is_some(),
        _ => false,
    };
    let left = model.load.iter().filter(|(key, _)| !sent(key));
    left.map(|(k, v)| (k.clone(), v.trim().to_owned()))
        .collect()
}

/// Returns a number, by name, for the load options that a name has beside the tuple; names without
/// any are left out.
pub(crate) fn variants(
    models: &[ModelInfo],
    tuple: impl Fn(ModelKind) -> LoadTuple,
) -> BTreeMap<Arc<str>, u64> {
    let mut variants = BTreeMap::new();
    for model in models.iter().filter(|m| !m.load.is_empty()) {
        let left = unsent(model, &tuple(model.kind));
        if !left.is_empty() {
            let mut hasher = DefaultHasher::new();
            left.hash(&mut hasher);
            variants.insert(Arc::clone(&model.id), hasher.finish());
        }
    }
    variants
}

#[cfg(test)]
mod tests {
    use crucible_config::checked::{DefaultSource, Manage};

    use super::*;
    use crate::{
        handle::testing::{pinned as block, status},
        plan::fixture::generation,
    };

    fn model(name: &str, runner: &str, load: &[(&str, &str)]) -> ModelInfo {
        let load = load.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        ModelInfo {
            runner: runner.into(),
            load: Arc::new(load.collect()),
            ..generation(name)
        }
    }

    fn sent(_: ModelKind) -> LoadTuple {
        LoadTuple {
            context: Some(4096),
            threads: Some(4),
            ..LoadTuple::default()
        }
    }

    #[test]
    fn the_largest_configured_context_counts_for_all_names_and_a_pin_does_too() {
        let mut config = Config::builtin();
        config.models.push(block("big"));
        let models = [
            model("small", "small", &[]),
            model("big", "small", &[]),
            model("other", "other", &[]),
        ];
        let engine = status(&config, Manage::Models).config;
        for (name, value, from, pin) in [
            ("small", 16_384, DefaultSource::Model, true),
            ("big", 16_384, DefaultSource::Model, true),
            ("other", 4096, DefaultSource::Profile, false),
            ("not listed", 4096, DefaultSource::Profile, false),
        ] {
            let found = context(&config, &engine, &models, name, None);
            assert_eq!((found.value, found.from), (value, from), "{name}");
            assert_eq!(pinned(&config, "o", &models, name), pin, "{name}");
        }
    }

    #[test]
    fn what_crucible_sends_is_no_difference() {
        let models = [
            model("a", "a", &[("num_ctx", "8192"), ("num_thread", "2")]),
            model("b", "a", &[]),
            model("c", "a", &[("num_gpu", "20"), ("num_ctx", "1")]),
            model("d", "a", &[("adapters", "sha256-1 ")]),
        ];
        let variants = variants(&models, sent);
        let names: Vec<&str> = variants.keys().map(|n| &**n).collect();
        assert_eq!(names, ["c", "d"]);
        assert_ne!(variants["c"], variants["d"]);
    }
}
