//! The state directory is the folder of what outlives a run; one Crucible owns it at a time.
//!
//! The owner holds a lock on a file there, which the system takes back with the process, however it
//! ends. A second Crucible of the same folder serves without it: what the owner loaded, learned
//! and started is not its own. When the owner has ended, the second takes its place, as a start
//! would.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

use tokio::{sync::watch, time::sleep};

/// The name of the file that the owner keeps locked; its text is the owner's process id, for
/// people.
const FILE: &str = "lock";
/// The time between two tries to take a folder that another process owns.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A state directory, with the owner that the last try to take it found.
#[derive(Debug)]
pub struct StateDir {
    folder: PathBuf,
    /// Locked as long as the process lives.
    lock: OnceLock<File>,
    hold: watch::Sender<Hold>,
}

/// The owner of a state directory, as far as it can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hold {
    /// This process may write there and takes what an earlier run left as its own.
    Ours,
    /// Nobody can tell whether another Crucible uses it, for this reason; it is taken for ours.
    Unknown(String),
    /// Another process owns it; its number, where it is told.
    Anothers(Option<u32>),
}

/// Returns the text of a file in a state directory. Whatever is no regular file is an error,
/// because reading from a pipe that nobody writes to would never end.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    if fs::metadata(path)?.is_file() {
        fs::read_to_string(path)
    } else {
        let what = "what stands there is no file";
        Err(io::Error::new(io::ErrorKind::InvalidInput, what))
    }
}

// === impl Hold ===

impl Hold {
    /// Reports whether this process may write there; it may too where nobody can tell the owner.
    pub const fn is_ours(&self) -> bool {
        matches!(self, Self::Ours | Self::Unknown(_))
    }
}

// === impl StateDir ===

impl StateDir {
    /// Takes the folder unless another process owns it; [`StateDir::hold`] tells how that went. An
    /// empty path means that there is no folder: nothing outlives the run, and nobody else can own
    /// it.
    pub fn claim(folder: &Path) -> Self {
        let this = Self {
            folder: folder.to_owned(),
            lock: OnceLock::new(),
            hold: watch::Sender::new(Hold::Ours),
        };
        if !folder.as_os_str().is_empty() {
            this.hold.send_replace(this.try_lock());
        }
        this
    }

    /// Returns the path of the folder, which is empty where there is none.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the owner of the folder, as the last try to take it found it.
    pub fn hold(&self) -> Hold {
        self.hold.borrow().clone()
    }

    /// Reports whether this process may write to the folder now.
    pub fn is_ours(&self) -> bool {
        self.hold.borrow().is_ours()
    }

    /// Waits until this process owns the folder; it returns at once where it does already.
    pub async fn wait_until_owned(&self) {
        let mut hold = self.hold.subscribe();
        // The sender is in `self`.
        let _ = hold.wait_for(Hold::is_ours).await;
    }

    /// Waits for the end of the Crucible that owns the folder and takes it then: it tries once a
    /// second until this process owns it, and returns at once where it does already.
    pub(crate) async fn take_over_when_free(&self) {
        while !self.is_ours() {
            sleep(LOOK_EVERY).await;
            let hold = self.try_lock();
            let folder = self.folder.display();
            match &hold {
                Hold::Ours => {
                    tracing::info!(%folder, "its owner has ended: state_dir is this Crucible's now");
                }
                Hold::Unknown(why) => tracing::warn!(
                    %folder,
                    "state_dir cannot be locked any more ({why}): whether its owner has ended is not \
                     known, and this Crucible uses it from now on"
                ),
                Hold::Anothers(_) => {}
            }
            self.hold.send_replace(hold);
        }
    }

    /// Logs a warning where another process owns the folder or nobody can tell who does; else it
    /// logs nothing.
    pub fn tell(&self) {
        let folder = self.folder.display();
        match self.hold() {
            Hold::Ours => {}
            Hold::Unknown(why) => tracing::warn!(
                "state_dir {folder} cannot be locked ({why}): a second Crucible of this folder \
                 would not be noticed, and each would unload what the other one loaded; set \
                 state_dir (CRUCIBLE_STATE_DIR) to a folder that can be written"
            ),
            Hold::Anothers(process) => {
                let process = process.map_or_else(String::new, |id| format!(" (process {id})"));
                tracing::warn!(
                    "state_dir {folder} belongs to another Crucible{process}: this one serves \
                     without it. It unloads only what it loads itself, and keeps no measurements \
                     and no event log until the other one ends. To run both for good, give each \
                     its own state_dir"
                );
            }
        }
    }

    fn try_lock(&self) -> Hold {
        let file = match self.open() {
            Ok(file) => file,
            Err(error) => return Hold::Unknown(error.to_string()),
        };
        match file.try_lock() {
            Ok(()) => {
                // For people; the lock is what counts.
                let _ = name_owner(&file);
                let _ = self.lock.set(file);
                Hold::Ours
            }
            Err(TryLockError::WouldBlock) => {
                let named = read(&self.folder.join(FILE)).unwrap_or_default();
                Hold::Anothers(named.trim().parse().ok())
            }
            Err(TryLockError::Error(error)) => Hold::Unknown(error.to_string()),
        }
    }

    fn open(&self) -> io::Result<File> {
        let path = self.folder.join(FILE);
        // What is wrong with the folder is told by the file.
        let _ = fs::create_dir_all(&self.folder);
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true);
        // Another user who could open it could keep the owner out.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        // In a folder that cannot be written the owner may still be seen.
        options
            .open(&path)
            .or_else(|error| File::open(&path).map_err(|_| error))
    }
}

fn name_owner(mut file: &File) -> io::Result<()> {
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_it_until_its_end_and_a_file_that_is_left_says_nothing() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("not/there/yet");
        let first = StateDir::claim(&folder);
        assert_eq!(first.hold(), Hold::Ours);
        let second = StateDir::claim(&folder);
        assert_eq!(second.hold(), Hold::Anothers(Some(std::process::id())));
        assert!(!second.is_ours());
        drop(first);
        assert!(folder.join(FILE).exists());
        assert_eq!(StateDir::claim(&folder).hold(), Hold::Ours);
    }

    #[test]
    fn no_folder_is_nobody_elses_and_one_that_cannot_be_made_is_told() {
        for _ in 0..2 {
            assert_eq!(StateDir::claim(Path::new("")).hold(), Hold::Ours);
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        let below = StateDir::claim(&file.path().join("below-a-file"));
        assert!(matches!(below.hold(), Hold::Unknown(_)), "{below:?}");
        assert!(below.is_ours());
    }

    #[tokio::test(start_paused = true)]
    async fn the_second_takes_its_place_when_the_first_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let first = StateDir::claim(folder.path());
        let second = StateDir::claim(folder.path());
        let waits = tokio::time::timeout(LOOK_EVERY * 5, second.take_over_when_free()).await;
        assert!(waits.is_err() && !second.is_ours());
        drop(first);
        tokio::join!(second.take_over_when_free(), second.wait_until_owned());
        assert_eq!(second.hold(), Hold::Ours);
        assert!(!StateDir::claim(folder.path()).is_ours());
    }
}
