//! What an engine really said, byte for byte, beside what went to the client.

use crucible_documents::inspector::InspectedAttemptDoc;
use crucible_sim::{Fault, FaultKind, Options};
use crucible_tests::{
    Crucible,
    chat::{Whole, body, post, post_to, stream},
    chromium::{Chromium, Window},
    engines::{engine, start},
    rest::{eventually, idle, ready},
    scripted::{Leave, Script},
};
use serde_json::json;

use super::{ended, list, on, one, page::click, shown, switch};
use crate::answers::saying;

/// A stream of Ollama, as it writes one.
const NDJSON: &str = concat!(
    r#"{"model":"m","created_at":"2026-11-29T05:00:00Z","message":{"role":"assistant","content":"odd "},"done":false}"#,
    "\n",
    r#"{"model":"m","created_at":"2026-11-29T05:00:01Z","message":{"role":"assistant","content":"words"},"done":false}"#,
    "\n",
    r#"{"model":"m","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","prompt_eval_count":4,"eval_count":2}"#,
    "\n",
);

#[tokio::test]
async fn of_a_translated_answer_both_texts_are_kept() {
    let (_engine, crucible) =
        saying("ollama", |_| Script::typed("application/x-ndjson", NDJSON)).await;
    ready(&crucible).await;
    on(&crucible).await;
    let (_, answer) = stream(&crucible, &body("m", "hi")).await;
    assert!(answer.done, "{answer:?}");
    ended(&crucible, 1).await;
    let kept = shown(&crucible, "last").await;
    let attempt = &kept.attempts[0];
    assert_eq!(
        (attempt.status, attempt.answer_passed_on),
        (Some(200), false)
    );
    assert_eq!(attempt.answer.as_ref().expect("an answer").text, NDJSON);
    let client = kept.answer.expect("an answer").text;
    assert!(client.starts_with("data: {"), "{client}");
    assert_eq!(kept.assembled.text, "odd words");
    let (code, out, err) = crucible
        .beside(&["inspect", "show", "last", "--engine-answer"])
        .await;
    assert_eq!((code, err.as_str(), out.as_str()), (0, "", NDJSON));
    let (_, out, _) = crucible.beside(&["inspect", "show", "last"]).await;
    assert!(
        out.contains("other bytes than the client got: --engine-answer"),
        "{out}"
    );
    // Nothing of either is left.
    assert_eq!(switch(&crucible, 0.0).await.status, 200);
    assert_eq!(list(&crucible).await.kept_bytes, 0);
}

#[tokio::test]
async fn an_answer_that_is_passed_on_as_it_came_is_kept_once() {
    let whole = r#"{"model":"m","created_at":"2026-11-29T05:00:00Z","response":"words","done":true,"done_reason":"stop","prompt_eval_count":4,"eval_count":1}"#;
    let (_engine, crucible) = saying("ollama", move |_| Script::json("200 OK", "", whole)).await;
    ready(&crucible).await;
    on(&crucible).await;
    let asked = json!({ "model": "m", "prompt": "hi", "stream": false });
    let Whole { status, text, .. } = post_to(&crucible, "/api/generate", &asked).await;
    assert_eq!((status, text.as_str()), (200, whole));
    let rows = ended(&crucible, 1).await;
    let kept = shown(&crucible, "last").await;
    let attempt = &kept.attempts[0];
    assert_eq!(
        (attempt.status, attempt.answer_passed_on),
        (Some(200), true)
    );
    assert_eq!(attempt.answer, None);
    assert_eq!(rows[0].answer_bytes, whole.len() as u64);
    let (code, out, _) = crucible
        .beside(&["inspect", "show", "last", "--engine-answer"])
        .await;
    assert_eq!((code, out.as_str()), (0, whole));
    let (_, out, _) = crucible.beside(&["inspect", "show", "last"]).await;
    assert!(out.contains("answered 200, passed on as it came"), "{out}");
}

#[tokio::test]
async fn the_words_of_an_engine_that_failed_are_kept_with_their_attempt() {
    let (broken, crucible) = one().await;
    on(&crucible).await;
    broken.arm(Fault::new(FaultKind::Http500));
    let answer = post(&crucible, &body("one", "repeat 2")).await;
    assert_eq!(answer.status, 502, "{}", answer.text);
    ended(&crucible, 1).await;
    let kept = shown(&crucible, "last").await;
    let attempt = &kept.attempts[0];
    assert_eq!(attempt.status, Some(500), "{attempt:?}");
    assert!(attempt.error.is_some(), "{attempt:?}");
    let said = &attempt.answer.as_ref().expect("the engine's words").text;
    assert!(!said.is_empty() && *said != answer.text, "{said}");
    let (_, out, _) = crucible.beside(&["inspect", "show", "last"]).await;
    assert!(out.contains("answered 500: "), "{out}");
}

#[tokio::test]
async fn of_a_stream_that_broke_off_all_that_came_is_kept() {
    let (first, _) = NDJSON.split_once('\n').expect("a line");
    let cut = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nContent-Length: 9000\r\n\r\n{first}\n{{\"mod"
    );
    let (_engine, crucible) = saying("ollama", move |_| Script::raw(&cut, Leave::Fin)).await;
    ready(&crucible).await;
    on(&crucible).await;
    let (_, answer) = stream(&crucible, &body("m", "hi")).await;
    assert!(!answer.done, "{answer:?}");
    ended(&crucible, 1).await;
    let kept = shown(&crucible, "last").await;
    let said = kept.attempts[0].answer.as_ref().expect("an answer");
    assert_eq!(said.text, format!("{first}\n{{\"mod"));
    assert!(kept.answer.expect("an answer").text.contains("engine_cut"));
}

#[tokio::test]
async fn answers_of_engines_count_in_the_bound_of_all_bodies() {
    let sim = start(Options::ollama(&["one=1GB"])).await;
    let crucible = Crucible::start(&engine("cpu", "ollama", &sim.url()));
    ready(&crucible).await;
    on(&crucible).await;
    let (_, answer) = stream(&crucible, &body("one", "repeat 50")).await;
    assert!(answer.done, "{answer:?}");
    let rows = ended(&crucible, 1).await;
    let kept = shown(&crucible, "last").await;
    let own = kept.attempts[0].answer.as_ref().expect("an answer").bytes;
    let state = eventually("the request is kept", || async {
        let state = list(&crucible).await;
        (state.requests.len() == 1).then_some(state)
    })
    .await;
    let bytes = rows[0].answer_bytes + own;
    assert!(state.kept_bytes as u64 >= bytes, "{state:?}");
}

/// The page shows both attempts of the newest request.
async fn shows_both_on_the_page(crucible: &Crucible) {
    let Some(browser) = Chromium::named().await else {
        return;
    };
    let tab = browser.open(&crucible.at("/"), Window::DESK).await;
    click(&tab, "#inspected li:first-child button").await;
    for part in [
        "Attempt 1 of 2: gpu/qwen",
        "Answer of gpu/qwen as it came, 500",
        "Attempt 2 of 2: cpu/llama:latest",
        "Answer of cpu/llama:latest as it came, 200",
    ] {
        tab.shows(part).await;
    }
    assert_eq!(browser.errors(), Vec::<String>::new());
}

/// One engine fails, another one answers: both are told, which was asked and what it said.
#[tokio::test]
async fn of_several_attempts_each_is_shown_with_its_engine_and_its_words() {
    let gpu = start(Options::lmstudio(&["qwen=2GB"])).await;
    let cpu = start(Options::ollama(&["llama=1GB"])).await;
    let crucible = Crucible::start(&format!(
        "{}{}device = \"cpu\"\n[[model]]\nname = \"qwen\"\nfallback = [\"llama\"]\n",
        engine("gpu", "lmstudio", &gpu.url()),
        engine("cpu", "ollama", &cpu.url()),
    ));
    ready(&crucible).await;
    on(&crucible).await;
    gpu.arm(Fault::new(FaultKind::Http500));
    let answer = post(&crucible, &body("qwen", "repeat 3")).await;
    assert_eq!(
        (answer.status, answer.content()),
        (200, "word0 word1 word2")
    );
    ended(&crucible, 1).await;
    let kept = shown(&crucible, "last").await;
    let [failed, answered] = &kept.attempts[..] else {
        panic!("{:?}", kept.attempts);
    };
    let words =
        |attempt: &InspectedAttemptDoc| attempt.answer.as_ref().expect("words").text.clone();
    let show = async |args: &[&str]| {
        let args = [&["inspect", "show", "last"], args].concat();
        let (code, out, err) = crucible.beside(&args).await;
        assert_eq!((code, err.as_str()), (0, ""), "{args:?}");
        out
    };
    let each = show(&["--engine-answer"]).await;
    let first = format!(
        "-- attempt 1 of 2: gpu/qwen /v1/chat/completions, answered 500, failed: {}\n{}\n",
        failed.error.as_ref().expect("why"),
        words(failed).trim_end_matches('\n')
    );
    let second = format!(
        "-- attempt 2 of 2: cpu/llama:latest /api/chat, answered 200\n{}",
        words(answered)
    );
    assert_eq!(each.trim_end(), format!("{first}{second}").trim_end());
    // One alone is its bytes.
    for (number, attempt) in [("1", failed), ("2", answered)] {
        let alone = show(&["--engine-answer", "--attempt", number]).await;
        assert_eq!(alone, words(attempt));
        let sent = show(&["--sent", "--attempt", number]).await;
        assert_eq!(sent, attempt.body.text);
    }
    let third = ["inspect", "show", "last", "--sent", "--attempt", "3"];
    let (code, _, err) = crucible.beside(&third).await;
    assert_eq!(code, 1);
    assert!(err.contains("no attempt of that number"), "{err}");
    shows_both_on_the_page(&crucible).await;
}

/// A model that had gone from its engine is loaded and asked once more: two attempts of one engine.
#[tokio::test]
async fn an_engine_that_is_asked_once_more_has_two_attempts() {
    let sim = start(Options::lmstudio(&["qwen=1GB"])).await;
    let crucible = Crucible::start(&engine("one", "lmstudio", &sim.url()));
    assert_eq!(post(&crucible, &body("qwen", "repeat 1")).await.status, 200);
    idle(&crucible, None).await;
    on(&crucible).await;
    sim.arm(Fault::new(FaultKind::Crash).after_events(0));
    assert_eq!(post(&crucible, &body("qwen", "repeat 2")).await.status, 200);
    ended(&crucible, 1).await;
    let (_, out, _) = crucible
        .beside(&["inspect", "show", "last", "--engine-answer"])
        .await;
    for part in ["-- attempt 1 of 2: one/qwen", "-- attempt 2 of 2: one/qwen"] {
        assert!(out.contains(part), "{part} in\n{out}");
    }
}
