//! The command line: one subcommand per file, each a function from arguments to an exit code.
//!
//! Exit codes: 0 fine, 1 something is wrong with what was examined, 2 wrong usage or configuration.

mod bench;
mod check;
mod config_show;
mod doctor;
mod env;
mod explain;
mod key;
mod models;
mod output;
mod pools;
mod replay;
mod running;
mod serve;
mod sources;
mod try_out;
mod tunings;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

/// One URL in front of LM Studio and Ollama.
#[derive(Debug, Parser)]
#[command(name = "crucible", version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    common: Common,
}

const CONFIG_HELP: &str =
    "Configuration file [default: $CRUCIBLE_CONFIG, ./crucible.toml, the user's config folder]";

#[derive(Args, Clone, Debug, Default)]
struct Common {
    #[arg(long, global = true, value_name = "FILE", help = CONFIG_HELP)]
    config: Option<PathBuf>,
    /// Address for clients; may be given several times, port 0 lets the system choose
    #[arg(long, global = true, value_name = "ADDR")]
    listen: Vec<String>,
    /// An engine: lmstudio, ollama, llamacpp or openai; adds one, or changes a configured one; `env`
    /// and `bench` take a NAME alone for the one that is meant
    #[arg(long, global = true, value_name = "NAME=KIND@URL")]
    engine: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve clients (the default)
    Serve,
    /// Use the engines found, else an embedded one (asks before it fetches); answer, then serve
    Try(TryArgs),
    /// Tell everything that is wrong with the configuration
    Check,
    /// Show the configuration in effect
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// List the models of all engines, and what is loaded
    Models(Output),
    /// Tell where a request would go and why; nothing is sent
    Explain(ExplainArgs),
    /// List the 39 settings; with their states if an instance is running
    Tunings(Output),
    /// Tell what the logged requests would have met under other settings; nothing is sent
    Replay(replay::ReplayArgs),
    /// Tell which settings are in effect on the engines, and what to do about the others
    Doctor(doctor::DoctorArgs),
    /// Measure the profile against the engine's defaults on one engine and one of its models
    Bench(bench::BenchArgs),
    /// Render the environment of an Ollama process
    Env(env::EnvArgs),
    /// Client keys
    Key {
        #[command(subcommand)]
        command: KeyCommand,
    },
}

#[derive(Args, Clone, Copy, Debug)]
struct Output {
    /// JSON for scripts
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct TryArgs {
    /// Fetch what is missing without asking
    #[arg(long)]
    yes: bool,
    /// Model file for the embedded engine
    #[arg(long, value_name = "FILE.gguf")]
    model: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct ExplainArgs {
    /// A model's name, or - for a request body on standard input
    #[arg(value_name = "MODEL | -")]
    subject: String,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Every key with its value
    Show {
        /// Say which layer set it
        #[arg(long)]
        origin: bool,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Make a key: the secret for the client, the block for the configuration
    New {
        /// Name of the key
        #[arg(long, default_value = "client")]
        name: String,
    },
}

/// Something that ends a command; the text is for stderr.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    pub(crate) text: String,
}

// === impl Common ===

impl Common {
    /// The engine that is meant, by its name alone, and everything else.
    fn naming(&self) -> (Self, Option<String>) {
        let (engine, names): (Vec<String>, Vec<String>) =
            self.engine.iter().cloned().partition(|e| e.contains('='));
        let rest = Self {
            engine,
            ..self.clone()
        };
        (rest, names.into_iter().next_back())
    }
}

// === impl Failure ===

impl Failure {
    /// Exit code 1: something is wrong with what was examined.
    pub(crate) fn wrong(text: impl Into<String>) -> Self {
        Self {
            code: 1,
            text: text.into(),
        }
    }

    /// Exit code 2: wrong usage or configuration.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self {
            code: 2,
            text: text.into(),
        }
    }
}

// === impl Cli ===

impl Cli {
    /// Runs the command.
    pub fn run(self) -> ExitCode {
        let Self { command, common } = self;
        // One that serves says little there, and goes on without.
        let serves = matches!(command, None | Some(Command::Serve | Command::Try(_)));
        let result = match command {
            None | Some(Command::Serve) => serve::run(&common),
            Some(Command::Try(args)) => try_out::run(&common, &args),
            Some(Command::Check) => check::run(&common),
            Some(Command::Config {
                command: ConfigCommand::Show { origin, output },
            }) => config_show::run(&common, origin, output.json),
            Some(Command::Models(output)) => models::run(&common, output.json),
            Some(Command::Explain(args)) => explain::run(&common, &args),
            Some(Command::Tunings(output)) => tunings::run(&common, output.json),
            Some(Command::Replay(args)) => replay::run(&common, &args),
            Some(Command::Doctor(args)) => doctor::run(&common, &args),
            Some(Command::Bench(args)) => bench::run(&common, &args),
            Some(Command::Env(args)) => env::run(&common, &args),
            Some(Command::Key {
                command: KeyCommand::New { name },
            }) => key::run(&name),
        };
        match result {
            Ok(()) => match output::unwritten().filter(|_| !serves) {
                None => ExitCode::SUCCESS,
                Some(why) => {
                    output::complain(&format!("the output could not be written: {why}"));
                    ExitCode::FAILURE
                }
            },
            Err(failure) => {
                output::complain(&failure.text);
                ExitCode::from(failure.code)
            }
        }
    }
}
