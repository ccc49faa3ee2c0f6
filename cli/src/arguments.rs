//! Arguments that several commands take.

use std::path::PathBuf;

use clap::Args;

const CONFIG_HELP: &str =
    "Configuration file [default: $CRUCIBLE_CONFIG, ./crucible.toml, the user's config folder]";

/// The arguments of every command: they are the uppermost layer of the configuration.
#[derive(Args, Clone, Debug, Default)]
pub struct CommonArgs {
    #[arg(long, global = true, value_name = "FILE", help = CONFIG_HELP)]
    pub(crate) config: Option<PathBuf>,
    /// Address for clients; may be given several times, port 0 lets the system choose
    #[arg(long, global = true, value_name = "ADDR")]
    pub(crate) listen: Vec<String>,
    /// An engine: lmstudio, ollama, llamacpp or openai; adds one, or changes a configured one; `env`
    /// and `bench` take a NAME alone for the one that is meant
    #[arg(long, global = true, value_name = "NAME=KIND@URL")]
    pub(crate) engine: Vec<String>,
}

/// The form in which a command writes its result.
#[derive(Args, Clone, Copy, Debug)]
pub struct OutputArgs {
    /// JSON for scripts
    #[arg(long)]
    pub json: bool,
}

// === impl CommonArgs ===

impl CommonArgs {
    /// Returns the arguments without engines that are given by name alone, and the last such name.
    pub(crate) fn naming(&self) -> (Self, Option<String>) {
        let (engine, names): (Vec<String>, Vec<String>) =
            self.engine.iter().cloned().partition(|e| e.contains('='));
        let rest = Self {
            engine,
            ..self.clone()
        };
        (rest, names.into_iter().next_back())
    }
}
