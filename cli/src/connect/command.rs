//! The command `crucible connect`.

use std::fmt::Write as _;

use clap::Args;
use crucible_config::Config;

use super::{
    apply,
    client_program::{ClientProgram, ClientSetup},
    clients,
    show::{self, shortened},
    target::{ConnectTarget, TargetArgs},
    user_folders::UserFolders,
    verify,
};
use crate::{
    CommandFailure, CommonArgs, OutputArgs,
    output::{to_json, write_stderr, write_stdout},
    runtime::runtime,
    sources,
};

/// The arguments of `crucible connect`, which points client programs at Crucible.
#[derive(Args, Debug)]
pub struct ConnectArgs {
    /// The client, such as codex or zed; without one all are listed
    client: Option<String>,
    /// Write the settings into the client's file, with a way back, and ask once in its format
    #[arg(long, conflicts_with = "undo", requires = "client")]
    apply: bool,
    /// Take back what --apply wrote
    #[arg(long, requires = "client")]
    undo: bool,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs `crucible connect`: lists client programs, or shows, writes or undoes the settings that point one at
/// Crucible.
///
/// # Errors
/// Exit code 1 where a file cannot be changed or no answer came, 2 where there is no such client.
pub fn run(common: &CommonArgs, args: &ConnectArgs) -> Result<(), CommandFailure> {
    let client = args.client.as_deref().map(clients::find).transpose();
    let client = client.map_err(CommandFailure::usage)?;
    let config = sources::load(common)?.current();
    let folders = UserFolders::of_process().map_err(CommandFailure::wrong)?;
    if let Some(words) = folders.ignored() {
        write_stderr(&format!("note: {words}"));
    }
    let Some(client) = client else {
        let listed = show::look(&folders, &config.state_dir);
        write_stdout(&if args.output.json {
            to_json(&show::listed_json(&listed))?
        } else {
            show::listed(&listed)
        });
        return Ok(());
    };
    if args.undo {
        return apply::undo(&config.state_dir, client);
    }
    runtime()?.block_on(connect(&config, args, client, &folders))
}

async fn connect(
    config: &Config,
    args: &ConnectArgs,
    client: &'static ClientProgram,
    folders: &UserFolders,
) -> Result<(), CommandFailure> {
    let target = ConnectTarget::find(config, &args.target, client).await?;
    let setup = (client.setup)(&target.settings, folders);
    for note in &target.notes {
        write_stderr(&format!("note: {note}"));
    }
    if args.apply {
        return apply_and_verify(config, client, &target, &setup).await;
    }
    if args.output.json {
        write_stdout(&to_json(&show::settings_json(
            client,
            &target.settings,
            &setup,
        ))?);
        return Ok(());
    }
    let model = &target.settings.model;
    let context = model.context.map_or_else(String::new, |tokens| {
        format!(" ({tokens} tokens of context)")
    });
    write_stdout(&format!(
        "{}, through {} with {}{context}\n\n{}{}",
        client.title,
        target.settings.url,
        model.name,
        show::settings(client, &setup, folders),
        next_steps(client, &setup, folders),
    ));
    Ok(())
}

/// Returns the further steps with this client, which are printed below its settings.
fn next_steps(client: &ClientProgram, setup: &ClientSetup, folders: &UserFolders) -> String {
    let mut lines = String::new();
    if let Some(file) = setup.files.first() {
        let _ = write!(
            lines,
            "\n\n`crucible connect {} --apply` puts this into {}; all else there stays, and `--undo` takes it back.",
            client.name,
            shortened(&file.path, folders)
        );
    }
    if client.launch.is_some() {
        let _ = write!(
            lines,
            "\n\n`crucible launch {}` starts it so and writes nothing.",
            client.name
        );
    }
    lines
}

async fn apply_and_verify(
    config: &Config,
    client: &ClientProgram,
    target: &ConnectTarget,
    setup: &ClientSetup,
) -> Result<(), CommandFailure> {
    let settings = &target.settings;
    if setup.files.is_empty() {
        return Err(CommandFailure::usage(format!(
            "{} has no file that another program can edit safely: `crucible connect {}` prints what to do",
            client.title, client.name
        )));
    }
    let key = settings.key.as_deref();
    let can_undo = apply::apply(&config.state_dir, client, &setup.files, key)?;
    for (index, step) in setup.steps.iter().enumerate() {
        if index == 0 {
            write_stdout("\nWhat is left to do:");
        }
        write_stdout(&format!("{}. {step}", index + 1));
    }
    if can_undo {
        write_stdout(&format!("\nback: crucible connect {} --undo", client.name));
    }
    if target.running.is_none() {
        return Err(CommandFailure::wrong(format!(
            "not verified: no Crucible answers at {}. Start it with `crucible`, then run this again",
            settings.url
        )));
    }
    write_stdout(&format!(
        "asking {} over {}; it may have to be loaded first",
        settings.model.name,
        client.format.path()
    ));
    match verify::ask(client.format, settings).await {
        Ok(answer) => {
            let took = answer.took.as_secs_f64();
            write_stdout(&format!("verified: {} answered in {took:.1} s", answer.by));
            Ok(())
        }
        Err(words) => Err(CommandFailure::wrong(format!("not verified: {words}"))),
    }
}
