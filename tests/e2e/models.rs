//! `crucible models` and `/crucible/state`: pools, what is loading, and who waits for what.

use std::time::Duration;

use crucible_sim::{Fault, FaultKind, Options, Sim};
use crucible_tests::{
    Crucible, binary,
    chat::{body, get, post},
    clean::queued,
    engines::{client, engine, start},
    rest::{eventually, logged},
};
use serde_json::Value;

/// Two models, room for one, a second to load.
async fn one_at_a_time() -> Sim {
    let mut options = Options::ollama(&["llama:1b=1GB", "mistral:7b=1GB"]);
    options.load_time = Duration::from_secs(1);
    start(options).await
}

fn serve(sim: &Sim, more: &str) -> Crucible {
    let engine = engine("ollama", "ollama", &sim.url());
    Crucible::start(&format!(
        "{more}{engine}[tuning.ollama]\nmax_loaded_models = 1\n"
    ))
}

/// Runs `crucible models` for that instance and engine, off the test's runtime.
async fn models(crucible: &Crucible, sim: &Sim, more: &[&str]) -> (i32, String, String) {
    let mut args = vec!["--listen".to_owned(), crucible.addr().to_owned()];
    args.push("--engine".to_owned());
    args.push(format!("ollama=ollama@{}", sim.url()));
    args.push("models".to_owned());
    args.extend(more.iter().map(|&arg| arg.to_owned()));
    tokio::task::spawn_blocking(move || {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        Crucible::command(&args, "")
    })
    .await
    .expect("it ran")
}

#[tokio::test]
async fn a_load_and_those_who_wait_for_it_are_shown() {
    let sim = one_at_a_time().await;
    let crucible = serve(&sim, "");
    for model in ["llama:1b", "mistral:7b"] {
        let answer = post(&crucible, &body(model, "repeat 1")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    sim.arm(Fault::new(FaultKind::LoadHang).times(1));
    let mut waiting = tokio::task::JoinSet::new();
    for n in 1..=2 {
        let send = client()
            .post(crucible.at("/v1/chat/completions"))
            .json(&body("llama:1b", "repeat 1"));
        waiting.spawn(send.send());
        queued(&crucible, n).await;
    }
    let seen = eventually("the load", || async {
        let state = get(&crucible, "/crucible/state").await.json;
        let loading = state["pools"][0]["loading"].clone();
        (loading["model"] == "llama:1b").then_some(state)
    })
    .await;
    let loading = &seen["pools"][0]["loading"];
    assert!(loading["since"].as_f64().is_some(), "{seen}");
    // It took a second before.
    let expected = loading["expected_s"].as_f64().expect("measured");
    assert!((0.9..3.0).contains(&expected), "{seen}");
    let queue = seen["queue"].as_array().expect("a list");
    let places: Vec<_> = queue.iter().map(|waiter| &waiter["position"]).collect();
    assert_eq!(places, [1, 2], "{seen}");
    for waiter in queue {
        assert_eq!(waiter["model"], "llama:1b", "{seen}");
        assert!(waiter["reason"].is_string(), "{seen}");
    }

    let (code, out, err) = models(&crucible, &sim, &[]).await;
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let line = |start: &str| {
        let found = out.lines().find(|line| line.starts_with(start));
        found.unwrap_or_else(|| panic!("no line {start}: {out}"))
    };
    assert!(line("gpu").contains("llama:1b for "), "{out}");
    assert!(line("gpu").contains(" s, usually "), "{out}");
    for place in ["1  ", "2  "] {
        assert!(line(place).contains("ollama/llama:1b"), "{out}");
    }
    assert!(out.lines().all(|line| line.len() <= 100), "{out}");
    assert!(!out.contains("No instance"), "{out}");

    let (_, out, _) = models(&crucible, &sim, &["--json"]).await;
    let told: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(told["instance"], true, "{told}");
    assert_eq!(told["queue"].as_array().map(Vec::len), Some(2), "{told}");
    assert_eq!(told["pools"][0]["loading"]["model"], "llama:1b", "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn engines_of_the_command_line_count_for_every_command_and_without_an_instance() {
    let sim = one_at_a_time().await;
    let engine = format!("ollama=ollama@{}", sim.url());
    let before = ["--engine", &engine, "--listen", "127.0.0.1:0", "models"];
    let after = ["models", "--listen", "127.0.0.1:0", "--engine", &engine];
    let (before, after) = tokio::task::block_in_place(|| {
        (
            Crucible::command(&before, ""),
            Crucible::command(&after, ""),
        )
    });
    for (code, out, err) in [before, after] {
        assert_eq!((code, err.as_str()), (0, ""), "{out}");
        assert!(out.contains("mistral"), "{out}");
        assert!(out.contains("No instance answered"), "{out}");
    }
}

/// As Ollama 0.33 once its scheduler waits for ever: requests hang, `/api/ps` and `/api/tags` do
/// not.
#[tokio::test]
async fn an_engine_that_takes_requests_and_answers_none_is_called_wedged_until_it_answers() {
    let sim = one_at_a_time().await;
    let timeouts = "[timeouts]\nfirst_token = \"1s\"\n";
    let crucible = serve(&sim, timeouts);
    let question = body("llama:1b", "repeat 1");
    let ask = || post(&crucible, &question);
    assert_eq!(ask().await.status, 200);
    // The third is Crucible's own, which asks itself after one client met it twice.
    sim.arm(Fault::new(FaultKind::NoHeaders).times(3));
    for wedged in [false, true] {
        assert_eq!(ask().await.code(), "first_token_timeout");
        if wedged {
            logged(&crucible, "restart it").await;
        }
        let state = get(&crucible, "/crucible/state").await;
        let engine = &state.json["engines"][0];
        assert_eq!(engine["wedged"], wedged, "{engine}");
        assert_eq!(engine["state"], "up", "{engine}");
        let (_, out, _) = models(&crucible, &sim, &[]).await;
        assert_eq!(out.contains("ollama is wedged"), wedged, "{out}");
    }
    assert_eq!(ask().await.status, 200);
    let state = get(&crucible, "/crucible/state").await;
    assert_eq!(state.json["engines"][0]["wedged"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_wants_a_key_is_told() {
    let sim = one_at_a_time().await;
    let (code, secret, _) = tokio::task::block_in_place(|| Crucible::command(&["key", "new"], ""));
    assert_eq!(code, 0);
    let block = &secret[secret.find("[[key]]").expect("a block")..];
    let crucible = serve(&sim, &format!("{block}\n"));
    let (code, out, err) = models(&crucible, &sim, &[]).await;
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("CRUCIBLE_KEY"), "{err}");
    assert!(out.contains("No instance answered"), "{out}");

    let mut words = secret.split_whitespace();
    let secret = words.rfind(|word| word.starts_with("crk-"));
    let told = tokio::task::block_in_place(|| {
        std::process::Command::new(binary::crucible())
            .args(["--listen", crucible.addr(), "--engine"])
            .arg(format!("ollama=ollama@{}", sim.url()))
            .arg("models")
            .env("CRUCIBLE_KEY", secret.expect("a secret"))
            .output()
            .expect("it ran")
    });
    let (out, err) = (
        String::from_utf8_lossy(&told.stdout),
        String::from_utf8_lossy(&told.stderr),
    );
    assert!(told.status.success() && err.is_empty(), "{err}");
    assert!(!out.contains("No instance answered"), "{out}");
}

#[tokio::test]
async fn a_name_in_a_path_that_is_no_utf8_is_refused_in_the_form_of_the_path() {
    let sim = one_at_a_time().await;
    let crucible = serve(&sim, "");
    for path in ["/v1/models/%ff", "/v1/models/%c3%28", "/api/v0/models/%ff"] {
        let answer = get(&crucible, path).await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.text);
        assert_eq!(answer.code(), "model_not_found", "{path}: {}", answer.text);
        assert!(answer.message().contains("not UTF-8"), "{}", answer.text);
    }
}
