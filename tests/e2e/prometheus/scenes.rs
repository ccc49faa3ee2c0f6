//! The scenes of [`super::every_word`]: what happens in each, and the words that it makes Crucible count.

mod answers;
mod crucible_itself;
mod failures;
mod fallbacks;
mod loads;
mod refusals;
mod routes;
mod waits;

use super::every_word::Scene;

/// All of them; they are played at once.
pub(super) const SCENES: &[Scene] = &[
    answers::FORMATS,
    answers::COUNTS,
    answers::PARAMETERS,
    crucible_itself::CROWD,
    crucible_itself::LOGS,
    crucible_itself::MANY_NAMES,
    crucible_itself::SETTINGS,
    crucible_itself::SHUTDOWN,
    failures::ENGINES_THAT_FAIL,
    failures::SLOW_READERS,
    failures::STALE_CONNECTIONS,
    fallbacks::FALLBACKS,
    fallbacks::IMPATIENCE,
    loads::EVICTIONS,
    loads::IDLE_MODELS,
    loads::LOADS,
    refusals::KEYS,
    refusals::REFUSALS,
    routes::ROUTES,
    waits::WAITS,
];
