//! The standard error output as the system sees it, with its failures.
//!
//! The standard library takes a closed stderr for one that was written to, and opens `/dev/null` in
//! its place at the start, so that no line ever seems lost.

use std::io::{self, Write};

/// Writes to stderr and reports every failure to do so.
#[derive(Debug)]
pub(super) struct RawStderr;

/// Stands for a stderr that was closed when the process began: every write fails.
#[derive(Debug)]
pub(super) struct ClosedStderr;

/// Whether stderr was closed when this process began.
#[cfg(target_os = "linux")]
pub(super) fn is_closed() -> bool {
    // The standard library opens it for reading too (std 1.95, `sys/pal/unix/mod.rs`,
    // `sanitize_standard_fds`); a shell that sends a log there does not.
    let null = std::fs::read_link("/proc/self/fd/2").is_ok_and(|file| file == *"/dev/null");
    null && std::fs::read_to_string("/proc/self/fdinfo/2").is_ok_and(|info| reads_and_writes(&info))
}

/// Returns false: only Linux tells whether stderr was closed when this process began.
#[cfg(not(target_os = "linux"))]
pub(super) const fn is_closed() -> bool {
    false
}

/// Whether `O_RDWR` is among the octal flags of `/proc/PID/fdinfo/FD`.
#[cfg(target_os = "linux")]
fn reads_and_writes(fdinfo: &str) -> bool {
    let flags = fdinfo.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|octal| u32::from_str_radix(octal.trim(), 8).ok());
    flags.is_some_and(|flags| flags & 0o3 == 0o2)
}

// === impl RawStderr ===

impl Write for RawStderr {
    #[cfg(unix)]
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        rustix::io::write(io::stderr(), text).map_err(io::Error::from)
    }

    #[cfg(not(unix))]
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        io::stderr().write(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// === impl ClosedStderr ===

impl Write for ClosedStderr {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::NotConnected.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn only_a_null_device_open_for_both_is_the_librarys_own() {
        for (info, expected) in [
            ("pos:\t0\nflags:\t0100002\nmnt_id:\t26\n", true),
            ("pos:\t0\nflags:\t0100001\nmnt_id:\t26\n", false),
            ("pos:\t0\nflags:\t02\n", true),
            ("pos:\t0\n", false),
        ] {
            assert_eq!(reads_and_writes(info), expected, "{info}");
        }
    }
}
