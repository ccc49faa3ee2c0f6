//! SIGTERM, SIGINT and SIGHUP; on Windows Ctrl-C and Ctrl-Break.

use std::io;
#[cfg(unix)]
use std::time::Duration;

#[cfg(unix)]
use tokio::time::{Instant, sleep};

#[cfg(unix)]
use crate::terminal::Terminal;

/// After a SIGHUP, how long its terminal may take to be gone: some programs say so first and close
/// it then.
#[cfg(unix)]
const CLOSING: Duration = Duration::from_secs(3);
/// Between two looks meanwhile.
#[cfg(unix)]
const LOOK: Duration = Duration::from_millis(100);

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Drain and end.
    End,
    /// Read the configuration again.
    Reload,
}

/// The signals of this process.
pub struct Signals {
    #[cfg(unix)]
    term: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    hangup: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminal: Terminal,
    /// Until when it is watched whether the terminal goes.
    #[cfg(unix)]
    watch_until: Option<Instant>,
    #[cfg(windows)]
    interrupt: tokio::signal::windows::CtrlC,
    #[cfg(windows)]
    term: tokio::signal::windows::CtrlBreak,
}

// === impl Signals ===

impl Signals {
    /// Starts listening; must be called inside the runtime.
    #[cfg(unix)]
    pub fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminal: Terminal::look(),
            watch_until: None,
            term: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Starts listening; must be called inside the runtime.
    #[cfg(windows)]
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: tokio::signal::windows::ctrl_c()?,
            term: tokio::signal::windows::ctrl_break()?,
        })
    }

    /// The next one. SIGHUP asks for the end where the terminal was closed, else for a reload.
    #[cfg(unix)]
    pub async fn next(&mut self) -> Signal {
        loop {
            let watched = self.watch_until;
            let look = async {
                match watched {
                    Some(_) => sleep(LOOK).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = self.term.recv() => return Signal::End,
                _ = self.interrupt.recv() => return Signal::End,
                _ = self.hangup.recv() => {
                    if self.terminal.is_closed() {
                        return self.closed();
                    }
                    let watched = self.terminal.is_bound();
                    self.watch_until = watched.then(|| Instant::now() + CLOSING);
                    return Signal::Reload;
                }
                () = look => {
                    if self.terminal.is_closed() {
                        return self.closed();
                    }
                    self.watch_until = watched.filter(|until| Instant::now() < *until);
                }
            }
        }
    }

    #[cfg(unix)]
    fn closed(&mut self) -> Signal {
        self.watch_until = None;
        tracing::info!("the terminal was closed");
        Signal::End
    }

    /// The next one.
    #[cfg(windows)]
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.term.recv() => Signal::End,
            _ = self.interrupt.recv() => Signal::End,
        }
    }

    /// The next one that asks for the end once more. A terminal that was closed says so once or twice.
    pub async fn end(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
