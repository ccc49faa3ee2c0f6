//! `auto` goes where the answer is predicted to end first.

use std::{path::Path, time::Duration};

use crucible_sim::{Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{Whole, body, open, whole},
    engines::{self, client, start},
    rest::eventually,
};
use reqwest::header::USER_AGENT;
use serde_json::Value;

/// A GPU that is idle and loads in 2 s, and a CPU that writes 8 tokens per second.
async fn machine() -> (Sim, Sim) {
    let mut gpu = Options::lmstudio(&["qwen=2GB"]);
    gpu.load_time = Duration::from_secs(2);
    gpu.rate = 40;
    let mut cpu = Options::ollama(&["small=1GB"]);
    cpu.parallel = 2;
    cpu.rate = 8;
    (start(gpu).await, start(cpu).await)
}

/// Crucible before both; the model of the CPU is loaded.
async fn serve((gpu, cpu): &(Sim, Sim), state: &Path) -> Crucible {
    let crucible = Crucible::start(&format!(
        "state_dir = '{}'\n{}{}",
        state.display(),
        engines::engine("gpu", "lmstudio", &gpu.url()),
        engines::engine("cpu", "ollama", &cpu.url()),
    ));
    let answer = ask(&crucible, "warm/1", "small", "repeat 1", None).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    // Plans are made with the published view, which may be some milliseconds old.
    eventually("a plan that knows what is loaded", || async {
        let told = explained(&crucible, "warm/1", Some(5)).await;
        (told["engine"] == "cpu").then_some(())
    })
    .await;
    crucible
}

fn request(model: &str, text: &str, max_tokens: Option<u64>) -> Value {
    let mut body = body(model, text);
    if let Some(most) = max_tokens {
        body["max_tokens"] = most.into();
    }
    body
}

async fn ask(crucible: &Crucible, who: &str, model: &str, text: &str, most: Option<u64>) -> Whole {
    let send = client()
        .post(crucible.at("/v1/chat/completions"))
        .header(USER_AGENT, who)
        .json(&request(model, text, most))
        .send();
    whole(send.await.expect("an answer")).await
}

async fn explained(crucible: &Crucible, who: &str, most: Option<u64>) -> Value {
    let send = client()
        .post(crucible.at("/crucible/explain"))
        .header(USER_AGENT, who)
        .json(&request("auto", "say it", most))
        .send();
    whole(send.await.expect("an answer")).await.json
}

fn place(answer: &Whole) -> (&str, &str) {
    (
        answer.header("x-crucible-engine"),
        answer.header("x-crucible-reason"),
    )
}

#[tokio::test]
async fn a_long_answer_is_worth_a_load_and_a_short_one_is_not() {
    let machine = machine().await;
    let folder = tempfile::tempdir().expect("a folder");
    let crucible = serve(&machine, folder.path()).await;
    let (who, short) = ("chat/1", Some(5));
    let answer = ask(&crucible, who, "auto", "repeat 5", short).await;
    assert_eq!(place(&answer), ("cpu", "predicted"), "{}", answer.text);
    let stream = open(&crucible, &request("auto", "repeat 4", short)).await;
    assert_eq!(stream.headers()["x-crucible-engine"], "cpu");
    drop(stream);
    let told = explained(&crucible, who, None).await;
    assert_eq!(
        (&told["engine"], &told["reason"]),
        (&"gpu".into(), &"predicted".into()),
        "{told}"
    );
    for candidate in told["candidates"].as_array().expect("a list") {
        let time = |name: &str| candidate[name].as_f64().expect("seconds");
        let output = candidate["prediction"]["output"]["s"]
            .as_f64()
            .expect("seconds");
        let sum = time("predicted_first_token_s") + output;
        assert!((time("predicted_end_s") - sum).abs() < 0.01, "{candidate}");
        let tokens = &candidate["prediction"]["answer_tokens"];
        assert_eq!(
            (&tokens["count"], &tokens["basis"]),
            (&256.into(), &"prior".into())
        );
    }
    let told = explained(&crucible, who, short).await;
    assert_eq!(told["engine"], "cpu", "{told}");
    assert_eq!(
        told["candidates"][0]["prediction"]["answer_tokens"]["count"],
        5
    );
    let answer = ask(&crucible, who, "auto", "repeat 60", None).await;
    assert_eq!(place(&answer), ("gpu", "predicted"), "{}", answer.text);
    // What is loaded by now has the short ones too.
    let answer = ask(&crucible, who, "auto", "repeat 5", short).await;
    assert_eq!(place(&answer), ("gpu", "predicted"), "{}", answer.text);
}

#[tokio::test]
async fn how_long_a_clients_answers_are_is_learned_and_outlives_a_restart() {
    let machine = machine().await;
    let folder = tempfile::tempdir().expect("a folder");
    let mut crucible = serve(&machine, folder.path()).await;
    let (titles, writer) = ("titles/1", "writer/2");
    for _ in 0..3 {
        let (short, long) = tokio::join!(
            ask(&crucible, titles, "small", "repeat 2", None),
            ask(&crucible, writer, "small", "repeat 40", None),
        );
        assert_eq!((short.status, long.status), (200, 200));
    }
    let measured = async |crucible: &Crucible, who: &str, engine: &str, tokens: u64| {
        eventually("a measured length", || async {
            let told = explained(crucible, who, None).await;
            let length = &told["candidates"][0]["prediction"]["answer_tokens"];
            (length["basis"] == "measured").then_some(told)
        })
        .await;
        let told = explained(crucible, who, None).await;
        let count = &told["candidates"][0]["prediction"]["answer_tokens"]["count"];
        let near = count
            .as_u64()
            .is_some_and(|count| count.abs_diff(tokens) <= 2);
        assert!(near && told["engine"] == engine, "{who}: {told}");
    };
    measured(&crucible, titles, "cpu", 2).await;
    measured(&crucible, writer, "gpu", 40).await;
    crucible.signal("TERM");
    assert!(crucible.wait().success(), "{}", crucible.log());
    let crucible = serve(&machine, folder.path()).await;
    measured(&crucible, titles, "cpu", 2).await;
    measured(&crucible, writer, "gpu", 40).await;
    let answer = ask(&crucible, titles, "auto", "repeat 2", None).await;
    assert_eq!(place(&answer), ("cpu", "predicted"), "{}", answer.text);
}
