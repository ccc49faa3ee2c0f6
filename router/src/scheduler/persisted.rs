//! What outlives a run: what Crucible loaded, and the largest context of each model.
//!
//! Plain data and its text (JSON); the file is the store's. An engine is known again by its
//! address: another one of the same name is another one.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::engine::Tuple;

/// The content of the file; what cannot be read is as if it were not there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PersistedState {
    /// What Crucible loaded and nobody unloaded.
    pub owned: Vec<OwnedResident>,
    /// The largest contexts so far.
    pub contexts: Vec<ContextRecord>,
}

/// A resident that Crucible loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnedResident {
    /// Address of the engine.
    pub url: Arc<str>,
    /// Name of the engine, for people.
    pub engine: Arc<str>,
    /// Model.
    pub model: Arc<str>,
    /// Instance.
    pub instance: Arc<str>,
    /// As the engine reported it: with another one it is not the same load.
    pub context: Option<u64>,
    /// Options of the load.
    pub tuple: Tuple,
}

/// The largest context that a model was ever loaded with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextRecord {
    /// Address of the engine.
    pub url: Arc<str>,
    /// Model.
    pub model: Arc<str>,
    /// Tokens per request.
    pub tokens: u64,
    /// What was configured for the model then, before any growth; another configuration wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configured: Option<u64>,
}

// === impl Memory ===

impl PersistedState {
    /// Reads the file's text.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The file's text.
    pub fn to_text(&self) -> String {
        // Plain strings and numbers always have a text.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_as_it_was_written() {
        let memory = PersistedState {
            owned: vec![OwnedResident {
                url: "http://h:1".into(),
                engine: "e".into(),
                model: "m".into(),
                instance: "m:2".into(),
                context: Some(8192),
                tuple: Tuple {
                    context: Some(4096),
                    ..Tuple::default()
                },
            }],
            contexts: vec![ContextRecord {
                url: "http://h:1".into(),
                model: "m".into(),
                tokens: 16_384,
                configured: Some(4096),
            }],
        };
        assert_eq!(PersistedState::parse(&memory.to_text()).unwrap(), memory);
    }

    #[test]
    fn what_is_missing_is_empty_and_what_is_broken_says_so() {
        assert_eq!(
            PersistedState::parse("{}").unwrap(),
            PersistedState::default()
        );
        let older = r#"{"contexts": [{"url": "u", "model": "m", "tokens": 8192}]}"#;
        assert_eq!(
            PersistedState::parse(older).unwrap().contexts[0].configured,
            None
        );
        assert!(PersistedState::parse("{").is_err());
        assert!(PersistedState::parse(r#"{"owned": 3}"#).is_err());
    }
}
