//! The terminal that this process was started from, which may be closed under it.
//!
//! Closing it sends SIGHUP, just as a service manager does that asks for a reload. The two cases
//! differ in this: there was a terminal, and there is none any more.

use std::fs::File;

/// The terminal that controls this process, if there is one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ControllingTerminal {
    /// Whether the process ends with its terminal.
    bound: bool,
}

// === impl ControllingTerminal ===

impl ControllingTerminal {
    /// Looks whether there is a terminal. This must come before signals are listened to: a process that was
    /// started by `nohup` ignores SIGHUP until then, and is to outlive its terminal.
    pub(crate) fn look() -> Self {
        Self {
            bound: opens() && !outlives_it(),
        }
    }

    /// Returns whether there was a terminal that is closed now.
    pub(crate) fn is_closed(self) -> bool {
        self.bound && !opens()
    }

    /// Returns whether the process ends when its terminal is closed.
    pub(crate) const fn is_bound(self) -> bool {
        self.bound
    }
}

/// Returns whether the process has a terminal now.
fn opens() -> bool {
    File::open("/dev/tty").is_ok()
}

/// Returns whether SIGHUP was ignored by the program that started this process.
#[cfg(target_os = "linux")]
fn outlives_it() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores_hangup(&status))
}

/// Returns whether the process shall outlive its terminal: `nohup` takes the terminal from both
/// outputs.
#[cfg(not(target_os = "linux"))]
fn outlives_it() -> bool {
    use std::io::{IsTerminal as _, stderr, stdout};

    !stdout().is_terminal() && !stderr().is_terminal()
}

/// Whether SIGHUP is ignored: `SigIgn` is a mask in hexadecimal, whose lowest bit is SIGHUP (`proc_pid_status(5)`).
#[cfg(any(target_os = "linux", test))]
fn ignores_hangup(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_bit_of_the_mask_is_sighup() {
        for (status, ignored) in [
            (
                "SigBlk:\t0000000000000001\nSigIgn:\t0000000000000001\n",
                true,
            ),
            ("SigIgn:\t0000000000001001\n", true),
            (
                "SigBlk:\t0000000000000001\nSigIgn:\t0000000000001000\n",
                false,
            ),
            ("SigIgn:\tno\n", false),
            ("", false),
        ] {
            assert_eq!(ignores_hangup(status), ignored, "{status}");
        }
    }
}
