//! The settings by which a request is read.

use crucible_config::Config;

/// What is done about the parts of requests that spoil engines' caches of prompts (`[prefix]`).
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestSettings {
    /// Claude Code's block of accounting is left out.
    pub(super) drops_billing_block: bool,
    /// `cache_control` is written as `OpenAI`-compatible gateways know it, instead of left out.
    pub(super) keeps_cache_control: bool,
}

// === impl RequestSettings ===

impl RequestSettings {
    pub(super) const fn of(config: &Config) -> Self {
        Self {
            drops_billing_block: config.prefix.billing_block,
            keeps_cache_control: !config.prefix.cache_control,
        }
    }
}
