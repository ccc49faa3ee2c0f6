//! The second turn of a conversation reads only what is new, on the real llama.cpp, by its own counts.

use std::process::Stdio;

use tokio::process::Command;

use super::real;

/// One conversation of each format, and one for each breaker; the whole matrix is the same program's.
#[tokio::test]
async fn the_second_turn_reads_at_most_a_twentieth_of_the_first_again() {
    let (crucible, model) = real::start().await;
    let run = crucible_tests::binary::root().join("tests/prefix/run");
    let measured = Command::new("python3")
        .arg(run)
        .args(["--quick", "--crucible", crucible.url(), "--model", &model])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let measured = measured.await.expect("python3 runs");
    let said = [measured.stdout, measured.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(measured.status.success(), "{said}");
    for row in [
        "chat",
        "responses",
        "messages",
        "billing block",
        "cache_control",
        "later system",
        "another order",
    ] {
        assert!(said.contains(row), "no row of {row}: {said}");
    }
}
