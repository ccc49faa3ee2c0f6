//! The source of the configuration in force.

use std::sync::Arc;

use crucible_config::checked::Config;

/// Reads the configuration in force; a reload changes what the next call returns.
pub type ConfigSource = Arc<dyn Fn() -> Arc<Config> + Send + Sync>;
