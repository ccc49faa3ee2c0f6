//! The folders in which programs keep the settings of a user, on each system.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// The systems whose folders differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UserSystem {
    /// Linux and the other Unixes.
    Linux,
    /// macOS.
    MacOs,
    /// Windows.
    Windows,
}

/// The folders of one user on one system, and the variables that move them.
#[derive(Clone, Debug)]
pub(crate) struct UserFolders {
    system: UserSystem,
    home: PathBuf,
    variables: BTreeMap<String, String>,
}

// === impl UserFolders ===

impl UserFolders {
    /// The folders of the user who runs this process; `None` where no home folder is known.
    pub(crate) fn of_process() -> Option<Self> {
        let system = if cfg!(windows) {
            UserSystem::Windows
        } else if cfg!(target_os = "macos") {
            UserSystem::MacOs
        } else {
            UserSystem::Linux
        };
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Some(Self::new(
            system,
            std::env::home_dir()?,
            variables.collect(),
        ))
    }

    /// The folders below this home folder, with these environment variables.
    pub(crate) const fn new(
        system: UserSystem,
        home: PathBuf,
        variables: BTreeMap<String, String>,
    ) -> Self {
        Self {
            system,
            home,
            variables,
        }
    }

    /// The home folder.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// The folder that an environment variable names, where it is set and not empty.
    pub(crate) fn named_by(&self, variable: &str) -> Option<PathBuf> {
        let value = self.variables.get(variable)?;
        (!value.is_empty()).then(|| PathBuf::from(value))
    }

    /// The folder of command line programs that follow XDG: `XDG_CONFIG_HOME`, else `~/.config`, on every
    /// system.
    pub(crate) fn xdg_config(&self) -> PathBuf {
        self.named_by("XDG_CONFIG_HOME")
            .unwrap_or_else(|| self.home.join(".config"))
    }

    /// The folder of programs with a window: XDG's on Linux, `Library/Application Support` on macOS,
    /// `%APPDATA%` on Windows.
    pub(crate) fn applications(&self) -> PathBuf {
        match self.system {
            UserSystem::Linux => self.xdg_config(),
            UserSystem::MacOs => self.home.join("Library/Application Support"),
            UserSystem::Windows => self
                .named_by("APPDATA")
                .unwrap_or_else(|| self.home.join("AppData/Roaming")),
        }
    }

    /// Windows' `%LOCALAPPDATA%`; elsewhere the same as [`Self::xdg_config`].
    pub(crate) fn local_config(&self) -> PathBuf {
        match self.system {
            UserSystem::Windows => self
                .named_by("LOCALAPPDATA")
                .unwrap_or_else(|| self.home.join("AppData/Local")),
            UserSystem::Linux | UserSystem::MacOs => self.xdg_config(),
        }
    }

    /// The first of these files that exists, else the first.
    pub(crate) fn existing<const N: usize>(files: [PathBuf; N]) -> PathBuf {
        let found = files.iter().find(|file| file.exists()).cloned();
        found.unwrap_or_else(|| files.into_iter().next().unwrap_or_default())
    }

    /// Whether the system is Windows.
    pub(crate) fn is_windows(&self) -> bool {
        self.system == UserSystem::Windows
    }
}
