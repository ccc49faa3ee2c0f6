//! The facts about a client program: one entry of the table of clients.

use std::path::PathBuf;

use super::{client_settings::ClientSettings, file_change::FileChange, user_folders::UserFolders};

/// A program that people point at Crucible, as data. To add one is to add one of these.
pub(crate) struct ClientProgram {
    /// The name on the command line: `claude-code`.
    pub(crate) name: &'static str,
    /// Other names that people type.
    pub(crate) aliases: &'static [&'static str],
    /// The name of the program for people: `Claude Code`.
    pub(crate) title: &'static str,
    /// The format in which it asks.
    pub(crate) format: ClientFormat,
    /// The length of its first prompt, which needs a context.
    pub(crate) prompt: FirstPrompt,
    /// The names of its program in `PATH`.
    pub(crate) programs: &'static [&'static str],
    /// The command that installs it.
    pub(crate) install: &'static str,
    /// The folder whose existence says that it was used on this machine.
    pub(crate) folder: Option<fn(&UserFolders) -> PathBuf>,
    /// Returns the settings that the program gets.
    pub(crate) setup: fn(&ClientSettings, &UserFolders) -> ClientSetup,
    /// Returns the way to start the program without writing anything; `None` where there is no such
    /// way.
    pub(crate) launch: Option<fn(&ClientSettings) -> ClientLaunch>,
    /// The facts that a user of the program with Crucible should know, one sentence each.
    pub(crate) limits: &'static [&'static str],
    /// The source of these settings, with its version.
    pub(crate) read_in: &'static str,
    /// The check with the real program, with its version, or the words that there was none.
    pub(crate) tried: &'static str,
}

/// The length of the first prompt of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FirstPrompt {
    /// The prompt is the text of the user, and little more.
    Chat,
    /// An agent's instructions and tools, which were not measured.
    Agent,
    /// The prompt has this many tokens, measured with the real program.
    Measured(u64),
}

/// The format in which a client asks for answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientFormat {
    /// OpenAI's chat.
    Chat,
    /// OpenAI's responses.
    Responses,
    /// Anthropic's messages.
    Messages,
    /// Ollama's own chat.
    Ollama,
}

/// The settings that a client gets: values in files, else variables, else steps for a person.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClientSetup {
    /// Files that Crucible can write.
    pub(crate) files: Vec<ClientFile>,
    /// Variables of its environment, where it reads no file for them.
    pub(crate) environment: Vec<(&'static str, String)>,
    /// The steps that a person takes, one sentence each.
    pub(crate) steps: Vec<String>,
}

/// A file of a client, and what it gets.
#[derive(Clone, Debug)]
pub(crate) struct ClientFile {
    /// The path of the file.
    pub(crate) path: PathBuf,
    /// The change of its content.
    pub(crate) change: FileChange,
}

/// The way to start a client so that it asks Crucible.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClientLaunch {
    /// Arguments before those of the user.
    pub(crate) arguments: Vec<String>,
    /// Arguments that are left out where the user gives one of the names of the first field.
    pub(crate) optional: Vec<(&'static [&'static str], Vec<String>)>,
    /// Variables that are set.
    pub(crate) environment: Vec<(&'static str, String)>,
    /// Variables that would lead it elsewhere and are taken away.
    pub(crate) removed: &'static [&'static str],
}

// === impl ClientProgram ===

impl ClientProgram {
    /// The program in `PATH`, where it is installed.
    pub(crate) fn installed(&self) -> Option<PathBuf> {
        self.programs
            .iter()
            .find_map(|program| which::which(program).ok())
    }

    /// Returns the path at which the client was found on this machine: its program, else its
    /// folder.
    pub(crate) fn found(&self, folders: &UserFolders) -> Option<PathBuf> {
        let folder = || self.folder.map(|folder| folder(folders));
        self.installed()
            .or_else(|| folder().filter(|folder| folder.exists()))
    }
}

// === impl FirstPrompt ===

impl FirstPrompt {
    /// Returns the tokens that the context should have room for; those of an ordinary agent where
    /// they were not measured.
    pub(crate) const fn tokens(self) -> u64 {
        match self {
            Self::Chat => 0,
            Self::Agent => 12_000,
            Self::Measured(tokens) => tokens,
        }
    }

    /// The words for its length, where it was measured.
    pub(crate) fn words(self) -> Option<String> {
        match self {
            Self::Measured(tokens) => Some(format!("{tokens} tokens")),
            Self::Chat | Self::Agent => None,
        }
    }
}

// === impl ClientFormat ===

impl ClientFormat {
    /// The path that requests of this format are sent to.
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Responses => "/v1/responses",
            Self::Messages => "/v1/messages",
            Self::Ollama => "/api/chat",
        }
    }
}
