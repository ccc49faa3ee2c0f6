//! The watch over the configuration file, which reloads it when it changes.
//!
//! The parent folder is watched, because editors and mounts replace a file instead of writing it.
//! Events are gathered until they are quiet, then the text is compared. Some changes make no event
//! there: the target of a symbolic link that is written, a file that is mounted by itself, network
//! file systems. So the text is also compared every two seconds.

use std::{
    io,
    path::Path,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread::JoinHandle,
    time::Duration,
};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use crate::{
    live::{LiveConfig, Reloaded},
    problem::Problems,
};

/// Events closer than this belong to one change.
const QUIET: Duration = Duration::from_millis(150);

/// The time between two comparisons of the file's text, for file systems that report no changes.
const EVERY: Duration = Duration::from_secs(2);

/// An event that a watch reports.
#[derive(Debug)]
pub enum WatchEvent {
    /// The text of the file is another one; holds how its reload went.
    Changed(Result<Reloaded, Problems>),
    /// The file was replaced where it is mounted from, so that the mount shows the old one for ever.
    Detached,
}

/// A running watch; dropping it ends its thread.
#[derive(Debug)]
pub struct FileWatch {
    watcher: Option<RecommendedWatcher>,
    /// While it is there the thread goes on.
    alive: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Watches the file of `live` and reloads it when it changes. `told` is called for each reload, good or
/// bad, on the thread of the watch. Gives `None` where the configuration has no file or place that could
/// change.
///
/// Errors: the system has no thread left.
pub fn watch(
    live: &LiveConfig,
    told: impl Fn(WatchEvent) + Send + 'static,
) -> io::Result<Option<FileWatch>> {
    if !live.has_sources() {
        return Ok(None);
    }
    // One pending mark is enough: it says only that something happened.
    let (mark, marks) = sync_channel(1);
    mark_change(&mark);
    let watcher = live.file().and_then(|file| events(&file, mark.clone()));
    let live = live.clone();
    let thread = std::thread::Builder::new()
        .name("config-watch".into())
        .spawn(move || compare(&live, &marks, &told))?;
    Ok(Some(FileWatch {
        watcher,
        alive: Some(mark),
        thread: Some(thread),
    }))
}

/// Marks what happens in the folder of the file. `None` where the system does not tell, such as
/// beyond its number of watches: then comparing has to do.
fn events(file: &Path, mark: SyncSender<()>) -> Option<RecommendedWatcher> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading the file is an event too; only changes count.
        if event.is_ok_and(|event| !event.kind.is_access()) {
            mark_change(&mark);
        }
    })
    .ok()?;
    watcher.watch(folder, RecursiveMode::NonRecursive).ok()?;
    Some(watcher)
}

fn compare(live: &LiveConfig, marks: &Receiver<()>, told: &impl Fn(WatchEvent)) {
    let mut detached = false;
    loop {
        match marks.recv_timeout(EVERY) {
            Ok(()) => loop {
                match marks.recv_timeout(QUIET) {
                    Ok(()) => {}
                    Err(RecvTimeoutError::Timeout) => break,
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            },
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if let Some(result) = live.refresh() {
            told(WatchEvent::Changed(result));
        }
        let now = live.is_detached();
        if now && !detached {
            told(WatchEvent::Detached);
        }
        detached = now;
    }
}

fn mark_change(mark: &SyncSender<()>) {
    // Full means that a mark is already waiting; closed that the watch has ended.
    let _ = mark.try_send(());
}

// === impl FileWatch ===

impl Drop for FileWatch {
    fn drop(&mut self) {
        // Without any sender the thread ends.
        drop(self.watcher.take());
        drop(self.alive.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::mpsc};

    use super::*;
    use crate::{checked::Config, layers::ConfigSources};

    const LONG: Duration = Duration::from_secs(20);

    fn reloaded(seen: WatchEvent) -> Result<Reloaded, Problems> {
        match seen {
            WatchEvent::Changed(result) => result,
            WatchEvent::Detached => panic!("nothing is mounted here"),
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_target_of_a_link_is_noticed_when_it_is_written_and_when_it_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for version in ["v1", "v2"] {
            fs::create_dir(at(version)).unwrap();
        }
        fs::create_dir(at("etc")).unwrap();
        fs::write(at("v1/crucible.toml"), "").unwrap();
        // As Kubernetes mounts a ConfigMap: a link in the folder to a link that is replaced.
        std::os::unix::fs::symlink(at("v1"), at("data")).unwrap();
        std::os::unix::fs::symlink(at("data/crucible.toml"), at("etc/crucible.toml")).unwrap();
        let sources = ConfigSources {
            file: Some(at("etc/crucible.toml")),
            ..ConfigSources::default()
        };
        let (live, _) = LiveConfig::new(sources).unwrap();
        let (tell, told) = mpsc::channel();
        let _watch = watch(&live, move |seen| drop(tell.send(reloaded(seen)))).unwrap();
        fs::write(at("v1/crucible.toml"), "default_model = \"a\"").unwrap();
        assert_eq!(told.recv_timeout(LONG).unwrap().unwrap().generation, 1);
        fs::write(at("v2/crucible.toml"), "default_model = \"b\"").unwrap();
        std::os::unix::fs::symlink(at("v2"), at("next")).unwrap();
        fs::rename(at("next"), at("data")).unwrap();
        assert_eq!(told.recv_timeout(LONG).unwrap().unwrap().generation, 2);
        assert_eq!(live.current().default_model.as_deref(), Some("b"));
    }

    #[test]
    fn a_written_file_and_a_replaced_file_are_both_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("crucible.toml");
        fs::write(&path, "").unwrap();
        let sources = ConfigSources {
            file: Some(path.clone()),
            ..ConfigSources::default()
        };
        let (live, _) = LiveConfig::new(sources).unwrap();
        let (tell, told) = mpsc::channel();
        let watch = watch(&live, move |seen| drop(tell.send(reloaded(seen)))).unwrap();
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
        let live = LiveConfig::from_config(Config::builtin());
        assert!(watch(&live, |_| {}).unwrap().is_none());
    }
}
