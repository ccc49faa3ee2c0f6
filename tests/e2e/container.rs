//! In a container: as its first process, and with little of what a system usually has.

use std::{
    fs::File,
    path::Path,
    process::{Command, Stdio},
};

use crucible_sim::Options;
use crucible_tests::{
    Crucible, binary,
    engines::{client, start},
    process::free_port,
    rest::{eventually, logged},
};
use tempfile::TempDir;

/// In the place of an engine's program: leaves twenty processes behind that end later, and stays.
const ENGINE: &str = "here=$(dirname \"$0\")\n\
    i=0\n\
    while [ $i -lt 20 ]; do\n\
    (setsid sh -c \"sleep 0.2; echo ended >> '$here/orphans'\" &)\n\
    i=$((i+1))\n\
    done\n\
    echo started >> \"$here/starts\"\n\
    exec sleep 1000\n";

/// A PID namespace with a `/proc` of its own; whoever may not make one needs one for users too.
const FIRST_PROCESS: &str = "
root=
unshare --mount true 2>/dev/null || root=--map-root-user
exec unshare $root --pid --fork --kill-child --mount-proc \"$0\" \"$@\"
";

/// Names and states of the processes whose parent is this.
fn children(parent: u32) -> Vec<(u32, char)> {
    let entries = std::fs::read_dir("/proc").expect("Linux");
    let pids = entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let child = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, rest) = stat.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        let state = fields.next()?.chars().next()?;
        (fields.next()? == parent.to_string()).then_some((pid, state))
    };
    pids.filter_map(child).collect()
}

fn lines(folder: &Path, name: &str) -> usize {
    let text = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
    text.lines().count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orphans_are_waited_for_and_the_ends_of_its_own_children_are_known() {
    let folder = TempDir::new().expect("a folder");
    let engine = folder.path().join("engine.sh");
    std::fs::write(&engine, ENGINE).expect("written");
    let sim = start(Options::ollama(&["llama=1GB"])).await;
    let toml = format!(
        "[[engine]]\nname = \"own\"\nkind = \"ollama\"\nmanage = \"spawn\"\ndevice = \"cpu\"\n\
         url = \"{}\"\ncommand = [\"sh\", \"{}\"]\n",
        sim.url(),
        engine.display()
    );
    let crucible = Crucible::start_in_shell(&toml, FIRST_PROCESS, "");
    let first = eventually("the first process", || async {
        children(crucible.pid()).first().map(|(pid, _)| *pid)
    })
    .await;
    for starts in 1..=2 {
        eventually("orphans that have ended", || async {
            (lines(folder.path(), "orphans") == 20 * starts).then_some(())
        })
        .await;
        eventually("none of them is left", || async {
            let ended = children(first).iter().any(|(_, state)| *state == 'Z');
            (!ended).then_some(())
        })
        .await;
        if starts == 1 {
            // Its own child, whose end Crucible is to see as it was.
            let own = children(first);
            assert_eq!(own.len(), 1, "{own:?}");
            let killed = Command::new("kill")
                .args(["-9", &own[0].0.to_string()])
                .status();
            assert!(killed.expect("kill runs").success());
        }
    }
    assert_eq!(lines(folder.path(), "starts"), 2);
    logged(&crucible, "signal: 9").await;
    assert!(
        !crucible.log().contains("cannot be watched"),
        "{}",
        crucible.log()
    );
}

/// Everything below `/` can only be read.
const READ_ONLY: &str = "
root=
unshare --mount true 2>/dev/null || root=--map-root-user
exec unshare $root --mount sh -c 'mount -o remount,bind,ro / && exec USER \"$0\" \"$@\"' \"$0\" \"$@\"
";

/// Starts it with this shell script before it, and gives its log once it has answered and ended.
async fn started(what: &str, script: &str) -> String {
    let folder = TempDir::new().expect("a folder");
    let log = folder.path().join("log");
    let port = free_port();
    let mut child = Command::new("sh")
        .args(["-c", script])
        .arg(binary::crucible())
        .args(["serve", "--listen", &format!("127.0.0.1:{port}")])
        .args(["--engine", "none=openai@http://127.0.0.1:9"])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("CRUCIBLE_STATE_DIR", folder.path().join("state"))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log).expect("a file"))
        .spawn()
        .expect("sh starts");
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    let url = format!("http://127.0.0.1:{port}/healthz");
    eventually(what, || {
        let ended = child.try_wait().expect("a child");
        assert!(ended.is_none(), "{what}: {ended:?} {}", said());
        async {
            let answer = client().get(&url).send().await;
            answer.is_ok_and(|a| a.status() == 200).then_some(())
        }
    })
    .await;
    let pid = child.id().to_string();
    let asked = Command::new("kill").arg(&pid).status();
    assert!(asked.expect("kill runs").success());
    let ended = eventually("its end", || {
        let ended = child.try_wait().expect("a child");
        async move { ended }
    })
    .await;
    assert!(ended.success(), "{what}: {ended} {}", said());
    said()
}

#[tokio::test]
async fn it_starts_with_little_of_what_a_system_has_and_says_what_to_set() {
    let state = "CRUCIBLE_STATE_DIR";
    let nobody = "env -u CRUCIBLE_STATE_DIR unshare --user --map-user=65534 --map-group=65534";
    let unknown = "env -u CRUCIBLE_STATE_DIR unshare --user --map-user=12345 --map-group=12345";
    let as_user = |user: &str| READ_ONLY.replace("USER", user);
    let run = "exec \"$0\" \"$@\"";
    let full_pipe =
        "p=$(mktemp -u); mkfifo \"$p\"; exec 9<>\"$p\"; rm \"$p\"; head -c 65536 /dev/zero >&9";
    for (what, script, told) in [
        ("no environment", run.to_owned(), ""),
        ("nothing on stdin", format!("{run} <&-"), ""),
        ("no stdout", format!("{run} >&-"), ""),
        ("no stderr", format!("{run} 2>&-"), ""),
        ("none of the three", format!("{run} <&- >&- 2>&-"), ""),
        ("a full disk behind stdout", format!("{run} >/dev/full"), ""),
        (
            "a full pipe behind stdout that nobody reads",
            format!("{full_pipe}; {run} >&9"),
            "",
        ),
        (
            "a full disk behind stderr",
            format!("{run} 2>/dev/full"),
            "",
        ),
        (
            "a read-only system",
            as_user("env -u CRUCIBLE_STATE_DIR HOME=/usr"),
            state,
        ),
        ("nobody, on a read-only system", as_user(nobody), state),
        ("a user without a name", as_user(unknown), state),
        (
            "a state folder that is a file",
            format!("CRUCIBLE_STATE_DIR=/dev/null/x {run}"),
            state,
        ),
    ] {
        let log = started(what, &script).await;
        assert!(log.contains(told), "{what}: {log}");
        assert!(!log.contains("panicked"), "{what}: {log}");
    }
}
