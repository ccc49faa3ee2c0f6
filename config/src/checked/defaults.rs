//! What is filled in for one request.

use serde::{Deserialize, Serialize};

/// Who set a default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DefaultSource {
    /// The client's key.
    Key,
    /// A `[[model]]` block.
    Model,
    /// `PARAMETER num_ctx` of the model's Modelfile (Ollama).
    Modelfile,
    /// The profile or `[tuning.*]`.
    Profile,
}

/// One value that is filled in where the request is silent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FilledValue<T> {
    /// The value.
    pub value: T,
    /// Who set it.
    pub from: DefaultSource,
}

/// What is filled in for one request on one engine and model. `None`: nothing is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RequestDefaults {
    /// Row 14.
    pub temperature: Option<FilledValue<f64>>,
    /// Row 15.
    pub top_p: Option<FilledValue<f64>>,
    /// Row 16.
    pub frequency_penalty: Option<FilledValue<f64>>,
    /// Row 17.
    pub presence_penalty: Option<FilledValue<f64>>,
}

// === impl RequestDefaults ===

impl RequestDefaults {
    /// Those that are set, by wire name.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, FilledValue<f64>)> {
        [
            ("temperature", self.temperature),
            ("top_p", self.top_p),
            ("frequency_penalty", self.frequency_penalty),
            ("presence_penalty", self.presence_penalty),
        ]
        .into_iter()
        .filter_map(|(name, filled)| Some((name, filled?)))
    }
}
