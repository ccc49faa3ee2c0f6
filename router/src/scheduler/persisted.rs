//! The state that outlives a run of Crucible: the residents that it loaded, and the largest context
//! of each model.
//!
//! This is plain data and its JSON text; the file belongs to the actor's resident store. Engines
//! are recognised by address: another engine of the same name is another engine.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::engine::LoadTuple;

/// The content of the file. A list that the file lacks is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PersistedState {
    /// The residents that Crucible loaded and nobody unloaded.
    pub owned: Vec<OwnedResident>,
    /// The largest contexts that models were loaded with.
    pub contexts: Vec<ContextRecord>,
}

/// A resident that Crucible loaded itself, as the ownership file keeps it for the next start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnedResident {
    /// The address of its engine, without credentials.
    pub url: Arc<str>,
    /// The name of its engine, for people who read the file.
    pub engine: Arc<str>,
    /// The model by the name of its runner.
    pub model: Arc<str>,
    /// The engine's name of the instance.
    pub instance: Arc<str>,
    /// The tokens of context as the engine reported them. An instance with another number is
    /// another load.
    pub context: Option<u64>,
    /// The options of the load.
    pub tuple: LoadTuple,
}

/// The largest context that a model was ever loaded with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextRecord {
    /// The address of its engine, without credentials.
    pub url: Arc<str>,
    /// The model by the name of its runner.
    pub model: Arc<str>,
    /// The tokens of context per request.
    pub tokens: u64,
    /// The tokens of context that were configured for the model at that time; a configuration that
    /// changed since wins. `None` in files of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configured: Option<u64>,
}

// === impl PersistedState ===

impl PersistedState {
    /// Reads the text of the file; an error names the place in the text that cannot be read.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The text of the file, indented JSON.
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
                tuple: LoadTuple {
                    context: Some(4096),
                    ..LoadTuple::default()
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
