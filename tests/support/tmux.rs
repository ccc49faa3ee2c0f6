//! A terminal that a program runs in and a test looks at: tmux, with a server of its own.

use std::{
    process::{Command, Output},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::time::sleep;

use crate::process::PATIENCE;

/// The time between two looks at the screen.
const LOOK: Duration = Duration::from_millis(50);

/// A terminal of some size with a shell in it; it ends when this is dropped.
pub struct Terminal {
    folder: TempDir,
}

// === impl Terminal ===

impl Terminal {
    /// Opens a terminal of so many columns and lines, in which an interactive shell runs.
    ///
    /// # Panics
    /// Where tmux is not installed.
    #[must_use]
    pub fn open(columns: u16, lines: u16) -> Self {
        let this = Self {
            folder: TempDir::new().expect("a folder"),
        };
        let (columns, lines) = (columns.to_string(), lines.to_string());
        let shell = "exec env PS1='$ ' HISTFILE= bash --norc --noprofile -i";
        this.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            &columns,
            "-y",
            &lines,
            shell,
        ]);
        this
    }

    fn tmux(&self, args: &[&str]) -> String {
        let ran: Output = Command::new("tmux")
            .arg("-u")
            .arg("-S")
            .arg(self.folder.path().join("tmux"))
            .args(args)
            .env_remove("TMUX")
            .output()
            .expect("please install tmux");
        assert!(ran.status.success(), "tmux {args:?}: {ran:?}");
        String::from_utf8(ran.stdout).expect("text")
    }

    /// Types a line, and Return.
    pub fn type_line(&self, line: &str) {
        self.tmux(&["send-keys", "-l", line]);
        self.press("Enter");
    }

    /// Presses a key by the name that tmux has for it, such as `C-z`.
    pub fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    /// Gives the terminal another size.
    pub fn resize(&self, columns: u16, lines: u16) {
        let (columns, lines) = (columns.to_string(), lines.to_string());
        self.tmux(&["resize-window", "-x", &columns, "-y", &lines]);
    }

    /// The screen as it is now.
    #[must_use]
    pub fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// The screen with the escape sequences of its colours.
    #[must_use]
    pub fn coloured(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-e"])
    }

    /// Whether a program has taken the whole screen, or hides the cursor.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        let flags = self.tmux(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]);
        flags.trim() != "0 1"
    }

    /// Returns the screen once it shows a text.
    ///
    /// # Panics
    /// If it never does.
    pub async fn shows(&self, text: &str) -> String {
        self.showed(&[text], |_| {}).await
    }

    /// Returns the screen once each of these texts was on it, one after the other or at once; `see` looks at
    /// each screen.
    ///
    /// # Panics
    /// If one of them never was.
    pub async fn showed(&self, texts: &[&str], see: impl Fn(&str)) -> String {
        let mut missing = texts.to_vec();
        let until = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            see(&screen);
            missing.retain(|text| !screen.contains(text));
            if missing.is_empty() {
                return screen;
            }
            assert!(
                Instant::now() < until,
                "{missing:?} was never on the screen; now it shows\n{screen}"
            );
            sleep(LOOK).await;
        }
    }

    /// Returns the screen once it does not show a text.
    ///
    /// # Panics
    /// If it always does.
    pub async fn shows_no(&self, text: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            if !screen.contains(text) {
                return screen;
            }
            assert!(
                Instant::now() < until,
                "{text:?} stayed on the screen\n{screen}"
            );
            sleep(LOOK).await;
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}
