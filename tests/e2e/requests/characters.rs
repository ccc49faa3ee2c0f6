//! Half an emoji: a client that cuts its text by UTF-16 units leaves a lone surrogate behind.

use crucible_tests::{
    chat::{post, post_raw},
    engines::engine,
    rest::ready,
    target::Target,
};

use super::{Four, KINDS, good, model};
use crate::real::start as real_llama;

/// Fields of a request with halves, in every place where a text may stand.
fn cases() -> Vec<&'static str> {
    vec![
        r#""messages":[{"role":"user","content":"half \ud83d repeat 3"}]"#,
        r#""messages":[{"role":"user","content":"\ude00 repeat 3 \ud83d"}]"#,
        r#""messages":[{"role":"user","content":"\ud83d\ud83d\ude00\ude00 repeat 3"}]"#,
        r#""messages":[{"role":"system","content":"\uD83D"},{"role":"user","content":[{"type":"text","text":"\uDE00 repeat 3"}]}]"#,
        r#""messages":[{"role":"user","content":"repeat 3","x\udfff":"\ud800"}],"y\udfff":{"z\ud800":["\ud800"]}"#,
        r#""messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"","reasoning_content":"\ud83d","tool_calls":[{"id":"c\ud83d","type":"function","function":{"name":"f\ud83d","arguments":"{\"a\ud83d\":\"\\ud83d\"}"}}]},{"role":"tool","tool_call_id":"c\ud83d","content":"\ud83d"},{"role":"user","content":"repeat 3"}]"#,
        r#""messages":[{"role":"user","content":"repeat 3"}],"stop":["\ud83d"],"user":"\ud83d""#,
        r#""messages":[{"role":"user","content":"repeat 3"}],"tools":[{"type":"function","function":{"name":"g","description":"\ud83d","parameters":{"type":"object","properties":{"p\ud83d":{"type":"string"}}}}}]"#,
    ]
}

#[tokio::test]
async fn half_a_character_is_a_replacement_character_on_every_engine() {
    let four = Four::start().await;
    for kind in KINDS {
        for fields in cases() {
            let note = four.served_raw(kind, fields).await;
            assert!(note.contains("lone surrogate"), "{kind} {fields}: {note}");
            // The simulators read JSON as strictly as llama.cpp's server.
            let sent = four.sent(kind).to_string();
            // Ollama is sent only what it has a place for.
            let extra = kind == "ollama" && fields.contains(r"x\udfff");
            assert!(
                extra || sent.contains('\u{fffd}'),
                "{kind} {fields}: {sent}"
            );
        }
        let whole = r#""messages":[{"role":"user","content":"repeat 3 \ud83d\ude00 \\ud83d"}]"#;
        let note = four.served_raw(kind, whole).await;
        assert!(note.is_empty(), "{kind}: {note}");
        assert!(four.sent(kind).to_string().contains("\u{1f600} \\\\ud83d"));
    }
}

#[tokio::test]
async fn a_name_with_half_a_character_is_a_name_that_nobody_has() {
    let four = Four::start().await;
    let messages = r#""messages":[{"role":"user","content":"repeat 3"}]"#;
    for name in [r"\ud800", r"llamacpp-vl\ud83d"] {
        let body = format!(r#"{{"model":"{name}",{messages}}}"#);
        let answer = post_raw(&four.crucible, body).await;
        let found = (answer.status, answer.code());
        assert_eq!(found, (404, "model_not_found"), "{}", answer.text);
    }
    let twice = format!(
        r#"{{"model\ud800":1,"model":"{}",{messages}}}"#,
        model("llamacpp")
    );
    good(&post_raw(&four.crucible, twice).await, "another key");
    let explained = crucible_tests::engines::client()
        .post(four.crucible.at("/crucible/explain"))
        .body(format!(
            r#"{{"model":"{}","messages":[{{"role":"user","content":"\ud83d"}}]}}"#,
            model("ollama")
        ))
        .send()
        .await
        .expect("an answer");
    assert_eq!(explained.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn real_engines_answer_to_half_a_character() {
    let (crucible, model) = real_llama().await;
    let mut behind = vec![(crucible, model)];
    if let Some(target) = Target::real_ollama().await {
        let own = engine("ollama", "ollama", target.url.as_deref().expect("a URL"));
        let crucible = crucible_tests::Crucible::start(&format!("{own}device = \"cpu\"\n"));
        ready(&crucible).await;
        behind.push((crucible, target.model.clone()));
    }
    for (crucible, model) in behind {
        for fields in cases()
            .into_iter()
            .filter(|fields| !fields.contains("\"tools\""))
        {
            let body = format!(r#"{{"model":"{model}","max_tokens":3,{fields}}}"#);
            let answer = post_raw(&crucible, body).await;
            assert_eq!(answer.status, 200, "{model} {fields}: {}", answer.text);
        }
        let plain = crucible_tests::chat::body(&model, "hi");
        let mut plain = plain;
        plain["max_tokens"] = 2.into();
        assert_eq!(post(&crucible, &plain).await.status, 200);
    }
}
