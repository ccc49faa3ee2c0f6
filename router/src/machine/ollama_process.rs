//! The process behind a local Ollama, read from `/proc` below a given root.
//!
//! It is the process that listens on the engine's port, and it must be the program `ollama` before
//! its command line counts: the port of a container is held by the container's own program.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use super::Readable;

const ENGINE: &str = "ollama";
/// The program of a runner since Ollama 0.30; before that it was `ollama runner`.
const RUNNER: &str = "llama-server";

/// The variables of a process by name.
pub type ProcessEnvironment = BTreeMap<String, String>;

/// A running `ollama serve` on this machine, found by its process, with the environment that it was
/// started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OllamaProcess {
    /// The process id of the server.
    pub pid: u32,
    /// The environment that it was started with.
    pub environment: Readable<ProcessEnvironment>,
    /// The smallest `memory.max` in bytes from its cgroup up to the root; `None` is no limit.
    pub memory_max: Readable<Option<u64>>,
    /// The children of the server, each of which has one model loaded.
    pub runners: Vec<OllamaRunner>,
    /// Ids of the other `ollama serve` processes of this machine.
    pub others: Vec<u32>,
}

/// A child of Ollama that holds one model (llama.cpp's server since Ollama 0.30).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OllamaRunner {
    /// The process id of the runner.
    pub pid: u32,
    /// The command line of the runner without the program.
    pub arguments: Vec<String>,
    /// Whether it maps the model's file into memory.
    pub mapped: Readable<bool>,
    /// The locked memory of the runner in kB.
    pub locked: Readable<u64>,
    /// Whether any of its memory is interleaved over NUMA nodes.
    pub interleaved: Readable<bool>,
}

// === impl OllamaRunner ===

impl OllamaRunner {
    /// Returns the argument behind the first place on its command line at which one of these flags
    /// stands; `None` where none of them does.
    pub fn value(&self, flags: &[&str]) -> Option<&str> {
        let at = self
            .arguments
            .iter()
            .position(|a| flags.contains(&a.as_str()))?;
        self.arguments.get(at + 1).map(String::as_str)
    }

    /// Reports whether one of these flags is on its command line.
    pub fn has(&self, flags: &[&str]) -> bool {
        self.arguments.iter().any(|a| flags.contains(&a.as_str()))
    }

    /// Reports whether this runner computes embeddings and no text. Ollama chooses the batch size
    /// and the slots of such a runner by itself, so they say nothing about the configured ones.
    pub fn embeds(&self) -> bool {
        self.has(&["--embedding", "--embeddings"])
    }
}

/// Finds the `ollama serve` that listens on `port` of this machine. `root` is the folder in which
/// `proc` lies: `/`, or another one in tests.
///
/// # Errors
/// The text says why no such process can be told, such as that another program holds the port.
pub fn find(root: &Path, port: u16) -> Readable<OllamaProcess> {
    let proc = root.join("proc");
    let pids = pids(&proc)?;
    let servers: Vec<u32> = pids
        .iter()
        .copied()
        .filter(|pid| is_server(&proc, *pid))
        .collect();
    let pid = listening(&proc, &pids, &servers, port)?;
    let folder = proc.join(pid.to_string());
    let runners = pids
        .iter()
        .filter(|child| parent(&proc, **child) == Some(pid) && is_runner(&proc, **child))
        .map(|child| runner(&proc, *child))
        .collect();
    Ok(OllamaProcess {
        pid,
        environment: environment(&folder),
        memory_max: memory_max(root, &folder),
        runners,
        others: servers.into_iter().filter(|other| *other != pid).collect(),
    })
}

/// Returns the text of a file; the error says in one line why it could not be read.
fn read(path: &Path) -> Readable<String> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
    }
}

fn pids(proc: &Path) -> Readable<Vec<u32>> {
    let entries = fs::read_dir(proc)
        .map_err(|e| format!("this system has no readable {}: {e}", proc.display()))?;
    let mut pids: Vec<u32> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    Ok(pids)
}

/// Returns the name of a process's program: that of its file, else the name that the kernel shows.
fn program(proc: &Path, pid: u32) -> Option<String> {
    let folder = proc.join(pid.to_string());
    let file = fs::read_link(folder.join("exe")).ok().and_then(|path| {
        let name = path.file_name()?.to_str()?.to_owned();
        Some(name.trim_end_matches(" (deleted)").to_owned())
    });
    file.or_else(|| Some(read(&folder.join("comm")).ok()?.trim().to_owned()))
}

fn arguments(proc: &Path, pid: u32) -> Vec<String> {
    let text = read(&proc.join(pid.to_string()).join("cmdline")).unwrap_or_default();
    let words = text.trim_end_matches('\0').split('\0');
    words.skip(1).map(str::to_owned).collect()
}

fn is_server(proc: &Path, pid: u32) -> bool {
    program(proc, pid).as_deref() == Some(ENGINE)
        && arguments(proc, pid).first().is_some_and(|a| a == "serve")
}

fn is_runner(proc: &Path, pid: u32) -> bool {
    match program(proc, pid).as_deref() {
        Some(RUNNER) => true,
        Some(ENGINE) => arguments(proc, pid).first().is_some_and(|a| a == "runner"),
        _ => false,
    }
}

fn parent(proc: &Path, pid: u32) -> Option<u32> {
    status(proc, pid, "PPid:").ok()?.parse().ok()
}

fn status(proc: &Path, pid: u32, key: &str) -> Readable<String> {
    let path = proc.join(pid.to_string()).join("status");
    let text = read(&path)?;
    let line = text.lines().find_map(|l| l.strip_prefix(key));
    line.map(|l| l.trim().to_owned())
        .ok_or_else(|| format!("{} has no {key}", path.display()))
}

/// Returns the process that listens on `port`. Where the open files of others may not be read, it
/// is the only `ollama serve` there is; an error says why it cannot be told.
fn listening(proc: &Path, pids: &[u32], servers: &[u32], port: u16) -> Readable<u32> {
    let inodes: Vec<String> = ["net/tcp", "net/tcp6"]
        .iter()
        .filter_map(|table| File::open(proc.join(table)).ok())
        .flat_map(|table| listeners(BufReader::new(table), port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let holds = |pid: &u32| {
        let Ok(files) = fs::read_dir(proc.join(pid.to_string()).join("fd")) else {
            return false;
        };
        files
            .filter_map(|file| fs::read_link(file.ok()?.path()).ok())
            .any(|target| {
                target
                    .to_str()
                    .is_some_and(|t| inodes.iter().any(|i| i == t))
            })
    };
    if let Some(pid) = servers.iter().find(|pid| holds(pid)) {
        return Ok(*pid);
    }
    if let Some(pid) = pids.iter().find(|pid| holds(pid)) {
        let name = program(proc, *pid).unwrap_or_default();
        return Err(format!(
            "port {port} is held by '{name}' (process {pid}), which is not {ENGINE}"
        ));
    }
    match servers {
        [only] => Ok(*only),
        [] => Err(format!(
            "no `{ENGINE} serve` is visible among this machine's processes"
        )),
        several => Err(format!(
            "which of the {} `{ENGINE} serve` processes holds port {port} cannot be read",
            several.len()
        )),
    }
}

/// Returns the inodes of the sockets that listen on a port, by a table of `/proc/net`. Sockets that listen come
/// first there (Linux, `proc_net_tcp.rst`), and what follows, which may be tens of thousands of lines, is not read.
fn listeners(table: impl BufRead, port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    let wanted = format!(":{port:04X}");
    let listening = |line: io::Result<String>| {
        let line = line.ok()?;
        let mut fields = line.split_whitespace().skip(1).map(str::to_owned);
        let (local, state, inode) = (fields.next()?, fields.nth(1)?, fields.nth(5)?);
        (state == LISTEN).then_some((local, inode))
    };
    table
        .lines()
        .skip(1)
        .map_while(listening)
        .filter_map(|(local, inode)| local.ends_with(&wanted).then_some(inode))
        .collect()
}

fn environment(folder: &Path) -> Readable<ProcessEnvironment> {
    let text = read(&folder.join("environ"))?;
    Ok(text
        .split('\0')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect())
}

/// Returns the smallest `memory.max` in bytes from the process's cgroup up to the root (cgroup v2);
/// `None` means that no limit is set.
fn memory_max(root: &Path, folder: &Path) -> Readable<Option<u64>> {
    let groups = read(&folder.join("cgroup"))?;
    let group = groups
        .lines()
        .find_map(|l| l.strip_prefix("0::/"))
        .ok_or_else(|| "the process is in no cgroup of version 2".to_owned())?;
    let top = root.join("sys/fs/cgroup");
    let mut at: PathBuf = top.join(group);
    let mut smallest = None;
    while at.starts_with(&top) {
        let limit = fs::read_to_string(at.join("memory.max"))
            .ok()
            .and_then(|text| text.trim().parse::<u64>().ok());
        smallest = match (smallest, limit) {
            (Some(a), Some(b)) => Some(std::cmp::min::<u64>(a, b)),
            (a, b) => a.or(b),
        };
        if !at.pop() {
            break;
        }
    }
    Ok(smallest)
}

fn runner(proc: &Path, pid: u32) -> OllamaRunner {
    let folder = proc.join(pid.to_string());
    let arguments = arguments(proc, pid);
    let mut runner = OllamaRunner {
        pid,
        arguments,
        mapped: Ok(false),
        locked: status(proc, pid, "VmLck:").and_then(|text| {
            let kb = text.trim_end_matches("kB").trim();
            kb.parse().map_err(|_| format!("VmLck is '{text}'"))
        }),
        interleaved: read(&folder.join("numa_maps")).map(|text| text.contains(" interleave")),
    };
    runner.mapped = match runner.value(&["--model", "-m"]) {
        Some(file) => {
            read(&folder.join("maps")).map(|maps| maps.lines().any(|l| l.ends_with(file)))
        }
        None => Err("its command line names no model file".to_owned()),
    };
    runner
}

#[cfg(test)]
mod tests;
