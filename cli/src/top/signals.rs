//! The signals that end the page, stop it as a job of a shell, and let it go on.

use std::io;

#[cfg(unix)]
use rustix::process::{Signal as SystemSignal, getpid, kill_current_process_group, kill_process};
#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Something that a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TopSignal {
    /// The page shall end.
    End,
    /// It shall stop until it is continued (SIGTSTP).
    #[cfg_attr(not(unix), expect(dead_code, reason = "there are no jobs"))]
    Stop,
    /// It goes on after it was stopped (SIGCONT).
    #[cfg_attr(not(unix), expect(dead_code, reason = "there are no jobs"))]
    GoOn,
}

/// The signals that this process receives; on Windows Ctrl-C.
pub(super) struct TopSignals {
    #[cfg(unix)]
    term: Signal,
    #[cfg(unix)]
    interrupt: Signal,
    #[cfg(unix)]
    hangup: Signal,
    #[cfg(unix)]
    stop: Signal,
    #[cfg(unix)]
    go_on: Signal,
    #[cfg(windows)]
    interrupt: tokio::signal::windows::CtrlC,
}

// === impl TopSignals ===

impl TopSignals {
    /// Starts listening, which needs the runtime.
    ///
    /// # Errors
    /// The system does not let the process handle a signal.
    #[cfg(unix)]
    pub(super) fn listen() -> io::Result<Self> {
        let of_system = |signal: SystemSignal| SignalKind::from_raw(signal.as_raw());
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            stop: signal(of_system(SystemSignal::TSTP))?,
            go_on: signal(of_system(SystemSignal::CONT))?,
        })
    }

    /// Starts listening, which needs the runtime.
    ///
    /// # Errors
    /// The system does not let the process handle a signal.
    #[cfg(windows)]
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: tokio::signal::windows::ctrl_c()?,
        })
    }

    /// Waits for the next signal.
    #[cfg(unix)]
    pub(super) async fn next(&mut self) -> TopSignal {
        tokio::select! {
            _ = self.term.recv() => TopSignal::End,
            _ = self.interrupt.recv() => TopSignal::End,
            _ = self.hangup.recv() => TopSignal::End,
            _ = self.stop.recv() => TopSignal::Stop,
            _ = self.go_on.recv() => TopSignal::GoOn,
        }
    }

    /// Waits for the next signal.
    #[cfg(windows)]
    pub(super) async fn next(&mut self) -> TopSignal {
        self.interrupt.recv().await;
        TopSignal::End
    }
}

/// Asks all processes of this job to stop, this one among them, as the terminal does for Ctrl-Z where it reads
/// keys itself.
#[cfg(unix)]
pub(super) fn stop_job() -> io::Result<()> {
    Ok(kill_current_process_group(SystemSignal::TSTP)?)
}

/// Stops this process, and returns once it is continued.
#[cfg(unix)]
pub(super) fn stop_here() -> io::Result<()> {
    Ok(kill_process(getpid(), SystemSignal::STOP)?)
}

/// Does nothing: there are no jobs.
#[cfg(windows)]
#[expect(clippy::unnecessary_wraps, reason = "as where there are jobs")]
pub(super) fn stop_job() -> io::Result<()> {
    Ok(())
}

/// Does nothing: there are no jobs.
#[cfg(windows)]
#[expect(clippy::unnecessary_wraps, reason = "as where there are jobs")]
pub(super) fn stop_here() -> io::Result<()> {
    Ok(())
}
