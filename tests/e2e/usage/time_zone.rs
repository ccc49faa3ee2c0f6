//! Days where this machine tells no time zone, and logs that are read by their folder.

use std::{path::Path, process::Command};

use crucible_sim::Options;
use crucible_tests::{
    Crucible, binary,
    chat::{body, post},
    engines::{engine, start},
    rest::logged,
};

use super::keys;

/// A folder in place of a file, and a time zone that nobody knows.
#[tokio::test]
async fn the_folder_of_a_log_is_read_and_an_unknown_time_zone_is_said() {
    let sim = start(Options::lmstudio(&["qwen=1GB"])).await;
    let mut crucible = Crucible::start(&engine("gpu", "lmstudio", &sim.url()));
    let answer = post(&crucible, &body("qwen", "repeat 1")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    crucible.signal("TERM");
    crucible.wait();
    let folder = crucible.config().with_file_name("state");
    let run = |folder: &Path| {
        let mut command = Command::new(binary::crucible());
        let folder = folder.display().to_string();
        let out = command
            .args(["usage", "--log", &folder])
            .env("TZ", "Nowhere/Land")
            .output();
        let out = out.expect("it runs");
        [out.stdout, out.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    };
    let [table, said] = run(&folder);
    assert!(table.contains("qwen"), "{table} {said}");
    assert!(
        said.contains("TZ=\"Nowhere/Land\" is no time zone"),
        "{said}"
    );
    assert!(said.contains("UTC"), "{said}");
    let counted = Crucible::start_with(
        &keys("tokens_per_day = 1000"),
        &[],
        &[("TZ", "Nowhere/Land")],
    );
    logged(&counted, "the days of tokens_per_day are those of UTC").await;
    let [table, said] = run(folder.parent().expect("a folder"));
    assert!(
        table.is_empty() && said.contains("events"),
        "{table} {said}"
    );
}
