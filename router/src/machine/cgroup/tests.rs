//! A folder imitates cgroupfs of Linux 6.8 below a systemd 255 user session. Unlike the kernel it
//! has no interface files in new groups and refuses to remove a group with files in it.

use super::*;

const SCOPE: &str = "user.slice/user-1000.slice/user@1000.service/app.slice/run-u7.scope";
const OWN_PID: u32 = 500;

struct System(tempfile::TempDir);

impl System {
    /// Crucible alone in a scope with `Delegate=yes`.
    fn new() -> Self {
        let system = Self(tempfile::tempdir().unwrap());
        system.put("sys/fs/cgroup/cgroup.controllers", "cpu io memory pids\n");
        system.put(&format!("proc/{OWN_PID}/cgroup"), &format!("0::/{SCOPE}\n"));
        system.put_group("cgroup.controllers", "cpu memory pids\n");
        system.put_group("cgroup.subtree_control", "\n");
        system.put_group("cgroup.procs", "500\n");
        system
    }

    fn root(&self) -> &Path {
        self.0.path()
    }

    fn scope(&self) -> PathBuf {
        self.root().join("sys/fs/cgroup").join(SCOPE)
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn put_group(&self, file: &str, text: &str) {
        self.put(&format!("sys/fs/cgroup/{SCOPE}/{file}"), text);
    }

    fn limited(&self) -> Result<ControlGroup, NoMemoryLimit> {
        ControlGroup::limited(self.root(), OWN_PID, "own", 16_000_000_000)
    }

    fn why(&self) -> String {
        self.limited().unwrap_err().why
    }
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn a_child_gets_a_group_with_the_limit_beside_crucibles() {
    let system = System::new();
    let group = system.limited().unwrap();
    let scope = system.scope();
    assert_eq!(read(scope.join("crucible/cgroup.procs")), "500");
    assert_eq!(read(scope.join("cgroup.subtree_control")), "+memory");
    assert_eq!(group.folder.parent(), Some(&*scope));
    assert_eq!(read(group.folder.join("memory.max")), "16000000000");
    group.add(777).unwrap();
    assert_eq!(read(group.folder.join("cgroup.procs")), "777");
    group.end().await;
    assert_eq!(read(group.folder.join("cgroup.kill")), "1");
}

#[test]
fn a_crucible_in_its_own_group_goes_on_from_there() {
    let system = System::new();
    system.limited().unwrap();
    let moved = format!("0::/{SCOPE}/crucible\n");
    system.put(&format!("proc/{OWN_PID}/cgroup"), &moved);
    // Empty now, and nobody is moved again.
    system.put_group("cgroup.procs", "");
    fs::remove_file(system.scope().join("crucible/cgroup.procs")).unwrap();
    let left = system.scope().join("engine-old-400-0");
    fs::create_dir(&left).unwrap();
    let second = system.limited().unwrap();
    assert_eq!(second.folder.parent(), Some(&*system.scope()));
    assert!(!system.scope().join("crucible/cgroup.procs").exists());
    assert!(!left.exists(), "the empty group of a crashed run goes");
}

#[test]
fn crucibles_own_children_move_with_it_and_others_are_not_touched() {
    let system = System::new();
    let zeros = "0 ".repeat(15);
    system.put(
        "proc/501/stat",
        &format!("501 (x) S 500 501 501 {zeros} 9\n"),
    );
    system.put(
        "proc/502/stat",
        &format!("502 (sh) S 1 502 502 {zeros} 9\n"),
    );
    system.put_group("cgroup.procs", "500\n501\n");
    system.limited().unwrap();
    assert_eq!(read(system.scope().join("crucible/cgroup.procs")), "501");
    let system = System::new();
    system.put(
        "proc/502/stat",
        &format!("502 (sh) S 1 502 502 {zeros} 9\n"),
    );
    system.put_group("cgroup.procs", "500\n502\n");
    let unlimited = system.limited().unwrap_err();
    assert_eq!(
        unlimited.why,
        format!("Crucible's control group /{SCOPE} is shared with other processes, such as 502")
    );
    assert!(unlimited.fix.starts_with("systemd-run --user --scope"));
    assert!(!system.scope().join("crucible").exists());
}

#[test]
fn where_the_system_does_not_allow_it_it_says_why() {
    let system = System::new();
    system.put_group("cgroup.controllers", "cpu pids\n");
    assert!(
        system
            .why()
            .ends_with("run-u7.scope has no memory controller")
    );
    // Version 1, with version 2 beside it for systemd alone.
    let system = System::new();
    fs::remove_file(system.root().join("sys/fs/cgroup/cgroup.controllers")).unwrap();
    assert_eq!(
        system.why(),
        "this system has no control groups of version 2"
    );
    assert_eq!(system.limited().unwrap_err().fix, BOOT);
    let system = System::new();
    system.put(&format!("proc/{OWN_PID}/cgroup"), "4:memory:/x\n");
    assert_eq!(
        system.why(),
        "this system has no control groups of version 2"
    );
    // What the kernel refuses is told with the file; here it is no file at all.
    let system = System::new();
    fs::remove_file(system.scope().join("cgroup.subtree_control")).unwrap();
    fs::create_dir(system.scope().join("cgroup.subtree_control")).unwrap();
    assert!(
        system.why().contains("cgroup.subtree_control: "),
        "{}",
        system.why()
    );
}
