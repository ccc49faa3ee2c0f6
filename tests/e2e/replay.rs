//! The event log, and `crucible replay` over it.

use std::{path::PathBuf, time::Duration};

use crucible_sim::{Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{body, post},
    clean::Metrics,
    engines::{engine, start},
    rest::eventually,
};
use serde_json::Value;

const SECRET: &str = "nightingale";

/// Crucible in front of an LM Studio with two models and room for one.
async fn pair(toml: &str) -> (Sim, Crucible) {
    let mut options = Options::lmstudio(&["one=4GB", "two=4GB"]);
    options.load_time = Duration::from_millis(50);
    let sim = start(options).await;
    let crucible = Crucible::start(&format!(
        "{toml}[tuning.lmstudio]\nmax_loaded_models = 1\n{}",
        engine("gpu", "lmstudio", &sim.url())
    ));
    (sim, crucible)
}

async fn ask(crucible: &Crucible, model: &str) {
    let answer = post(crucible, &body(model, &format!("{SECRET} repeat 2"))).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

fn log_of(crucible: &Crucible) -> PathBuf {
    crucible
        .config()
        .with_file_name("state")
        .join("events.jsonl")
}

/// Runs a command on its configuration, off the test's runtime.
async fn run(crucible: &Crucible, args: &[&str]) -> (i32, String, String) {
    let mut all: Vec<String> = args.iter().map(|&a| a.to_owned()).collect();
    all.extend([
        "--config".to_owned(),
        crucible.config().display().to_string(),
    ]);
    tokio::task::spawn_blocking(move || {
        let args: Vec<&str> = all.iter().map(String::as_str).collect();
        Crucible::command(&args, "")
    })
    .await
    .expect("it ran")
}

/// Ends it; off the test's runtime, where the engine lives that it unloads from.
async fn ended(mut crucible: Crucible) -> Crucible {
    crucible.signal("TERM");
    tokio::task::spawn_blocking(move || {
        crucible.wait();
        crucible
    })
    .await
    .expect("it ended")
}

/// The log once it has so many requests.
async fn logged(crucible: &Crucible, requests: usize) -> String {
    let path = log_of(crucible);
    eventually("all requests are in the log", || async {
        let text = std::fs::read_to_string(&path).ok()?;
        let found = text.matches("\"event\":\"request\"").count();
        (found == requests).then_some(text)
    })
    .await
}

#[tokio::test]
async fn what_was_asked_is_replayed_with_room_for_both() {
    let (sim, crucible) = pair("").await;
    for model in ["one", "two", "one", "two"] {
        ask(&crucible, model).await;
    }
    assert_eq!(sim.log().loads.len(), 4);
    let log = logged(&crucible, 4).await;
    assert!(!log.contains(SECRET), "{log}");
    let first: Value = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .find(|line: &Value| line["event"] == "request")
        .expect("a request");
    for (field, value) in [
        ("engine", "gpu"),
        ("model", "one"),
        ("class", "interactive"),
        ("outcome", "ok"),
        ("engine_kind", "lmstudio"),
        ("pool", "gpu"),
    ] {
        assert_eq!(first[field], value, "{first}");
    }
    assert_eq!(
        (&first["status"], &first["loaded"]),
        (&200.into(), &true.into())
    );
    assert!(first["wait_ms"].as_u64() >= Some(50), "{first}");
    assert_eq!(first["size_bytes"], 4_000_000_000_u64);

    let room = "tuning.lmstudio.max_loaded_models=2";
    let (code, out, err) = run(&crucible, &["replay", "--set", room, "--json"]).await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let told: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(
        (&told["requests"], &told["fewest_loads"]),
        (&4.into(), &4.into())
    );
    for (run, loads) in [("logged", 4), ("current", 4), ("changed", 2)] {
        let run = &told["runs"][run];
        assert_eq!(
            (&run["loads"], &run["served"]),
            (&loads.into(), &4.into()),
            "{out}"
        );
        assert_eq!(run["models"]["one"]["loads"], loads / 2, "{out}");
    }
    let (code, out, err) = run(&crucible, &["replay", "--set", room]).await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(
        out.contains(&format!("{room}: 2 loads instead of 4")),
        "{out}"
    );
}

#[tokio::test]
async fn a_log_that_says_nothing_ends_with_what_to_do() {
    let (_sim, crucible) = pair("").await;
    let (code, out, err) = run(&crucible, &["replay"]).await;
    assert_eq!((code, out.as_str()), (1, ""), "{err}");
    assert!(
        err.contains("events.jsonl") && err.contains("log.events"),
        "{err}"
    );
    ask(&crucible, "one").await;
    let log = logged(&crucible, 1).await;

    let file = crucible.config().with_file_name("copy.jsonl");
    let path = file.display().to_string();
    std::fs::write(&file, "").expect("written");
    let (code, _, err) = run(&crucible, &["replay", "--log", &path]).await;
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("no request to replay"), "{err}");

    std::fs::write(&file, format!("{{\"event\":\n{log}\nnothing\n")).expect("written");
    let (code, out, err) = run(&crucible, &["replay", "--log", &path]).await;
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("1 request in "), "{out}");
    assert!(out.contains("fewer than 1 load."), "{out}");
    assert!(err.contains("2 lines are no events"), "{err}");

    for (set, part) in [
        ("scheduler.overtake_conut=1", "scheduler.overtake_count?"),
        ("pool.gpu.budget=much", "16GB"),
        ("nothing", "KEY=VALUE"),
    ] {
        let (code, out, err) = run(&crucible, &["replay", "--log", &path, "--set", set]).await;
        assert_eq!((code, out.as_str()), (2, ""), "{err}");
        assert!(err.contains(part) && err.contains("--set"), "{err}");
    }
}

#[tokio::test]
async fn it_can_be_switched_off() {
    let (_sim, crucible) = pair("[log]\nevents = false\n").await;
    ask(&crucible, "one").await;
    let crucible = ended(crucible).await;
    assert!(!log_of(&crucible).exists());

    let (_sim, crucible) = pair("").await;
    ask(&crucible, "one").await;
    // What is waiting is written before the end.
    let crucible = ended(crucible).await;
    let text = std::fs::read_to_string(log_of(&crucible)).expect("the log");
    assert!(text.contains("\"event\":\"request\""), "{text}");
}

#[tokio::test]
async fn a_disk_that_refuses_costs_the_log_and_no_answer() {
    let sim = start(Options::lmstudio(&["one=4GB"])).await;
    // A folder cannot be made below a file.
    let toml = engine("gpu", "lmstudio", &sim.url());
    let crucible = Crucible::start_with(&toml, &[], &[("CRUCIBLE_STATE_DIR", "/dev/null/state")]);
    ask(&crucible, "one").await;
    let lost = [("sink", "events")];
    eventually("the loss is counted", || async {
        let metrics = Metrics::of(&crucible).await;
        // The load and the request.
        (metrics.sum("crucible_log_dropped_total", &lost) >= 2.0).then_some(())
    })
    .await;
    let told = || {
        let log = crucible.log();
        log.matches("the event log is not written").count()
    };
    eventually("it is said why", || async { (told() > 0).then_some(()) }).await;
    ask(&crucible, "one").await;
    assert_eq!(told(), 1, "{}", crucible.log());
}
