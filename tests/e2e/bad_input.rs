//! Bodies that are wrong: each gets its status, code and field, and a sentence on what to do.

mod compressed;

use std::fmt::Write as _;

use crucible_tests::{
    chat::{Whole, body, post, post_raw, whole},
    engines::{Both, asked, client},
    rest::at_rest,
};
use serde_json::{Value, json};

fn assert_bad(answer: &Whole, code: &str, param: &Value, what: &str) {
    assert_eq!(answer.status, 400, "{what}: {}", answer.text);
    assert_eq!(answer.code(), code, "{what}: {}", answer.text);
    assert_eq!(
        answer.json["error"]["param"], *param,
        "{what}: {}",
        answer.text
    );
    assert_eq!(
        answer.json["error"]["type"], "invalid_request_error",
        "{what}"
    );
    assert!(answer.message().len() > 10, "{what}: {}", answer.message());
    assert_eq!(answer.header("content-type"), "application/json");
    assert!(answer.header("x-request-id").starts_with("req_"), "{what}");
}

async fn nothing_went_out(both: &Both) {
    at_rest(&both.crucible).await;
    for sim in [&both.lmstudio, &both.ollama] {
        assert!(asked(&sim.log()).is_empty(), "{:?}", asked(&sim.log()));
    }
}

#[tokio::test]
async fn what_is_not_one_json_object_is_invalid_json() {
    let both = Both::start().await;
    let good = body("qwen", "repeat 1").to_string();
    let deep = format!(
        "{{\"model\":\"qwen\",\"x\":{}{}}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("empty", Vec::new()),
        ("blank", b"  \n".to_vec()),
        ("an array", b"[]".to_vec()),
        ("a string", b"\"model\"".to_vec()),
        ("null", b"null".to_vec()),
        ("cut", good.as_bytes()[..good.len() - 5].to_vec()),
        ("a trailing comma", b"{\"model\":\"qwen\",}".to_vec()),
        ("single quotes", b"{'model':'qwen'}".to_vec()),
        ("a comment", b"{\"model\":\"qwen\" /* x */}".to_vec()),
        (
            "not a number",
            b"{\"model\":\"qwen\",\"messages\":[NaN]}".to_vec(),
        ),
        ("bytes after it", format!("{good} x").into_bytes()),
        ("two objects", format!("{good}{good}").into_bytes()),
        ("a byte-order mark", format!("\u{feff}{good}").into_bytes()),
        ("invalid UTF-8", b"{\"model\":\"qw\xffen\"}".to_vec()),
        (
            "UTF-16",
            good.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        ),
        (
            "a bare control character",
            b"{\"model\":\"qwen\x01\"}".to_vec(),
        ),
        ("too deep", deep.into_bytes()),
        ("form data", b"model=qwen&messages=hi".to_vec()),
    ];
    for (what, bytes) in cases {
        let answer = post_raw(&both.crucible, bytes).await;
        assert_bad(&answer, "invalid_json", &Value::Null, what);
    }
    nothing_went_out(&both).await;
}

#[tokio::test]
async fn wrong_values_name_their_field() {
    let both = Both::start().await;
    let cases = [
        ("model", json!(3), "invalid_type"),
        ("model", json!(["qwen"]), "invalid_type"),
        ("stream", json!("true"), "invalid_type"),
        ("stream", json!(1), "invalid_type"),
        ("messages", json!("hi"), "invalid_type"),
        ("messages", json!({}), "invalid_type"),
        ("messages", json!([]), "unsupported_value"),
        ("messages", Value::Null, "missing_field"),
        ("temperature", json!("x"), "invalid_type"),
        ("temperature", json!([]), "invalid_type"),
        ("top_p", json!(true), "invalid_type"),
        ("frequency_penalty", json!({}), "invalid_type"),
        ("presence_penalty", json!("0.1"), "invalid_type"),
        ("max_tokens", json!("many"), "invalid_type"),
        ("max_tokens", json!(1.5), "invalid_type"),
        ("tools", json!({}), "invalid_type"),
        ("stream_options", json!(true), "invalid_type"),
        ("n", json!(2), "unsupported_value"),
        ("n", json!(0), "unsupported_value"),
        ("n", json!("1"), "invalid_type"),
    ];
    // Ollama itself takes it for no limit.
    let none = ["max_tokens", "max_completion_tokens"];
    let none = none.map(|field| (field, json!(0), "unsupported_value"));
    for model in ["qwen", "llama3.2:3b"] {
        let own = none.iter().filter(|_| model == "qwen");
        for (field, value, code) in cases.iter().chain(own) {
            let mut request = body(model, "repeat 1");
            request[*field] = value.clone();
            let what = format!("{model} {field} = {value}");
            let answer = post(&both.crucible, &request).await;
            assert_bad(&answer, code, &(*field).into(), &what);
            assert!(
                answer.message().contains(&format!("`{field}`")) || *field == "n",
                "{what}: {}",
                answer.message()
            );
        }
    }
    nothing_went_out(&both).await;
}

#[tokio::test]
async fn what_ollama_cannot_take_names_its_path() {
    let both = Both::with(
        "",
        |_| {},
        |ollama| ollama.models.push("llava=1GB".parse().expect("a model")),
    )
    .await;
    let message = |content: Value| json!([{ "role": "user", "content": content }]);
    for (messages, code, param) in [
        (json!(["hi"]), "invalid_type", "messages[0]"),
        (
            json!([{ "content": "hi" }]),
            "missing_field",
            "messages[0].role",
        ),
        (
            json!([{ "role": 3, "content": "hi" }]),
            "invalid_type",
            "messages[0].role",
        ),
        (message(json!(7)), "invalid_type", "messages[0].content"),
        (
            message(json!([{}])),
            "missing_field",
            "messages[0].content[0].type",
        ),
        (
            message(json!([{ "type": "video" }])),
            "unsupported_value",
            "messages[0].content[0].type",
        ),
        (
            message(
                json!([{ "type": "text", "text": "see" }, { "type": "image_url", "image_url": { "url": "http://127.0.0.1/x.png" } }]),
            ),
            "unsupported_value",
            "messages[0].content[1].image_url.url",
        ),
    ] {
        let what = messages.to_string();
        let request = json!({ "model": "llava", "messages": messages });
        let answer = post(&both.crucible, &request).await;
        assert_bad(&answer, code, &param.into(), &what);
    }
    nothing_went_out(&both).await;
}

#[tokio::test]
async fn a_routed_key_stands_once_however_it_is_spelled() {
    let both = Both::start().await;
    for (text, param) in [
        (
            r#"{"model":"qwen","model":"llama3.2:3b","messages":[]}"#,
            "model",
        ),
        (
            r#"{"model":"qwen","mod\u0065l":"llama3.2:3b","messages":[]}"#,
            "model",
        ),
        (r#"{"\u006dodel":"qwen","\u006Dodel":"qwen"}"#, "model"),
        (
            r#"{"model":"qwen","stream":false,"messages":[],"stream":true}"#,
            "stream",
        ),
        (
            r#"{"model":"qwen","messages":[],"messages":[{"role":"user","content":"x"}]}"#,
            "messages",
        ),
        (
            r#"{"model":"qwen","temperature":1,"temperature":0}"#,
            "temperature",
        ),
    ] {
        let answer = post_raw(&both.crucible, text).await;
        assert_bad(&answer, "duplicate_key", &param.into(), text);
    }
    nothing_went_out(&both).await;
    let odd =
        r#"{"model":"qwen","x_odd":1,"x_odd":2,"messages":[{"role":"user","content":"repeat 1"}]}"#;
    let answer = post_raw(&both.crucible, odd).await;
    assert_eq!(
        answer.status, 200,
        "what Crucible does not read may stand twice: {}",
        answer.text
    );
}

#[tokio::test]
async fn a_model_must_be_named_where_there_is_no_default() {
    let both = Both::start().await;
    let messages = json!([{ "role": "user", "content": "repeat 1" }]);
    for request in [
        json!({ "messages": messages }),
        json!({ "model": null, "messages": messages }),
        json!({ "model": "", "messages": messages }),
        json!({}),
    ] {
        let answer = post(&both.crucible, &request).await;
        assert_bad(
            &answer,
            "missing_field",
            &"model".into(),
            &request.to_string(),
        );
        assert!(
            answer.message().contains("default_model"),
            "{}",
            answer.message()
        );
    }
    nothing_went_out(&both).await;
}

#[tokio::test]
async fn an_unknown_model_is_404_with_the_nearest_names_and_the_line_to_write() {
    let both = Both::start().await;
    for stream in [false, true] {
        let mut request = body("llama3.2:3c", "repeat 1");
        request["stream"] = stream.into();
        let answer = post(&both.crucible, &request).await;
        assert_eq!(
            (answer.status, answer.code()),
            (404, "model_not_found"),
            "{}",
            answer.text
        );
        assert_eq!(answer.json["error"]["type"], "not_found_error");
        assert_eq!(answer.json["error"]["param"], "model");
        for part in ["'llama3.2:3c'", "llama3.2:3b", "[[model]]", "aliases"] {
            assert!(
                answer.message().contains(part),
                "{part}: {}",
                answer.message()
            );
        }
    }
    // The model is looked up before the rest is checked.
    let answer = post(&both.crucible, &json!({ "model": "nope", "messages": 3 })).await;
    assert_eq!(answer.code(), "model_not_found", "{}", answer.text);
    // A name may hold anything; the answer stays JSON and the headers whole.
    for odd in [
        "a\r\nx-evil: 1",
        "\"quoted\"",
        "../../etc/passwd",
        "💥",
        "<script>",
    ] {
        let answer = post(&both.crucible, &body(odd, "hi")).await;
        assert_eq!(answer.code(), "model_not_found", "{odd}: {}", answer.text);
        assert!(!answer.headers.contains_key("x-evil"));
    }
    let long = post(&both.crucible, &body(&"m".repeat(100_000), "hi")).await;
    assert_eq!(long.code(), "model_not_found");
    assert!(
        long.text.len() < 2_000,
        "an error is short: {} bytes",
        long.text.len()
    );
    nothing_went_out(&both).await;
}

#[tokio::test]
async fn a_million_keys_pass_in_bounded_time() {
    let both = Both::with("", |_| {}, |_| {}).await;
    let mut text = String::from("{\"messages\":[{\"role\":\"user\",\"content\":\"repeat 1\"}],");
    for key in 0..1_000_000 {
        let _ = write!(text, "\"k{key}\":0,");
    }
    text.push_str("\"model\":\"nope\"}");
    let answer = post_raw(&both.crucible, text).await;
    assert_eq!(answer.code(), "model_not_found", "{}", answer.text);
    at_rest(&both.crucible).await;
}

#[tokio::test]
async fn odd_numbers_and_texts_pass_unchanged() {
    let both = Both::start().await;
    let text = r#"{"model":"qwen","messages":[{"role":"user","content":"repeat 1 \u0000 \ud83d\ude00"}],"seed":9007199254740993,"x":1e400,"y":-0.0,"z":1.0000000000000000000001}"#;
    let answer = post_raw(&both.crucible, text).await;
    let seen = both.lmstudio.log();
    let sent = seen
        .requests_to("/v1/chat/completions")
        .next()
        .expect("it went out");
    for part in [
        "9007199254740993",
        "1e400",
        "-0.0",
        "1.0000000000000000000001",
        r"\u0000 \ud83d\ude00",
    ] {
        assert!(
            sent.body.contains(part),
            "{part}: {} ({})",
            sent.body,
            answer.text
        );
    }
}

#[tokio::test]
async fn an_unknown_class_is_told() {
    let both = Both::start().await;
    let request = client()
        .post(both.crucible.at("/v1/chat/completions"))
        .header("x-crucible-class", "urgent")
        .json(&body("qwen", "repeat 1"));
    let answer = whole(request.send().await.expect("an answer")).await;
    assert_bad(
        &answer,
        "unsupported_value",
        &"x-crucible-class".into(),
        "class",
    );
    assert!(
        answer.message().contains("interactive"),
        "{}",
        answer.message()
    );
    nothing_went_out(&both).await;
}
