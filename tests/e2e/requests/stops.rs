//! `stop` with empty texts, which would end every answer before it begins.

use crucible_tests::{
    chat::{body, post, stream},
    engines::engine,
    rest::ready,
    target::Target,
};
use serde_json::{Value, json};

use super::{Four, KINDS, user};
use crate::real::start as real_llama;

/// A `stop`, and what is left of it.
fn cases() -> Vec<(Value, Value)> {
    vec![
        (json!([]), json!(null)),
        (json!(""), json!(null)),
        (json!([""]), json!(null)),
        (json!(["", ""]), json!(null)),
        (json!([null]), json!(null)),
        (json!([[]]), json!(null)),
        (json!(["zzz", ""]), json!(["zzz"])),
        (json!(["", "zzz", null]), json!(["zzz"])),
        (json!([["zzz", ""], ["yyy"]]), json!(["zzz", "yyy"])),
        // More than OpenAI takes, which engines do not mind.
        (
            json!(["qa", "qb", "qc", "qd", "qe", "qf"]),
            json!(["qa", "qb", "qc", "qd", "qe", "qf"]),
        ),
        (json!([" zz"]), json!([" zz"])),
    ]
}

#[tokio::test]
async fn empty_stops_are_dropped_on_every_engine() {
    let four = Four::start().await;
    for kind in KINDS {
        for (stop, left) in cases() {
            let fields = json!({ "messages": [user()], "stop": stop });
            let note = four.served(kind, &fields).await;
            let sent = four.sent(kind);
            let found = if kind == "ollama" {
                &sent["options"]
            } else {
                &sent
            };
            assert_eq!(found["stop"], left, "{kind} {stop}");
            // A list of nothing would take the place of a Modelfile's own stops.
            let there = found.as_object().expect("an object").contains_key("stop");
            assert_eq!(there, !left.is_null(), "{kind} {stop}");
            assert_eq!(note.contains("stop"), stop != left, "{kind} {stop}: {note}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_ollama_answers_whatever_stands_in_stop() {
    let Some(target) = Target::real_ollama().await else {
        return;
    };
    let url = target.url.as_deref().expect("a URL");
    let own = engine("ollama", "ollama", url);
    let crucible = crucible_tests::Crucible::start(&format!("{own}device = \"cpu\"\n"));
    ready(&crucible).await;
    answers(&crucible, &target.model).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_llama_cpp_answers_whatever_stands_in_stop() {
    let (crucible, model) = real_llama().await;
    answers(&crucible, &model).await;
}

async fn answers(crucible: &crucible_tests::Crucible, model: &str) {
    for (stop, _) in cases() {
        let mut request = body(model, "Count: 1, 2, 3, 4, 5,");
        request["max_tokens"] = 6.into();
        request["temperature"] = 0.into();
        request["stop"] = stop.clone();
        let whole = post(crucible, &request).await;
        assert_eq!(whole.status, 200, "{stop}: {}", whole.text);
        assert!(!whole.content().is_empty(), "{stop}: {}", whole.text);
        let (_, streamed) = stream(crucible, &request).await;
        assert!(streamed.done, "{stop}: {}", streamed.text);
        assert!(!streamed.content().is_empty(), "{stop}: {}", streamed.text);
    }
}
