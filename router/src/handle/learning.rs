//! The measurements that the proxy hands to the predictor.

use std::{path::Path, sync::Arc};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::RouterHandle;
use crate::{measurements::AnswerSample, state_dir::StateDir, view::View};

// === impl RouterHandle ===

impl RouterHandle {
    /// Teaches the predictor what whole answers took. A call copies all that was learned, so
    /// samples are best passed together.
    pub fn learn(&self, samples: &[AnswerSample]) {
        let view = self.view();
        let device =
            |sample: &AnswerSample| view.engine(&sample.engine).map(|engine| engine.device);
        let known: Vec<_> = samples
            .iter()
            .filter_map(|sample| Some((sample, device(sample)?)))
            .collect();
        if !known.is_empty() {
            self.0.predictor.record_answers(&known);
            self.publish();
        }
    }

    /// Takes what an earlier run learned, from its `state_dir`.
    pub fn recall(&self, folder: &Path) {
        self.0.predictor.read_from(folder);
        self.publish();
    }

    /// The same, and keeps what is learned there, as soon as the folder is ours.
    pub fn remember(&self, state: Arc<StateDir>, tracker: &TaskTracker, cancel: CancellationToken) {
        self.recall(state.folder());
        let this = self.clone();
        tracker.spawn(async move {
            if !state.is_ours() {
                if cancel
                    .run_until_cancelled(state.wait_until_owned())
                    .await
                    .is_none()
                {
                    return;
                }
                // Its owner measured for longer than this one.
                this.0.predictor.reread_if_written(state.folder());
                this.publish();
            }
            let predictor = Arc::clone(&this.0.predictor);
            predictor
                .write_updates(state.folder().to_owned(), cancel)
                .await;
        });
    }

    fn publish(&self) {
        self.0.board.rcu(|view| View {
            measurements: self.0.predictor.current(),
            ..View::clone(view)
        });
    }
}
