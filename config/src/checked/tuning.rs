//! The 39 rows after checking, and what is filled in for one request.

use std::time::Duration;

use indexmap::IndexMap;
use serde::Serialize;

/// Typed values of the 39 rows after all layers.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuning {
    /// The 20.
    pub lmstudio: LmstudioTuning,
    /// The 11.
    pub ollama: OllamaTuning,
    /// The 8, in table order: variable name to value.
    pub environment: IndexMap<String, String>,
}

/// Rows 1-20.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "four of the 20 rows are switches"
)]
pub struct LmstudioTuning {
    /// Row 1; 0..=1.
    pub gpu_memory_fraction: f64,
    /// Row 2; -1 is all.
    pub gpu_layers: i64,
    /// Row 3.
    pub max_loaded_models: u32,
    /// Row 4.
    pub jit_loading: bool,
    /// Row 5.
    pub model_ttl: Duration,
    /// Row 6.
    pub auto_evict: bool,
    /// Row 7.
    pub batch_size: u32,
    /// Row 8.
    pub flash_attention: bool,
    /// Row 9; `f16` and so on.
    pub key_cache_quantization: String,
    /// Row 10.
    pub value_cache_quantization: String,
    /// Row 11; bytes.
    pub stream_buffer_size: usize,
    /// Row 12.
    pub stream_timeout: Duration,
    /// Row 13; tokens per request.
    pub context_length: u64,
    /// Row 14; `None` where the profile sets no sampling defaults.
    pub temperature: Option<f64>,
    /// Row 15.
    pub top_p: Option<f64>,
    /// Row 16.
    pub frequency_penalty: Option<f64>,
    /// Row 17.
    pub presence_penalty: Option<f64>,
    /// Row 18.
    pub keep_alive_interval: Duration,
    /// Row 19.
    pub keep_alive_enabled: bool,
    /// Row 20.
    pub model_warmup: bool,
}

/// Rows 21-31.
#[derive(Clone, Debug, PartialEq)]
pub struct OllamaTuning {
    /// Row 21.
    pub max_loaded_models: u32,
    /// Row 22.
    pub max_queue: u32,
    /// Row 23.
    pub num_parallel: u32,
    /// Row 24; bytes.
    pub memory_limit: u64,
    /// Row 25; as configured, clamped to physical cores where it is applied.
    pub num_threads: u32,
    /// Row 26.
    pub numa_policy: String,
    /// Row 27; tokens per request.
    pub context_size: u64,
    /// A file, a variable or a flag sets row 27; it is not the profile's.
    pub context_size_given: bool,
    /// Row 28.
    pub quantization: String,
    /// Row 29.
    pub batch_size: u32,
    /// Row 30.
    pub use_mmap: bool,
    /// Row 31.
    pub use_mlock: bool,
}

/// Who set a default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum From {
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
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Filled<T> {
    /// The value.
    pub value: T,
    /// Who set it.
    pub from: From,
}

/// What is filled in for one request on one engine and model. `None`: nothing is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RequestDefaults {
    /// Row 14.
    pub temperature: Option<Filled<f64>>,
    /// Row 15.
    pub top_p: Option<Filled<f64>>,
    /// Row 16.
    pub frequency_penalty: Option<Filled<f64>>,
    /// Row 17.
    pub presence_penalty: Option<Filled<f64>>,
}

// === impl RequestDefaults ===

impl RequestDefaults {
    /// Those that are set, by wire name.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, Filled<f64>)> {
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
