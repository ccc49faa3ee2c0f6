//! How far an engine has read a prompt, as it reports it before the first token.

use std::time::Duration;

/// One report of an engine on the prompt that it reads. Counts beyond 32 bits are no counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PromptProgress {
    /// The tokens of the whole prompt.
    pub total: u32,
    /// The tokens of it that the engine had in its cache.
    pub cached: u32,
    /// The tokens that are behind the engine, cached ones included.
    pub processed: u32,
    /// The milliseconds in which it read those that were not cached; 0 where it does not say.
    pub time_ms: u32,
}

// === impl PromptProgress ===

impl PromptProgress {
    /// Returns the tokens that were read and not found in the cache.
    pub fn read(&self) -> u32 {
        self.processed.saturating_sub(self.cached)
    }

    /// Returns the tokens that are still to be read.
    pub fn left(&self) -> u32 {
        self.total.saturating_sub(self.processed)
    }

    /// Returns the time in which the tokens of [`Self::read`] were read; `None` where the engine does not
    /// say it, or has read none.
    pub fn time(&self) -> Option<Duration> {
        let timed = self.time_ms > 0 && self.read() > 0;
        timed.then(|| Duration::from_millis(self.time_ms.into()))
    }
}
