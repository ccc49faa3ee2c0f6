//! Odd answers of engines: what a client can use of them arrives, counted or not.

mod formats;
mod odd;
mod ollama;

use crucible_tests::{
    Crucible,
    chat::{body, post, stream},
    engines::engine,
    rest::{at_rest, metric},
    scripted::{Script, Scripted},
};
use serde_json::{Value, json};

/// An engine of this kind with one model `m`, loaded, that answers a prompt that holds "hi" with
/// what `script` says for streamed and whole.
pub(super) async fn saying(
    kind: &str,
    script: impl Fn(bool) -> Script + Send + Sync + 'static,
) -> (Scripted, Crucible) {
    let fake = speaker(script).await;
    let crucible = Crucible::start(&engine("one", kind, &fake.url()));
    (fake, crucible)
}

/// A fake engine of any kind whose model `m` says this to `hi`.
pub(super) async fn speaker(script: impl Fn(bool) -> Script + Send + Sync + 'static) -> Scripted {
    let instance = json!({ "id": "m", "config": { "context_length": 131_072, "parallel": 4 } });
    let studio = json!({ "models": [{
        "type": "llm", "key": "m", "loaded_instances": [instance], "max_context_length": 131_072,
        "format": "gguf", "size_bytes": 1_000_000,
    }] });
    let held = json!({ "models": [
        { "name": "m", "model": "m", "size": 1, "context_length": 131_072 }] });
    Scripted::reading(move |path, body| match path {
        "/v1/chat/completions" | "/v1/completions" | "/api/chat" | "/api/generate"
            if body.contains("\"hi\"") =>
        {
            script(body.contains("\"stream\":true"))
        }
        "/v1/models" => Script::json(
            "200 OK",
            "",
            r#"{"object":"list","data":[{"id":"m","object":"model"}]}"#,
        ),
        "/health" => Script::json("200 OK", "", r#"{"status":"ok"}"#),
        "/api/v1/models" => Script::json("200 OK", "", &studio.to_string()),
        "/api/tags" => Script::json("200 OK", "", r#"{"models":[{"name":"m","model":"m"}]}"#),
        "/api/ps" => Script::json("200 OK", "", &held.to_string()),
        "/api/version" => Script::json("200 OK", "", r#"{"version":"0.33.0"}"#),
        "/api/show" => Script::json("200 OK", "", r#"{"capabilities":["completion","tools"]}"#),
        "/api/chat" | "/api/generate" => Script::json(
            "200 OK",
            "",
            r#"{"model":"m","done":true,"done_reason":"load"}"#,
        ),
        _ => Script::json("404 Not Found", "", "{}"),
    })
    .await
}

/// The kinds that speak OpenAI.
const PASSED: [&str; 3] = ["lmstudio", "llamacpp", "openai"];

/// An answer in OpenAI's form, streamed or whole, with this message and these other members.
pub(super) fn openai(streamed: bool, message: &Value, more: &str) -> Script {
    if !streamed {
        let answer = format!(
            r#"{{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{{"index":0,"message":{message},"finish_reason":"stop"}}]{more}}}"#
        );
        return Script::json("200 OK", "", &answer);
    }
    let event = |delta: &Value, finish: &str| {
        format!(
            "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n"
        )
    };
    let last = format!(
        "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[]{more}}}\n\n"
    );
    let last = if more.is_empty() { String::new() } else { last };
    Script::typed(
        "text/event-stream",
        &format!(
            "{}{}{last}data: [DONE]\n\n",
            event(message, "null"),
            event(&json!({}), "\"stop\"")
        ),
    )
}

pub(super) fn lines(all: &[Value]) -> Script {
    let all: Vec<String> = all.iter().map(Value::to_string).collect();
    Script::typed("application/x-ndjson", &(all.join("\n") + "\n"))
}

#[tokio::test]
async fn odd_counts_do_not_cost_the_answer() {
    for usage in [
        "null",
        "7.0",
        "-1",
        r#""7""#,
        r#""none""#,
        "[]",
        "{}",
        "true",
        r#"{"prompt_tokens":7.0,"completion_tokens":2,"total_tokens":9}"#,
        r#"{"prompt_tokens":-1,"completion_tokens":-1,"total_tokens":-2}"#,
        r#"{"prompt_tokens":"7","completion_tokens":"2"}"#,
        r#"{"prompt_tokens":null,"completion_tokens":null}"#,
        r#"{"prompt_tokens":{},"completion_tokens":[]}"#,
        r#"{"prompt_tokens":1e300,"completion_tokens":2}"#,
        r#"{"prompt_tokens":18446744073709551615,"completion_tokens":18446744073709551615}"#,
    ] {
        for kind in PASSED {
            let more = format!(",\"usage\":{usage}");
            let hello = json!({ "role": "assistant", "content": "hello" });
            let (_fake, crucible) =
                saying(kind, move |streamed| openai(streamed, &hello, &more)).await;
            let what = format!("{kind} {usage}");
            let whole = post(&crucible, &body("m", "hi")).await;
            assert_eq!(whole.status, 200, "{what}: {}", whole.text);
            assert!(whole.text.contains("\"hello\""), "{what}: {}", whole.text);
            let (_, streamed) = stream(&crucible, &body("m", "hi")).await;
            assert!(
                streamed.done && streamed.error().is_none(),
                "{what}: {}",
                streamed.text
            );
            assert_eq!(streamed.content(), "hello", "{what}");
            let empty = |event: &Value| event["choices"].as_array().is_some_and(Vec::is_empty);
            // What only Crucible asked for goes, whatever it holds.
            let extra = streamed.events.iter().any(empty);
            assert!(
                !extra || kind == "openai" || usage == "null",
                "{what}: {}",
                streamed.text
            );
            at_rest(&crucible).await;
            assert_eq!(
                metric(&crucible, "crucible_tokens_total").await,
                0,
                "{what}"
            );
            assert_eq!(
                metric(&crucible, "crucible_upstream_errors_total").await,
                0,
                "{what}"
            );
        }
    }
}

#[tokio::test]
async fn thoughts_have_one_name_streamed_or_whole() {
    for kind in PASSED {
        let thought = json!({ "role": "assistant", "content": "hello", "reasoning": "hm" });
        let (_fake, crucible) = saying(kind, move |streamed| openai(streamed, &thought, "")).await;
        let whole = post(&crucible, &body("m", "hi")).await;
        let message = &whole.json["choices"][0]["message"];
        assert_eq!(message["reasoning_content"], "hm", "{kind}: {}", whole.text);
        assert!(message.get("reasoning").is_none(), "{kind}: {}", whole.text);
        assert_eq!(whole.content(), "hello");
        let (_, streamed) = stream(&crucible, &body("m", "hi")).await;
        assert_eq!(streamed.reasoning(), "hm", "{kind}: {}", streamed.text);
        assert_eq!(streamed.content(), "hello");
    }
}

#[tokio::test]
async fn every_call_of_an_answer_has_an_id_of_its_own() {
    let call = |index: u64, id: Value| {
        json!({ "index": index, "id": id, "type": "function",
            "function": { "name": "f", "arguments": "{\"a\":1}" } })
    };
    let calls = [
        call(0, json!("call_0")),
        call(1, json!("call_0")),
        call(2, json!("")),
        call(3, json!(null)),
        call(4, json!("old")),
        call(5, json!("own")),
    ];
    for kind in ["lmstudio", "llamacpp", "openai", "ollama"] {
        let calls = calls.clone();
        let (_fake, crucible) = saying(kind, move |streamed| {
            if kind == "ollama" {
                let calls = calls.iter().map(|call| {
                    json!({ "id": call["id"], "function": { "name": "f", "arguments": { "a": 1 } } })
                });
                let message = json!({ "content": "", "tool_calls": calls.collect::<Vec<_>>() });
                return lines(&[json!({ "message": message, "done": true })]);
            }
            let message = json!({ "role": "assistant", "content": null, "tool_calls": calls });
            openai(streamed, &message, "")
        })
        .await;
        let old = json!({ "id": "old", "type": "function",
            "function": { "name": "f", "arguments": "{}" } });
        let request = json!({ "model": "m", "messages": [
            { "role": "user", "content": "hi" },
            { "role": "assistant", "content": null, "tool_calls": [old] },
            { "role": "tool", "tool_call_id": "old", "content": "x" },
        ] });
        let whole = post(&crucible, &request).await;
        let calls = &whole.json["choices"][0]["message"]["tool_calls"];
        check(calls.as_array().expect("calls").iter(), kind);
        let (_, streamed) = stream(&crucible, &request).await;
        assert!(streamed.done, "{kind}: {}", streamed.text);
        let deltas = streamed
            .events
            .iter()
            .filter_map(|event| event["choices"][0]["delta"]["tool_calls"].as_array());
        check(deltas.flatten(), kind);
    }
}

fn check<'a>(calls: impl Iterator<Item = &'a Value>, what: &str) {
    let calls: Vec<&Value> = calls.collect();
    assert_eq!(calls.len(), 6, "{what}: {calls:?}");
    let mut ids: Vec<&str> = calls
        .iter()
        .filter_map(|call| call["id"].as_str())
        .collect();
    assert_eq!((ids[0], ids[5]), ("call_0", "own"), "{what}: {ids:?}");
    assert!(
        !ids.contains(&"old") && !ids.contains(&""),
        "{what}: {ids:?}"
    );
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 6, "{what}: {calls:?}");
    for call in calls {
        assert_eq!(call["function"]["arguments"], r#"{"a":1}"#, "{what}");
    }
}

/// An engine's words reach the client wherever they stand in its stream.
#[tokio::test]
async fn errors_in_a_stream_keep_their_words() {
    // More than is read at once, so that the first of it is on its way before the error is seen.
    let long = "a".repeat(100_000);
    let token = json!({ "choices": [{ "index": 0, "delta": { "content": long } }] });
    let begun = format!("data: {token}\n\n").repeat(4);
    for before in ["", &*begun] {
        for error in [
            "error: {\"message\":\"Something odd happened\"}\n\n",
            "error: Something odd happened\n\n",
            "event: error\ndata: Something odd happened\n\n",
            "event: error\ndata: {\"message\":\"Something odd happened\"}\n\n",
            "data: {\"error\":\"Something odd happened\"}\n\n",
            "data: {\"error\":{\"message\":\"Something odd happened\"}}\n\n",
        ] {
            for kind in PASSED {
                let script = Script::typed("text/event-stream", &format!("{before}{error}"));
                let (_fake, crucible) = saying(kind, move |_| script.clone()).await;
                let (_, answer) = stream(&crucible, &body("m", "hi")).await;
                let what = format!("{kind} {error:?}, begun: {}", !before.is_empty());
                assert!(
                    answer.text.contains("Something odd happened"),
                    "{what}: {:.300}",
                    answer.text
                );
                assert!(answer.text.contains("engine_error"), "{what}");
                assert!(!answer.done, "{what}");
            }
        }
        let first = json!({ "message": { "content": long }, "done": false });
        let ollama = if before.is_empty() {
            String::new()
        } else {
            format!("{first}\n").repeat(4)
        };
        for error in [
            "{\"error\":\"Something odd happened\"}\n",
            "Something odd happened\n",
        ] {
            let script = Script::typed("application/x-ndjson", &format!("{ollama}{error}"));
            let (_fake, crucible) = saying("ollama", move |_| script.clone()).await;
            let (_, answer) = stream(&crucible, &body("m", "hi")).await;
            assert!(
                answer.text.contains("Something odd happened"),
                "{error}: {:.300}",
                answer.text
            );
            assert!(!answer.done, "{error}");
        }
    }
    // A refusal longer than is read of one keeps its beginning.
    let page = format!(
        "{{\"error\":\"Something odd happened{}\"}}",
        "!".repeat(200_000)
    );
    for kind in ["openai", "ollama"] {
        let script = Script::json("500 Internal Server Error", "", &page);
        let (_fake, crucible) = saying(kind, move |_| script.clone()).await;
        let answer = post(&crucible, &body("m", "hi")).await;
        assert_eq!(answer.status, 502, "{kind}: {:.300}", answer.text);
        assert!(
            answer.text.contains("Something odd happened"),
            "{kind}: {:.300}",
            answer.text
        );
    }
}

/// Most of its memory so far, in bytes.
#[cfg(target_os = "linux")]
fn most_memory(crucible: &Crucible) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", crucible.pid()));
    let status = status.expect("the process lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.expect("a number").parse::<u64>().expect("kB") * 1024
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_answer_without_an_end_is_given_up_within_bounds() {
    let thought = |name: &str, text: String| {
        let mut message = json!({ "role": "assistant", "content": "" });
        message[name] = text.into();
        format!("{}\n", json!({ "message": message, "done": false }))
    };
    let call = json!({ "function": { "name": "f", "arguments": { "a": "b".repeat(200) } } });
    let calls = json!({ "message": { "content": "", "tool_calls": [call] }, "done": false });
    let probs = json!([{ "token": "a", "logprob": -0.1, "bytes": [1, 2, 3, 4, 5, 6, 7, 8] }]);
    let probs = json!({ "message": { "content": "a" }, "done": false, "logprobs": probs });
    for (what, line) in [
        ("text", thought("content", "word ".repeat(20))),
        ("thoughts", thought("thinking", "word ".repeat(20))),
        ("calls", format!("{calls}\n")),
        ("probabilities", format!("{probs}\n")),
    ] {
        let script = Script::typed(
            "application/x-ndjson",
            &line.repeat(60_000_000 / line.len()),
        );
        let (_fake, crucible) = saying("ollama", move |_| script.clone()).await;
        let before = most_memory(&crucible);
        let answer = post(&crucible, &body("m", "hi")).await;
        let found = (answer.status, answer.code());
        assert_eq!(found, (502, "engine_error"), "{what}: {:.300}", answer.text);
        assert!(
            answer.message().contains("limits.event"),
            "{what}: {}",
            answer.message()
        );
        let grown = most_memory(&crucible) - before;
        assert!(grown < 48 << 20, "{what}: {grown} bytes");
        at_rest(&crucible).await;
    }
    let text = "word ".repeat(4_000_000);
    for kind in PASSED {
        let hello = json!({ "role": "assistant", "content": text });
        let (_fake, crucible) = saying(kind, move |_| openai(false, &hello, "")).await;
        let before = most_memory(&crucible);
        let answer = post(&crucible, &body("m", "hi")).await;
        let found = (answer.status, answer.code());
        assert_eq!(found, (502, "engine_error"), "{kind}: {:.300}", answer.text);
        let grown = most_memory(&crucible) - before;
        assert!(grown < 48 << 20, "{kind}: {grown} bytes");
    }
}
