//! Where the configuration in force comes from.

use std::sync::Arc;

use crucible_config::checked::Config;

/// Reads the configuration in force; a reload changes what the next call returns.
pub type ConfigSource = Arc<dyn Fn() -> Arc<Config> + Send + Sync>;
