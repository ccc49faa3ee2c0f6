//! The questions that a request asks of the configuration. Their answers depend on nothing else,
//! and none of them blocks.

use std::sync::Arc;

use url::Url;

use crate::{
    checked::{
        ClientKey, Config, DefaultSource, EngineConfig, EngineKind, FilledValue, ModelDefaults,
        ModelSettings, RequestDefaults, Sampling,
    },
    glob,
    layers::{ConfigFlags, load_text},
    name,
};

// === impl Config ===

impl Config {
    /// Returns the configuration that holds where a person configured nothing: the built-in profile
    /// `hybrid`.
    #[expect(
        clippy::missing_panics_doc,
        reason = "a test proves that the profile is valid"
    )]
    #[expect(
        clippy::panic,
        reason = "the literal table cannot be wrong at run time only"
    )]
    pub fn builtin() -> Self {
        match load_text(None, &[], &ConfigFlags::default()) {
            Ok(loaded) => loaded.config,
            Err(problems) => panic!("the built-in profile: {problems}"),
        }
    }

    /// Returns the `[[model]]` block that applies to a model on an engine: the one whose name means
    /// it most exactly, else the first in the file whose glob matches. `None` means that no block
    /// does.
    ///
    /// Every name that a request may use for the model counts: in any case, with and without
    /// `:latest`, as `engine/model`, or without the quantization. Blocks pinned to another engine
    /// do not count.
    pub fn model_settings(&self, engine: &str, model: &str) -> Option<&ModelSettings> {
        let here = |block: &&ModelSettings| {
            block
                .engine
                .as_deref()
                .is_none_or(|pinned| pinned.eq_ignore_ascii_case(engine))
        };
        let blocks = || self.models.iter().filter(here);
        let exactness = |block: &&ModelSettings| name::exactness(&block.name, engine, model);
        let exact = blocks().filter_map(|block| Some((exactness(&block)?, block)));
        // The first of the most exact ones.
        if let Some((_, block)) = exact.min_by_key(|(exactness, _)| *exactness) {
            return Some(block);
        }
        blocks().find(|block| self.pattern_means(&block.name, engine, model))
    }

    /// Reports whether a name or a glob of the configuration means this model of this engine.
    pub fn means(&self, text: &str, engine: &str, model: &str) -> bool {
        name::exactness(text, engine, model).is_some() || self.pattern_means(text, engine, model)
    }

    /// Reports whether a text is a glob that matches the model's name, or `engine/model` where it
    /// begins with the engine's name.
    fn pattern_means(&self, text: &str, engine: &str, model: &str) -> bool {
        if !glob::is_glob(text) {
            return false;
        }
        self.globs.matches(text, model)
            || name::after_engine(text, engine).is_some()
                && self.globs.matches(text, &format!("{engine}/{model}"))
    }

    /// Returns the sampling parameters that are filled in where a request does not set them. Each
    /// comes from the client's `[[key]]` block, else from the `[[model]]` block, else from the
    /// profile.
    ///
    /// Nothing is filled in where the engine or the key says `defaults = false`. Where the model
    /// says so, only values of the key are.
    pub fn request_defaults(
        &self,
        engine: &EngineConfig,
        model: &str,
        key: Option<&ClientKey>,
    ) -> RequestDefaults {
        if !engine.defaults {
            return RequestDefaults::default();
        }
        let own = match key.map(|key| &key.defaults) {
            Some(ModelDefaults::Off) => return RequestDefaults::default(),
            Some(ModelDefaults::Set(values)) => *values,
            Some(ModelDefaults::Inherit) | None => Sampling::default(),
        };
        let tuning = &self.tuning.lmstudio;
        let profile = Sampling {
            temperature: tuning.temperature,
            top_p: tuning.top_p,
            frequency_penalty: tuning.frequency_penalty,
            presence_penalty: tuning.presence_penalty,
        };
        let nothing = Sampling::default();
        let (block, profile) = match self
            .model_settings(&engine.name, model)
            .map(|m| &m.defaults)
        {
            Some(ModelDefaults::Off) => (nothing, nothing),
            Some(ModelDefaults::Set(values)) => (*values, profile),
            Some(ModelDefaults::Inherit) | None => (nothing, profile),
        };
        let first = |value: fn(&Sampling) -> Option<f64>| {
            [
                (DefaultSource::Key, &own),
                (DefaultSource::Model, &block),
                (DefaultSource::Profile, &profile),
            ]
            .into_iter()
            .find_map(|(from, layer)| value(layer).map(|value| FilledValue { value, from }))
        };
        RequestDefaults {
            temperature: first(|s| s.temperature),
            top_p: first(|s| s.top_p),
            frequency_penalty: first(|s| s.frequency_penalty),
            presence_penalty: first(|s| s.presence_penalty),
        }
    }

    /// Returns the context in tokens that a request gets before a longer prompt makes it grow, and
    /// the layer that set it. `modelfile` is `num_ctx` of Ollama's Modelfile, where there is one.
    ///
    /// The `[[model]]` block comes first, because a model's context belongs to all its clients;
    /// then the client's `[[key]]` block, what a person set in `[tuning]`, the Modelfile, and the
    /// profile.
    pub fn context_for(
        &self,
        engine: &EngineConfig,
        model: &str,
        key: Option<&ClientKey>,
        modelfile: Option<u64>,
    ) -> FilledValue<u64> {
        if let Some(value) = self
            .model_settings(&engine.name, model)
            .and_then(|m| m.context)
        {
            return FilledValue {
                value,
                from: DefaultSource::Model,
            };
        }
        if let Some(value) = key.and_then(|key| key.context) {
            return FilledValue {
                value,
                from: DefaultSource::Key,
            };
        }
        let counts = || {
            let settings = self.model_settings(&engine.name, model);
            engine.kind.profile().modelfile_context
                && !self.context.ollama_configured
                && settings.is_none_or(|m| m.modelfile_context)
        };
        if let Some(value) = modelfile.filter(|_| counts()) {
            return FilledValue {
                value,
                from: DefaultSource::Modelfile,
            };
        }
        let value = self.tuning.context(engine.kind.profile().section);
        FilledValue {
            value,
            from: DefaultSource::Profile,
        }
    }

    /// Returns the settings of an engine that was found at this URL and that nobody configured: the
    /// defaults of its kind.
    pub fn discovered(&self, kind: EngineKind, name: &str, url: Url) -> EngineConfig {
        let profile = kind.profile();
        let (permits, queue) = if profile.permits_from_tuning {
            (
                self.tuning.ollama.num_parallel,
                self.tuning.ollama.max_queue,
            )
        } else {
            (profile.permits, profile.queue)
        };
        EngineConfig {
            name: Arc::from(name),
            kind,
            url: Some(url),
            device: profile.device,
            pool: None,
            api_key_env: None,
            manage: profile.manage,
            permits,
            queue,
            defaults: true,
            allow_cloud: false,
            passthrough: Vec::new(),
            websocket: false,
            command: Vec::new(),
            ca_file: None,
            model_path: None,
        }
    }

    /// Reports whether a glob of this configuration matches a name. Case does not count, and `*`
    /// matches slashes too.
    pub fn glob_matches(&self, glob: &str, name: &str) -> bool {
        self.globs.matches(glob, name)
    }
}

#[cfg(test)]
mod tests;
