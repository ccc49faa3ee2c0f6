//! The terminal while the page is on it: taken over, and given back however the command ends.

use std::{
    io::{self, Stdout, stdout},
    panic,
    sync::atomic::{AtomicBool, Ordering},
};

use ratatui::{
    Terminal,
    backend::CrosstermBackend,
    buffer::Buffer,
    crossterm::{
        cursor::{Hide, Show},
        execute,
        terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
    },
};

/// Whether the terminal is taken over at this moment.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The terminal that is taken over; dropping it gives it back.
pub(super) struct TopScreen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

// === impl TopScreen ===

impl TopScreen {
    /// Takes the terminal over. A panic gives it back before it says what happened.
    ///
    /// # Errors
    /// The terminal cannot be read or written.
    pub(super) fn take() -> io::Result<Self> {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |what| {
            give_back();
            before(what);
        }));
        let terminal = Terminal::new(CrosstermBackend::new(stdout()))?;
        let mut screen = Self { terminal };
        screen.take_again()?;
        Ok(screen)
    }

    /// Takes it over once more after somebody else had it.
    pub(super) fn take_again(&mut self) -> io::Result<()> {
        // What it was before is what it is given back as; the mode may have been changed meanwhile.
        give_back();
        TAKEN.store(true, Ordering::Release);
        enable_raw_mode()?;
        execute!(stdout(), EnterAlternateScreen, Hide)?;
        self.clear()
    }

    /// Lets the next frame draw everything anew.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        // `Terminal::clear` would ask the terminal for its cursor, whose answer the reader of keys takes.
        let size = self.terminal.size()?;
        self.terminal.resize(size.into())
    }

    /// Draws a frame on the whole screen, of whatever size that is now.
    pub(super) fn draw(&mut self, frame: impl FnOnce(&mut Buffer)) -> io::Result<()> {
        self.terminal.draw(|screen| frame(screen.buffer_mut()))?;
        Ok(())
    }
}

impl Drop for TopScreen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Gives the terminal back, once. Errors have nowhere to be said.
pub(super) fn give_back() {
    if TAKEN.swap(false, Ordering::AcqRel) {
        let _ = execute!(stdout(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}
