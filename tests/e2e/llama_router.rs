//! llama.cpp's server in router mode: its models are loaded and unloaded like those of any engine.
//!
//! The same against a real one where `TEST_LLAMA_SERVER` names a `llama-server` and `TEST_MODEL_PATH` a
//! small model.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crucible_sim::{Fault, FaultKind, LogView, Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{body, get, open, post, stream},
    engines::{asked, client, engine, start, until},
    process::free_port,
    rest::eventually,
    sse::Stream,
};
use futures_util::future::join_all;
use serde_json::Value;
use tempfile::TempDir;

/// A server whose models have 2048 tokens in each of two slots.
async fn router(most: usize, change: impl FnOnce(&mut Options)) -> Sim {
    let mut options = Options::openai(&["a=1GB", "b=1GB", "c=1GB"]);
    options.router = Some(most);
    options.context = 4096;
    options.parallel = 2;
    options.load_time = Duration::from_millis(200);
    change(&mut options);
    start(options).await
}

fn loads(log: &LogView) -> Vec<&str> {
    log.loads.iter().map(|load| load.model.as_str()).collect()
}

fn unloads(log: &LogView) -> Vec<(&str, &str)> {
    let unloads = log.unloads.iter().chain(&log.evictions);
    unloads
        .map(|u| (u.instance.as_str(), u.cause.as_str()))
        .collect()
}

async fn state(crucible: &Crucible) -> Value {
    get(crucible, "/crucible/state").await.json
}

#[tokio::test]
async fn a_model_is_loaded_before_it_is_asked_and_unloaded_for_another() {
    let sim = router(1, |_| {}).await;
    let crucible = Crucible::start(&engine("one", "llamacpp", &sim.url()));
    for model in ["a", "b"] {
        for streamed in [false, true] {
            let request = body(model, "repeat 2");
            let answer = if streamed {
                stream(&crucible, &request).await.1.content()
            } else {
                post(&crucible, &request).await.content().to_owned()
            };
            assert_eq!(answer, "word0 word1", "{model}");
        }
    }
    let log = sim.log();
    assert_eq!(loads(&log), ["a", "b"]);
    assert!(log.loads.iter().all(|load| !load.jit), "by no request");
    // Not by the server, which would not wait for an answer that is given.
    assert_eq!(unloads(&log), [("a", "request")]);
    // A load names the model and nothing else.
    for load in log.requests_to("/models/load") {
        let body: Value = serde_json::from_str(&load.body).expect("JSON");
        assert_eq!(
            body.as_object().map(serde_json::Map::len),
            Some(1),
            "{body}"
        );
    }
    let told = state(&crucible).await;
    let residents = &told["pools"][0]["residents"];
    assert_eq!(residents[0]["model"], "b", "{told}");
    assert_eq!(residents[0]["owned"], true, "{told}");
}

#[tokio::test]
async fn many_requests_share_one_load_and_an_answer_is_not_cut_for_another_model() {
    let sim = router(1, |options| options.rate = 100).await;
    let crucible = Crucible::start(&engine("one", "llamacpp", &sim.url()));
    let ask = |n: usize| {
        let (crucible, model) = (&crucible, if n.is_multiple_of(2) { "a" } else { "b" });
        async move { post(crucible, &body(model, "repeat 20")).await }
    };
    for answer in join_all((0..8).map(ask)).await {
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.content().split(' ').count(), 20);
    }
    let log = sim.log();
    assert_eq!(asked(&log).len(), 8);
    assert_eq!(log.loads.len(), 2, "{:?}", loads(&log));
    assert!(unloads(&log).iter().all(|(_, cause)| *cause == "request"));
}

#[tokio::test]
async fn a_load_that_fails_says_so_and_the_others_go_on() {
    let sim = router(0, |_| {}).await;
    let crucible = Crucible::start(&engine("one", "llamacpp", &sim.url()));
    sim.arm(Fault::new(FaultKind::LoadFail));
    let answer = post(&crucible, &body("a", "repeat 1")).await;
    assert_eq!(
        (answer.status, answer.code()),
        (503, "load_failed"),
        "{}",
        answer.text
    );
    assert!(answer.message().contains("exit code 1"), "{}", answer.text);
    let other = post(&crucible, &body("b", "repeat 1")).await;
    assert_eq!(other.status, 200, "{}", other.text);
    // After its backoff it is tried again.
    eventually("the model that failed once", || async {
        let answer = post(&crucible, &body("a", "repeat 1")).await;
        (answer.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_prompt_beyond_the_presets_context_is_told_with_the_way_to_more() {
    let sim = router(0, |_| {}).await;
    let crucible = Crucible::start(&engine("one", "llamacpp", &sim.url()));
    let answer = post(&crucible, &body("a", &"word".repeat(4000))).await;
    assert_eq!(answer.code(), "context_length_exceeded", "{}", answer.text);
    for part in ["2048 tokens", "larger `-c`"] {
        assert!(answer.message().contains(part), "{}", answer.text);
    }
    assert!(sim.log().loads.len() <= 1, "{:?}", loads(&sim.log()));
    assert_eq!(post(&crucible, &body("a", "repeat 1")).await.status, 200);
}

#[tokio::test]
async fn what_a_person_loaded_is_used_and_what_vanished_is_loaded_again() {
    let sim = router(0, |_| {}).await;
    let load = client()
        .post(format!("{}/models/load", sim.url()))
        .json(&serde_json::json!({"model": "a"}));
    assert!(load.send().await.expect("an answer").status().is_success());
    until(&sim, "the load", |log| log.loaded() == 1).await;
    let crucible = Crucible::start(&engine("one", "llamacpp", &sim.url()));
    assert_eq!(post(&crucible, &body("a", "repeat 1")).await.status, 200);
    assert_eq!(loads(&sim.log()), ["a"]);
    assert!(sim.eject("a"));
    assert_eq!(post(&crucible, &body("a", "repeat 1")).await.status, 200);
    assert_eq!(loads(&sim.log()), ["a", "a"]);
}

/// Its folder is read anew only where it is told to, which may unload what has changed.
#[tokio::test]
async fn a_model_whose_file_came_just_now_answers_and_nobody_is_cut_for_it() {
    let sim = router(0, |options| options.rate = 20).await;
    sim.delete("b");
    let reread = format!("{}/models?reload=1", sim.url());
    client().get(reread).send().await.expect("an answer");
    let crucible = Crucible::start(&engine("one", "llamacpp", &sim.url()));
    assert_eq!(post(&crucible, &body("b", "repeat 1")).await.status, 404);
    sim.pull("b");
    let answer = post(&crucible, &body("b", "repeat 1")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    // The file of what answers goes, and somebody asks for what is not there.
    let running = body("a", "repeat 60");
    let running = open(&crucible, &running).await;
    until(&sim, "the answer", |log| log.in_flight > 0).await;
    sim.delete("a");
    assert_eq!(post(&crucible, &body("nothing", "hi")).await.status, 404);
    let running = Stream::read(running).await;
    assert!(
        running.error().is_none() && running.done,
        "{}",
        running.text
    );
}

#[tokio::test]
async fn one_that_is_only_observed_loads_by_itself() {
    let sim = router(0, |_| {}).await;
    let own = engine("one", "llamacpp", &sim.url());
    let crucible = Crucible::start(&format!("{own}manage = \"observe\"\n"));
    assert_eq!(post(&crucible, &body("a", "repeat 1")).await.status, 200);
    let log = sim.log();
    assert_eq!(log.requests_to("/models/load").count(), 0);
    assert!(log.loads.iter().all(|load| load.jit));
}

/// A real server, ended when this is dropped.
struct Real {
    child: Child,
    url: String,
    models: PathBuf,
    _folder: TempDir,
}

impl Drop for Real {
    fn drop(&mut self) {
        // Its models end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Three files: two models and one that is none.
async fn real() -> Option<Real> {
    let variable = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    let (server, model) = (variable("TEST_LLAMA_SERVER")?, variable("TEST_MODEL_PATH")?);
    let models = TempDir::new().expect("a folder");
    for name in ["a.gguf", "b.gguf"] {
        std::os::unix::fs::symlink(Path::new(&model), models.path().join(name)).expect("a link");
    }
    std::fs::write(models.path().join("broken.gguf"), "no model").expect("written");
    let port = free_port();
    let child = Command::new(server)
        .arg("--models-dir")
        .arg(models.path())
        .args(["--models-max", "1", "--host", "127.0.0.1", "--port"])
        .arg(port.to_string())
        .args(["-c", "2048", "-np", "2", "-t", "1"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let url = format!("http://127.0.0.1:{port}");
    let real = Real {
        child,
        url,
        models: models.path().to_owned(),
        _folder: models,
    };
    eventually("the server", || async {
        client()
            .get(format!("{}/health", real.url))
            .send()
            .await
            .ok()
    })
    .await;
    Some(real)
}

#[tokio::test]
async fn a_real_server_is_managed() {
    let Some(real) = real().await else {
        return;
    };
    let crucible = Crucible::start(&engine("one", "llamacpp", &real.url));
    let short = |model: &str| {
        let mut request = body(model, "Say hi");
        request["max_tokens"] = 4.into();
        request
    };
    for model in ["a", "b", "a"] {
        let answer = post(&crucible, &short(model)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let told = state(&crucible).await;
        let residents = told["pools"][0]["residents"].as_array().expect("a list");
        let names: Vec<&str> = residents
            .iter()
            .filter_map(|r| r["model"].as_str())
            .collect();
        assert_eq!(names, [model]);
        assert_eq!(residents[0]["context"], 2048, "{told}");
    }
    let failed = post(&crucible, &short("broken")).await;
    assert_eq!(
        (failed.status, failed.code()),
        (503, "load_failed"),
        "{}",
        failed.text
    );
    assert!(failed.message().contains("exit code"), "{}", failed.text);
    let late = real.models.join("late.gguf");
    std::os::unix::fs::symlink(real.models.join("a.gguf"), late).expect("a link");
    let answer = post(&crucible, &short("late")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let long = post(&crucible, &body("a", &"word ".repeat(3000))).await;
    assert_eq!(long.code(), "context_length_exceeded", "{}", long.text);
    assert_eq!(post(&crucible, &short("a")).await.status, 200);
}
