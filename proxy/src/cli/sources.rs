//! From arguments and the process's environment to the configuration.

use crucible_config::{
    Live, Loaded, Problems,
    layers::{self, Flags, Sources},
};

use super::{Common, Failure, output::complain};

/// What the layers are made of.
pub(super) fn sources(common: &Common) -> Sources {
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
pub(super) fn loaded(common: &Common) -> Result<Loaded, Failure> {
    let loaded = layers::load(&sources(common)).map_err(|p| broken(&p))?;
    warn(&loaded.warnings);
    Ok(loaded)
}

/// On stderr, if there is any.
pub(super) fn warn(warnings: &Problems) {
    if !warnings.0.is_empty() {
        complain(&warnings.to_string());
    }
}

/// The configuration, or exit code 2 with every problem. Warnings go to stderr.
pub(super) fn load(common: &Common) -> Result<Live, Failure> {
    given(Live::new(sources(common)))
}

/// As [`load`], with warnings of what is not on this machine.
pub(super) fn load_here(common: &Common) -> Result<Live, Failure> {
    given(Live::new_here(sources(common)))
}

fn given(loaded: Result<(Live, Problems), Problems>) -> Result<Live, Failure> {
    let (live, warnings) = loaded.map_err(|p| broken(&p))?;
    warn(&warnings);
    Ok(live)
}

/// Exit code 2, all problems.
pub(super) fn broken(problems: &Problems) -> Failure {
    Failure::usage(problems.to_string())
}
