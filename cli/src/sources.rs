//! From arguments and the process's environment to the configuration.

use crucible_config::{
    Live, Loaded, Problems,
    layers::{self, Flags, Sources},
};

use crate::{CommandFailure, CommonArgs, output::complain};

/// What the layers are made of.
pub fn sources(common: &CommonArgs) -> Sources {
    Sources::from_process(
        common.config.clone(),
        Flags {
            listen: common.listen.clone(),
            engines: common.engine.clone(),
            set: Vec::new(),
        },
    )
}

/// As [`load`], with what the layers tell of it.
pub fn loaded(common: &CommonArgs) -> Result<Loaded, CommandFailure> {
    let loaded = layers::load(&sources(common)).map_err(|p| broken(&p))?;
    warn(&loaded.warnings);
    Ok(loaded)
}

/// On stderr, if there is any.
pub fn warn(warnings: &Problems) {
    if !warnings.0.is_empty() {
        complain(&warnings.to_string());
    }
}

/// The configuration, or exit code 2 with every problem. Warnings go to stderr.
pub fn load(common: &CommonArgs) -> Result<Live, CommandFailure> {
    given(Live::new(sources(common)))
}

/// As [`load`], with warnings of what is not on this machine.
pub fn load_here(common: &CommonArgs) -> Result<Live, CommandFailure> {
    given(Live::new_here(sources(common)))
}

fn given(loaded: Result<(Live, Problems), Problems>) -> Result<Live, CommandFailure> {
    let (live, warnings) = loaded.map_err(|p| broken(&p))?;
    warn(&warnings);
    Ok(live)
}

/// Exit code 2, all problems.
pub fn broken(problems: &Problems) -> CommandFailure {
    CommandFailure::usage(problems.to_string())
}
