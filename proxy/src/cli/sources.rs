//! From arguments and the process's environment to the configuration.

use crucible_config::{
    Live, Loaded, Problems,
    layers::{self, Flags, Sources},
    presence,
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

/// What the configuration needs of this machine and is not there; nothing where it is broken.
pub(super) fn missing(common: &Common) -> Problems {
    layers::load(&sources(common))
        .map_or_else(|_| Problems::default(), |loaded| presence::missing(&loaded))
}

/// On stderr, if there is any.
pub(super) fn warn(warnings: &Problems) {
    if !warnings.0.is_empty() {
        complain(&warnings.to_string());
    }
}

/// The configuration, or exit code 2 with every problem. Warnings go to stderr.
pub(super) fn load(common: &Common) -> Result<Live, Failure> {
    let (live, warnings) = Live::new(sources(common)).map_err(|p| broken(&p))?;
    warn(&warnings);
    Ok(live)
}

/// Exit code 2, all problems.
pub(super) fn broken(problems: &Problems) -> Failure {
    Failure::usage(problems.to_string())
}
