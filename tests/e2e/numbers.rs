//! Numbers of a request in every spelling that clients use, on every kind of engine: what has a
//! plain meaning is served, what has none is refused with the field and a way out.

use crucible_sim::{Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{body, post, post_raw},
    engines::{asked, engine, start},
};
use serde_json::{Value, json};

const KINDS: [&str; 4] = ["lmstudio", "ollama", "llamacpp", "openai"];

async fn one(kind: &str) -> (Sim, Crucible) {
    let options = match kind {
        "lmstudio" => Options::lmstudio(&["m=1GB"]),
        "ollama" => Options::ollama(&["m=1GB"]),
        _ => Options::openai(&["m=1GB"]),
    };
    let sim = start(options).await;
    let crucible = Crucible::start(&engine(kind, kind, &sim.url()));
    let warm = post(&crucible, &body("m", "repeat 1")).await;
    assert_eq!(warm.status, 200, "{kind}: {}", warm.text);
    (sim, crucible)
}

/// The body with these fields as they are spelt.
fn with(fields: &str, stream: bool) -> String {
    format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":"repeat 3"}}],"stream":{stream},{fields}}}"#
    )
}

/// What the engine was last sent of a field.
fn got(sim: &Sim, kind: &str, name: &str) -> Value {
    let last = asked(&sim.log()).pop().expect("a request");
    let name = match (kind, name) {
        ("ollama", "max_tokens" | "max_completion_tokens") => "num_predict",
        (_, name) => name,
    };
    match kind {
        "ollama" => last["options"][name].clone(),
        _ => last[name].clone(),
    }
}

#[tokio::test]
async fn a_number_with_a_plain_meaning_is_served_however_it_is_spelt() {
    // A field, and what LM Studio, Ollama, llama.cpp and another engine get of it.
    let cases = [
        (
            r#""max_tokens":-1"#,
            [json!(-1), json!(-1), json!(-1), json!(null)],
        ),
        (
            r#""max_tokens":-7"#,
            [json!(-1), json!(-1), json!(-1), json!(null)],
        ),
        (
            r#""max_tokens":-1.0"#,
            [json!(-1), json!(-1), json!(-1), json!(null)],
        ),
        (
            r#""max_tokens":4096.0"#,
            [json!(4096), json!(4096), json!(4096), json!(4096)],
        ),
        (
            r#""max_tokens":4.096e3"#,
            [json!(4096), json!(4096), json!(4096), json!(4096)],
        ),
        (
            r#""max_completion_tokens":-1"#,
            [json!(-1), json!(-1), json!(-1), json!(null)],
        ),
        (
            r#""max_completion_tokens":-9"#,
            [json!(-1), json!(-1), json!(-1), json!(null)],
        ),
        (
            r#""max_completion_tokens":4096.0"#,
            [json!(4096), json!(4096), json!(4096), json!(4096)],
        ),
        (
            r#""seed":42.0"#,
            [json!(42), json!(42), json!(42), json!(42)],
        ),
        (r#""seed":-7"#, [json!(-7), json!(-7), json!(-7), json!(-7)]),
        (
            r#""top_k":40.0"#,
            [json!(40), json!(40.0), json!(40), json!(40)],
        ),
        (
            r#""temperature":1"#,
            [json!(1), json!(1), json!(1), json!(1)],
        ),
        (r#""top_p":0"#, [json!(0), json!(0), json!(0), json!(0)]),
    ];
    for (at, kind) in KINDS.into_iter().enumerate() {
        let (sim, crucible) = one(kind).await;
        for (field, sent) in &cases {
            let name = field.split('"').nth(1).expect("a name");
            for stream in [false, true] {
                let answer = post_raw(&crucible, with(field, stream)).await;
                assert_eq!(answer.status, 200, "{kind} {field}: {}", answer.text);
                assert!(
                    answer.text.contains("word2"),
                    "{kind} {field}: {}",
                    answer.text
                );
                assert_eq!(got(&sim, kind, name), sent[at], "{kind} {field}");
                let note = answer.header("x-crucible-note");
                let respelt = asked(&sim.log()).pop().expect("a request")[name]
                    != serde_json::from_str::<Value>(&format!("{{{field}}}")).expect("JSON")[name];
                assert!(
                    kind == "ollama" || !respelt || note.contains(name),
                    "{note}"
                );
            }
        }
        for field in [
            r#""n":1.0"#,
            r#""n":null"#,
            r#""seed":null"#,
            r#""logprobs":false,"top_logprobs":null"#,
            r#""logprobs":true,"top_logprobs":2.0"#,
            r#""stream_options":null"#,
            r#""temperature":null,"top_p":null"#,
            r#""temperature":0.0"#,
        ] {
            for stream in [false, true] {
                let answer = post_raw(&crucible, with(field, stream)).await;
                assert_eq!(answer.status, 200, "{kind} {field}: {}", answer.text);
            }
        }
    }
}

#[tokio::test]
async fn null_is_absent_on_every_engine() {
    let names = [
        "max_tokens",
        "max_completion_tokens",
        "n",
        "seed",
        "top_k",
        "logprobs",
        "top_logprobs",
        "temperature",
        "top_p",
        "presence_penalty",
        "stop",
        "tools",
        "tool_choice",
        "response_format",
        "logit_bias",
        "stream_options",
        "parallel_tool_calls",
        "reasoning_effort",
        "user",
        "metadata",
    ];
    for kind in KINDS {
        let (sim, crucible) = one(kind).await;
        let all: Vec<String> = names
            .iter()
            .map(|name| format!("\"{name}\":null"))
            .collect();
        for fields in all.iter().chain([&all.join(",")]) {
            for stream in [false, true] {
                let answer = post_raw(&crucible, with(fields, stream)).await;
                assert_eq!(answer.status, 200, "{kind} {fields}: {}", answer.text);
                assert!(answer.text.contains("word2"), "{kind} {}", answer.text);
                let sent = asked(&sim.log()).pop().expect("a request");
                let null = |(_, value): (&String, &Value)| value.is_null();
                let nulls = sent.as_object().expect("an object").iter().any(null);
                // LM Studio fails on some of them.
                assert!(!nulls || kind != "lmstudio", "{sent}");
            }
        }
    }
}

#[tokio::test]
async fn llama_cpp_keeps_its_own_ways_with_numbers() {
    let (sim, crucible) = one("llamacpp").await;
    for (field, sent) in [
        (r#""max_tokens":0"#, json!(0)),
        (r#""max_tokens":0.0"#, json!(0)),
        (r#""max_tokens":4.5"#, json!(4.5)),
        // It would wrap to 0.
        (r#""max_tokens":9223372036854775808"#, json!(i32::MAX)),
        (
            r#""seed":18446744073709551616"#,
            json!(18_446_744_073_709_551_616.0),
        ),
        (r#""top_k":1.5"#, json!(1.5)),
        (r#""temperature":1e39"#, json!(1e39)),
    ] {
        let name = field.split('"').nth(1).expect("a name");
        for stream in [false, true] {
            let answer = post_raw(&crucible, with(field, stream)).await;
            assert_eq!(answer.status, 200, "{field}: {}", answer.text);
            assert_eq!(
                got(&sim, "llamacpp", name).as_f64(),
                sent.as_f64(),
                "{field}"
            );
        }
    }
    let (_sim, other) = one("openai").await;
    let answer = post_raw(&other, with(r#""max_tokens":0"#, false)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

/// What Ollama 0.33 itself takes, it gets; a limit of 0 is none there, and it says so.
#[tokio::test]
async fn ollama_keeps_its_own_ways_with_numbers() {
    let (sim, crucible) = one("ollama").await;
    for (fields, name, sent, note) in [
        (r#""max_tokens":0"#, "max_tokens", json!(0), "no limit"),
        (r#""max_tokens":0.0"#, "max_tokens", json!(0), "no limit"),
        (
            r#""max_completion_tokens":0,"max_tokens":1"#,
            "max_completion_tokens",
            json!(0),
            "no limit",
        ),
        (r#""top_k":1.5"#, "top_k", json!(1.5), ""),
        (r#""top_k":1e10"#, "top_k", json!(1e10), ""),
        (r#""top_k":-1"#, "top_k", json!(-1), ""),
        (r#""seed":-1"#, "seed", json!(-1), ""),
        (r#""stop":7"#, "stop", json!(null), "stop"),
        (r#""stop":["zzz",1]"#, "stop", json!(["zzz"]), "stop"),
        (
            r#""response_format":{"type":"xml"}"#,
            "format",
            json!(null),
            "response_format",
        ),
        (
            r#""response_format":{"type":"json_schema"}"#,
            "format",
            json!(null),
            "response_format",
        ),
    ] {
        for stream in [false, true] {
            let answer = post_raw(&crucible, with(fields, stream)).await;
            assert_eq!(answer.status, 200, "{fields}: {}", answer.text);
            assert!(answer.text.contains("word2"), "{fields}: {}", answer.text);
            let told = answer.header("x-crucible-note");
            assert!(told.contains(note), "{fields}: {told}");
            assert_eq!(got(&sim, "ollama", name), sent, "{fields}");
        }
    }
}

#[tokio::test]
async fn a_number_without_a_meaning_is_refused_before_the_engine_sees_it() {
    for kind in KINDS {
        let (sim, crucible) = one(kind).await;
        let before = asked(&sim.log()).len();
        let mut cases = vec![
            (r#""max_tokens":"4096""#, "invalid_type", "a string"),
            (r#""max_tokens":[1]"#, "invalid_type", "an array"),
            (r#""max_tokens":1e400"#, "unsupported_value", "1e400"),
            (
                r#""max_completion_tokens":18446744073709551616"#,
                "unsupported_value",
                "18446744073709551616",
            ),
            (r#""seed":"7""#, "invalid_type", "a string"),
            (r#""seed":1e400"#, "unsupported_value", "1e400"),
            (r#""n":0"#, "unsupported_value", "0"),
            (r#""n":"1""#, "invalid_type", "a string"),
            (r#""top_k":{}"#, "invalid_type", "an object"),
            (r#""top_logprobs":"2""#, "invalid_type", "a string"),
            (r#""logprobs":"yes""#, "invalid_type", "a string"),
            (r#""temperature":"hot""#, "invalid_type", "a string"),
            (r#""temperature":1e400"#, "unsupported_value", "1e400"),
            (r#""top_p":[]"#, "invalid_type", "an array"),
        ];
        if kind != "llamacpp" {
            cases.extend([
                (r#""max_tokens":1.5"#, "invalid_type", "1.5"),
                (r#""seed":1.5"#, "invalid_type", "1.5"),
                (r#""temperature":1e39"#, "unsupported_value", "1e39"),
                (r#""presence_penalty":-1e39"#, "unsupported_value", "-1e39"),
            ]);
        }
        if kind == "lmstudio" {
            cases.push((r#""max_tokens":0"#, "unsupported_value", "0"));
        }
        for (field, code, found) in cases {
            let name = field.split('"').nth(1).expect("a name");
            for stream in [false, true] {
                let answer = post_raw(&crucible, with(field, stream)).await;
                let told = (answer.status, answer.code());
                assert_eq!(told, (400, code), "{kind} {field}: {}", answer.text);
                assert_eq!(answer.json["error"]["param"], name, "{field}");
                let message = answer.message();
                assert!(message.contains(&format!("found {found}")), "{message}");
            }
        }
        assert_eq!(asked(&sim.log()).len(), before, "{kind}");
    }
}

#[tokio::test]
async fn the_context_that_is_asked_for_counts_the_limit_as_it_is_meant() {
    let (_lmstudio, lmstudio) = one("lmstudio").await;
    let (_ollama, ollama) = one("ollama").await;
    for (crucible, limit, reserve) in [
        (&lmstudio, "2000", 2000),
        (&lmstudio, "2000.0", 2000),
        (&lmstudio, "2e3", 2000),
        (&lmstudio, "-1", 1024),
        // LM Studio is asked for no answer of 0 tokens: such a request is refused there.
        (&ollama, "0", 1024),
        (&lmstudio, "null", 1024),
        (&lmstudio, "1e6", 2048),
    ] {
        for name in ["max_tokens", "max_completion_tokens"] {
            let request = with(&format!("\"{name}\":{limit}"), false);
            let answer = crucible_tests::engines::client()
                .post(crucible.at("/crucible/explain"))
                .body(request)
                .send()
                .await
                .expect("an answer");
            let told: Value = answer.json().await.expect("JSON");
            let needed = told["context"]["needed"].as_u64().expect("a number");
            // The prompt is a few tokens.
            assert!(
                (reserve..reserve + 20).contains(&needed),
                "{name} {limit}: {told}"
            );
        }
    }
}
