use super::*;

/// A made-up `/` with processes.
pub(super) struct System(tempfile::TempDir);

impl System {
    fn new() -> Self {
        let system = Self(tempfile::tempdir().unwrap());
        let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
        let line = "   0: 0100007F:2CAA 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1\n";
        system.put("proc/net/tcp", &format!("{head}{line}"));
        system
    }

    fn root(&self) -> &Path {
        self.0.path()
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn process(&self, pid: u32, parent: u32, comm: &str, words: &[&str]) {
        self.put(&format!("proc/{pid}/comm"), &format!("{comm}\n"));
        self.put(
            &format!("proc/{pid}/cmdline"),
            &format!("{}\0", words.join("\0")),
        );
        self.put(
            &format!("proc/{pid}/status"),
            &format!("Name:\t{comm}\nPPid:\t{parent}\nVmLck:\t       4 kB\n"),
        );
    }

    #[cfg(unix)]
    fn listens(&self, pid: u32) {
        let folder = self.root().join(format!("proc/{pid}/fd"));
        fs::create_dir_all(&folder).unwrap();
        std::os::unix::fs::symlink("socket:[4711]", folder.join("3")).unwrap();
    }
}

const PORT: u16 = 0x2caa;

#[cfg(unix)]
#[test]
fn the_one_that_listens_is_found_with_its_runners() {
    let system = System::new();
    system.process(7, 1, "ollama", &["/usr/bin/ollama", "serve"]);
    system.process(9, 1, "ollama", &["ollama", "serve"]);
    system.listens(9);
    system.put(
        "proc/9/environ",
        "OLLAMA_NUM_PARALLEL=2\0CUDA_VISIBLE_DEVICES=\0",
    );
    system.put("proc/9/cgroup", "0::/system.slice/ollama.service\n");
    system.put(
        "sys/fs/cgroup/system.slice/ollama.service/memory.max",
        "max\n",
    );
    system.put("sys/fs/cgroup/system.slice/memory.max", "16000000000\n");
    system.process(
        12,
        9,
        "llama-server",
        &["llama-server", "--model", "/m/blobs/sha256-ab", "-t", "8"],
    );
    system.put(
        "proc/12/maps",
        "7f00-7f01 r--p 0 00:1 3   /m/blobs/sha256-ab\n",
    );
    system.put("proc/12/numa_maps", "7f00 interleave:0-1 file=/m anon=1\n");
    system.process(13, 7, "llama-server", &["llama-server", "-t", "99"]);
    let found = find(system.root(), PORT).unwrap();
    assert_eq!((found.pid, found.others.as_slice()), (9, &[7][..]));
    let variables = found.environment.unwrap();
    assert_eq!(variables["OLLAMA_NUM_PARALLEL"], "2");
    assert_eq!(variables["CUDA_VISIBLE_DEVICES"], "");
    assert_eq!(found.memory_max, Ok(Some(16_000_000_000)));
    assert_eq!(found.runners.len(), 1);
    let runner = &found.runners[0];
    assert_eq!(runner.value(&["-t", "--threads"]), Some("8"));
    assert_eq!((&runner.mapped, &runner.locked), (&Ok(true), &Ok(4)));
    assert_eq!(runner.interleaved, Ok(true));
}

#[cfg(unix)]
#[test]
fn another_program_on_the_port_does_not_count() {
    let system = System::new();
    system.process(7, 1, "docker-proxy", &["docker-proxy", "serve"]);
    system.listens(7);
    let why = find(system.root(), PORT).unwrap_err();
    assert!(why.contains("held by 'docker-proxy' (process 7)"), "{why}");
}

#[test]
fn without_open_files_only_a_single_server_is_believed() {
    let system = System::new();
    let why = find(system.root(), PORT).unwrap_err();
    assert!(why.contains("no `ollama serve` is visible"), "{why}");
    system.process(5, 1, "vim", &["vim", "serve"]);
    system.process(7, 1, "ollama", &["ollama", "serve"]);
    let found = find(system.root(), PORT).unwrap();
    assert_eq!(found.pid, 7);
    let why = found.environment.unwrap_err();
    assert!(why.contains("environ cannot be read"), "{why}");
    system.process(9, 1, "ollama", &["ollama", "serve"]);
    let why = find(system.root(), PORT).unwrap_err();
    assert!(why.contains("which of the 2"), "{why}");
}

#[test]
fn a_system_without_proc_says_so() {
    let root = tempfile::tempdir().unwrap();
    let why = find(root.path(), PORT).unwrap_err();
    assert!(why.contains("no readable"), "{why}");
}

#[test]
fn only_the_sockets_that_listen_are_read_which_come_first() {
    let line = |port: u16, state: &str, inode: u32| {
        format!(
            "   0: 0100007F:{port:04X} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  1000        0 {inode} 1\n"
        )
    };
    let table = [
        "  sl  local_address rem_address   st tx_queue ...\n".to_owned(),
        line(80, "0A", 1),
        line(11_434, "0A", 2),
        line(11_434, "0A", 3),
        line(11_434, "06", 4),
        "what follows is not looked at\n".to_owned(),
        line(11_434, "0A", 5),
    ]
    .concat();
    assert_eq!(listeners(table.as_bytes(), 11_434), ["2", "3"]);
    assert!(listeners("".as_bytes(), 11_434).is_empty());
}
