//! Where log lines go: stderr as it is, with its failures.
//!
//! The standard library takes a closed stderr for one that was written to, and opens `/dev/null` in
//! its place at the start, so that no line ever seems lost.

use std::io::{self, Write};

/// Stderr, which fails where it cannot be written.
#[derive(Debug)]
pub(super) struct Stderr;

/// What fails always.
#[derive(Debug)]
pub(super) struct Nowhere;

/// Whether stderr was closed when this process began.
#[cfg(target_os = "linux")]
pub(super) fn is_closed() -> bool {
    // The library opens it for reading too, which nobody does who sends a log there (std 1.95,
    // `sys/pal/unix/mod.rs`, `sanitize_standard_fds`).
    let null = std::fs::read_link("/proc/self/fd/2").is_ok_and(|file| file == *"/dev/null");
    null && std::fs::read_to_string("/proc/self/fdinfo/2").is_ok_and(|told| reads_and_writes(&told))
}

#[cfg(not(target_os = "linux"))]
pub(super) const fn is_closed() -> bool {
    false
}

/// `O_RDWR` in the octal flags of `/proc/PID/fdinfo/FD`.
#[cfg(target_os = "linux")]
fn reads_and_writes(fdinfo: &str) -> bool {
    let flags = fdinfo.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|octal| u32::from_str_radix(octal.trim(), 8).ok());
    flags.is_some_and(|flags| flags & 0o3 == 0o2)
}

// === impl Stderr ===

impl Write for Stderr {
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

// === impl Nowhere ===

impl Write for Nowhere {
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
    fn only_what_was_opened_for_both_is_the_librarys_own() {
        for (told, expected) in [
            ("pos:\t0\nflags:\t0100002\nmnt_id:\t26\n", true),
            ("pos:\t0\nflags:\t0100001\nmnt_id:\t26\n", false),
            ("pos:\t0\nflags:\t02\n", true),
            ("pos:\t0\n", false),
        ] {
            assert_eq!(reads_and_writes(told), expected, "{told}");
        }
    }
}
