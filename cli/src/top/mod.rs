//! `crucible top`: the heart of the live page in a terminal.
//!
//! ```text
//! $ crucible top
//! Crucible 0.1.0  up 2 h 10 m  2 engines up  http://127.0.0.1:8484             live
//! first token  p50 0.4 s     p95 2.1 s     ··▂▁▁▃··········▁▂▅▃▁▁··▂▁▁▃█▂  5 min
//! ▸─ Requests: 1 answered now, 1 waiting ─ phase ──────── time ─ tokens ─ tok/s ─
//!  lmstudio/qwen-7b   answering                          12 s     412    38.2
//!  lmstudio/qwen-7b   waiting for a free slot, #1           3.1 s
//! ```
//!
//! `feed` reads `GET /crucible/events`, `watched` keeps what it told, `page` makes rows of it, `draw` puts
//! these on a screen of any size, and `interaction` is what keys did. All of these but the first are free of
//! the terminal; `shell` connects them to it, and `screen` gives it back however the command ends.
//! `--once`, or an output that is no terminal, prints one page as plain text.

mod draw;
mod feed;
mod interaction;
mod keys;
mod page;
mod rates;
mod screen;
mod shell;
mod signals;
mod text;
mod watched;
mod words;

#[cfg(test)]
mod fixture;

use std::{
    env,
    io::{IsTerminal as _, stdout},
    time::Duration,
};

use clap::Args;
use crucible_documents::running::{
    EventsFailure, InstanceSearch, RunningInstance, find_instance_at,
};
use jiff::tz::TimeZone;
use ratatui::crossterm::terminal;
use tokio::time::{Instant, timeout_at};

use self::{
    page::TopPage,
    watched::{ClockReading, FeedEvent, WatchedInstance},
};
use crate::{
    CommandFailure, CommonArgs,
    instance::{self, InstanceArgs},
    output::write_stdout,
    runtime::runtime,
    sources,
};

/// The columns of a page that is printed, where nothing says how many there are.
const COLUMNS: u16 = 100;

/// The time over which a page that is printed measures the speed of running answers.
const MEASURE: Duration = Duration::from_millis(1200);

/// The arguments of `crucible top`.
#[derive(Args, Clone, Debug)]
pub struct TopArgs {
    /// Print the page once as plain text, as where the output is no terminal
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    instance: InstanceArgs,
}

/// Runs `crucible top`: shows a running instance in the terminal until a key ends it, or prints its state
/// once.
///
/// # Errors
/// Exit code 1 where no instance answers, where it wants another key, and for a page that is printed where
/// no engine is up.
pub fn run(common: &CommonArgs, args: &TopArgs) -> Result<(), CommandFailure> {
    let config = sources::load(common)?.current();
    let url = args.instance.url(&config)?;
    let runtime = runtime()?;
    let search = runtime.block_on(find_instance_at(&url, args.instance.key()));
    let running = match search {
        InstanceSearch::Running(running) => *running,
        other => {
            let why = instance::why_none(&url, &other).unwrap_or_default();
            return Err(CommandFailure::wrong(why));
        }
    };
    if args.once || !can_draw() {
        return runtime.block_on(print(&running));
    }
    let ended = runtime.block_on(shell::run(running, wants_colour()));
    // The thread that reads keys waits for one more: nobody waits for it.
    runtime.shutdown_background();
    ended.map_err(|error| CommandFailure::wrong(format!("the terminal: {error}")))
}

/// Whether the output is a terminal that can place text.
fn can_draw() -> bool {
    let dumb = cfg!(unix) && env::var("TERM").is_ok_and(|term| term.is_empty() || term == "dumb");
    stdout().is_terminal() && !dumb
}

/// Whether the person at the terminal has not asked for none (<https://no-color.org>).
fn wants_colour() -> bool {
    env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The columns of what is printed: of the terminal, else as `COLUMNS` says.
fn columns() -> u16 {
    let of_terminal = terminal::size().ok().filter(|_| stdout().is_terminal());
    let said = || env::var("COLUMNS").ok()?.trim().parse().ok();
    let columns = of_terminal.map(|(columns, _)| columns).or_else(said);
    columns.filter(|columns| *columns >= 20).unwrap_or(COLUMNS)
}

/// Prints the page as it is now.
async fn print(running: &RunningInstance) -> Result<(), CommandFailure> {
    let mut watched = WatchedInstance::new(running.url().to_owned());
    let (read, settings) = tokio::join!(read(running, &mut watched), running.tunings());
    if let Err(failure) = read {
        let why = match failure {
            EventsFailure::Gone => "ended meanwhile",
            EventsFailure::KeyWanted => "wants another client key",
            EventsFailure::Foreign => "gives no events: it is no Crucible of this version",
        };
        return Err(CommandFailure::wrong(format!(
            "the instance at {} {why}",
            running.url()
        )));
    }
    if let Some(settings) = settings {
        watched.note(FeedEvent::Settings(Box::new(settings)), ClockReading::now());
    }
    let page = TopPage::of(&watched, ClockReading::now(), &TimeZone::system());
    write_stdout(&draw::plain(&page, columns()));
    let up = watched.state.is_some_and(|(state, _)| state.any_up());
    if up {
        Ok(())
    } else {
        Err(CommandFailure::wrong("no engine is up"))
    }
}

/// Reads the last minutes and the state; where answers run, for long enough to tell their speed.
async fn read(
    running: &RunningInstance,
    watched: &mut WatchedInstance,
) -> Result<(), EventsFailure> {
    let mut events = running.events().await?;
    watched.note(FeedEvent::Connected, ClockReading::now());
    let until = Instant::now() + MEASURE;
    while let Ok(event) = timeout_at(until, events.next()).await {
        watched.note(FeedEvent::Event(event?), ClockReading::now());
        if let Some((state, _)) = &watched.state
            && state.in_flight.is_empty()
        {
            break;
        }
    }
    match watched.state {
        Some(_) => Ok(()),
        None => Err(EventsFailure::Gone),
    }
}
