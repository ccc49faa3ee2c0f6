//! What was sent, what came back, and what changed since the turn before.

use crucible_documents::inspector::{ComparedBodies, InspectedAttemptDoc, InspectedDoc};
use crucible_sim::{Fault, FaultKind, Options};
use crucible_tests::{
    Crucible,
    chat::{body, open, post, post_raw, stream},
    engines::{engine, start},
    rest::{eventually, ready},
};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use super::{ended, list, on, one, shown, switch};

async fn last(crucible: &Crucible, count: usize) -> InspectedDoc {
    ended(crucible, count).await;
    shown(crucible, "last").await
}

/// One engine was asked, with the messages as they came and with the default that was filled in.
fn was_sent_with_what_was_filled_in(attempts: &[InspectedAttemptDoc]) {
    let [attempt] = attempts else {
        panic!("{attempts:?}");
    };
    assert_eq!((&*attempt.engine, &*attempt.model), ("gpu", "one"));
    assert_eq!(attempt.path, "/v1/chat/completions");
    let sent: Value = serde_json::from_str(&attempt.body.text).expect("JSON");
    assert_eq!(
        sent["messages"],
        json!([{ "role": "user", "content": "repeat 3" }])
    );
    assert!(sent.get("temperature").is_some(), "{sent}");
    assert!(
        attempt.defaults.iter().any(|name| name == "temperature"),
        "{attempt:?}"
    );
}

#[tokio::test]
async fn it_is_off_until_somebody_switches_it_on_and_keeps_what_was_sent_and_came_back() {
    let (_sim, crucible) = one().await;
    assert_eq!(post(&crucible, &body("one", "repeat 1")).await.status, 200);
    let off = list(&crucible).await;
    assert!(
        !off.on && off.requests.is_empty() && off.ends_at_ms.is_none(),
        "{off:?}"
    );
    on(&crucible).await;
    let is_on = list(&crucible).await;
    assert!(is_on.on && is_on.remaining_s > Some(500.0), "{is_on:?}");
    assert!(is_on.requests.is_empty());
    let asked = body("one", "repeat 3").to_string();
    let text = asked.clone();
    let answer = post_raw(&crucible, text).await;
    let kept = last(&crucible, 1).await;
    assert_eq!(kept.row.request_id.as_ref(), answer.header("x-request-id"));
    assert_eq!(kept.row.asked.as_ref(), "POST /v1/chat/completions");
    assert_eq!(kept.received.expect("a body").text, asked);
    was_sent_with_what_was_filled_in(&kept.attempts);
    assert_eq!(kept.answer.expect("an answer").text, answer.text);
    assert_eq!(kept.assembled.text, "word0 word1 word2");
    let end = kept.row.ended.expect("an end");
    assert_eq!(
        (end.status, &*end.outcome, end.output_tokens),
        (200, "ok", 3)
    );
    let curl = kept.curl.expect("a command");
    assert!(
        curl.contains(&asked) && curl.contains(crucible.addr()),
        "{curl}"
    );
    let (_, streamed) = stream(&crucible, &body("one", "repeat 4")).await;
    assert!(streamed.done);
    let kept = last(&crucible, 2).await;
    let raw = kept.answer.expect("an answer").text;
    assert!(
        raw.starts_with("data: {") && raw.contains("data: [DONE]"),
        "{raw}"
    );
    assert_eq!(kept.assembled.text, "word0 word1 word2 word3");
    assert_eq!(switch(&crucible, 0.0).await.status, 200);
    let off = list(&crucible).await;
    assert!(
        !off.on && off.requests.is_empty() && off.kept_bytes == 0,
        "{off:?}"
    );
}

fn turn(clock: &str, said: &[&str]) -> Value {
    let rules = "Never delete a file that you did not make. ".repeat(60);
    let mut messages = vec![json!({
        "role": "system",
        "content": format!("You are a coding agent. It is {clock}.\n{rules}"),
    })];
    for (at, text) in said.iter().enumerate() {
        let role = ["user", "assistant"][at % 2];
        messages.push(json!({ "role": role, "content": text }));
    }
    json!({ "model": "one", "messages": messages })
}

#[tokio::test]
async fn a_clock_in_the_first_line_is_named_with_its_place_and_its_price() {
    let (_sim, crucible) = one().await;
    on(&crucible).await;
    for (clock, said) in [
        ("10:15:01", &["repeat 2"][..]),
        ("10:15:01", &["repeat 2", "word0 word1", "repeat 3"]),
        (
            "10:15:44",
            &["repeat 2", "word0 word1", "repeat 3", "word0", "repeat 4"],
        ),
    ] {
        assert_eq!(post(&crucible, &turn(clock, said)).await.status, 200);
    }
    let rows = ended(&crucible, 3).await;
    assert_eq!(&*rows[0].change, "the first turn of its conversation");
    assert_eq!(&*rows[1].change, "2 messages unchanged; 2 added");
    let change = &*rows[2].change;
    let place = "3 messages unchanged; the system prompt (message 1) changed at character 37: ";
    assert!(change.starts_with(place), "{change}");
    assert!(
        change.contains("10:15:01") && change.contains("10:15:44"),
        "{change}"
    );
    assert!(change.ends_with("; 2 added"), "{change}");
    let kept = shown(&crucible, "last").await;
    let fix = kept.fix.expect("something to do");
    assert!(fix.contains("out of the system prompt"), "{fix}");
    let difference = kept.difference.expect("a difference");
    assert_eq!(difference.compared, ComparedBodies::Sent);
    assert_eq!(difference.previous_id, rows[1].request_id);
    let broken = difference.broken_at.expect("a break");
    assert_eq!(broken.piece, "the system prompt (message 1)");
    assert!(
        broken.tokens_before < 40 && broken.tokens_read_again > 300,
        "{broken:?}"
    );
}

#[tokio::test]
async fn a_stream_that_its_client_leaves_or_its_engine_cuts_is_kept_with_its_end() {
    let (sim, crucible) = one().await;
    on(&crucible).await;
    sim.arm(Fault::new(FaultKind::Cut).after_events(3));
    let (_, cut) = stream(&crucible, &body("one", "repeat 40")).await;
    assert!(!cut.done);
    let kept = last(&crucible, 1).await;
    let end = kept.row.ended.expect("an end");
    assert_eq!((end.status, &*end.outcome), (200, "engine_cut"));
    assert!(
        kept.assembled.text.starts_with("word0"),
        "{:?}",
        kept.assembled
    );
    assert!(kept.assembled.error.is_some(), "{:?}", kept.answer);
    let mut options = Options::lmstudio(&["slow=1GB"]);
    options.rate = 20;
    let slow = start(options).await;
    let crucible = Crucible::start(&engine("gpu", "lmstudio", &slow.url()));
    ready(&crucible).await;
    on(&crucible).await;
    let mut response = open(&crucible, &body("slow", "repeat 400"))
        .await
        .bytes_stream();
    let first = response.next().await.expect("a piece");
    assert!(first.is_ok());
    drop(response);
    let kept = last(&crucible, 1).await;
    let end = kept.row.ended.expect("an end");
    assert_eq!((end.status, &*end.outcome), (499, "client_gone"));
    assert!(
        kept.assembled.text.starts_with("word0"),
        "{:?}",
        kept.assembled
    );
    assert!(kept.assembled.error.is_none());
}

#[tokio::test]
async fn each_attempt_is_kept_with_its_engine_and_its_error() {
    let gpu = start(Options::lmstudio(&["qwen=2GB"])).await;
    let cpu = start(Options::ollama(&["llama=1GB"])).await;
    let crucible = Crucible::start(&format!(
        "{}\n{}device = \"cpu\"\n[[model]]\nname = \"qwen\"\nfallback = [\"llama\"]\n",
        engine("gpu", "lmstudio", &gpu.url()),
        engine("cpu", "ollama", &cpu.url()),
    ));
    ready(&crucible).await;
    assert_eq!(post(&crucible, &body("qwen", "repeat 1")).await.status, 200);
    on(&crucible).await;
    gpu.arm(Fault::new(FaultKind::Http500).times(4));
    let answer = post(&crucible, &body("qwen", "repeat 2")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let kept = last(&crucible, 1).await;
    let tried: Vec<_> = kept
        .attempts
        .iter()
        .map(|attempt| (&*attempt.engine, &*attempt.path))
        .collect();
    assert_eq!(
        tried,
        [("gpu", "/v1/chat/completions"), ("cpu", "/api/chat")]
    );
    assert!(kept.attempts[0].error.is_some() && kept.attempts[1].error.is_none());
    assert!(
        kept.notes
            .iter()
            .any(|note| note.contains("instead of gpu/qwen")),
        "{:?}",
        kept.notes
    );
}

#[tokio::test]
async fn what_is_refused_before_routing_is_kept_with_its_body() {
    let (_sim, crucible) = one().await;
    on(&crucible).await;
    for (count, body, status, code) in [
        (
            1,
            "{\"model\": \"one\", \"messages\": [",
            400,
            "invalid_json",
        ),
        (
            2,
            "{\"model\": \"absent\", \"messages\": [{\"role\": \"user\", \"content\": \"x\"}]}",
            404,
            "model_not_found",
        ),
    ] {
        assert_eq!(post_raw(&crucible, body).await.status, status);
        let kept = last(&crucible, count).await;
        let end = kept.row.ended.expect("an end");
        assert_eq!((end.status, &*end.outcome), (status, code));
        assert_eq!(kept.received.expect("a body").text, body);
        assert!(kept.attempts.is_empty());
        assert!(kept.answer.expect("an answer").text.contains(code));
        assert!(kept.assembled.error.is_some());
    }
}

#[tokio::test]
async fn at_the_end_of_its_time_everything_is_dropped() {
    let (_sim, crucible) = one().await;
    assert_eq!(switch(&crucible, 0.02).await.status, 200);
    assert_eq!(post(&crucible, &body("one", "repeat 1")).await.status, 200);
    eventually("its time is over", || async {
        let list = list(&crucible).await;
        (!list.on && list.requests.is_empty() && list.kept_bytes == 0).then_some(())
    })
    .await;
}
