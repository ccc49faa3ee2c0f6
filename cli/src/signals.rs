//! The signals that end or reload a running instance: SIGTERM, SIGINT and SIGHUP; on Windows Ctrl-C and
//! Ctrl-Break.

use std::io;
#[cfg(unix)]
use std::time::Duration;

#[cfg(unix)]
use tokio::time::{Instant, sleep};

#[cfg(unix)]
use crate::terminal::ControllingTerminal;

/// The time that the terminal may take to be gone after a SIGHUP: some programs send the signal first and
/// close the terminal then.
#[cfg(unix)]
const CLOSING_TIME: Duration = Duration::from_secs(3);
/// The time between two looks at the terminal meanwhile.
#[cfg(unix)]
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A request that a signal makes of the instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceSignal {
    /// The instance shall finish its running requests and end.
    End,
    /// The instance shall read its configuration again.
    Reload,
}

/// The stream of signals that this process receives.
pub struct InstanceSignals {
    #[cfg(unix)]
    term: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    hangup: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminal: ControllingTerminal,
    /// The time until which the terminal is watched after a SIGHUP.
    #[cfg(unix)]
    watch_until: Option<Instant>,
    #[cfg(windows)]
    interrupt: tokio::signal::windows::CtrlC,
    #[cfg(windows)]
    term: tokio::signal::windows::CtrlBreak,
}

// === impl InstanceSignals ===

impl InstanceSignals {
    /// Starts listening, which needs the runtime.
    ///
    /// Errors: the system does not let the process handle a signal.
    #[cfg(unix)]
    pub fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminal: ControllingTerminal::look(),
            watch_until: None,
            term: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Starts listening, which needs the runtime.
    ///
    /// Errors: the system does not let the process handle a signal.
    #[cfg(windows)]
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: tokio::signal::windows::ctrl_c()?,
            term: tokio::signal::windows::ctrl_break()?,
        })
    }

    /// Waits for the next signal. SIGHUP asks for the end where the terminal was closed, else for a reload.
    #[cfg(unix)]
    pub async fn next(&mut self) -> InstanceSignal {
        loop {
            let watched = self.watch_until;
            let look = async {
                match watched {
                    Some(_) => sleep(LOOK_EVERY).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = self.term.recv() => return InstanceSignal::End,
                _ = self.interrupt.recv() => return InstanceSignal::End,
                _ = self.hangup.recv() => {
                    if self.terminal.is_closed() {
                        return self.closed();
                    }
                    let watched = self.terminal.is_bound();
                    self.watch_until = watched.then(|| Instant::now() + CLOSING_TIME);
                    return InstanceSignal::Reload;
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
    fn closed(&mut self) -> InstanceSignal {
        self.watch_until = None;
        tracing::info!("the terminal was closed");
        InstanceSignal::End
    }

    /// Waits for the next signal.
    #[cfg(windows)]
    pub async fn next(&mut self) -> InstanceSignal {
        tokio::select! {
            _ = self.term.recv() => InstanceSignal::End,
            _ = self.interrupt.recv() => InstanceSignal::End,
        }
    }

    /// Waits for the next signal that asks for the end once more. SIGHUP is none: a terminal that is closed
    /// sends it once or twice.
    pub async fn end(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
