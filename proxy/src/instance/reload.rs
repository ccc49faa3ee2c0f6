//! What a reload of the configuration is said to have done.

use std::time::SystemTime;

use crucible_config::{Problems, Reloaded};

use crate::metrics::{Metrics, Outcome};

/// Writes the log lines and the metric of a reload.
pub(super) fn tell_reload(metrics: &Metrics, result: Result<Reloaded, Problems>) {
    match result {
        Ok(reloaded) => {
            metrics.config_reloaded(Outcome::Ok, SystemTime::now());
            let generation = reloaded.generation;
            if let Some(file) = &reloaded.file {
                let file = file.display();
                tracing::info!(generation, "configuration reloaded from {file}");
            } else {
                let places: Vec<String> = reloaded
                    .searched
                    .iter()
                    .map(|place| place.display().to_string())
                    .collect();
                let places = places.join(", ");
                tracing::info!(
                    generation,
                    "no configuration file was found, the built-in profile stays; searched: {places}"
                );
            }
            for key in reloaded.restart_needed {
                tracing::warn!(key, "takes effect at the next start");
            }
            for warning in &reloaded.warnings.0 {
                tracing::warn!("{warning}");
            }
        }
        Err(problems) => {
            metrics.config_reloaded(Outcome::Error, SystemTime::now());
            tracing::error!("the configuration was not reloaded, the old one stays:\n{problems}");
        }
    }
}
