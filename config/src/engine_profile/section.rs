//! The two sections of the tuning settings that describe engines.

use crate::checked::Tuning;

/// A section of the tuning settings: the settings that kinds of engine have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TuningSection {
    /// `[tuning.lmstudio]`, which also serves the kinds without a section of their own.
    Lmstudio,
    /// `[tuning.ollama]`.
    Ollama,
}

// === impl TuningSection ===

impl TuningSection {
    /// The name of the section in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lmstudio => "tuning.lmstudio",
            Self::Ollama => "tuning.ollama",
        }
    }
}

// === impl Tuning ===

impl Tuning {
    /// The context of one request in tokens where nothing more specific is configured.
    pub const fn context(&self, section: TuningSection) -> u64 {
        match section {
            TuningSection::Lmstudio => self.lmstudio.context_length,
            TuningSection::Ollama => self.ollama.context_size,
        }
    }

    /// The most models that one engine holds loaded at a time.
    pub const fn max_loaded_models(&self, section: TuningSection) -> u32 {
        match section {
            TuningSection::Lmstudio => self.lmstudio.max_loaded_models,
            TuningSection::Ollama => self.ollama.max_loaded_models,
        }
    }

    /// The batch size of prompts.
    pub const fn batch_size(&self, section: TuningSection) -> u32 {
        match section {
            TuningSection::Lmstudio => self.lmstudio.batch_size,
            TuningSection::Ollama => self.ollama.batch_size,
        }
    }
}
