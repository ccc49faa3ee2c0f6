//! Each kind of fault does what its name says, over real sockets.

mod support;

use std::time::Duration;

use crucible_sim::{Fault, FaultKind, Options, Phase, Sim};
use serde_json::json;
use support::{chat, get, post, read, soon};

const PATH: &str = "/v1/chat/completions";

#[expect(clippy::unwrap_used, reason = "test code outside of test functions")]
async fn lmstudio() -> Sim {
    Sim::start(Options::lmstudio(&["a"])).await.unwrap()
}

async fn streamed(sim: &Sim, fault: Fault) -> Result<String, reqwest::Error> {
    sim.arm(fault);
    let body = chat("a", "repeat 4").to_string();
    let reply = soon(
        reqwest::Client::new()
            .post(format!("{}{PATH}", sim.url()))
            .body(body)
            .send(),
    );
    soon(reply.await?.text()).await
}

#[tokio::test]
async fn faults_in_a_stream() {
    let sim = lmstudio().await;
    let whole = streamed(&sim, Fault::new(FaultKind::Split)).await.unwrap();
    assert!(whole.contains("word3") && whole.ends_with("data: [DONE]\n\n"));
    assert!(streamed(&sim, Fault::new(FaultKind::Cut)).await.is_err());
    assert!(
        streamed(&sim, Fault::new(FaultKind::Cut).after_bytes(10))
            .await
            .is_err()
    );
    let eof = streamed(&sim, Fault::new(FaultKind::Eof).after_events(2))
        .await
        .unwrap();
    assert_eq!(eof.matches("data: ").count(), 2);
    let error = streamed(&sim, Fault::new(FaultKind::ErrorEvent))
        .await
        .unwrap();
    assert!(error.contains("\"error\"") && !error.contains("[DONE]"));
    let garbage = streamed(&sim, Fault::new(FaultKind::Garbage).after_events(2))
        .await
        .unwrap();
    let bad = garbage
        .lines()
        .filter(|line| line.ends_with("\"delta\":"))
        .count();
    assert_eq!(bad, 1);
    let crlf = streamed(&sim, Fault::new(FaultKind::Crlf)).await.unwrap();
    assert!(crlf.ends_with("data: [DONE]\r\n\r\n"));
    let big = streamed(&sim, Fault::new(FaultKind::BigEvent).after_bytes(50_000))
        .await
        .unwrap();
    assert!(big.contains(&"x".repeat(50_000)));
    let crash = streamed(&sim, Fault::new(FaultKind::Crash)).await.unwrap();
    assert!(crash.contains("error"));
    assert_eq!(sim.log().unloads[0].cause, "crash");
}

#[tokio::test]
async fn a_stall_and_endless_comments_last_until_the_client_leaves() {
    let sim = lmstudio().await;
    for fault in [
        Fault::new(FaultKind::Stall),
        Fault::new(FaultKind::CommentsOnly).delay_ms(5),
    ] {
        let before = sim.log().disconnects.len();
        sim.arm(fault);
        let client = reqwest::Client::builder()
            .timeout(Duration::from_millis(300))
            .build()
            .unwrap();
        let body = chat("a", "hi").to_string();
        let reply = client
            .post(format!("{}{PATH}", sim.url()))
            .body(body)
            .send()
            .await
            .unwrap();
        assert!(reply.text().await.unwrap_err().is_timeout());
        let log = soon(sim.wait_for(|log| log.disconnects.len() > before)).await;
        assert_eq!(log.disconnects[before].phase, Phase::Stream);
    }
}

#[tokio::test]
async fn faults_instead_of_an_answer() {
    let sim = lmstudio().await;
    let mut body = chat("a", "hi");
    body["stream"] = json!(false);
    for (kind, status, text) in [
        (FaultKind::Http500, 500, "error"),
        (FaultKind::Http503, 503, "maximum pending"),
        (FaultKind::Http429, 429, "too many"),
        (FaultKind::Html, 200, "<!doctype html>"),
        (FaultKind::BareError, 400, r#"{"error":"Engine protocol"#),
        (FaultKind::Error200, 200, r#"{"error":{"#),
        (FaultKind::Json200, 200, r#"{"error":{"#),
        (FaultKind::Bare200, 200, r#"{"error":"the engine failed"}"#),
    ] {
        sim.arm(Fault::new(kind));
        let reply = post(&sim.url(), PATH, body.clone()).await;
        assert_eq!(reply.0, status, "{kind:?}");
        assert!(reply.1.contains(text), "{kind:?}: {}", reply.1);
    }
    // One JSON although a stream was asked for.
    for kind in [FaultKind::Json200, FaultKind::Bare200] {
        let text = streamed(&sim, Fault::new(kind)).await.unwrap();
        assert!(text.starts_with("{\"error\":"), "{kind:?}: {text}");
    }
    let empty = streamed(&sim, Fault::new(FaultKind::EmptyStream))
        .await
        .unwrap();
    assert_eq!(empty, "data: [DONE]\n\n");
    sim.arm(Fault::new(FaultKind::Cut));
    let url = format!("{}{PATH}", sim.url());
    let reply = reqwest::Client::new()
        .post(url)
        .body(body.to_string())
        .send()
        .await
        .unwrap();
    assert!(reply.content_length().unwrap() > 0);
    assert!(reply.text().await.is_err());
}

#[tokio::test]
async fn faults_of_a_load() {
    let sim = lmstudio().await;
    let load = json!({"model": "a", "context_length": 8192});
    for kind in [FaultKind::LoadFail, FaultKind::LoadOom] {
        sim.arm(Fault::new(kind));
        assert_eq!(
            post(&sim.url(), "/api/v1/models/load", load.clone())
                .await
                .0,
            500
        );
    }
    sim.arm(Fault::new(FaultKind::WrongContext));
    assert_eq!(post(&sim.url(), "/api/v1/models/load", load).await.0, 200);
    let list = read(&get(&sim.url(), "/api/v1/models").await.1);
    assert_eq!(
        list["models"][0]["loaded_instances"][0]["config"]["context_length"],
        4096
    );
}

#[tokio::test]
async fn faults_and_log_over_http_and_a_restart_on_the_same_port() {
    let sim = lmstudio().await;
    let (status, _) = post(&sim.url(), "/sim/fault", json!({"kind": "html"})).await;
    assert_eq!(status, 200);
    assert_eq!(
        post(&sim.url(), "/sim/fault", json!({"kind": "nonsense"}))
            .await
            .0,
        400
    );
    assert!(
        post(&sim.url(), PATH, chat("a", "hi"))
            .await
            .1
            .contains("<h1>")
    );
    let log = read(&get(&sim.url(), "/sim/log").await.1);
    assert_eq!(log["requests"][0]["path"], PATH);
    assert_eq!(log["requests"][0]["json"]["model"], "a");
    assert_eq!(log["faults"][0]["kind"], "html");
    let port = sim.port();
    soon(sim.stop()).await;
    let mut options = Options::lmstudio(&["a"]);
    options.port = port;
    let again = Sim::start(options).await.unwrap();
    assert!(again.log().requests.is_empty());
    assert_eq!(get(&again.url(), "/v1/models").await.0, 200);
}
