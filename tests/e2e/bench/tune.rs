//! `--tune`: what is printed is configuration.

use crucible_router::machine::physical_cores;
use crucible_sim::Options;
use crucible_tests::engines::{engine, start};
use serde_json::Value;
use tempfile::TempDir;

use super::{crucible, undisturbed};

/// Search on an engine: the block, and the configuration that it was searched with.
async fn tuned(kind: &str, options: Options, more: &str) -> (String, String) {
    let folder = TempDir::new().expect("a folder");
    let sim = start(options).await;
    let base = format!(
        "listen = \"127.0.0.1:0\"\nstate_dir = '{}'\n{}",
        folder.path().join("state").display(),
        engine("local", kind, &sim.url()),
    );
    let toml = format!("{base}{more}");
    let args = ["--tune", "--rounds", "4", "--time", "2m", "--json"];
    let (code, out, err) = crucible(folder.path(), &toml, "bench", &args).await;
    assert_eq!(code, 0, "{err}");
    let told: Value = serde_json::from_str(&out).expect("JSON");
    let block = told["tuned"].as_str().expect("a block").to_owned();
    let pasted = format!("{base}{block}\n");
    let (code, _, err) = crucible(folder.path(), &pasted, "check", &[]).await;
    assert_eq!(code, 0, "{err}\n{pasted}");
    let (code, shown, err) = crucible(folder.path(), &pasted, "config", &["show"]).await;
    assert_eq!(code, 0, "{err}");
    (block, shown)
}

#[tokio::test]
async fn more_threads_on_a_simulated_ollama_are_found_and_can_be_pasted() {
    let cores = physical_cores().max(1);
    let measure = async || {
        let mut options = Options::ollama(&["small=1GB"]);
        options.rate = 200;
        options.rate_per_thread = true;
        options.prefill = 100_000;
        let more = "device = \"cpu\"\n[tuning.ollama]\nnum_threads = 1\n";
        tuned("ollama", options, more).await
    };
    let more_threads = |block: &str| {
        block.contains("%, better\n") && block.contains(&format!("\nnum_threads = {cores}\n"))
    };
    let found = |(block, _): &(String, String)| cores == 1 || more_threads(block);
    let (block, shown) = undisturbed(measure, found).await;
    assert!(block.contains("parallel was not searched"), "{block}");
    if cores > 1 {
        assert!(more_threads(&block), "{block}");
        assert!(block.contains("\n[tuning.ollama]\n"), "{block}");
        let key = "tuning.ollama.num_threads";
        let line = shown.lines().find(|line| line.starts_with(key));
        assert!(
            line.is_some_and(|line| line.ends_with(&format!(" {cores}"))),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn more_requests_at_once_on_a_simulated_lm_studio_are_found() {
    let measure = async || {
        let mut options = Options::lmstudio(&["small=1GB"]);
        options.rate = 200;
        options.prefill = 100_000;
        tuned("lmstudio", options, "permits = 1\n").await.0
    };
    let four_at_once = |block: &String| {
        block.contains("%, better\n")
            && block.contains("in the [[engine]] block of \"local\":\n# permits = 4")
    };
    let block = undisturbed(measure, four_at_once).await;
    assert!(four_at_once(&block), "{block}");
    assert!(
        block.contains("\n[tuning.lmstudio]\nbatch_size = "),
        "{block}"
    );
    assert!(block.contains("threads were not searched"), "{block}");
}
