//! From arguments and the process's environment to the configuration's sources.

use std::sync::Arc;

use crucible_config::{
    Live, Problems,
    layers::{Flags, Sources},
};

use super::{Common, Failure, ServeArgs, output::complain};

/// What the layers are made of.
pub(super) fn sources(common: &Common, serve: &ServeArgs) -> Sources {
    Sources {
        file: common.config.clone(),
        environment: std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect(),
        flags: Flags {
            listen: serve.listen.clone(),
            engines: serve.engine.clone(),
        },
    }
}

/// The configuration, or exit code 2 with every problem. Warnings go to stderr.
pub(super) fn load(common: &Common, serve: &ServeArgs) -> Result<Arc<Live>, Failure> {
    match Live::new(sources(common, serve)) {
        Ok((live, warnings)) => {
            warn(&warnings);
            Ok(Arc::new(live))
        }
        Err(problems) => Err(Failure::usage(problems.to_string())),
    }
}

fn warn(warnings: &Problems) {
    if !warnings.0.is_empty() {
        complain(&warnings.to_string());
    }
}
