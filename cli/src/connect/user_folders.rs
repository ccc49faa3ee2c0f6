//! The folders in which programs keep the settings of a user, on each system.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// The variable with the folder of settings, on systems that follow XDG.
const XDG: &str = "XDG_CONFIG_HOME";

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
    /// The folders of the user who runs this process.
    ///
    /// # Errors
    /// No home folder is known, in words.
    pub(crate) fn of_process() -> Result<Self, String> {
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
        let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
        let home = home.ok_or_else(|| "no home folder is known: set HOME".to_owned())?;
        if home.is_relative() {
            let words = "which is no absolute path: set it to your home folder";
            return Err(format!("HOME is {:?}, {words}", home.display().to_string()));
        }
        Ok(Self::new(system, home, variables.collect()))
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

    /// The folder of a program: the one that its variable names, else this one in the home folder.
    pub(crate) fn of_program(&self, variable: &str, in_home: &str) -> PathBuf {
        let named = self.named_by(variable);
        named.unwrap_or_else(|| self.home.join(in_home))
    }

    /// A sentence where `XDG_CONFIG_HOME` is no absolute path: XDG has it ignored then.
    pub(crate) fn ignored(&self) -> Option<String> {
        let folder = self.named_by(XDG).filter(|folder| folder.is_relative())?;
        let folder = folder.display().to_string();
        Some(format!(
            "{XDG} is {folder:?}, which is no absolute path, and is ignored"
        ))
    }

    /// The folder of command line programs that follow XDG: `XDG_CONFIG_HOME`, else `~/.config`, on every
    /// system.
    pub(crate) fn xdg_config(&self) -> PathBuf {
        self.named_by(XDG)
            .filter(|folder| folder.is_absolute())
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
