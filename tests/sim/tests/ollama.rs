//! The simulated Ollama keeps the habits that a proxy must survive.

mod support;

use std::time::Duration;

use crucible_sim::{Fault, FaultKind, LoadOutcome, Options, Phase, Sim};
use serde_json::json;
use support::{chat, get, post, read, soon};

#[tokio::test]
async fn a_different_tuple_loads_the_runner_again_and_the_same_one_does_not() {
    let sim = Sim::start(Options::ollama(&["m"])).await.unwrap();
    let with = |context: u64| json!({"model": "m", "stream": false, "options": {"num_ctx": context}, "messages": [{"role": "user", "content": "hi"}]});
    for context in [8192, 8192, 2048] {
        assert_eq!(post(&sim.url(), "/api/chat", with(context)).await.0, 200);
    }
    let log = sim.log();
    assert_eq!((log.loads.len(), log.reloads.len()), (2, 1));
    assert_eq!(log.reloads[0].from["num_ctx"], 8192);
    let ps = read(&get(&sim.url(), "/api/ps").await.1);
    assert_eq!(ps["models"][0]["context_length"], 2048);
    // The OpenAI layer drops num_ctx: the automatic tuple differs again.
    let mut body = chat("m", "hi");
    body["num_ctx"] = json!(2048);
    body["max_completion_tokens"] = json!(2);
    let (_, text) = post(&sim.url(), "/v1/chat/completions", body).await;
    assert!(text.contains("word15") && text.ends_with("data: [DONE]\n\n"));
    assert_eq!(sim.log().reloads.len(), 2);
    assert_eq!(
        sim.log().completions.last().unwrap().options["temperature"],
        1.0
    );
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_load_with_it() {
    let mut options = Options::ollama(&["m"]);
    options.load_time = Duration::from_hours(1);
    let sim = Sim::start(options).await.unwrap();
    let url = format!("{}/api/chat", sim.url());
    let sent = reqwest::Client::new()
        .post(url)
        .body(chat("m", "hi").to_string())
        .send();
    let client = async { sent.await.map(|_| ()) };
    tokio::select! {
        _ = client => panic!("it answered"),
        _ = soon(sim.wait_for(|log| log.loads.len() == 1)) => {}
    }
    let log = soon(sim.wait_for(|log| log.loads[0].outcome == LoadOutcome::Aborted)).await;
    assert_eq!(log.disconnects[0].phase, Phase::Load);
    assert_eq!(
        read(&get(&sim.url(), "/api/ps").await.1)["models"],
        json!([])
    );
}

#[tokio::test]
async fn a_mid_stream_error_is_told_natively_and_swallowed_on_v1() {
    let sim = Sim::start(Options::ollama(&["m"])).await.unwrap();
    sim.arm(Fault::new(FaultKind::ErrorEvent).after_events(2).times(2));
    let (_, native) = post(&sim.url(), "/api/chat", chat("m", "hi")).await;
    assert_eq!(native.lines().count(), 3);
    assert!(native.lines().last().unwrap().starts_with(r#"{"error""#));
    let (status, openai) = post(&sim.url(), "/v1/chat/completions", chat("m", "hi")).await;
    assert_eq!(status, 200);
    assert!(!openai.contains("error") && !openai.contains("[DONE]"));
}

#[tokio::test]
async fn preload_and_unload_answer_with_their_reason_and_the_last_item_counts() {
    let sim = Sim::start(Options::ollama(&["m"])).await.unwrap();
    let (_, text) = post(&sim.url(), "/api/generate", json!({"model": "m"})).await;
    assert_eq!(read(&text)["done_reason"], "load");
    let (_, text) = post(&sim.url(), "/api/chat", chat("m", "repeat 3")).await;
    let last = read(text.lines().last().unwrap());
    assert_eq!(
        (&last["done"], &last["eval_count"]),
        (&json!(true), &json!(3))
    );
    assert!(
        last.get("prompt_eval_duration").is_none(),
        "zero is left out"
    );
    let body = json!({"model": "m", "messages": [], "keep_alive": 0});
    assert_eq!(
        read(&post(&sim.url(), "/api/chat", body).await.1)["done_reason"],
        "unload"
    );
    assert_eq!(sim.log().unloads.len(), 1);
}

#[tokio::test]
async fn refusals_have_ollamas_words() {
    let mut options = Options::ollama(&["m", "nomic"]);
    options.max_queue = 0;
    let sim = Sim::start(options).await.unwrap();
    let (status, text) = post(&sim.url(), "/api/chat", chat("nope", "hi")).await;
    assert_eq!(
        (status, &read(&text)["error"]),
        (404, &json!("model 'nope' not found"))
    );
    let (status, text) = post(&sim.url(), "/api/chat", chat("m", "hi")).await;
    assert_eq!(status, 503);
    assert!(text.contains("try again.  maximum pending"));
    assert_eq!(
        post(&sim.url(), "/api/chat", chat("nomic", "hi")).await.0,
        400
    );
    let stop = json!({"model": "m", "prompt": "x", "options": {"stop": "x"}});
    assert_eq!(post(&sim.url(), "/api/generate", stop).await.0, 500);
    let (status, text) = post(&sim.url(), "/api/nothing", json!({})).await;
    assert_eq!((status, text.as_str()), (404, "404 page not found"));
}

#[tokio::test]
async fn an_overflow_is_silent_unless_truncation_is_off() {
    let sim = Sim::start(Options::ollama(&["m"])).await.unwrap();
    let long = "x".repeat(40_000);
    let body = json!({"model": "m", "stream": false, "prompt": long});
    let (status, text) = post(&sim.url(), "/api/generate", body.clone()).await;
    assert_eq!(
        (status, &read(&text)["prompt_eval_count"]),
        (200, &json!(2048))
    );
    let mut strict = body;
    strict["truncate"] = json!(false);
    assert_eq!(post(&sim.url(), "/api/generate", strict).await.0, 400);
}

#[tokio::test]
async fn a_busy_runner_is_waited_for_before_it_is_evicted() {
    let mut options = Options::ollama(&["a", "b"]);
    options.max_loaded = 1;
    options.rate = 200;
    let sim = Sim::start(options).await.unwrap();
    let url = sim.url();
    let first = async { post(&url, "/api/chat", chat("a", "repeat 40")).await };
    let second = async {
        soon(sim.wait_for(|log| log.loaded() == 1)).await;
        post(&url, "/api/chat", chat("b", "repeat 1")).await
    };
    let ((_, a), _) = tokio::join!(first, second);
    assert!(a.contains("word39") && a.contains("done_reason"));
    let log = sim.log();
    assert!(log.completions[0].order < log.loads[1].order);
    assert_eq!((log.evictions.len(), log.evictions[0].active), (1, 0));
}

/// `server/sched.go` `schedulerModelKey`, `needsReload`; seen on a real 0.33.0-rc2.
#[tokio::test]
async fn names_over_the_same_weights_share_a_runner_that_keeps_the_first_name() {
    let models = ["b", "c~b", "d~b+num_ctx=8192", "l~b+adapter=x"];
    let sim = Sim::start(Options::ollama(&models)).await.unwrap();
    let ask = |name: &str, options: serde_json::Value| {
        let message = json!({"role": "user", "content": "hi"});
        json!({"model": name, "stream": false, "options": options, "messages": [message]})
    };
    let first = async || {
        let ps = read(&get(&sim.url(), "/api/ps").await.1);
        let models = ps["models"].as_array().unwrap();
        (ps["models"][0]["name"].clone(), models.len())
    };
    for (name, options, loads, listed) in [
        ("c", json!({"num_ctx": 4096}), 1, "c:latest"),
        ("b", json!({"num_ctx": 4096}), 1, "c:latest"),
        ("d", json!({"num_ctx": 4096}), 1, "c:latest"),
        // Its Modelfile's own context, and then its own adapter, need another runner.
        ("d", json!({}), 2, "d:latest"),
        ("l", json!({"num_ctx": 8192}), 3, "l:latest"),
    ] {
        assert_eq!(
            post(&sim.url(), "/api/chat", ask(name, options)).await.0,
            200
        );
        assert_eq!(sim.log().loaded(), loads, "{name}");
        assert_eq!(first().await, (json!(listed), 1));
    }
    let unload = json!({"model": "b", "keep_alive": 0});
    assert_eq!(post(&sim.url(), "/api/generate", unload).await.0, 200);
    assert_eq!(first().await.1, 0, "any name unloads it");
    let endless = ask("b", json!({"temperature": 1e39}));
    let (status, text) = post(&sim.url(), "/api/chat", endless).await;
    assert_eq!(status, 500);
    assert!(text.contains("unsupported value: +Inf"), "{text}");
}
