//! `crucible inspect`: what a client really sent, what was sent on, what came back, and why a prompt was read again.
//!
//! ```text
//! $ crucible inspect --minutes 10
//! The inspector is on until 10:42:07. ...
//!
//! time      request       client              answered by  prompt  cached  answer  since the turn before
//! 10:32:15  req_5f2c01ab  opencode@127.0.0.1  gpu/qwen-7b    5410    98 %     120  14 messages unchanged; 2 added
//! ```
//!
//! The running instance keeps the requests, in its memory alone. The command switches that on and off, lists what is
//! kept and shows it; an instance answers it over a loopback address only.

mod asked;
mod follow;
mod rows;
mod show;
mod text;

use std::io::{IsTerminal as _, stdout};

use clap::{Args, Subcommand};
use crucible_documents::{
    inspector::{InspectedRowDoc, InspectorDoc},
    running::RunningInstance,
};

use self::{
    asked::{answered, found},
    show::ShownPart,
};
use crate::{
    CommandFailure, CommonArgs,
    instance::InstanceArgs,
    output::{to_json, write_stdout, write_stdout_bytes},
    runtime::runtime,
    sources,
};

/// The minutes of an inspector that is switched on without a number.
const MINUTES: u8 = 10;

/// The arguments of `crucible inspect`.
#[derive(Args, Debug)]
pub struct InspectArgs {
    #[command(subcommand)]
    command: Option<InspectCommand>,
    /// Minutes for which requests are kept, 1 to 60 [default: 10]
    #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u8).range(1..=60))]
    minutes: Option<u8>,
    /// Switch it off and drop what is kept
    #[arg(long, conflicts_with = "minutes")]
    off: bool,
    /// JSON for scripts, one document on a line
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    instance: InstanceArgs,
}

#[derive(Debug, Subcommand)]
enum InspectCommand {
    /// List the requests that are kept
    List,
    /// Show one of them
    Show(ShowArgs),
}

/// The arguments of `crucible inspect show`.
#[derive(Args, Debug)]
struct ShowArgs {
    /// The id of a request, its beginning, or # and its number; `last` for the one that ended last
    #[arg(value_name = "ID | #NUMBER | last")]
    request: String,
    #[command(flatten)]
    part: PartArgs,
    /// With --sent or --engine-answer: that of this attempt alone, of several; the first is 1
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(1..))]
    attempt: Option<u8>,
}

/// The part of a request that is shown alone, as it is.
#[derive(Args, Clone, Copy, Debug)]
#[group(multiple = false)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "flags of which one is given at most"
)]
struct PartArgs {
    /// Only the body as the client sent it
    #[arg(long)]
    received: bool,
    /// Only the body as it was sent to the engine, the last one of several attempts
    #[arg(long)]
    sent: bool,
    /// Only the answer as it went to the client
    #[arg(long)]
    answer: bool,
    /// Only the answer as the engine gave it, before it was translated for the client; of several attempts each one's
    #[arg(long)]
    engine_answer: bool,
    /// Only the difference to the conversation's previous turn
    #[arg(long)]
    diff: bool,
    /// Only a command line for curl that asks the same; its key is a variable of the shell
    #[arg(long)]
    curl: bool,
}

// === impl PartArgs ===

impl PartArgs {
    fn part(self, attempt: Option<usize>) -> ShownPart {
        let parts = [
            (self.received, ShownPart::Received),
            (self.sent, ShownPart::Sent(attempt)),
            (self.engine_answer, ShownPart::EngineAnswer(attempt)),
            (self.answer, ShownPart::Answer),
            (self.diff, ShownPart::Difference),
            (self.curl, ShownPart::Curl),
        ];
        let asked = parts.into_iter().find(|(is_asked, _)| *is_asked);
        asked.map_or(ShownPart::All, |(_, part)| part)
    }
}

/// Runs `crucible inspect`: switches the inspector of the running instance, lists the requests that it keeps,
/// or shows one.
///
/// # Errors
/// Exit code 1 where no instance runs, it refuses, or what is asked for is not kept; 2 where the configuration is
/// or the usage is wrong.
pub fn run(common: &CommonArgs, args: &InspectArgs) -> Result<(), CommandFailure> {
    if args.command.is_some() && (args.off || args.minutes.is_some()) {
        return Err(CommandFailure::usage(
            "--minutes and --off switch the inspector, and stand alone: `crucible inspect --off`",
        ));
    }
    if let Some(InspectCommand::Show(show)) = &args.command
        && show.attempt.is_some()
        && !(show.part.sent || show.part.engine_answer)
    {
        return Err(CommandFailure::usage(
            "--attempt chooses among what was sent and answered: give it with --sent or --engine-answer",
        ));
    }
    let config = sources::load(common)?.current();
    let url = args.instance.url(&config)?;
    runtime()?.block_on(async {
        let instance = found(&url, args.instance.key()).await?;
        match &args.command {
            Some(InspectCommand::List) => list(&instance, args.json).await,
            Some(InspectCommand::Show(show)) => show_one(&instance, show, args.json).await,
            None if args.off => off(&instance, args.json).await,
            None => {
                let minutes = f64::from(args.minutes.unwrap_or(MINUTES));
                let state = answered(&instance, instance.switch_inspector(minutes).await)?;
                follow::follow(&instance, state, args.json).await
            }
        }
    })
}

async fn list(instance: &RunningInstance, json: bool) -> Result<(), CommandFailure> {
    let state = answered(instance, instance.inspector().await)?;
    if json {
        write_stdout(&to_json(&state)?);
        return Ok(());
    }
    write_stdout(&listed(&state));
    Ok(())
}

fn listed(state: &InspectorDoc) -> String {
    if !state.on {
        return "The inspector is off, and nothing is kept. `crucible inspect` switches it on."
            .to_owned();
    }
    let has_ended = |row: &&InspectedRowDoc| row.ended.is_some();
    let ended = state.requests.iter().filter(has_ended).count();
    let mut said = format!(
        "The inspector is on until {}; {ended} of at most {} requests are kept, {} of {}{}{}.",
        text::local_time(state.ends_at_ms.unwrap_or_default()),
        state.most_requests,
        text::size(u64::try_from(state.kept_bytes).unwrap_or(u64::MAX)),
        text::size(u64::try_from(state.most_bytes).unwrap_or(u64::MAX)),
        match state.requests.len() - ended {
            0 => String::new(),
            running => format!("; {running} more wait or are answered"),
        },
        match state.dropped {
            0 => String::new(),
            dropped => format!("; {dropped} had to make room"),
        },
    );
    if !state.requests.is_empty() {
        said.push_str("\n\n");
        said.push_str(&rows::heading());
    }
    for row in &state.requests {
        said.push('\n');
        said.push_str(&rows::row(row, rows::has_twin(row, &state.requests)));
    }
    said
}

async fn show_one(
    instance: &RunningInstance,
    args: &ShowArgs,
    json: bool,
) -> Result<(), CommandFailure> {
    let request = answered(instance, instance.inspected(&args.request).await)?;
    if json {
        write_stdout(&to_json(&request)?);
        return Ok(());
    }
    let part = args.part.part(args.attempt.map(usize::from));
    if let Some(bodies) = show::bodies(&request, part)
        && !stdout().is_terminal()
    {
        write_stdout_bytes(&show::bytes_of(&bodies.map_err(CommandFailure::wrong)?));
        return Ok(());
    }
    write_stdout(&show::request(&request, part).map_err(CommandFailure::wrong)?);
    Ok(())
}

async fn off(instance: &RunningInstance, json: bool) -> Result<(), CommandFailure> {
    let state = answered(instance, instance.switch_inspector(0.0).await)?;
    write_stdout(&if json {
        to_json(&state)?
    } else {
        "The inspector is off, and everything that it kept is dropped.".to_owned()
    });
    Ok(())
}
