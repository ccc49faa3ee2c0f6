//! The loop at the terminal: what the instance tells, keys and signals in, frames out.

use std::{
    io,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use crucible_documents::running::RunningInstance;
use jiff::tz::TimeZone;
use ratatui::crossterm::event;
use tokio::{
    sync::{Notify, mpsc},
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep_until},
};

use super::{
    draw::{self, TopLook},
    feed,
    interaction::{KeyAction, KeyEffect, TopInteraction},
    keys,
    page::TopPage,
    screen::TopScreen,
    signals::{TopSignal, TopSignals},
    watched::{ClockReading, FeedEvent, WatchedInstance},
};

/// The shortest time between two frames that no key asked for.
const FRAME: Duration = Duration::from_millis(100);

/// The time after which ages are drawn anew although nothing happened.
const AGES: Duration = Duration::from_secs(1);

/// The most events of the instance that wait to be drawn; beyond these its stream waits.
const WAITING: usize = 64;

/// The page at a terminal, with what is known and what was pressed.
struct TopShell {
    watched: WatchedInstance,
    interaction: TopInteraction,
    zone: TimeZone,
    look: TopLook,
    screen: TopScreen,
    drawn: Instant,
    /// Whether something changed since the last frame.
    stale: bool,
}

/// Shows the instance until the person at the terminal or a signal ends it.
///
/// # Errors
/// The terminal cannot be read or written.
pub(super) async fn run(instance: RunningInstance, colour: bool) -> io::Result<()> {
    let mut signals = TopSignals::listen()?;
    let url = instance.url().to_owned();
    let instance = Arc::new(instance);
    let connected = Arc::new(Notify::new());
    let (to, mut from) = mpsc::channel(WAITING);
    // Ended when this set is dropped.
    let mut feeds = JoinSet::new();
    feeds.spawn(feed::follow(
        Arc::clone(&instance),
        Arc::clone(&connected),
        to.clone(),
    ));
    feeds.spawn(feed::look_at_settings(instance, connected, to));
    let mut shell = TopShell::new(url, colour)?;
    let mut pressed = read_keys();
    let mut ages = interval(AGES);
    ages.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let due = (shell.drawn + FRAME).into();
        let effect = tokio::select! {
            signal = signals.next() => match signal {
                TopSignal::End => KeyEffect::Quit,
                TopSignal::Stop => {
                    shell.stop()?;
                    KeyEffect::Redraw
                }
                TopSignal::GoOn => {
                    shell.screen.take_again()?;
                    KeyEffect::Redraw
                }
            },
            input = pressed.recv() => match input {
                Some(input) => shell.press(&input),
                // The terminal is gone.
                None => KeyEffect::Quit,
            },
            Some(event) = from.recv() => shell.note(event),
            _ = ages.tick() => {
                shell.stale = true;
                KeyEffect::Continue
            }
            () = sleep_until(due), if shell.stale => {
                shell.draw()?;
                KeyEffect::Continue
            }
        };
        match effect {
            KeyEffect::Continue => {}
            KeyEffect::Quit => return Ok(()),
            KeyEffect::Suspend => super::signals::stop_job()?,
            KeyEffect::Redraw => {
                shell.screen.clear()?;
                shell.draw()?;
            }
        }
    }
}

/// Reads keys on a thread of its own, which waits in the system most of the time.
fn read_keys() -> mpsc::Receiver<event::Event> {
    let (to, from) = mpsc::channel(WAITING);
    thread::spawn(move || {
        while let Ok(input) = event::read() {
            if to.blocking_send(input).is_err() {
                return;
            }
        }
    });
    from
}

// === impl TopShell ===

impl TopShell {
    fn new(url: String, colour: bool) -> io::Result<Self> {
        let look = TopLook { colour, keys: true };
        let mut shell = Self {
            watched: WatchedInstance::new(url),
            interaction: TopInteraction::default(),
            zone: TimeZone::system(),
            look,
            screen: TopScreen::take()?,
            drawn: Instant::now(),
            stale: true,
        };
        shell.draw()?;
        Ok(shell)
    }

    fn page(&self) -> TopPage {
        match &self.interaction.paused {
            Some(page) => page.clone(),
            None => TopPage::of(&self.watched, ClockReading::now(), &self.zone),
        }
    }

    fn note(&mut self, event: FeedEvent) -> KeyEffect {
        self.watched.note(event, ClockReading::now());
        self.stale = true;
        KeyEffect::Continue
    }

    fn press(&mut self, input: &event::Event) -> KeyEffect {
        let command: Option<KeyAction> = input.as_key_event().and_then(keys::command);
        let page = self.page();
        let effect = command.map_or(KeyEffect::Continue, |command| {
            self.interaction.apply(command, &page)
        });
        // A key, and a new size of the window, are answered at once.
        self.drawn = self.drawn.checked_sub(FRAME).unwrap_or(self.drawn);
        self.stale = true;
        effect
    }

    fn draw(&mut self) -> io::Result<()> {
        let page = self.page();
        let (interaction, look) = (&mut self.interaction, self.look);
        self.screen.draw(|buffer| {
            interaction.page_rows = draw::draw(&page, interaction, look, buffer);
        })?;
        self.drawn = Instant::now();
        self.stale = false;
        Ok(())
    }

    /// Gives the terminal back, stops, and takes it over again once the shell says so.
    fn stop(&mut self) -> io::Result<()> {
        super::screen::give_back();
        super::signals::stop_here()?;
        self.screen.take_again()
    }
}
