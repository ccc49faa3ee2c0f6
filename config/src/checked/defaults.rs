//! The values that are filled in where a request is silent, each with its source.

use serde::{Deserialize, Serialize};

/// The layer that set a default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DefaultSource {
    /// The `[[key]]` block of the client.
    Key,
    /// The `[[model]]` block of the model.
    Model,
    /// The line `PARAMETER num_ctx` of the model's Modelfile (Ollama).
    Modelfile,
    /// The built-in profile, or `[tuning.*]` above it.
    Profile,
}

/// One value that is filled in where the request is silent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FilledValue<T> {
    /// The value that is filled in.
    pub value: T,
    /// The layer that set it.
    pub from: DefaultSource,
}

/// The sampling values for one request on one engine and model; `None` where nothing is filled in.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RequestDefaults {
    /// The temperature, [`TuningId::LmstudioTemperature`](crate::tuning::TuningId).
    pub temperature: Option<FilledValue<f64>>,
    /// The share of nucleus sampling, [`TuningId::LmstudioTopP`](crate::tuning::TuningId).
    pub top_p: Option<FilledValue<f64>>,
    /// The penalty on frequent tokens, for chat requests only.
    pub frequency_penalty: Option<FilledValue<f64>>,
    /// The penalty on tokens that are present, for chat requests only.
    pub presence_penalty: Option<FilledValue<f64>>,
}

// === impl RequestDefaults ===

impl RequestDefaults {
    /// The values that are set, by their names in OpenAI's format.
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
