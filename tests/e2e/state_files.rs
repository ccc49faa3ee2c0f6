//! Something else than a file stands where Crucible keeps what outlives a run.

use std::process::Command;

use crucible_sim::Options;
use crucible_tests::{
    Crucible,
    chat::{body, post},
    engines::{engine, start},
    rest::ready,
};
use tempfile::TempDir;

#[tokio::test]
async fn a_pipe_that_nobody_writes_to_holds_up_neither_start_nor_end() {
    let files = [
        "residents.json",
        "predictor.json",
        "probes.json",
        "context_probes.json",
    ];
    for name in files {
        let folder = TempDir::new().expect("a folder");
        let pipe = folder.path().join(name);
        let made = Command::new("mkfifo").arg(&pipe).status();
        assert!(made.expect("mkfifo runs").success());
        let sim = start(Options::lmstudio(&["m=1GB"])).await;
        let mut crucible = Crucible::start(&format!(
            "state_dir = {:?}\n{}",
            folder.path(),
            engine("one", "lmstudio", &sim.url())
        ));
        ready(&crucible).await;
        let answer = post(&crucible, &body("m", "repeat 1")).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.text);
        crucible.signal("TERM");
        assert!(crucible.wait().success(), "{name}: {}", crucible.log());
    }
}
