//! What the proxy tells the predictor.

use std::sync::Arc;

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::Router;
use crate::{predict::Sample, view::View};

// === impl Router ===

impl Router {
    /// What a whole answer took; cheap.
    pub fn learn(&self, sample: &Sample) {
        let Some(device) = self.view().engine(&sample.engine).map(|e| e.device) else {
            return;
        };
        self.0.predictor.learn(sample, device);
        self.0.board.rcu(|view| View {
            learned: self.0.predictor.learned(),
            ..View::clone(view)
        });
    }

    /// Keeps what is learned in `state_dir`, for the next start.
    pub fn remember(&self, tracker: &TaskTracker, cancel: CancellationToken) {
        tracker.spawn(Arc::clone(&self.0.predictor).keep(cancel));
    }
}
