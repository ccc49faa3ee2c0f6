//! As the first process of a container.

use std::path::Path;

use crucible_sim::Options;
use crucible_tests::{Crucible, engines::start, rest::eventually};
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

/// A PID namespace with a `/proc` of its own; whoever is not root needs one for users too.
const FIRST_PROCESS: &str = "
root=
[ \"$(id -u)\" = 0 ] || root=--map-root-user
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
            let killed = std::process::Command::new("kill")
                .args(["-9", &own[0].0.to_string()])
                .status();
            assert!(killed.expect("kill runs").success());
        }
    }
    assert_eq!(lines(folder.path(), "starts"), 2);
    assert!(crucible.log().contains("signal: 9"), "{}", crucible.log());
    assert!(
        !crucible.log().contains("cannot be watched"),
        "{}",
        crucible.log()
    );
}
