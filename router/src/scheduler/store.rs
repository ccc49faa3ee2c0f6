//! The file of what outlives a run, `residents.json` in `state_dir`.
//!
//! Written whole beside it and put in its place, so that it is never half a file.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use tempfile::NamedTempFile;
use tokio::{sync::watch, task::spawn_blocking};

use super::memory::Memory;

/// Name of the file in `state_dir`.
pub(crate) const FILE: &str = "residents.json";

/// The folder that holds it.
#[derive(Clone, Debug)]
pub(crate) struct Store(PathBuf);

// === impl Store ===

impl Store {
    /// `None` where no folder is given: nothing outlives the run.
    pub(crate) fn new(folder: PathBuf) -> Option<Self> {
        (!folder.as_os_str().is_empty()).then_some(Self(folder))
    }

    /// What an earlier run left; a file that cannot be read is told and left aside.
    pub(super) fn read(&self) -> Memory {
        let path = self.0.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Memory::default(),
            Err(error) => {
                tracing::warn!("{}: {error}; it is not known what is ours", path.display());
                return Memory::default();
            }
        };
        Memory::parse(&text).unwrap_or_else(|error| {
            tracing::warn!("{}: {error}; it is not known what is ours", path.display());
            Memory::default()
        })
    }

    /// Writes what comes, the last of it even at the end.
    pub(super) async fn keep(self, mut memory: watch::Receiver<Memory>) {
        let mut told = false;
        while memory.changed().await.is_ok() {
            let text = memory.borrow_and_update().to_text();
            let this = self.clone();
            let written = spawn_blocking(move || this.write(&text)).await;
            if let Ok(Err(error)) = written
                && !std::mem::replace(&mut told, true)
            {
                let path = self.0.join(FILE);
                tracing::warn!(
                    "{}: {error}; the next start will not know what this one loaded",
                    path.display()
                );
            }
        }
    }

    fn write(&self, text: &str) -> io::Result<()> {
        std::fs::create_dir_all(&self.0)?;
        let mut file = NamedTempFile::new_in(&self.0)?;
        file.write_all(text.as_bytes())?;
        file.persist(self.0.join(FILE))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::memory::Context;

    #[tokio::test]
    async fn what_is_kept_is_read_again_and_a_broken_file_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().join("new")).unwrap();
        assert!(Store::new(PathBuf::new()).is_none());
        assert_eq!(store.read(), Memory::default());
        let memory = Memory {
            owned: Vec::new(),
            contexts: vec![Context {
                url: "http://h".into(),
                model: "m".into(),
                tokens: 8192,
            }],
        };
        let (tell, told) = watch::channel(Memory::default());
        tell.send(memory.clone()).unwrap();
        drop(tell);
        store.clone().keep(told).await;
        assert_eq!(store.read(), memory);
        std::fs::write(folder.path().join("new").join(FILE), "{").unwrap();
        assert_eq!(store.read(), Memory::default());
    }
}
