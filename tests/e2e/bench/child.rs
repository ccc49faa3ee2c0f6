//! An Ollama that Crucible starts: bench starts it with the environment of each variant.

use std::path::Path;

use crucible_sim::Options;
use crucible_tests::engines::start;
use serde_json::Value;
use tempfile::TempDir;

use super::{crucible, variant};

/// In the place of the program: writes down its environment, and stays. The simulator at the
/// engine's address answers in its stead. A shell reads it: a file that was just written cannot
/// always be executed (`ETXTBSY`).
const STAND_IN: &str = "here=$(dirname \"$0\")\n\
                        echo \"$$ $OLLAMA_NUM_PARALLEL ${OLLAMA_FLASH_ATTENTION:--} \
                        ${OLLAMA_KV_CACHE_TYPE:--}\" >> \"$here/starts\"\n\
                        exec sleep 1000\n";

/// Process, then slots, flash attention and cache type of each start.
fn starts(folder: &Path) -> Vec<(String, String)> {
    let notes = std::fs::read_to_string(folder.join("starts")).unwrap_or_default();
    let lines = notes.lines().filter_map(|line| line.split_once(' '));
    lines
        .map(|(pid, told)| (pid.to_owned(), told.to_owned()))
        .collect()
}

fn is_alive(pid: &str) -> bool {
    let status = std::process::Command::new("kill")
        .args(["-0", pid])
        .output();
    status.expect("kill runs").status.success()
}

#[tokio::test]
async fn what_ollama_reads_at_its_start_is_varied_where_crucible_starts_it() {
    let folder = TempDir::new().expect("a folder");
    let script = folder.path().join("ollama.sh");
    std::fs::write(&script, STAND_IN).expect("written");
    let mut options = Options::ollama(&["small=1GB"]);
    options.parallel = 4;
    options.rate = 500;
    options.prefill = 100_000;
    let sim = start(options).await;
    let toml = format!(
        "listen = \"127.0.0.1:0\"\nstate_dir = '{}'\n[[engine]]\nname = \"own\"\n\
         kind = \"ollama\"\nmanage = \"spawn\"\ndevice = \"cpu\"\nurl = \"{}\"\n\
         command = [\"sh\", \"{}\"]\n",
        folder.path().join("state").display(),
        sim.url(),
        script.display(),
    );
    let args = ["--rounds", "1", "--json"];
    let (code, out, err) = crucible(folder.path(), &toml, "bench", &args).await;
    assert_eq!(code, 0, "{err}");
    let told: Value = serde_json::from_str(&out).expect("JSON");
    let starts = starts(folder.path());
    let environments: Vec<&str> = starts.iter().map(|(_, told)| told.as_str()).collect();
    // The defaults, the profile and what requests can vary, the rest. The look for engines starts
    // one before, which may be ended before it has written.
    let expected = ["1 - -", "2 - -", "2 0 -", "2 1 q8_0", "4 - -"];
    assert!(environments.ends_with(&expected), "{environments:?}");
    assert!(environments.len() <= expected.len() + 1, "{environments:?}");
    assert!(starts.iter().all(|(pid, _)| !is_alive(pid)), "{starts:?}");
    assert_eq!(sim.log().peak_in_flight, 4);
    let options = &variant(&told, "K/V type q8_0")["options"];
    assert_eq!(options["OLLAMA_KV_CACHE_TYPE"], "q8_0", "{out}");
    assert_eq!(told["not_varied"], Value::Array(Vec::new()));
}
