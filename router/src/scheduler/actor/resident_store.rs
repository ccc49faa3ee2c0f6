//! The file of the state that outlives a run, `residents.json` in `state_dir`.
//!
//! Each version is written beside the file and moved into its place, so that a reader never sees
//! half a file.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tempfile::NamedTempFile;
use tokio::{sync::watch, task::spawn_blocking, time::sleep};

use crate::scheduler::persisted::PersistedState;
use crate::state_dir::{self, StateDir};

/// The name of the file in `state_dir`.
pub(crate) const FILE: &str = "residents.json";
/// The time between two looks at a file that another process writes.
const FOLLOW_EVERY: Duration = Duration::from_millis(250);

/// The state directory, as the store of `residents.json`.
#[derive(Clone, Debug)]
pub(crate) struct ResidentStore(Arc<StateDir>);

// === impl ResidentStore ===

impl ResidentStore {
    /// `None` where no folder is given: nothing outlives the run.
    pub(crate) fn new(state: Arc<StateDir>) -> Option<Self> {
        (!state.folder().as_os_str().is_empty()).then_some(Self(state))
    }

    /// The path of the file.
    fn file(&self) -> PathBuf {
        self.0.folder().join(FILE)
    }

    /// Whether this process owns the directory: then the file is an earlier run's, and may be
    /// written.
    pub(super) fn is_claimed(&self) -> bool {
        self.0.is_ours()
    }

    /// Ends as soon as this process owns the directory.
    pub(super) async fn claimed(&self) {
        self.0.wait_until_owned().await;
    }

    /// The state that an earlier run left. A file that cannot be read is logged and counts as
    /// empty.
    pub(super) fn read(&self) -> PersistedState {
        Self::read_in(self.0.folder())
    }

    /// The state in some directory, for a command that only looks into it.
    pub(crate) fn read_in(folder: &Path) -> PersistedState {
        let path = folder.join(FILE);
        let text = match state_dir::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return PersistedState::default();
            }
            Err(error) => {
                tracing::warn!("{}: {error}; it is not known what is ours", path.display());
                return PersistedState::default();
            }
        };
        PersistedState::parse(&text).unwrap_or_else(|error| {
            tracing::warn!("{}: {error}; it is not known what is ours", path.display());
            PersistedState::default()
        })
    }

    /// Reports the state that another process writes there, at once and whenever it changes. Does
    /// not end.
    pub(super) async fn follow(&self, mut tell: impl FnMut(PersistedState)) {
        let mut last = String::new();
        loop {
            let path = self.file();
            let read = spawn_blocking(move || state_dir::read(&path));
            // Its owner says what is wrong with it.
            if let Ok(Ok(text)) = read.await
                && text != last
            {
                if let Ok(memory) = PersistedState::parse(&text) {
                    tell(memory);
                }
                last = text;
            }
            sleep(FOLLOW_EVERY).await;
        }
    }

    /// Writes each state that is sent, and the last one also at the end. A failure is logged once.
    pub(super) async fn write_updates(self, mut memory: watch::Receiver<PersistedState>) {
        let mut told = false;
        while memory.changed().await.is_ok() {
            let text = memory.borrow_and_update().to_text();
            let this = self.clone();
            let written = spawn_blocking(move || this.write(&text)).await;
            if let Ok(Err(error)) = written
                && !std::mem::replace(&mut told, true)
            {
                let path = self.file();
                tracing::warn!(
                    "{}: {error}; the next start will not know what this one loaded; set \
                     state_dir (CRUCIBLE_STATE_DIR) to a folder that can be written",
                    path.display()
                );
            }
        }
    }

    /// Writes the file as a whole.
    fn write(&self, text: &str) -> io::Result<()> {
        let folder = self.0.folder();
        std::fs::create_dir_all(folder)?;
        let mut file = NamedTempFile::new_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.persist(self.file())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::persisted::ContextRecord;

    #[tokio::test]
    async fn what_is_kept_is_read_again_and_a_broken_file_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = |folder: PathBuf| ResidentStore::new(Arc::new(StateDir::claim(&folder)));
        assert!(store(PathBuf::new()).is_none());
        let store = store(folder.path().join("new")).unwrap();
        assert_eq!(store.read(), PersistedState::default());
        let memory = PersistedState {
            owned: Vec::new(),
            contexts: vec![ContextRecord {
                url: "http://h".into(),
                model: "m".into(),
                tokens: 8192,
                configured: None,
            }],
        };
        let (tell, told) = watch::channel(PersistedState::default());
        tell.send(memory.clone()).unwrap();
        drop(tell);
        store.clone().write_updates(told).await;
        assert_eq!(store.read(), memory);
        std::fs::write(folder.path().join("new").join(FILE), "{").unwrap();
        assert_eq!(store.read(), PersistedState::default());
    }
}
