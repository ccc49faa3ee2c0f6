//! Whether an engine still holds what a request was sent to.

use std::time::Duration;

use tokio::time::Instant;

use super::RouterHandle;
use crate::{
    fleet::{EngineStatus, PollOutcome},
    plan::Candidate,
    view::EngineView,
};

/// Permits do not go by the first poll after a load or an unload, which may have begun before it ended.
const POLLS: u32 = 2;

/// The place of a model, as its engine reports it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// The instance is still listed, with so much context in all its slots together.
    Held {
        /// The tokens, where told.
        context: Option<u64>,
    },
    /// The instance is not listed any more, and may be loaded again.
    Gone,
    /// The engine does not have the model any more.
    Deleted,
    /// The instance is not listed, and Crucible does not load on this engine, which may load it by
    /// itself.
    Unmanaged,
    /// The engine did not tell in time.
    Unknown,
}

// === impl RouterHandle ===

impl RouterHandle {
    /// Asks the engine now, at most `budget`, whether it still holds an instance. Permits go by what
    /// it tells from here on.
    pub async fn recheck(
        &self,
        candidate: &Candidate,
        instance: &str,
        budget: Duration,
    ) -> Whereabouts {
        let end = Instant::now() + budget;
        let mut now = Whereabouts::Unknown;
        for _ in 0..POLLS {
            let left = end.saturating_duration_since(Instant::now());
            if self.poll_now(&candidate.engine, left).await != PollOutcome::Well {
                return Whereabouts::Unknown;
            }
            let fleet = self.0.fleet.view();
            let mut engines = fleet.engines.iter();
            let status = engines.find(|e| *e.config.name == *candidate.engine);
            now = status.map_or(Whereabouts::Unknown, |status| {
                Whereabouts::of(status, &candidate.model, instance)
            });
            if now.agrees(self.view().engine(&candidate.engine), instance) {
                break;
            }
        }
        now
    }

    /// Has an engine polled soon, since a request to it just failed: what is known of it may be out of date.
    /// Polls for this reason are at least 0.5 s apart.
    pub fn doubt(&self, engine: &str) {
        self.0.fleet.doubt(engine);
    }
}

// === impl Whereabouts ===

impl Whereabouts {
    fn of(status: &EngineStatus, model: &str, instance: &str) -> Self {
        let mut residents = status.residents.iter();
        if !status.models.iter().any(|m| *m.id == *model) {
            return Self::Deleted;
        }
        match residents.find(|r| *r.instance == *instance) {
            Some(held) => Self::Held {
                context: held.context,
            },
            None if status.load_control => Self::Gone,
            None => Self::Unmanaged,
        }
    }

    /// Permits go by the same.
    fn agrees(self, view: Option<&EngineView>, instance: &str) -> bool {
        let mut residents = view.iter().flat_map(|engine| &engine.residents);
        let believed = residents.find(|r| *r.info.instance == *instance);
        match self {
            Self::Held { context } => believed.is_none_or(|r| r.info.context == context),
            Self::Gone => believed.is_none(),
            Self::Deleted | Self::Unmanaged | Self::Unknown => true,
        }
    }
}
