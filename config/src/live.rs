//! The configuration in force, and its reload.
//!
//! Readers take [`LiveConfig::current`] once per request and never see half a change. A reload that
//! finds an error leaves the old configuration in force.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{
    checked::Config,
    file::{self, UnreadFile, is_read_once},
    keys::{limits, log, otlp, root, timeouts},
    layers::{ConfigSources, LoadedConfig, load_text},
    presence,
    problem::Problems,
};

/// The configuration in force, behind a single swap; clones share it.
#[derive(Clone, Debug)]
pub struct LiveConfig(Arc<LiveInner>);

/// The outcome of a reload that took effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// The number of reloads that took effect since the start, which is 0.
    pub generation: u64,
    /// The paths of keys that changed and act only after a restart.
    pub restart_needed: Vec<String>,
    /// The problems of a usable configuration: values without effect, or probably not meant so.
    pub warnings: Problems,
    /// The file that was read; `None` where there is none.
    pub file: Option<PathBuf>,
    /// The places in which one was searched, where no person named one.
    pub searched: Vec<PathBuf>,
}

#[derive(Debug)]
struct LiveInner {
    current: ArcSwap<Config>,
    generation: watch::Sender<u64>,
    sources: Mutex<ReloadSources>,
}

/// The sources of the configuration; their lock makes reloads one after the other.
#[derive(Debug)]
struct ReloadSources {
    /// `None` for [`LiveConfig::from_config`].
    sources: Option<ConfigSources>,
    /// The file's text, or why it was not read, at the last attempt.
    text: Option<Result<String, UnreadFile>>,
}

fn read(sources: &ConfigSources) -> Option<Result<String, UnreadFile>> {
    sources.file.as_deref().map(file::read)
}

/// Reads the file again for a reload. A pipe was read to its end at the start, so it is an error
/// here; `None` where there is no file.
fn read_again(sources: &ConfigSources) -> Option<Result<String, UnreadFile>> {
    let path = sources.file.as_deref()?;
    if is_read_once(path) {
        return Some(Err(UnreadFile {
            found: "a pipe or a device, which cannot be read again".to_owned(),
            expected: "a file",
            hint: "what is in force stays",
        }));
    }
    read(sources)
}

/// Whether the file that this path shows has no name any more: something replaced it where it was
/// mounted from, and the mount goes on showing the old one.
#[cfg(unix)]
fn is_detached(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.nlink() == 0)
}

#[cfg(not(unix))]
fn is_detached(_: &Path) -> bool {
    false
}

fn needs_restart(old: &Config, new: &Config) -> Vec<String> {
    let (log, new_log) = (&old.log, &new.log);
    let (times, new_times) = (&old.timeouts, &new.timeouts);
    [
        (root::LISTEN.path().to_string(), old.listen != new.listen),
        (
            root::METRICS_LISTEN.path().to_string(),
            old.metrics_listen != new.metrics_listen,
        ),
        (
            root::STATE_DIR.path().to_string(),
            old.state_dir != new.state_dir,
        ),
        (log::FORMAT.path().to_string(), log.format != new_log.format),
        (log::LEVEL.path().to_string(), log.level != new_log.level),
        (log::EVENTS.path().to_string(), log.events != new_log.events),
        (
            log::EVENTS_SIZE.path().to_string(),
            log.events_size != new_log.events_size,
        ),
        (
            otlp::ENDPOINT.path().to_string(),
            old.otlp_endpoint != new.otlp_endpoint,
        ),
        (
            limits::CONNECTIONS.path().to_string(),
            old.limits.connections != new.limits.connections,
        ),
        (
            limits::HEADER.path().to_string(),
            old.limits.header != new.limits.header,
        ),
        (
            timeouts::HEADER.path().to_string(),
            times.header != new_times.header,
        ),
        (
            timeouts::CLIENT_STALL.path().to_string(),
            times.client_stall != new_times.client_stall,
        ),
        (
            timeouts::CONNECT.path().to_string(),
            times.connect != new_times.connect,
        ),
    ]
    .into_iter()
    .filter(|(_, changed)| *changed)
    .map(|(path, _)| path)
    .collect()
}

// === impl LiveConfig ===

impl LiveConfig {
    /// Loads for the first time; also gives the warnings.
    pub fn new(sources: ConfigSources) -> Result<(Self, Problems), Problems> {
        Self::with_warnings(sources, |_| Problems::default())
    }

    /// Does the same as [`new`](Self::new) and also reports the files, programs and variables that
    /// are missing on this machine. Both come from one reading, because a pipe can be read only
    /// once.
    pub fn new_here(sources: ConfigSources) -> Result<(Self, Problems), Problems> {
        Self::with_warnings(sources, presence::missing)
    }

    fn with_warnings(
        sources: ConfigSources,
        besides: impl Fn(&LoadedConfig) -> Problems,
    ) -> Result<(Self, Problems), Problems> {
        let text = read(&sources);
        let file = sources.file.as_deref().zip(text.clone());
        let mut loaded = load_text(file, &sources.environment, &sources.flags)?;
        let more = besides(&loaded);
        loaded.warnings.0.extend(more.0);
        let live = Self::over(
            loaded.config,
            ReloadSources {
                sources: Some(sources),
                text,
            },
        );
        Ok((live, loaded.warnings))
    }

    /// A configuration that has no sources; reloading it changes nothing.
    pub fn from_config(config: Config) -> Self {
        Self::over(
            config,
            ReloadSources {
                sources: None,
                text: None,
            },
        )
    }

    fn over(config: Config, reload: ReloadSources) -> Self {
        Self(Arc::new(LiveInner {
            current: ArcSwap::from_pointee(config),
            generation: watch::Sender::new(0),
            sources: Mutex::new(reload),
        }))
    }

    /// The configuration in force.
    pub fn current(&self) -> Arc<Config> {
        self.0.current.load_full()
    }

    /// Returns a receiver that wakes each time another configuration is in force; its value counts them, from 0 at
    /// the start.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.generation.subscribe()
    }

    /// Reads the file again, and searches one where there was none (environment and flags stay as
    /// they were). An error keeps the configuration in force.
    pub fn reload(&self) -> Result<Reloaded, Problems> {
        let mut reload = self.0.sources.lock();
        if let Some(sources) = &mut reload.sources {
            sources.find_file_again();
        }
        let text = reload.sources.as_ref().and_then(read_again);
        self.swap(&mut reload, text)
    }

    /// Does the same as [`reload`](Self::reload), but only where the file's text differs from that
    /// of the last attempt; `None` where it does not, and for a pipe, which can be read only once.
    pub(crate) fn refresh(&self) -> Option<Result<Reloaded, Problems>> {
        let mut reload = self.0.sources.lock();
        let sources = reload.sources.as_ref()?;
        if sources.file.as_deref().is_some_and(is_read_once) {
            return None;
        }
        let text = read(sources);
        (text != reload.text).then(|| self.swap(&mut reload, text))
    }

    /// Whether the file was replaced at the place that it is mounted from, so that no change of it
    /// is seen here.
    pub(crate) fn is_detached(&self) -> bool {
        self.file().is_some_and(|file| is_detached(&file))
    }

    /// Whether the configuration came from sources that can be read again.
    pub(crate) fn has_sources(&self) -> bool {
        let reload = self.0.sources.lock();
        reload.sources.is_some()
    }

    /// Returns the file that the configuration is read from; `None` where there is none.
    pub(crate) fn file(&self) -> Option<Box<Path>> {
        let reload = self.0.sources.lock();
        reload.sources.as_ref()?.file.as_deref().map(Box::from)
    }

    fn swap(
        &self,
        reload: &mut ReloadSources,
        text: Option<Result<String, UnreadFile>>,
    ) -> Result<Reloaded, Problems> {
        reload.text = text;
        let mut restart_needed = Vec::new();
        let mut warnings = Problems::default();
        if let Some(sources) = &reload.sources {
            let file = sources.file.as_deref().zip(reload.text.clone());
            let loaded = load_text(file, &sources.environment, &sources.flags)?;
            let new = Arc::new(loaded.config);
            let old = self.0.current.swap(Arc::clone(&new));
            restart_needed = needs_restart(&old, &new);
            warnings = loaded.warnings;
            self.0.generation.send_modify(|generation| *generation += 1);
        }
        let generation = *self.0.generation.borrow();
        let sources = reload.sources.as_ref();
        Ok(Reloaded {
            generation,
            restart_needed,
            warnings,
            file: sources.and_then(|sources| sources.file.clone()),
            searched: sources.map(|s| s.places.clone()).unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn live(text: &str) -> (tempfile::TempDir, PathBuf, LiveConfig) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("crucible.toml");
        fs::write(&path, text).unwrap();
        let sources = ConfigSources {
            file: Some(path.clone()),
            ..ConfigSources::default()
        };
        let (live, _) = LiveConfig::new(sources).unwrap();
        (folder, path, live)
    }

    #[test]
    fn a_reload_takes_effect_at_once_and_counts() {
        let (_folder, path, live) = live("default_model = \"a\"");
        let generations = live.subscribe();
        fs::write(&path, "default_model = \"b\"\nlisten = \"127.0.0.1:1\"").unwrap();
        let reloaded = live.reload().unwrap();
        assert_eq!(reloaded.generation, 1);
        assert_eq!(reloaded.restart_needed, ["listen"]);
        assert_eq!(live.current().default_model.as_deref(), Some("b"));
        assert!(generations.has_changed().unwrap());
    }

    #[test]
    fn a_bad_file_keeps_the_old_configuration() {
        let (_folder, path, live) = live("default_model = \"a\"");
        fs::write(&path, "default_model = 3").unwrap();
        assert!(live.reload().unwrap_err().has_errors());
        assert_eq!(live.current().default_model.as_deref(), Some("a"));
        fs::remove_file(&path).unwrap();
        assert!(live.reload().unwrap_err().has_errors());
        assert!(!live.subscribe().has_changed().unwrap());
    }

    #[test]
    fn the_same_text_is_not_read_twice() {
        let (_folder, path, live) = live("");
        assert!(live.refresh().is_none());
        fs::write(&path, "default_model = 3").unwrap();
        assert!(live.refresh().unwrap().is_err());
        assert!(live.refresh().is_none(), "the same mistake is told once");
    }

    #[test]
    fn a_file_that_came_later_is_searched_and_one_that_went_is_kept_in_mind() {
        let folder = tempfile::tempdir().unwrap();
        let places = [folder.path().join("first"), folder.path().join("second")];
        let sources = ConfigSources {
            places: places.to_vec(),
            ..ConfigSources::default()
        };
        let (live, _) = LiveConfig::new(sources).unwrap();
        let nothing = live.reload().unwrap();
        assert_eq!((nothing.file, nothing.searched), (None, places.to_vec()));
        fs::write(&places[1], "default_model = \"late\"").unwrap();
        assert_eq!(live.reload().unwrap().file.as_ref(), Some(&places[1]));
        assert_eq!(live.current().default_model.as_deref(), Some("late"));
        // The one in force stays, and its loss is an error.
        fs::remove_file(&places[1]).unwrap();
        assert!(live.reload().unwrap_err().has_errors());
        assert_eq!(live.current().default_model.as_deref(), Some("late"));
        fs::write(&places[0], "default_model = \"better\"").unwrap();
        assert_eq!(live.reload().unwrap().file.as_ref(), Some(&places[0]));
        assert_eq!(live.current().default_model.as_deref(), Some("better"));
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_read_once() {
        let pipe = PathBuf::from("/dev/null");
        let (live, _) = LiveConfig::new(ConfigSources {
            file: Some(pipe),
            ..ConfigSources::default()
        })
        .unwrap();
        assert!(live.refresh().is_none());
        let told = live.reload().unwrap_err().to_string();
        assert!(told.contains("cannot be read again"), "{told}");
    }

    #[test]
    fn without_sources_there_is_nothing_to_reload() {
        let live = LiveConfig::from_config(Config::builtin());
        assert_eq!(live.reload().unwrap().generation, 0);
    }
}
