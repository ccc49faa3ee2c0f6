//! The way from a command's arguments and the process's environment to the configuration.

use crucible_config::{
    LiveConfig, LoadedConfig, Problems,
    layers::{self, ConfigFlags, ConfigSources},
};

use crate::{CommandFailure, CommonArgs, output::write_stderr};

/// Returns the sources of the configuration's layers: file, environment and flags.
pub fn sources(common: &CommonArgs) -> ConfigSources {
    ConfigSources::from_process(
        common.config.clone(),
        ConfigFlags {
            listen: common.listen.clone(),
            engines: common.engine.clone(),
            set: Vec::new(),
        },
    )
}

/// Loads the configuration like [`load`], and keeps the layer that set each value.
pub fn loaded(common: &CommonArgs) -> Result<LoadedConfig, CommandFailure> {
    let loaded = layers::load(&sources(common)).map_err(|p| broken(&p))?;
    warn(&loaded.warnings);
    Ok(loaded)
}

/// Writes the warnings to stderr, if there are any.
pub fn warn(warnings: &Problems) {
    if !warnings.0.is_empty() {
        write_stderr(&warnings.to_string());
    }
}

/// Loads the configuration and writes its warnings to stderr. Problems of it are a failure with
/// exit code 2 that lists them all.
pub fn load(common: &CommonArgs) -> Result<LiveConfig, CommandFailure> {
    given(LiveConfig::new(sources(common)))
}

/// Loads the configuration like [`load`], and also warns of things that are missing on this
/// machine.
pub fn load_here(common: &CommonArgs) -> Result<LiveConfig, CommandFailure> {
    given(LiveConfig::new_here(sources(common)))
}

fn given(loaded: Result<(LiveConfig, Problems), Problems>) -> Result<LiveConfig, CommandFailure> {
    let (live, warnings) = loaded.map_err(|p| broken(&p))?;
    warn(&warnings);
    Ok(live)
}

/// Returns the failure with exit code 2 that lists all problems.
pub fn broken(problems: &Problems) -> CommandFailure {
    CommandFailure::usage(problems.to_string())
}
