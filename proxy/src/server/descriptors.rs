//! Open files: enough of them, and the table for them before the first connection.
//!
//! Linux doubles a process's descriptor table when it is full. With more than one thread each
//! doubling waits for an RCU grace period (`expand_files`, `fs/file.c`, Linux 6.18): measured
//! 10-16 ms in `accept`, in which that worker hands on no token of any stream. One large
//! descriptor, taken and given back while there is a single thread, makes the table once for all.

/// The files beside those of clients and engines: listeners, event loops, logs, children's pipes, and
/// the connections over the limit.
const OTHER_FILES: u64 = 96;

/// The largest table that is made ahead (512 KiB in the kernel); it still grows when it must.
#[cfg(unix)]
const MOST_TABLE_ENTRIES: u64 = 65_536;

/// The system allows fewer open files than the connections may need.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "limits.connections: {connections} connections may need {needed} open files, but this process \
     may have {allowed}, so that {served} are taken at once; raise its limit (ulimit -n, \
     LimitNOFILE=) or lower limits.connections"
)]
pub struct DescriptorShortage {
    connections: usize,
    needed: u64,
    allowed: u64,
    served: usize,
}

/// The number of connections, at most `connections`, that the soft limit of open files has room for: one
/// more would find `accept` failing, and hang with all that come after it.
pub fn affordable(connections: usize) -> usize {
    connections_within(connections, soft_limit())
}

/// The connections that so many files allow. Three quarters of the files are the clients': most of their connections are idle and have none to
/// an engine beside them, of which permits allow few. Where files are few, an eighth of them.
fn connections_within(connections: usize, files: u64) -> usize {
    let clients = files.saturating_sub(OTHER_FILES) / 4 * 3;
    let most = clients.max(files / 8).max(1);
    connections.min(usize::try_from(most).unwrap_or(usize::MAX))
}

/// Raises the soft limit of open files as far as needed and allowed, and makes the table. Called
/// before any thread is started. Elsewhere than on Unix there is no such limit, and nothing is done.
///
/// # Errors
/// The hard limit is lower; what it allows is used.
pub fn reserve(connections: usize) -> Result<(), DescriptorShortage> {
    let needed = u64::try_from(connections)
        .unwrap_or(u64::MAX)
        .saturating_mul(2)
        .saturating_add(OTHER_FILES);
    let allowed = raise_limit(needed);
    grow_table(needed.min(allowed));
    if allowed < needed {
        return Err(DescriptorShortage {
            connections,
            needed,
            allowed,
            served: connections_within(connections, allowed),
        });
    }
    Ok(())
}

/// The soft limit of open files after raising it to `needed`, at most to the hard one.
#[cfg(unix)]
fn raise_limit(needed: u64) -> u64 {
    use rustix::process::{Resource, getrlimit, setrlimit};

    let mut limit = getrlimit(Resource::Nofile);
    let soft = limit.current.unwrap_or(u64::MAX);
    let wanted = needed.min(limit.maximum.unwrap_or(u64::MAX));
    if soft >= wanted {
        return soft;
    }
    limit.current = Some(wanted);
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => wanted,
        Err(_) => soft,
    }
}

#[cfg(unix)]
fn grow_table(needed: u64) {
    let last = needed.min(MOST_TABLE_ENTRIES).saturating_sub(1);
    if let Ok(last) = i32::try_from(last) {
        // A table that stays small costs a pause later, no more.
        let _ = rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), last);
    }
}

#[cfg(unix)]
fn soft_limit() -> u64 {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current.unwrap_or(u64::MAX)
}

#[cfg(not(unix))]
fn soft_limit() -> u64 {
    u64::MAX
}

#[cfg(not(unix))]
fn raise_limit(_: u64) -> u64 {
    u64::MAX
}

#[cfg(not(unix))]
fn grow_table(_: u64) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_connections_are_taken_than_open_files_allow() {
        for (connections, files, taken) in [
            (1024, u64::MAX, 1024),
            (1024, 2144, 1024),
            (1024, 1024, 696),
            (1024, 256, 120),
            (16, 256, 16),
            (1024, 97, 12),
            (1024, 64, 8),
            (4, 64, 4),
            (1024, 1, 1),
        ] {
            assert_eq!(
                connections_within(connections, files),
                taken,
                "{connections} {files}"
            );
        }
    }
}
