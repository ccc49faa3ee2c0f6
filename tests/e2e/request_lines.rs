//! The line that the log has of each request.

use std::time::Duration;

use crucible_sim::Options;
use crucible_tests::{
    Crucible,
    chat::{body, get, post, stream},
    engines::{engine, start},
    process::PATIENCE,
};
use serde_json::Value;
use tokio::time::{sleep, timeout};

/// Waits for a line of the log that `want` accepts.
async fn line(crucible: &Crucible, want: impl Fn(&Value) -> bool) -> Value {
    let looking = async {
        loop {
            let log = crucible.log();
            let lines = log
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok());
            if let Some(found) = lines.into_iter().find(&want) {
                return found;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let found = timeout(PATIENCE, looking).await;
    found.unwrap_or_else(|_| panic!("never in the log:\n{}", crucible.log()))
}

#[tokio::test]
async fn a_request_has_one_line_with_who_asked_what_was_done_and_how_long_it_took() {
    let mut options = Options::ollama(&["m=1GB"]);
    options.load_time = Duration::from_secs(1);
    let sim = start(options).await;
    let toml = format!(
        "[log]\nformat = \"json\"\n{}",
        engine("e", "ollama", &sim.url())
    );
    let crucible = Crucible::start(&toml);
    let (headers, answer) = stream(&crucible, &body("m", "repeat 5")).await;
    assert!(answer.done, "{}", answer.text);
    let id = headers["x-request-id"].to_str().expect("an id").to_owned();
    let of_it = |line: &Value| line["message"] == "request" && line["id"] == *id;
    let told = line(&crucible, of_it).await;
    for (name, value) in [
        ("level", "INFO"),
        ("endpoint", "chat"),
        ("outcome", "ok"),
        ("engine", "e"),
        ("model", "m:latest"),
        ("reason", "exact"),
    ] {
        assert_eq!(told[name], value, "{name}: {told}");
    }
    assert!(
        told["client"].as_str().is_some_and(|c| c.contains('@')),
        "{told}"
    );
    for name in [
        "status",
        "queue_s",
        "load_s",
        "prefill_s",
        "generate_s",
        "first_token_s",
        "total_s",
        "prompt",
        "tokens",
    ] {
        assert!(told[name].is_number(), "{name}: {told}");
    }
    let seconds = |name: &str| told[name].as_f64().unwrap_or(-1.0);
    assert!((1.0..10.0).contains(&seconds("load_s")), "{told}");
    let parts: f64 = ["queue_s", "load_s", "prefill_s", "generate_s"]
        .map(seconds)
        .iter()
        .sum();
    assert!(parts <= seconds("total_s") + 1e-6, "{told}");
    assert_eq!(told["tokens"], 5);
    let log = crucible.log();
    let lines: Vec<Value> = log
        .lines()
        .filter_map(|l| serde_json::from_str(l).ok())
        .collect();
    assert_eq!(lines.iter().filter(|l| of_it(l)).count(), 1);
}

#[tokio::test]
async fn a_path_that_is_not_served_stands_in_its_line_bounded_and_escaped() {
    let sim = start(Options::ollama(&["m=1GB"])).await;
    let toml = format!(
        "[log]\nformat = \"json\"\n{}",
        engine("e", "ollama", &sim.url())
    );
    let crucible = Crucible::start(&toml);
    let long = format!("/nowhere/{}?key=secret", "x".repeat(4000));
    assert_eq!(get(&crucible, &long).await.status, 404);
    let told = line(&crucible, |l| l["status"] == 404).await;
    let path = told["path"].as_str().expect("a path");
    assert!(
        path.starts_with("/nowhere/xxx") && path.len() <= 120,
        "{path}"
    );
    assert_eq!(told["outcome"], "unknown_endpoint");
    assert!(!crucible.log().contains("secret"));
    assert_eq!(post(&crucible, &body("m", "repeat 1")).await.status, 200);
    let served = line(&crucible, |l| l["status"] == 200).await;
    assert_eq!(served["path"], Value::Null);
}

#[tokio::test]
async fn an_engine_that_goes_down_is_one_warning() {
    let sim = start(Options::ollama(&["m=1GB"])).await;
    let toml = format!(
        "[log]\nformat = \"json\"\n{}",
        engine("e", "ollama", &sim.url())
    );
    let crucible = Crucible::start(&toml);
    let up = |l: &Value| l["message"] == "health" && l["after"] == "Up";
    assert_eq!(line(&crucible, up).await["level"], "INFO");
    sim.stop().await;
    let down = |l: &Value| l["message"] == "health" && l["after"] == "Down";
    assert_eq!(line(&crucible, down).await["level"], "WARN");
}
