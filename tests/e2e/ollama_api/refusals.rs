//! What is refused, in the form that Ollama's clients read.

use crucible_sim::{Fault, FaultKind};
use crucible_tests::engines::client;
use serde_json::{Value, json};

use super::{KINDS, Kinds, ask, lines};

#[tokio::test]
async fn bad_input_is_an_error_with_a_text_and_never_a_500() {
    let kinds = Kinds::start("").await;
    for path in [
        "/api/chat",
        "/api/generate",
        "/api/embed",
        "/api/embeddings",
    ] {
        for (body, status) in [
            ("", 400),
            ("{", 400),
            ("[]", 400),
            ("null", 400),
            ("{\"model\":7}", 400),
            (
                "{\"model\":\"\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"prompt\":\"x\",\"input\":\"x\"}",
                400,
            ),
            (
                "{\"model\":\"nope\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"prompt\":\"x\",\"input\":\"x\"}",
                404,
            ),
            ("{\"model\":\"a\",\"model\":\"b\"}", 400),
            (
                "{\"model\":\"ollama-think-vision\",\"messages\":[{}],\"prompt\":{},\"input\":{}}",
                400,
            ),
            (
                "{\"model\":\"ollama-think-vision\",\"options\":7,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"prompt\":\"x\",\"input\":\"x\"}",
                400,
            ),
            ("\u{feff}{}", 400),
        ] {
            let request = client().post(kinds.crucible.at(path)).body(body);
            let answer = request.send().await.expect("an answer");
            let found = answer.status().as_u16();
            let text = answer.text().await.expect("a text");
            assert_eq!(found, status, "{path} {body}: {text}");
            let document: Value = serde_json::from_str(&text).expect("JSON");
            assert!(document["error"].is_string(), "{path} {body}: {text}");
            assert_eq!(
                document.as_object().map(serde_json::Map::len),
                Some(1),
                "{text}"
            );
        }
        let answer = client().get(kinds.crucible.at(path)).send().await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status().as_u16(), 405, "{path}");
        let text = answer.text().await.expect("a text");
        assert!(text.starts_with("{\"error\":\""), "{text}");
    }
}

#[tokio::test]
async fn a_failure_before_the_first_line_has_its_status_and_one_behind_it_is_the_last_line() {
    let kinds = Kinds::start("").await;
    for kind in KINDS {
        let model = Kinds::model(kind);
        // Loaded first, so that the fault meets the prompt.
        assert_eq!(
            kinds
                .post("/api/chat", &ask(&model, "repeat 1"))
                .await
                .status,
            200
        );
        kinds
            .sim(kind)
            .arm(Fault::new(FaultKind::Http429).delay_ms(1000));
        let answer = kinds.post("/api/chat", &ask(&model, "repeat 3")).await;
        assert_eq!(answer.status, 429, "{kind}: {}", answer.text);
        assert!(answer.json["error"].is_string(), "{kind}: {}", answer.text);
        assert!(!answer.header("retry-after").is_empty(), "{kind}");
    }
}

#[tokio::test]
async fn a_stream_that_breaks_ends_with_an_error_line() {
    let kinds = Kinds::start("").await;
    for kind in KINDS {
        let model = Kinds::model(kind);
        assert_eq!(
            kinds
                .post("/api/chat", &ask(&model, "repeat 1"))
                .await
                .status,
            200
        );
        kinds
            .sim(kind)
            .arm(Fault::new(FaultKind::Cut).after_events(6));
        let answer = kinds.post("/api/chat", &ask(&model, "repeat 30")).await;
        assert_eq!(answer.status, 200, "{kind}: {}", answer.text);
        let all = lines(&answer);
        let (last, rest) = all.split_last().expect("lines");
        assert!(last["error"].is_string(), "{kind}: {}", answer.text);
        assert!(
            !rest.is_empty() && rest.iter().all(|line| line["done"] == json!(false)),
            "{kind}"
        );
    }
}

#[tokio::test]
async fn whatever_is_typed_below_api_is_answered_in_ollamas_form() {
    let kinds = Kinds::start("").await;
    for path in [
        "/api",
        "/api/",
        "/API/Tags",
        "/api%2Fchat",
        "/%61pi/tags",
        "/%2561pi/tags",
        "/apis",
        "/api.tags",
        "/api/tags/x",
        "/v1/api/nothing",
    ] {
        let answer = client().get(kinds.crucible.at(path)).send().await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status().as_u16(), 404, "{path}");
        let document: Value = answer.json().await.expect("JSON");
        assert!(document["error"].is_string(), "{path}: {document}");
    }
    for path in ["/api/v0/nothing", "/v1/nothing", "/ap"] {
        let answer = client().get(kinds.crucible.at(path)).send().await;
        let document: Value = answer.expect("an answer").json().await.expect("JSON");
        assert!(
            document["error"]["message"].is_string(),
            "{path}: {document}"
        );
    }
}

#[tokio::test]
async fn a_tool_that_is_none_and_a_count_that_is_none_are_named_on_every_engine() {
    let kinds = Kinds::start("").await;
    for kind in KINDS {
        let model = format!("{kind}-think-vision");
        for (member, value, words) in [
            ("tools", json!([5]), "tools[0]"),
            (
                "tools",
                json!([{"type": "function", "function": {"name": "f"}}, "x"]),
                "tools[1]",
            ),
            ("top_logprobs", json!("x"), "top_logprobs"),
            ("top_logprobs", json!([1]), "top_logprobs"),
        ] {
            let mut sent = json!({ "model": model, "stream": false, "messages": [{"role": "user", "content": "repeat 1"}] });
            sent[member] = value.clone();
            let native = client().post(kinds.crucible.at("/api/chat")).json(&sent);
            let native = native.send().await.expect("an answer");
            assert_eq!(native.status().as_u16(), 400, "{model} {member} {value}");
            let told: Value = native.json().await.expect("JSON");
            let text = told["error"].as_str().unwrap_or_default();
            assert!(text.contains(words), "{model} {member} {value}: {told}");
            if kind == "openai" {
                // What such a server makes of it is its own matter.
                continue;
            }
            let open = client()
                .post(kinds.crucible.at("/v1/chat/completions"))
                .json(&sent);
            let open: Value = open
                .send()
                .await
                .expect("an answer")
                .json()
                .await
                .expect("JSON");
            assert_eq!(
                open["error"]["param"], words,
                "{model} {member} {value}: {open}"
            );
            assert_eq!(
                open["error"]["code"], "invalid_type",
                "{model} {member} {value}: {open}"
            );
        }
    }
}

#[tokio::test]
async fn images_beside_a_raw_prompt_go_to_an_ollama_and_are_refused_elsewhere() {
    const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    let kinds = Kinds::start("").await;
    for kind in KINDS {
        let model = format!("{kind}-think-vision");
        let sent = json!({ "model": model, "prompt": "repeat 1", "raw": true, "images": [PNG], "stream": false });
        let answer = client()
            .post(kinds.crucible.at("/api/generate"))
            .json(&sent);
        let answer = answer.send().await.expect("an answer");
        let status = answer.status().as_u16();
        let told: Value = answer.json().await.expect("JSON");
        if kind == "ollama" {
            assert_eq!((status, &told["done"]), (200, &json!(true)), "{told}");
        } else {
            assert_eq!(status, 400, "{model}: {told}");
            let text = told["error"].as_str().unwrap_or_default();
            assert!(text.contains("`images`"), "{model}: {told}");
        }
    }
}
