//! The owner of what was learned: readers take a snapshot, one task writes the file.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use crucible_config::checked::Device;
use tempfile::NamedTempFile;
use tokio::{sync::Notify, task::spawn_blocking, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{Learned, Sample, file};
use crate::state_dir;

/// Between two writes of the file.
const WRITE_EVERY: Duration = Duration::from_secs(30);

/// What was learned.
#[derive(Default)]
pub(crate) struct Predictor {
    learned: ArcSwap<Learned>,
    unsaved: AtomicBool,
    changed: Notify,
    /// The folder could not be written, and that was told.
    told: AtomicBool,
}

// === impl Predictor ===

impl Predictor {
    /// Takes what the folder's file says; one that cannot be read is told.
    pub(crate) fn recall(&self, folder: &Path) {
        let path = folder.join(file::NAME);
        let found = match state_dir::read(&path) {
            Ok(text) => file::read(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Learned::default()),
            Err(error) => Err(error.to_string()),
        };
        let learned = found.unwrap_or_else(|why| {
            let path = path.display();
            tracing::warn!(%path, "the predictor starts afresh: {why}");
            Learned::default()
        });
        self.learned.store(Arc::new(learned));
    }

    /// Takes what another wrote there meanwhile, if it wrote anything.
    pub(crate) fn catch_up(&self, folder: &Path) {
        if folder.join(file::NAME).exists() {
            self.recall(folder);
        }
    }

    /// As of now.
    pub(crate) fn learned(&self) -> Arc<Learned> {
        self.learned.load_full()
    }

    /// Takes answers, each with where its engine computes.
    pub(crate) fn learn(&self, samples: &[(&Sample, Device)]) {
        self.change(|learned| {
            for (sample, device) in samples {
                learned.learn(sample, *device);
            }
        });
    }

    /// Takes one load.
    pub(crate) fn loaded(&self, engine: &Arc<str>, model: &Arc<str>, took: Duration) {
        self.change(|learned| learned.loaded(engine, model, took));
    }

    fn change(&self, change: impl Fn(&mut Learned)) {
        self.learned.rcu(|old| {
            let mut new = Learned::clone(old);
            change(&mut new);
            new
        });
        self.unsaved.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    /// Writes the file after changes, and once more at the end.
    pub(crate) async fn keep(self: Arc<Self>, folder: PathBuf, cancel: CancellationToken) {
        let changes = async {
            loop {
                self.changed.notified().await;
                sleep(WRITE_EVERY).await;
                self.save(&folder).await;
            }
        };
        cancel.run_until_cancelled(changes).await;
        self.save(&folder).await;
    }

    async fn save(&self, folder: &Path) {
        if !self.unsaved.swap(false, Ordering::AcqRel) {
            return;
        }
        let (learned, path) = (self.learned(), folder.to_owned());
        let written = spawn_blocking(move || write(&learned, &path)).await;
        let error = match written {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        if !self.told.swap(true, Ordering::Relaxed) {
            let folder = folder.display();
            tracing::warn!(
                %folder,
                "what was measured is lost at the next start, state_dir cannot be written: {error}"
            );
        }
    }
}

/// A reader sees the old file or the new one, never half of it.
fn write(learned: &Learned, folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut new = NamedTempFile::new_in(folder)?;
    new.write_all(file::write(learned).as_bytes())?;
    new.persist(folder.join(file::NAME))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::ClientId;

    fn answer() -> Sample {
        Sample {
            engine: "e".into(),
            model: "m".into(),
            client: ClientId::default(),
            chosen: false,
            estimate: None,
            prompt_tokens: None,
            prompt: None,
            cache_unknown: false,
            answer: None,
            output: None,
            need: None,
            service: Duration::from_secs(2),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_written_after_a_while_and_at_the_end_and_read_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let predictor = Arc::new(Predictor::default());
        predictor.recall(&state);
        let cancel = CancellationToken::new();
        let task = tokio::task::LocalSet::new();
        task.run_until(async {
            let keeping = tokio::task::spawn_local(
                Arc::clone(&predictor).keep(state.clone(), cancel.clone()),
            );
            predictor.learn(&[(&answer(), Device::Cpu)]);
            sleep(WRITE_EVERY / 2).await;
            assert!(!state.join(file::NAME).exists());
            sleep(WRITE_EVERY).await;
            predictor.learn(&[(&answer(), Device::Cpu)]);
            cancel.cancel();
            keeping.await.unwrap();
        })
        .await;
        let again = Predictor::default();
        again.recall(&state);
        let again = again.learned();
        assert_eq!(again, predictor.learned());
        assert_eq!(again.service("e").unwrap().samples, 2);
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_written_is_no_error() {
        let file = NamedTempFile::new().unwrap();
        let predictor = Predictor::default();
        predictor.learn(&[(&answer(), Device::Cpu)]);
        predictor.save(&file.path().join("below-a-file")).await;
        assert!(predictor.told.load(Ordering::Relaxed));
        assert_eq!(predictor.learned().service("e").unwrap().samples, 1);
    }
}
