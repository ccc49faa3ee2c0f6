//! The command line of the program: its arguments, and the commands that need the server.
//!
//! The commands without a server are in [`crucible_cli`]. The ones here are `serve`, `explain`,
//! which reads a request body as the server would, and `key new`. The exit code is 0 where all is
//! well, 1 where something is wrong with what was examined, and 2 for wrong usage or configuration.

mod explain;
mod key;
mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use crucible_cli::{
    CommonArgs, OutputArgs, bench, check, config_show, connect, doctor, env, inspect, models,
    output, replay, top, try_out, tunings, usage,
};

/// One URL in front of LM Studio and Ollama.
#[derive(Debug, Parser)]
#[command(name = "crucible", version, about, max_term_width = 100)]
pub struct CommandLine {
    #[command(subcommand)]
    command: Option<CliCommand>,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Debug, Subcommand)]
enum CliCommand {
    /// Serve clients (the default)
    Serve,
    /// Use the engines found, else an embedded one (asks before it fetches); answer, then serve
    Try(try_out::TryArgs),
    /// Tell everything that is wrong with the configuration
    Check,
    /// Show the configuration in effect
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// List the models of all engines, and what is loaded
    Models(OutputArgs),
    /// Tell where a request would go and why; nothing is sent
    Explain(explain::ExplainArgs),
    /// List the 39 settings; with their states if an instance is running
    Tunings(OutputArgs),
    /// Tell what the logged requests would have met under other settings; nothing is sent
    Replay(replay::ReplayArgs),
    /// Tell what was used, by key, client, model or day, from the event log
    Usage(usage::UsageArgs),
    /// Keep the next requests with their bodies in memory, and show them as they end
    Inspect(inspect::InspectArgs),
    /// Show what happens in a running instance, in this terminal
    Top(top::TopArgs),
    /// Tell which settings are in effect on the engines, and what to do about the others
    Doctor(doctor::DoctorArgs),
    /// Measure the profile against the engine's defaults on one engine and one of its models
    Bench(bench::BenchArgs),
    /// Render the environment of an Ollama process
    Env(env::EnvArgs),
    /// Print or write a client's settings, or list the clients
    Connect(connect::ConnectArgs),
    /// Start a client so that it asks Crucible; no file is written
    Launch(connect::LaunchArgs),
    /// Client keys
    Key {
        #[command(subcommand)]
        command: KeyCommand,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Every key with its value
    Show {
        /// Say which layer set it
        #[arg(long)]
        origin: bool,
        #[command(flatten)]
        output: OutputArgs,
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

// === impl CommandLine ===

impl CommandLine {
    /// Runs the command that the arguments name, `serve` where they name none, and returns its exit code.
    pub fn run(self) -> ExitCode {
        let Self { command, common } = self;
        // One that serves says little there, and goes on without.
        let serves = matches!(command, None | Some(CliCommand::Serve | CliCommand::Try(_)));
        let result = match command {
            None | Some(CliCommand::Serve) => serve::run(&common),
            Some(CliCommand::Try(args)) => {
                try_out::run(&common, &args, serve::InstanceLauncher::prepare)
            }
            Some(CliCommand::Check) => check::run(&common),
            Some(CliCommand::Config {
                command: ConfigCommand::Show { origin, output },
            }) => config_show::run(&common, origin, output),
            Some(CliCommand::Models(output)) => models::run(&common, output),
            Some(CliCommand::Explain(args)) => explain::run(&common, &args),
            Some(CliCommand::Tunings(output)) => tunings::run(&common, output),
            Some(CliCommand::Replay(args)) => replay::run(&common, &args),
            Some(CliCommand::Usage(args)) => usage::run(&common, &args),
            Some(CliCommand::Inspect(args)) => inspect::run(&common, &args),
            Some(CliCommand::Top(args)) => top::run(&common, &args),
            Some(CliCommand::Doctor(args)) => doctor::run(&common, &args),
            Some(CliCommand::Bench(args)) => bench::run(&common, &args),
            Some(CliCommand::Env(args)) => env::run(&common, &args),
            Some(CliCommand::Connect(args)) => connect::connect(&common, &args),
            Some(CliCommand::Launch(args)) => connect::launch(&common, &args),
            Some(CliCommand::Key {
                command: KeyCommand::New { name },
            }) => key::run(&name),
        };
        match result {
            Ok(()) => match output::stdout_error().filter(|_| !serves) {
                None => ExitCode::SUCCESS,
                Some(why) => {
                    output::write_stderr(&format!("the output could not be written: {why}"));
                    ExitCode::FAILURE
                }
            },
            Err(failure) => {
                output::write_stderr(&failure.text);
                ExitCode::from(failure.code)
            }
        }
    }
}
