//! NVIDIA's cards by a stand-in for the driver's library, of a driver of today and of one before R510.

use std::{path::Path, process::Command};

use crucible_tests::{
    Crucible, chat::get, engines::engine, ollama_process::OllamaProcess, rest::ready,
};
use tempfile::TempDir;

use super::{
    machine::{LIBRARY, with_libraries},
    samples,
};

/// A driver of today.
const NEW: &[&str] = &[];
/// A driver of the branch R470, which has the first version of the question for memory only.
const BEFORE_R510: &[&str] = &["-DBEFORE_R510"];

/// A folder with the stand-in, built with these flags, under both names of the driver's library.
fn stand_in(flags: &[&str]) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("gpu/nvml_stand_in.c");
    let library = folder.path().join(LIBRARY);
    let built = Command::new("cc")
        .args(["-shared", "-fPIC"])
        .args(flags)
        .arg("-o")
        .args([&library, &source])
        .status();
    assert!(built.expect("a C compiler").success());
    let developers = folder.path().join("libnvidia-ml.so");
    std::fs::copy(&library, developers).expect("copied");
    folder
}

/// Asserts what a scrape says of both cards, where the first has so much in use.
async fn shows_cards(flags: &[&str], used: f64) {
    let folder = stand_in(flags);
    let crucible = with_libraries(folder.path(), "");
    let first = samples(&crucible).await;
    for (name, expected) in [
        (r#"crucible_gpu_memory_total_bytes{gpu="0"}"#, Some(24e9)),
        (r#"crucible_gpu_memory_used_bytes{gpu="0"}"#, Some(used)),
        (
            r#"crucible_gpu_memory_limit_bytes{gpu="0"}"#,
            Some(24e9 * 0.8),
        ),
        (r#"crucible_gpu_utilization_ratio{gpu="0"}"#, Some(0.37)),
        (r#"crucible_gpu_temperature_celsius{gpu="0"}"#, Some(61.0)),
        (r#"crucible_gpu_power_watts{gpu="0"}"#, Some(215.5)),
        (r#"crucible_gpu_memory_total_bytes{gpu="1"}"#, Some(8e9)),
        (r#"crucible_gpu_temperature_celsius{gpu="1"}"#, None),
        (r#"crucible_energy_joules_total{source="gpu1"}"#, None),
    ] {
        assert_eq!(first.get(name).copied(), expected, "{name}");
    }
    let energy = r#"crucible_energy_joules_total{source="gpu0"}"#;
    let second = samples(&crucible).await;
    // The stand-in uses 3 J between two questions.
    assert_eq!(second[energy] - first[energy], 3.0);
}

/// The driver keeps 0.4 GB for itself, and processes hold 6 GB.
#[tokio::test]
async fn cards_of_the_drivers_library_are_shown() {
    shows_cards(NEW, 6e9).await;
}

/// A driver before R510 has no `nvmlDeviceGetMemoryInfo_v2`, and counts as used what it keeps for itself.
#[tokio::test]
async fn a_driver_before_r510_tells_the_memory_of_its_cards() {
    shows_cards(BEFORE_R510, 6.4e9).await;
}

/// The memory of the cards is the pool's budget, and who computes on them is evidence, whichever version of the
/// questions a driver knows.
#[tokio::test]
async fn a_driver_of_any_age_gives_the_budget_and_names_who_computes() {
    for flags in [NEW, BEFORE_R510] {
        let folder = stand_in(flags);
        let ollama = OllamaProcess::start(&["--models", "m=1GB"]);
        let toml = engine("cpu", "ollama", ollama.url())
            + "device = \"cpu\"\n"
            + &engine("gpu", "lmstudio", "http://127.0.0.1:1");
        let libraries = folder.path().display().to_string();
        let pid = ollama.pid().to_string();
        let env = [
            ("LD_LIBRARY_PATH", libraries.as_str()),
            ("NVML_STAND_IN_PROCESS", pid.as_str()),
        ];
        let crucible = Crucible::start_with(&toml, &[], &env);
        ready(&crucible).await;
        let state = get(&crucible, "/crucible/state").await.json;
        let pools = state["pools"].as_array().expect("pools");
        let gpu = pools.iter().find(|pool| pool["name"] == "gpu");
        // 0.8 of the largest card.
        assert_eq!(
            gpu.expect("a pool")["budget_bytes"],
            19_200_000_000_u64,
            "{state}"
        );
        let report = get(&crucible, "/crucible/tunings").await.json;
        let rows = report["tunings"].as_array().expect("rows");
        let row = rows
            .iter()
            .find(|row| row["id"] == "environment.OLLAMA_NUM_GPU")
            .expect("the row");
        assert_eq!(row["state"], "not_in_effect", "{row}");
        assert!(
            row.to_string()
                .contains(&format!("its process {pid} computes on one")),
            "{row}"
        );
    }
}
