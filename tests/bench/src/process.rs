//! Child processes: pinned, with many files allowed, killed with us; what /proc says of them.

use std::{ffi::OsStr, fs, path::Path, process::Stdio};

use anyhow::Context;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

/// Raises the soft limit of open files to the hard one, then becomes the program, which is
/// told to end if we die.
const MANY_FILES: &str = "ulimit -S -n \"$(ulimit -H -n)\" && exec setpriv --pdeathsig TERM \"$@\"";

/// A command that runs on one core.
pub(crate) fn pinned(core: usize, program: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", MANY_FILES, "sh", "taskset", "-c", &core.to_string()]);
    command.arg(program);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Moves a running process with all its threads to a core.
pub(crate) async fn pin(pids: &[u32], core: usize) -> anyhow::Result<()> {
    for pid in pids {
        let status = Command::new("taskset")
            .args(["-a", "-c", "-p", &core.to_string(), &pid.to_string()])
            .stdout(Stdio::null())
            .status()
            .await
            .context("taskset (package util-linux)")?;
        anyhow::ensure!(status.success(), "taskset could not move process {pid}");
    }
    Ok(())
}

/// A loop of idle priority that keeps a virtual CPU from halting: waking it would cost more
/// than what is measured.
pub(crate) fn keep_awake(core: usize) -> anyhow::Result<Child> {
    let mut command = pinned(core, Path::new("chrt"));
    command.args(["-i", "0", "sh", "-c", "while :; do :; done"]);
    command.spawn().context("chrt (package util-linux)")
}

/// Starts a program whose first lines on stdout name its address: `listening on http://...`.
/// The lines must stay alive as long as the program.
pub(crate) async fn start_listening(
    mut command: Command,
) -> anyhow::Result<(Child, String, Lines<BufReader<ChildStdout>>)> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start")?;
    let stdout = child.stdout.take().context("no stdout")?;
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next_line().await? {
        if let Some((_, address)) = line.split_once("listening on http://") {
            return Ok((
                child,
                address.trim().trim_end_matches('/').to_owned(),
                lines,
            ));
        }
    }
    anyhow::bail!("it ended before it listened")
}

/// The process and all below it.
pub(crate) fn family(pid: u32) -> Vec<u32> {
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(pid) = family.get(next).copied() {
        for thread in subfolders(format!("/proc/{pid}/task")) {
            let children = fs::read_to_string(thread.join("children")).unwrap_or_default();
            family.extend(
                children
                    .split_whitespace()
                    .filter_map(|c| c.parse::<u32>().ok()),
            );
        }
        next += 1;
    }
    family
}

/// Nanoseconds of CPU that the processes' present threads have used.
pub(crate) fn cpu_ns(pids: &[u32]) -> u64 {
    pids.iter()
        .flat_map(|pid| subfolders(format!("/proc/{pid}/task")))
        .filter_map(|thread| {
            let text = fs::read_to_string(thread.join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        })
        .sum()
}

/// Resident bytes of the processes.
pub(crate) fn rss(pids: &[u32]) -> u64 {
    pids.iter()
        .filter_map(|pid| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("VmRSS:"))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        })
        .map(|kib| kib * 1024)
        .sum()
}

fn subfolders(folder: impl AsRef<Path>) -> Vec<std::path::PathBuf> {
    fs::read_dir(folder)
        .map(|entries| {
            entries
                .filter_map(Result::ok)
                .map(|entry| entry.path())
                .collect()
        })
        .unwrap_or_default()
}

/// Whether a program is on the PATH.
pub(crate) fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(OsStr::new(program)).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_tells_of_this_process() {
        let me = std::process::id();
        assert!(family(me).contains(&me));
        assert!(cpu_ns(&[me]) > 0);
        assert!(rss(&[me]) > 100_000);
        assert!(on_path("sh"));
    }
}
