//! The command `crucible launch`, which starts a client so that it asks Crucible, and writes no file.

use std::{collections::BTreeMap, path::PathBuf, process::Command};

use clap::Args;
use serde_json::json;

use super::{
    client_program::{ClientLaunch, ClientProgram},
    clients::{self, CLIENTS},
    target::{ConnectTarget, TargetArgs},
};
use crate::{
    CommandFailure, CommonArgs, OutputArgs,
    output::{to_json, write_stderr, write_stdout},
    runtime::runtime,
    sources,
};

/// The arguments of `crucible launch`, which starts a client program that asks Crucible.
#[derive(Args, Debug)]
pub struct LaunchArgs {
    /// The client, such as claude-code or codex
    client: String,
    /// Print what would be run
    #[arg(long)]
    print: bool,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    output: OutputArgs,
    /// Arguments of the client, behind --
    #[arg(last = true, value_name = "ARGS")]
    arguments: Vec<String>,
}

/// A command that is ready to be run.
#[derive(Debug, PartialEq, Eq)]
struct PreparedLaunch {
    program: PathBuf,
    arguments: Vec<String>,
    environment: BTreeMap<&'static str, String>,
    removed: &'static [&'static str],
}

/// Runs `crucible launch`: starts a client program with the settings that point it at Crucible, and writes no file. On Unix the client takes the place of this process, so that the terminal and its
/// signals are its own.
///
/// # Errors
/// Exit code 1 where no Crucible runs or the program is not installed, 2 where it cannot be started so.
pub fn run(common: &CommonArgs, args: &LaunchArgs) -> Result<(), CommandFailure> {
    let client = clients::find(&args.client).map_err(CommandFailure::usage)?;
    let launch = client.launch.ok_or_else(|| not_launched(client))?;
    let config = sources::load(common)?.current();
    let target = runtime()?.block_on(ConnectTarget::find(&config, &args.target, client))?;
    if target.running.is_none() {
        let words = target.notes.into_iter().next();
        return Err(CommandFailure::wrong(words.unwrap_or_default()));
    }
    for note in &target.notes {
        write_stderr(&format!("note: {note}"));
    }
    let program = match client.installed() {
        Some(program) => program,
        None if args.print => PathBuf::from(client.programs.first().copied().unwrap_or_default()),
        None => {
            return Err(CommandFailure::wrong(format!(
                "{} is not installed: no {} in PATH. Install it with: {}",
                client.title,
                client.programs.join(" or "),
                client.install
            )));
        }
    };
    let prepared = PreparedLaunch::of(launch(&target.settings), program, &args.arguments);
    if args.print {
        write_stdout(&if args.output.json {
            to_json(&prepared.as_json())?
        } else {
            prepared.as_shell()
        });
        return Ok(());
    }
    prepared.start()
}

/// Says why a client cannot be started so, and which can.
fn not_launched(client: &ClientProgram) -> CommandFailure {
    let launched = CLIENTS.iter().filter(|client| client.launch.is_some());
    let names: Vec<&str> = launched.map(|client| client.name).collect();
    CommandFailure::usage(format!(
        "{} cannot be pointed at a server by its environment or arguments alone: `crucible connect {}` says \
         what to do. Can be launched: {}",
        client.title,
        client.name,
        names.join(", ")
    ))
}

// === impl PreparedLaunch ===

impl PreparedLaunch {
    fn of(launch: ClientLaunch, program: PathBuf, arguments: &[String]) -> Self {
        let mut all = launch.arguments;
        for (names, optional) in launch.optional {
            let own = |argument: &String| {
                let name = argument.split('=').next().unwrap_or_default();
                names.contains(&name)
            };
            if !arguments.iter().any(own) {
                all.extend(optional);
            }
        }
        all.extend(arguments.iter().cloned());
        Self {
            program,
            arguments: all,
            environment: launch.environment.into_iter().collect(),
            removed: launch.removed,
        }
    }

    /// The command for a POSIX shell.
    fn as_shell(&self) -> String {
        let mut words = Vec::new();
        if !(self.environment.is_empty() && self.removed.is_empty()) {
            words.push("env".to_owned());
        }
        for name in self.removed {
            words.push(format!("-u {name}"));
        }
        for (name, value) in &self.environment {
            words.push(format!("{name}={}", quoted(value)));
        }
        words.push(quoted(&self.program.display().to_string()));
        words.extend(self.arguments.iter().map(|argument| quoted(argument)));
        words.join(" ")
    }

    fn as_json(&self) -> serde_json::Value {
        json!({
            "program": self.program,
            "arguments": self.arguments,
            "environment": self.environment,
            "removed": self.removed,
        })
    }

    fn start(self) -> Result<(), CommandFailure> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).envs(&self.environment);
        for name in self.removed {
            command.env_remove(name);
        }
        let failed = |error: std::io::Error| {
            CommandFailure::wrong(format!("{}: {error}", self.program.display()))
        };
        #[cfg(unix)]
        {
            use std::os::unix::process::CommandExt as _;
            Err(failed(command.exec()))
        }
        #[cfg(not(unix))]
        {
            let status = command.status().map_err(failed)?;
            match status.code() {
                Some(0) => Ok(()),
                code => Err(CommandFailure {
                    code: code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1),
                    text: String::new(),
                }),
            }
        }
    }
}

/// A word for a POSIX shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(arguments: &[&str]) -> PreparedLaunch {
        let own: &[&str] = &["--model"];
        let launch = ClientLaunch {
            arguments: vec!["-c".to_owned(), "a=\"b c\"".to_owned()],
            optional: vec![(own, vec!["--model".to_owned(), "ours".to_owned()])],
            environment: vec![("B", "it's".to_owned()), ("A", "1".to_owned())],
            removed: &["C"],
        };
        let arguments: Vec<String> = arguments.iter().map(|&a| a.to_owned()).collect();
        PreparedLaunch::of(launch, PathBuf::from("/bin/x"), &arguments)
    }

    #[test]
    fn the_command_can_be_pasted_into_a_shell() {
        assert_eq!(
            prepared(&["say hi"]).as_shell(),
            r#"env -u C A=1 B='it'\''s' /bin/x -c 'a="b c"' --model ours 'say hi'"#
        );
    }

    #[test]
    fn an_argument_of_the_user_takes_the_place_of_ours() {
        for own in [&["--model", "x"][..], &["--model=x"]] {
            assert!(
                !prepared(own).arguments.contains(&"ours".to_owned()),
                "{own:?}"
            );
        }
    }
}
