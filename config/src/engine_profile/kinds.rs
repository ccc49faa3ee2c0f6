//! The profile of each kind.

use super::{facts::EngineProfile, llamacpp, lmstudio, ollama, openai};
use crate::checked::{EngineConfig, EngineKind};

// === impl EngineKind ===

impl EngineKind {
    /// Every kind, in the order in which they are looked for and listed.
    pub const ALL: [Self; 4] = [Self::Lmstudio, Self::Ollama, Self::Llamacpp, Self::Openai];

    /// The facts about this kind.
    pub const fn profile(self) -> &'static EngineProfile {
        match self {
            Self::Lmstudio => &lmstudio::PROFILE,
            Self::Ollama => &ollama::PROFILE,
            Self::Llamacpp => &llamacpp::PROFILE,
            Self::Openai => &openai::PROFILE,
        }
    }

    /// The word for it in the configuration and in documents.
    pub const fn as_str(self) -> &'static str {
        self.profile().word
    }

    /// The kind that the configuration calls by this word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.profile().word == word)
    }
}

// === impl EngineConfig ===

impl EngineConfig {
    /// The environment variable with the engine's own token: the configured one, else its kind's.
    pub fn token_variable(&self) -> Option<&str> {
        let configured = self.api_key_env.as_deref();
        configured.or(self.kind.profile().token_variable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_and_a_port_mean_one_kind_only() {
        for kind in EngineKind::ALL {
            let profile = kind.profile();
            assert_eq!(EngineKind::of_word(profile.word), Some(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), profile.word);
            for other in EngineKind::ALL.into_iter().filter(|other| *other != kind) {
                let ports = other.profile().search_ports;
                assert!(!profile.search_ports.iter().any(|port| ports.contains(port)));
            }
        }
        assert_eq!(EngineKind::of_word("vllm"), None);
    }

    #[test]
    fn a_default_address_is_where_it_is_looked_for_first() {
        for kind in EngineKind::ALL {
            let profile = kind.profile();
            let first = profile.search_ports.first();
            let url = first.map(|port| format!("http://127.0.0.1:{port}"));
            assert_eq!(profile.default_url.map(str::to_owned), url, "{kind:?}");
        }
    }

    #[test]
    fn an_engine_without_load_control_takes_no_load_options() {
        for kind in EngineKind::ALL {
            let profile = kind.profile();
            assert_eq!(profile.loads(), profile.options.context, "{kind:?}");
            assert!(profile.loads() || profile.spawn.is_none(), "{kind:?}");
        }
    }

    #[test]
    fn the_configured_variable_stands_above_that_of_the_kind() {
        let config = crate::checked::Config::builtin();
        let url = || "http://127.0.0.1:1".parse().unwrap();
        let mut engine = config.discovered(EngineKind::Lmstudio, "l", url());
        assert_eq!(engine.token_variable(), Some("LM_API_TOKEN"));
        engine.api_key_env = Some("OWN".to_owned());
        assert_eq!(engine.token_variable(), Some("OWN"));
        let ollama = config.discovered(EngineKind::Ollama, "o", url());
        assert_eq!(ollama.token_variable(), None);
    }
}
