//! From arguments and the process's environment to the configuration.

use crucible_config::{
    Live, Problems,
    layers::{Flags, Sources},
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

/// The configuration, or exit code 2 with every problem. Warnings go to stderr.
pub(super) fn load(common: &Common) -> Result<Live, Failure> {
    let (live, warnings) = Live::new(sources(common)).map_err(|p| broken(&p))?;
    if !warnings.0.is_empty() {
        complain(&warnings.to_string());
    }
    Ok(live)
}

/// Exit code 2, all problems.
pub(super) fn broken(problems: &Problems) -> Failure {
    Failure::usage(problems.to_string())
}
