//! Engines that Crucible starts, an Ollama and llama.cpp: what they are started with, that they
//! come back, that they end, that they keep their memory until then.

use std::path::{Path, PathBuf};

use crucible_sim::Options;
use crucible_tests::{
    Crucible,
    chat::{body, get, post, stream},
    engines::start,
    rest::{eventually, ready},
};
use tempfile::TempDir;

/// In the place of the program: writes down what it was started with, and stays. The simulator at
/// the engine's address answers in its stead. A shell reads it: a file that was just written cannot
/// always be executed, since another test's child may have it open for writing (`ETXTBSY`).
const STAND_IN: &str = "here=$(dirname \"$0\")\n{ echo \"arguments: $*\"; env; } > \
                        \"$here/new.$$\"\nmv \"$here/new.$$\" \"$here/started.$$\"\n\
                        exec sleep 1000\n";

/// In the place of llama-server.
const LLAMA_SERVER: &str = include_str!("llama_server.py");

/// Starts a server and notes whose process lives at that moment, by the notes of all.
const WITNESS: &str = r#"
folder=$1
shift
for pid in $(cat "$folder"/*/starts 2>/dev/null | cut -d' ' -f1); do
  kill -0 "$pid" 2>/dev/null && echo "$pid" >> "$folder/together"
done
exec "$@"
"#;

fn stand_in(folder: &Path) -> PathBuf {
    let script = folder.join("ollama.sh");
    std::fs::write(&script, STAND_IN).expect("written");
    script
}

/// Process ids and notes of the starts so far.
fn starts(folder: &Path) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let pid = path
                .file_name()?
                .to_str()?
                .strip_prefix("started.")?
                .to_owned();
            Some((pid, std::fs::read_to_string(path).ok()?))
        })
        .collect()
}

fn alive(pid: &str) -> bool {
    let status = std::process::Command::new("kill")
        .args(["-0", pid])
        .output();
    status.expect("kill runs").status.success()
}

/// The simulator answers while the test waits for the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_gets_its_environment_comes_back_after_a_crash_and_ends_with_crucible() {
    let folder = TempDir::new().expect("a folder");
    let program = stand_in(folder.path());
    let sim = start(Options::ollama(&["llama=1GB"])).await;
    let mut crucible = Crucible::start(&format!(
        "[[engine]]\nname = \"own\"\nkind = \"ollama\"\nmanage = \"spawn\"\ndevice = \"cpu\"\n\
         url = \"{}\"\ncommand = [\"sh\", \"{}\"]\n[tuning.ollama]\nmax_queue = 17\n",
        sim.url(),
        program.display(),
    ));
    ready(&crucible).await;
    let answer = post(&crucible, &body("llama", "repeat 1")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let first = eventually("what it was started with", || async {
        starts(folder.path()).pop()
    })
    .await;
    let address = sim.url().replace("http://", "");
    for line in [
        "arguments: serve".to_owned(),
        "OLLAMA_MAX_QUEUE=17".to_owned(),
        "OLLAMA_NUM_PARALLEL=2".to_owned(),
        "CUDA_VISIBLE_DEVICES=-1".to_owned(),
        "OLLAMA_LLM_LIBRARY=cpu".to_owned(),
        format!("OLLAMA_HOST={address}"),
    ] {
        assert!(first.1.lines().any(|l| l == line), "{line}: {}", first.1);
    }
    assert!(!first.1.contains("OLLAMA_NUM_GPU"), "{}", first.1);
    let killed = std::process::Command::new("kill")
        .args(["-9", &first.0])
        .status();
    assert!(killed.expect("kill runs").success());
    let second = eventually("a second start", || async {
        starts(folder.path())
            .into_iter()
            .find(|(pid, _)| *pid != first.0)
    })
    .await;
    let own = eventually("up again", || async {
        let state = get(&crucible, "/crucible/state").await.json;
        (state["engines"][0]["state"] == "up").then_some(state["engines"][0].clone())
    })
    .await;
    assert_eq!(own["name"], "own");
    assert!(alive(&second.0));
    crucible.signal("TERM");
    assert_eq!(crucible.wait().code(), Some(0), "{}", crucible.log());
    assert!(!alive(&second.0), "{}", crucible.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_instance_of_one_state_folder_ends_its_own_child_only() {
    let folder = TempDir::new().expect("a folder");
    let program = stand_in(folder.path());
    let mut sims = Vec::new();
    for _ in 0..2 {
        sims.push(start(Options::ollama(&["llama=1GB"])).await);
    }
    let instance = |at: usize| {
        Crucible::start(&format!(
            "state_dir = \"{}\"\n[[engine]]\nname = \"own\"\nkind = \"ollama\"\n\
             manage = \"spawn\"\ndevice = \"cpu\"\nurl = \"{}\"\ncommand = [\"sh\", \"{}\"]\n",
            folder.path().join("state").display(),
            sims[at].url(),
            program.display(),
        ))
    };
    let first = instance(0);
    let child = eventually("a start", || async { starts(folder.path()).pop() }).await;
    let mut second = instance(1);
    let others = eventually("another start", || async {
        let mut all = starts(folder.path()).into_iter();
        all.find(|(pid, _)| *pid != child.0)
    })
    .await;
    ready(&second).await;
    let answer = post(&second, &body("llama", "repeat 1")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    second.signal("TERM");
    assert_eq!(second.wait().code(), Some(0), "{}", second.log());
    assert!(!alive(&others.0), "{}", second.log());
    assert!(alive(&child.0), "{}", second.log());
    ready(&first).await;
    let answer = post(&first, &body("llama", "repeat 1")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

/// Whether it has not ended; who ended and was not waited for has.
#[cfg(target_os = "linux")]
fn runs(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_a_shell_started_ends_with_crucible_and_after_a_crash_with_the_next_start() {
    let folder = TempDir::new().expect("a folder");
    let program = stand_in(folder.path());
    let sim = start(Options::ollama(&["llama=1GB"])).await;
    let toml = format!(
        "state_dir = \"{}\"\n[[engine]]\nname = \"own\"\nkind = \"ollama\"\n\
         manage = \"spawn\"\ndevice = \"cpu\"\nurl = \"{}\"\n\
         command = [\"sh\", \"-c\", 'sh \"$0\" \"$@\" & wait', \"{}\"]\n",
        folder.path().join("state").display(),
        sim.url(),
        program.display(),
    );
    let mut crashing = Crucible::start(&toml);
    let first = eventually("a start", || async { starts(folder.path()).pop() })
        .await
        .0;
    let kept = folder.path().join("state/children");
    eventually("the child to be written down", || async {
        let mut files = std::fs::read_dir(&kept).ok()?;
        files.next().map(drop)
    })
    .await;
    crashing.signal("KILL");
    crashing.wait();
    assert!(runs(&first), "nobody told it to end");

    let mut next = Crucible::start(&toml);
    eventually("the end of the orphan", || async {
        (!runs(&first)).then_some(())
    })
    .await;
    let second = eventually("a second start", || async {
        let mut starts = starts(folder.path()).into_iter();
        starts.find(|(pid, _)| *pid != first)
    })
    .await
    .0;
    let told = eventually("the words", || async {
        let log = next.log();
        log.contains("left behind").then_some(log)
    })
    .await;
    assert!(
        told.contains("a crashed Crucible left behind") && told.contains(&first),
        "{told}"
    );
    assert!(runs(&second));
    next.signal("TERM");
    assert_eq!(next.wait().code(), Some(0), "{}", next.log());
    assert!(!runs(&second), "{}", next.log());
    let left = std::fs::read_dir(&kept).expect("the folder").count();
    assert_eq!(left, 0, "nothing is left for the next start");
}

/// The simulator does not answer while the only thread waits for the end.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_child_ends_with_crucible_where_its_models_cannot_be_unloaded() {
    let folder = TempDir::new().expect("a folder");
    let program = stand_in(folder.path());
    let sim = start(Options::ollama(&["llama=1GB"])).await;
    let mut crucible = Crucible::start(&format!(
        "[[engine]]\nname = \"own\"\nkind = \"ollama\"\nmanage = \"spawn\"\ndevice = \"cpu\"\n\
         url = \"{}\"\ncommand = [\"sh\", \"{}\"]\n",
        sim.url(),
        program.display(),
    ));
    ready(&crucible).await;
    let answer = post(&crucible, &body("llama", "repeat 1")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let pid = eventually("a start", || async { starts(folder.path()).pop() })
        .await
        .0;
    crucible.signal("TERM");
    assert_eq!(crucible.wait().code(), Some(0), "{}", crucible.log());
    assert!(!runs(&pid), "{}", crucible.log());
    let told = "not everything could be unloaded in time";
    assert!(crucible.log().contains(told), "{}", crucible.log());
}

/// On a system that gives Crucible a control group the child has the limit, on every other the log
/// and the row say why not.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn row_24_is_a_limit_of_the_system_or_says_why_not() {
    let folder = TempDir::new().expect("a folder");
    let program = stand_in(folder.path());
    let sim = start(Options::ollama(&["llama=1GB"])).await;
    let mut crucible = Crucible::start(&format!(
        "[[engine]]\nname = \"own\"\nkind = \"ollama\"\nmanage = \"spawn\"\ndevice = \"cpu\"\n\
         url = \"{}\"\ncommand = [\"sh\", \"{}\"]\n[tuning.ollama]\nmemory_limit = \"1GB\"\n",
        sim.url(),
        program.display(),
    ));
    ready(&crucible).await;
    let pid = eventually("a start", || async { starts(folder.path()).pop() })
        .await
        .0;
    let told = get(&crucible, "/crucible/tunings").await.json["tunings"][23].clone();
    let evidence = told["evidence"].as_str().expect("evidence");
    let log = eventually("what became of the limit", || async {
        let log = crucible.log();
        let told = [
            "a control group limits its memory",
            "does not limit its memory",
        ];
        told.iter().any(|t| log.contains(t)).then_some(log)
    })
    .await;
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("its groups");
    if let Some(group) = groups.lines().find_map(|l| l.strip_prefix("0::"))
        && group.contains("/engine-own-")
    {
        let limit = std::fs::read_to_string(format!("/sys/fs/cgroup{group}/memory.max"));
        let limit: u64 = limit.expect("a limit").trim().parse().expect("bytes");
        assert!(limit <= 1_000_000_000, "{limit}");
        assert!(log.contains("a control group limits its memory"), "{log}");
        // The stand-in is no process of the engine's name.
        assert_eq!(told["state"], "unverifiable", "{told}");
        assert!(
            evidence.contains("started in a cgroup with 1.0 GB"),
            "{told}"
        );
    } else {
        let why = "the system does not limit its memory, only Crucible's loads do";
        assert_eq!(log.matches(why).count(), 1, "{log}");
        assert_eq!(told["state"], "not_in_effect", "{told}");
        assert!(
            evidence.contains("the system does not limit its process: "),
            "{told}"
        );
        let fix = told["advice"].as_str().expect("a fix");
        assert!(fix.contains("systemd"), "{told}");
    }
    crucible.signal("TERM");
    assert_eq!(crucible.wait().code(), Some(0), "{}", crucible.log());
    assert!(!runs(&pid), "{}", crucible.log());
}

#[test]
fn an_ollama_elsewhere_cannot_be_started_here() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("crucible.toml");
    let toml = "[[engine]]\nname = \"a\"\nkind = \"ollama\"\nmanage = \"spawn\"\n\
                url = \"http://192.0.2.7:11434\"\n";
    std::fs::write(&path, toml).expect("written");
    let file = path.display().to_string();
    let (code, _, err) = Crucible::command(&["check", "--config", &file], "");
    assert_eq!(code, 2);
    assert!(
        err.contains(":5: engine[0].url") && err.contains("an address of this machine"),
        "{err}"
    );
}

/// A poll that failed was taken for a server without a model, and another was loaded beside it.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_child_that_is_silent_holds_its_memory_until_it_has_ended() {
    let folder = TempDir::new().expect("a folder");
    let script = folder.path().join("llama_server.py");
    std::fs::write(&script, LLAMA_SERVER).expect("written");
    let mut toml = String::from(
        "[pool.cpu]\nbudget = \"150MB\"\n[tuning.lmstudio]\nkeep_alive_interval = \"200ms\"\n",
    );
    for name in ["one", "two"] {
        let own = folder.path().join(name);
        std::fs::create_dir(&own).expect("a folder");
        let model = own.join(format!("{name}.gguf"));
        let file = std::fs::File::create(&model).expect("a file");
        file.set_len(100 << 20).expect("room for a hole");
        let command = ["sh", "-c", WITNESS, "witness"].map(str::to_owned);
        let command = [
            command.as_slice(),
            &[folder.path().display().to_string(), "python3".into()],
            &[script.display().to_string()],
        ]
        .concat();
        let engine = format!(
            "[[engine]]\nname = \"{name}\"\nkind = \"llamacpp\"\nmanage = \"spawn\"\n\
             permits = 1\npool = \"cpu\"\ncommand = {command:?}\nmodel_path = {:?}\n",
            model.display().to_string(),
        );
        toml.push_str(&engine);
    }
    let crucible = Crucible::start(&toml);
    let ask = async |name| stream(&crucible, &body(name, "repeat 1")).await.1;
    assert_eq!(ask("two").await.content(), "word");
    std::fs::write(folder.path().join("two/mute"), "").expect("written");
    eventually("its polls fail", || async {
        let state = get(&crucible, "/crucible/state").await.json;
        let held = state["pools"][0]["residents"].as_array().map(Vec::len);
        assert_eq!(held, Some(1), "{state}");
        (state["engines"][1]["state"] == "down").then_some(())
    })
    .await;
    assert_eq!(ask("one").await.content(), "word");
    let together = std::fs::read_to_string(folder.path().join("together"));
    assert!(together.is_err(), "{together:?}");
}
