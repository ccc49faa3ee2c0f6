//! The models that are loaded at the start.

use crate::{checked::Config, glob::is_glob, name::after_engine};

// === impl Config ===

impl Config {
    /// The names of the models to load at the start: the pinned ones that are named in full, then those of
    /// `[startup] warm`.
    pub fn models_to_load(&self) -> Vec<String> {
        let pinned = self.models.iter().filter(|m| m.pin && !is_glob(&m.name));
        let pinned = pinned.map(|m| match &m.engine {
            Some(engine) if after_engine(&m.name, engine).is_none() => {
                format!("{engine}/{}", m.name)
            }
            _ => m.name.clone(),
        });
        let mut names: Vec<String> = pinned.collect();
        for name in &self.warm {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::checked::{ModelDefaults, ModelSettings};

    fn pinned(name: &str, engine: Option<&str>) -> ModelSettings {
        ModelSettings {
            name: name.into(),
            engine: engine.map(Arc::from),
            aliases: Vec::new(),
            context: None,
            fit: None,
            pin: true,
            spill: false,
            fallback: Vec::new(),
            defaults: ModelDefaults::Inherit,
            modelfile_context: true,
        }
    }

    #[test]
    fn only_what_is_configured_in_full_is_loaded_at_the_start() {
        let mut config = Config::builtin();
        assert!(config.models_to_load().is_empty());
        config.models = vec![
            pinned("a", Some("e")),
            pinned("b*", None),
            pinned("c", None),
            pinned("E/f", Some("e")),
            pinned("e/g", None),
        ];
        config.warm = vec!["c".into(), "d".into()];
        assert_eq!(config.models_to_load(), ["e/a", "c", "E/f", "e/g", "d"]);
    }
}
