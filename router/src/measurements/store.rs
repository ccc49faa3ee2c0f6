//! The owner of the measurements: readers take a snapshot, one task writes the file.

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

use super::{file, measurements::Measurements, sample::AnswerSample};
use crate::state_dir;

/// The time from a change to the next write of the file.
const WRITE_EVERY: Duration = Duration::from_secs(30);

/// The measurements of this run and of earlier ones.
#[derive(Default)]
pub(crate) struct MeasurementStore {
    /// The measurements as of now. Each change replaces them as a whole.
    snapshot: ArcSwap<Measurements>,
    /// Whether they changed since the file was written.
    unsaved: AtomicBool,
    /// Wakes the task that writes the file.
    changed: Notify,
    /// Whether the log has that the folder cannot be written.
    failure_logged: AtomicBool,
}

// === impl MeasurementStore ===

impl MeasurementStore {
    /// Takes the measurements of the file in this folder. One that cannot be read is logged, and
    /// counts as empty.
    pub(crate) fn read_from(&self, folder: &Path) {
        let path = folder.join(file::NAME);
        let found = match state_dir::read(&path) {
            Ok(text) => file::read(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Measurements::default()),
            Err(error) => Err(error.to_string()),
        };
        let learned = found.unwrap_or_else(|why| {
            let path = path.display();
            tracing::warn!(%path, "the predictor starts afresh: {why}");
            Measurements::default()
        });
        self.snapshot.store(Arc::new(learned));
    }

    /// Takes the measurements that another process wrote there meanwhile, if it wrote any.
    pub(crate) fn reread_if_written(&self, folder: &Path) {
        if folder.join(file::NAME).exists() {
            self.read_from(folder);
        }
    }

    /// The measurements as of now.
    pub(crate) fn current(&self) -> Arc<Measurements> {
        self.snapshot.load_full()
    }

    /// Learns from finished answers, each with the device of its engine.
    pub(crate) fn record_answers(&self, samples: &[(&AnswerSample, Device)]) {
        self.change(|learned| {
            for (sample, device) in samples {
                learned.record_answer(sample, *device);
            }
        });
    }

    /// Learns from a load that succeeded how long the next one of this model will take.
    pub(crate) fn record_load(&self, engine: &Arc<str>, model: &Arc<str>, took: Duration) {
        self.change(|learned| learned.record_load(engine, model, took));
    }

    /// Replaces the measurements by changed ones.
    fn change(&self, change: impl Fn(&mut Measurements)) {
        self.snapshot.rcu(|old| {
            let mut new = Measurements::clone(old);
            change(&mut new);
            new
        });
        self.unsaved.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    /// Writes the file some time after a change, and once more at the end.
    pub(crate) async fn write_updates(self: Arc<Self>, folder: PathBuf, cancel: CancellationToken) {
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

    /// Writes the file if something changed. A failure is logged once.
    async fn save(&self, folder: &Path) {
        if !self.unsaved.swap(false, Ordering::AcqRel) {
            return;
        }
        let (learned, path) = (self.current(), folder.to_owned());
        let written = spawn_blocking(move || write(&learned, &path)).await;
        let error = match written {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        if !self.failure_logged.swap(true, Ordering::Relaxed) {
            let folder = folder.display();
            tracing::warn!(
                %folder,
                "what was measured is lost at the next start, state_dir cannot be written: {error}"
            );
        }
    }
}

/// Writes the file so that a reader sees the old one or the new one, never half of it.
fn write(learned: &Measurements, folder: &Path) -> io::Result<()> {
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

    fn answer() -> AnswerSample {
        AnswerSample {
            engine: "e".into(),
            model: "m".into(),
            client: ClientId::default(),
            model_was_chosen: false,
            estimated_prompt_tokens: None,
            prompt_tokens: None,
            prompt_time: None,
            cache_unknown: false,
            answer_length: None,
            output_time: None,
            context_need: None,
            service_time: Duration::from_secs(2),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_written_after_a_while_and_at_the_end_and_read_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let predictor = Arc::new(MeasurementStore::default());
        predictor.read_from(&state);
        let cancel = CancellationToken::new();
        let task = tokio::task::LocalSet::new();
        task.run_until(async {
            let keeping = tokio::task::spawn_local(
                Arc::clone(&predictor).write_updates(state.clone(), cancel.clone()),
            );
            predictor.record_answers(&[(&answer(), Device::Cpu)]);
            sleep(WRITE_EVERY / 2).await;
            assert!(!state.join(file::NAME).exists());
            sleep(WRITE_EVERY).await;
            predictor.record_answers(&[(&answer(), Device::Cpu)]);
            cancel.cancel();
            keeping.await.unwrap();
        })
        .await;
        let again = MeasurementStore::default();
        again.read_from(&state);
        let again = again.current();
        assert_eq!(again, predictor.current());
        assert_eq!(again.service_time("e").unwrap().samples, 2);
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_written_is_no_error() {
        let file = NamedTempFile::new().unwrap();
        let predictor = MeasurementStore::default();
        predictor.record_answers(&[(&answer(), Device::Cpu)]);
        predictor.save(&file.path().join("below-a-file")).await;
        assert!(predictor.failure_logged.load(Ordering::Relaxed));
        assert_eq!(predictor.current().service_time("e").unwrap().samples, 1);
    }
}
