//! Unix sockets for children: the files on which a child listens, so that only the user who runs
//! Crucible reaches it, and no port is needed.
//!
//! The files are in `state_dir/sockets`, a folder of mode 0700, and are named after their engine.
//! llama.cpp's server (build 11434) neither replaces a file that is there nor removes its own when it
//! ends, so both is done here.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

/// The name of the folder in `state_dir`.
const FOLDER: &str = "sockets";
/// The longest path, in bytes, that every Unix takes for a socket (macOS: 104 with the ending zero).
const PATH_LIMIT: usize = 100;
/// The number of files that one engine may have at once: a child that ends and the one that follows,
/// and some to spare.
const FILES_PER_ENGINE: u32 = 8;

/// The folder with the sockets of this Crucible's children.
#[derive(Clone, Debug)]
pub(super) struct SocketFolder {
    folder: PathBuf,
    /// The files that belong to a [`ChildSocket`].
    taken: Arc<Mutex<BTreeSet<PathBuf>>>,
}

/// A file that one child may listen on. Dropping it removes the file, so it is kept until the child has
/// ended.
#[derive(Debug)]
pub(super) struct ChildSocket {
    path: PathBuf,
    taken: Arc<Mutex<BTreeSet<PathBuf>>>,
}

// === impl SocketFolder ===

impl SocketFolder {
    /// The folder below `state_dir`. Nothing is created yet.
    pub(super) fn new(state_dir: &Path) -> Self {
        // A child may be started in another folder.
        let state_dir = std::path::absolute(state_dir).unwrap_or_else(|_| state_dir.to_owned());
        Self {
            folder: state_dir.join(FOLDER),
            taken: Arc::default(),
        }
    }

    /// Takes a file for a child of this engine, and removes what an earlier child left there.
    ///
    /// Errors, after which the child has to listen on a port: the folder cannot be written, its file
    /// system has no sockets, the path is too long or has a comma (which separates addresses for
    /// llama.cpp's server), or the system has no Unix sockets.
    pub(super) async fn take(&self, engine: &str) -> io::Result<ChildSocket> {
        private_folder(&self.folder).await?;
        let mut why = io::Error::from(io::ErrorKind::AddrInUse);
        for n in 1..=FILES_PER_ENGINE {
            let file = match n {
                1 => format!("{engine}.sock"),
                n => format!("{engine}-{n}.sock"),
            };
            let path = self.folder.join(file);
            let text = path.to_str().unwrap_or(",");
            if text.contains(',') || text.len() > PATH_LIMIT {
                return Err(io::ErrorKind::InvalidFilename.into());
            }
            if !self.taken.lock().insert(path.clone()) {
                continue;
            }
            match make_room(&path).await {
                Ok(()) => {
                    let taken = Arc::clone(&self.taken);
                    return Ok(ChildSocket { path, taken });
                }
                Err(error) => {
                    self.taken.lock().remove(&path);
                    why = error;
                }
            }
        }
        Err(why)
    }

    /// Removes the files on which nobody listens any more.
    pub(super) async fn remove_stale(&self) {
        let Ok(mut entries) = tokio::fs::read_dir(&self.folder).await else {
            return;
        };
        while let Ok(Some(entry)) = entries.next_entry().await {
            let path = entry.path();
            let ours = self.taken.lock().contains(&path);
            if !ours {
                // One that is in use stays, as does what cannot be removed.
                let _ = remove_stale(&path).await;
            }
        }
    }
}

// === impl ChildSocket ===

impl ChildSocket {
    /// The path of the file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ChildSocket {
    fn drop(&mut self) {
        // A child that never listened has left none.
        let _ = std::fs::remove_file(&self.path);
        self.taken.lock().remove(&self.path);
    }
}

/// Lets only the user of this process connect to a socket, whatever mask the child has.
pub(super) async fn make_private(socket: &Path) -> io::Result<()> {
    #[cfg(unix)]
    unix::set_mode(socket, 0o600).await?;
    #[cfg(not(unix))]
    let _ = socket;
    Ok(())
}

#[cfg(unix)]
use self::unix::{make_room, private_folder, remove_stale};

#[cfg(unix)]
mod unix {
    use std::{
        fs::Permissions,
        io,
        os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
        path::Path,
    };

    use tokio::{
        fs,
        net::{UnixListener, UnixStream},
    };

    /// Sets the permission bits of a file or folder, such as `0o700`.
    pub(super) async fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
        fs::set_permissions(path, Permissions::from_mode(mode)).await
    }

    /// Makes a folder with all that are above it, and lets only its owner into it.
    pub(super) async fn private_folder(folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder).await?;
        set_mode(folder, 0o700).await
    }

    /// Makes sure that a child can listen at a path. A file that is there would keep it from that, and so
    /// would a file system without sockets, as some shared folders of containers are; so this process
    /// listens there for a moment.
    pub(super) async fn make_room(path: &Path) -> io::Result<()> {
        remove_stale(path).await?;
        drop(UnixListener::bind(path)?);
        fs::remove_file(path).await
    }

    /// Removes a socket on which nobody listens; no file is fine too. Errors: a socket that is in use, and
    /// a file that is no socket.
    pub(super) async fn remove_stale(path: &Path) -> io::Result<()> {
        // It never waits: a server that takes no connection in time has one refused.
        match UnixStream::connect(path).await {
            Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => {
                let refused = error.kind() == io::ErrorKind::ConnectionRefused;
                let meta = fs::symlink_metadata(path).await?;
                if refused && meta.file_type().is_socket() {
                    fs::remove_file(path).await
                } else {
                    Err(error)
                }
            }
        }
    }
}

#[cfg(not(unix))]
async fn private_folder(_: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(unix))]
async fn make_room(_: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(unix))]
async fn remove_stale(_: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::{fs::PermissionsExt as _, net::UnixListener};

    use super::*;

    fn file(socket: &ChildSocket) -> std::borrow::Cow<'_, str> {
        socket
            .path()
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
    }

    #[tokio::test]
    async fn each_child_has_a_file_of_its_own_in_a_folder_for_its_user_alone() {
        let root = tempfile::tempdir().unwrap();
        let folder = SocketFolder::new(root.path());
        let one = folder.take("own").await.unwrap();
        let listener = UnixListener::bind(one.path()).unwrap();
        make_private(one.path()).await.unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(one.path()), 0o600);
        assert_eq!(mode(one.path().parent().unwrap()), 0o700);
        // Another one, before the first has listened and while it does.
        let two = folder.take("own").await.unwrap();
        assert_eq!([file(&one), file(&two)], ["own.sock", "own-2.sock"]);
        let path = one.path().to_owned();
        drop((listener, one));
        assert!(!path.exists());
        assert_eq!(file(&folder.take("own").await.unwrap()), "own.sock");
    }

    #[tokio::test]
    async fn what_nobody_listens_on_is_removed_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let folder = SocketFolder::new(root.path());
        let at = |name: &str| root.path().join(FOLDER).join(name);
        std::fs::create_dir(root.path().join(FOLDER)).unwrap();
        drop(UnixListener::bind(at("gone.sock")).unwrap());
        drop(UnixListener::bind(at("own.sock")).unwrap());
        let in_use = UnixListener::bind(at("own-2.sock")).unwrap();
        std::fs::write(at("notes.txt"), "of a person").unwrap();
        let taken = folder.take("own").await.unwrap();
        assert_eq!(file(&taken), "own.sock");
        assert!(!at("own.sock").exists(), "llama.cpp replaces no file");
        let own = UnixListener::bind(taken.path()).unwrap();
        folder.remove_stale().await;
        let left =
            ["gone.sock", "own.sock", "own-2.sock", "notes.txt"].map(|name| at(name).exists());
        assert_eq!(left, [false, true, true, true]);
        assert_eq!(file(&folder.take("own").await.unwrap()), "own-3.sock");
        drop((own, in_use));
    }

    #[tokio::test]
    async fn a_path_that_no_child_can_listen_on_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let long = root.path().join("x".repeat(PATH_LIMIT));
        let comma = root.path().join("a,b");
        let file = root.path().join("file");
        std::fs::write(&file, "").unwrap();
        for state_dir in [long, comma, file] {
            assert!(
                SocketFolder::new(&state_dir).take("own").await.is_err(),
                "{state_dir:?}"
            );
        }
    }
}
