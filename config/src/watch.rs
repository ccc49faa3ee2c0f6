//! Reloads when the file changes.
//!
//! The parent folder is watched, because editors and mounts replace a file instead of writing
//! it. Events are gathered until they are quiet, then the text is compared.

use std::{
    path::Path,
    sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    thread::JoinHandle,
    time::Duration,
};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use crate::{
    live::{Live, Reloaded},
    problem::Problems,
};

/// Events closer than this belong to one change.
const QUIET: Duration = Duration::from_millis(150);

/// Watches until it is dropped.
#[derive(Debug)]
pub struct Watch {
    watcher: Option<RecommendedWatcher>,
    thread: Option<JoinHandle<()>>,
}

/// Watches the file of `live` and reloads it; `told` hears of each reload, good or bad, on the
/// watch's own thread. `None` if there is no file.
pub fn watch(
    live: &Live,
    told: impl Fn(Result<Reloaded, Problems>) + Send + 'static,
) -> notify::Result<Option<Watch>> {
    let Some(file) = live.file() else {
        return Ok(None);
    };
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // One pending mark is enough: it says only that something happened.
    let (mark, marks) = sync_channel(1);
    mark_change(&mark);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading the file is an event too; only changes count.
        if event.is_ok_and(|event| !event.kind.is_access()) {
            mark_change(&mark);
        }
    })?;
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    let live = live.clone();
    let thread = std::thread::Builder::new()
        .name("config-watch".into())
        .spawn(move || {
            while marks.recv().is_ok() {
                loop {
                    match marks.recv_timeout(QUIET) {
                        Ok(()) => {}
                        Err(RecvTimeoutError::Timeout) => break,
                        Err(RecvTimeoutError::Disconnected) => return,
                    }
                }
                if let Some(result) = live.refresh() {
                    told(result);
                }
            }
        })?;
    Ok(Some(Watch {
        watcher: Some(watcher),
        thread: Some(thread),
    }))
}

fn mark_change(mark: &SyncSender<()>) {
    // Full means that a mark is already waiting; closed that the watch has ended.
    let _ = mark.try_send(());
}

// === impl Watch ===

impl Drop for Watch {
    fn drop(&mut self) {
        // The watcher holds the sender: without it the thread ends.
        drop(self.watcher.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::mpsc};

    use super::*;
    use crate::{checked::Config, layers::Sources};

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn a_written_file_and_a_replaced_file_are_both_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("crucible.toml");
        fs::write(&path, "").unwrap();
        let sources = Sources {
            file: Some(path.clone()),
            ..Sources::default()
        };
        let (live, _) = Live::new(sources).unwrap();
        let (tell, told) = mpsc::channel();
        let watch = watch(&live, move |result| drop(tell.send(result))).unwrap();
        fs::write(&path, "default_model = \"a\"").unwrap();
        assert_eq!(told.recv_timeout(LONG).unwrap().unwrap().generation, 1);
        let other = folder.path().join("new");
        fs::write(&other, "default_model = \"b\"").unwrap();
        fs::rename(&other, &path).unwrap();
        assert_eq!(told.recv_timeout(LONG).unwrap().unwrap().generation, 2);
        assert_eq!(live.current().default_model.as_deref(), Some("b"));
        drop(watch);
        assert!(told.recv().is_err(), "a dropped watch ends its thread");
    }

    #[test]
    fn without_a_file_there_is_nothing_to_watch() {
        let live = Live::from_config(Config::builtin());
        assert!(watch(&live, |_| {}).unwrap().is_none());
    }
}
