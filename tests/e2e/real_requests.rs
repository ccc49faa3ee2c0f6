//! What a real llama.cpp server makes of requests at the edges, behind the real binary.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    response::Response,
};
use crucible_sim::Options;
use crucible_tests::{
    Crucible,
    chat::{body, open, post, post_raw},
    engines::{self, client, engine},
    sse::Stream,
};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::real::{child_url, start};

/// In front of a real engine: passes everything, but holds an answer back after its third event
/// until it was asked so often for the engine's slots.
struct Holding {
    url: String,
    asked: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

#[derive(Clone)]
struct Passing {
    engine: String,
    asked: Arc<AtomicUsize>,
    looks: usize,
}

// === impl Holding ===

impl Holding {
    async fn before(engine: &str, looks: usize) -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let passing = Passing {
            engine: engine.trim_end_matches('/').to_owned(),
            asked: Arc::clone(&asked),
            looks,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let app = Router::new().fallback(pass).with_state(passing);
        let task = tokio::spawn(async move {
            axum::serve(listener, app).await.expect("it serves");
        });
        Self { url, asked, task }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(State(passing): State<Passing>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.expect("a whole body");
    let path = parts.uri.path().to_owned();
    if path == "/slots" {
        passing.asked.fetch_add(1, Ordering::SeqCst);
    }
    let holds = path == "/v1/chat/completions";
    let url = format!("{}{}", passing.engine, parts.uri);
    let onward = client().request(parts.method, url).body(body);
    let answer = onward.send().await.expect("the engine answers");
    let mut reply = Response::builder().status(answer.status());
    if let Some(kind) = answer.headers().get("content-type") {
        reply = reply.header("content-type", kind);
    }
    if path == "/props" {
        // The template of the small model has no place for tools: the server leaves them out.
        let props = answer.text().await.expect("text");
        let able = props.replace("\"supports_tools\":false", "\"supports_tools\":true");
        return reply.body(Body::from(able)).expect("a response");
    }
    // Read as fast as the engine writes, so that only the client waits.
    let (read, written) = tokio::sync::mpsc::unbounded_channel::<Bytes>();
    tokio::spawn(async move {
        let mut bytes = answer.bytes_stream();
        while let Some(Ok(chunk)) = bytes.next().await {
            if read.send(chunk).is_err() {
                return;
            }
        }
    });
    let stream = futures_util::stream::unfold((written, 0), move |(mut written, events)| {
        let passing = passing.clone();
        async move {
            let chunk = written.recv().await?;
            while holds && events >= 3 && passing.asked.load(Ordering::SeqCst) < passing.looks {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let seen = chunk.windows(5).filter(|w| w == b"data:").count();
            Some((Ok::<_, std::io::Error>(chunk), (written, events + seen)))
        }
    });
    reply.body(Body::from_stream(stream)).expect("a response")
}

/// A long answer of a model that may call tools.
fn with_tools(model: &str, tokens: u64) -> Value {
    let mut request = body(model, "Tell a story about the sea.");
    request["max_tokens"] = tokens.into();
    request["ignore_eos"] = true.into();
    request["tools"] = json!([{ "type": "function", "function": {
        "name": "read", "parameters": { "type": "object", "properties": {} },
    } }]);
    request
}

/// Crucible in front of a relay in front of a real engine that is the child of another Crucible.
async fn behind(looks: usize) -> (Crucible, Holding, Crucible, String) {
    let (owner, model) = start().await;
    let mut request = body(&model, "hi");
    request["max_tokens"] = 2.into();
    assert_eq!(post(&owner, &request).await.status, 200);
    let relay = Holding::before(&child_url(&owner).await, looks).await;
    let crucible = Crucible::start(&format!(
        "[timeouts]\nidle = \"500ms\"\n{}",
        engine("real", "llamacpp", &relay.url)
    ));
    (owner, relay, crucible, model)
}

#[tokio::test]
async fn the_slots_of_a_real_server_keep_a_silent_answer_alive() {
    let (_owner, relay, crucible, model) = behind(3).await;
    let mut response = open(&crucible, &with_tools(&model, 3000)).await;
    assert_eq!(response.status(), 200);
    let mut text = String::new();
    while relay.asked() < 3 || text.matches("\"content\":\"").count() < 10 {
        let chunk = response.chunk().await.expect("bytes");
        let chunk = chunk.unwrap_or_else(|| panic!("it ended: {text}"));
        text.push_str(&String::from_utf8_lossy(&chunk));
        assert!(!text.contains("\"error\""), "{text}");
    }
}

#[tokio::test]
async fn a_real_server_that_is_done_is_given_up() {
    let (_owner, relay, crucible, model) = behind(usize::MAX).await;
    let answer = Stream::read(open(&crucible, &with_tools(&model, 8)).await).await;
    let error = answer.error().unwrap_or_else(|| panic!("{}", answer.text));
    assert_eq!(error["code"], "idle_timeout", "{}", answer.text);
    let message = error["message"].as_str().unwrap_or_default();
    assert!(message.contains("works on nothing"), "{message}");
    // What looks like nothing is looked at twice.
    assert!(relay.asked() >= 2);
}

#[tokio::test]
async fn a_real_server_takes_numbers_in_every_spelling() {
    let (crucible, model) = start().await;
    for (field, tokens) in [
        (r#""max_tokens":4.0"#, Some(4)),
        (r#""max_tokens":4.5"#, Some(4)),
        (r#""max_tokens":0"#, Some(1)),
        (r#""max_completion_tokens":4.0"#, Some(4)),
        (r#""max_tokens":-1"#, None),
        (r#""max_tokens":-9"#, None),
        (r#""max_completion_tokens":-1.0"#, None),
        (r#""max_tokens":9223372036854775808"#, None),
        (r#""max_tokens":null"#, None),
        (
            r#""max_tokens":4,"seed":42.0,"n":1.0,"top_k":40.0"#,
            Some(4),
        ),
        (r#""max_tokens":4,"seed":-7,"n":null,"stop":null"#, Some(4)),
        (
            r#""max_tokens":4,"logprobs":true,"top_logprobs":2.0"#,
            Some(4),
        ),
        (r#""max_tokens":4,"temperature":1e39,"top_p":null"#, Some(4)),
    ] {
        for stream in [false, true] {
            // A small model may write for ever: a stop ends what has no limit, at its second word.
            let stop = if tokens.is_none() {
                r#","temperature":0,"stop":[" "]"#
            } else {
                ""
            };
            let request = format!(
                r#"{{"model":"{model}","stream":{stream},"stream_options":{{"include_usage":true}},
                "messages":[{{"role":"user","content":"Count: 1, 2, 3, 4, 5,"}}],{field}{stop}}}"#
            );
            let answer = post_raw(&crucible, request).await;
            assert_eq!(answer.status, 200, "{field}: {}", answer.text);
            let usage = if stream {
                let stream = Stream::parse(&answer.text);
                assert!(stream.done, "{field}: {}", answer.text);
                stream.events.last().expect("events")["usage"].clone()
            } else {
                answer.json["usage"].clone()
            };
            let written = usage["completion_tokens"].as_u64();
            match tokens {
                Some(tokens) => assert_eq!(written, Some(tokens), "{field}: {}", answer.text),
                None => assert!(written > Some(1), "{field}: {}", answer.text),
            }
        }
    }
}

/// Status, type and words of an answer.
async fn refused(url: &str, body: &str) -> (u16, String, String) {
    let url = format!("{}/v1/chat/completions", url.trim_end_matches('/'));
    let answer = client().post(url).body(body.to_owned()).send().await;
    let answer = answer.expect("an answer");
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("text");
    let json: Value = serde_json::from_str(&text).unwrap_or_default();
    let of = |key: &str| json["error"][key].as_str().unwrap_or_default().to_owned();
    (status, of("type"), of("message"))
}

/// Messages and tools as clients write them, of which it reads none.
fn odd_conversations() -> Vec<String> {
    let hi = r#""messages":[{"role":"user","content":"hi"}]"#;
    let part = |part: &str| format!(r#""messages":[{{"role":"user","content":[{part}]}}]"#);
    let mut bodies = vec![
        format!(r#"{hi},"tools":[{{"type":"web_search"}}]"#),
        format!(r#"{hi},"tools":[{{"type":"function"}}]"#),
        format!(
            r#"{hi},"tools":[{{"type":"function","function":{{"name":"f","description":null}}}}]"#
        ),
        r#""messages":[{"role":"assistant"}]"#.to_owned(),
        r#""messages":[{"role":"user","content":7}]"#.to_owned(),
        r#""messages":[{"role":"user","content":{}}]"#.to_owned(),
        part(r#"{"type":"refusal","refusal":"no"}"#),
        part(r#"{"type":"text","text":null}"#),
        part(r#"{"type":"text"}"#),
        part("null"),
        part(r#""a""#),
    ];
    for member in ["name", "reasoning_content", "tool_call_id"] {
        bodies.push(format!(
            r#""messages":[{{"role":"user","content":"a","{member}":null}}]"#
        ));
    }
    for call in [
        r#"{"function":{"name":"f","arguments":"{}"}}"#,
        r#"{"type":"function","function":{"name":"f"}}"#,
        r#"{"id":null,"type":"function","function":{"name":"f","arguments":"{}"}}"#,
    ] {
        bodies.push(format!(
            r#""messages":[{{"role":"assistant","content":"a","tool_calls":[{call}]}}]"#
        ));
    }
    bodies
}

#[tokio::test]
async fn the_simulated_server_refuses_what_the_real_one_does_in_the_same_words() {
    let (crucible, model) = start().await;
    let mut request = body(&model, "hi");
    request["max_tokens"] = 2.into();
    assert_eq!(post(&crucible, &request).await.status, 200);
    let real = child_url(&crucible).await;
    let mut options = Options::openai(&["only-notools=1GB"]);
    options.parallel = 1;
    let sim = engines::start(options).await;
    let hi = r#""messages":[{"role":"user","content":"hi"}]"#;
    let part = |part: &str| format!(r#""messages":[{{"role":"user","content":[{part}]}}]"#);
    let wav = r#"{"type":"input_audio","input_audio":{"data":"QUJD","format":"wav"}}"#;
    let png = r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,QUJD"}}"#;
    let mut bodies = vec![
        String::new(),
        r#""messages":"x""#.to_owned(),
        r#""messages":[{"content":"x"}]"#.to_owned(),
        r#""messages":[{"role":"user"}]"#.to_owned(),
        part(wav),
        part(png),
        format!(r#"{hi},"tools":[{{"x":1}}]"#),
    ];
    bodies.extend(odd_conversations());
    for field in [
        r#""max_tokens":-5"#,
        r#""max_tokens":"4""#,
        r#""max_tokens":[4]"#,
        r#""max_tokens":18446744073709551616"#,
        r#""max_completion_tokens":-5"#,
        r#""n":0"#,
        r#""n":2"#,
        r#""n":"1""#,
        r#""seed":"1""#,
        r#""top_k":"1""#,
        r#""min_p":"x""#,
        r#""temperature":{}"#,
        r#""top_logprobs":2"#,
        r#""tool_choice":"all""#,
        r#""response_format":{"type":"xml"}"#,
    ] {
        bodies.push(format!("{hi},{field}"));
    }
    for fields in bodies {
        let limit = if fields.contains("max_") {
            ""
        } else {
            r#","max_tokens":2"#
        };
        let comma = if fields.is_empty() {
            limit.trim_start_matches(',')
        } else {
            limit
        };
        let body = format!("{{{fields}{comma}}}");
        let told = refused(&real, &body).await;
        assert!(told.0 >= 400, "{body}: {told:?}");
        assert_eq!(refused(&sim.url(), &body).await, told, "{body}");
    }
    // And takes what the real one takes.
    for field in [
        r#""max_tokens":4.0"#,
        r#""max_tokens":4.5"#,
        r#""max_tokens":0"#,
        // A small model may write for ever: a stop ends what has no limit.
        r#""max_tokens":null,"temperature":0,"stop":[" "]"#,
        r#""max_tokens":true"#,
        r#""max_tokens":9223372036854775808"#,
        r#""max_tokens":2,"n":1.0"#,
        r#""max_tokens":2,"n":1.5"#,
        r#""max_tokens":2,"seed":18446744073709551616"#,
        r#""max_tokens":2,"logprobs":2"#,
        r#""max_tokens":2,"temperature":1e39"#,
        r#""max_tokens":2,"stop":7"#,
        r#""max_tokens":2,"tool_choice":{"type":"function"}"#,
        r#""max_tokens":2,"model":"nobody's""#,
    ] {
        let body = format!("{{{hi},{field}}}");
        for url in [&real, &sim.url()] {
            let told = refused(url, &body).await;
            assert_eq!(told.0, 200, "{url} {body}: {told:?}");
        }
    }
}

#[tokio::test]
async fn what_a_real_server_calls_its_own_fault_is_the_clients() {
    let (crucible, model) = start().await;
    let sound = json!({"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}});
    let text = json!({"type": "text", "text": "What is said here?"});
    for stream in [false, true] {
        let mut request = body(&model, "");
        request["messages"][0]["content"] = json!([text, sound]);
        request["stream"] = stream.into();
        // More often than the breaker bears.
        for _ in 0..6 {
            let answer = post(&crucible, &request).await;
            assert_eq!(answer.status, 400, "{}", answer.text);
            assert!(answer.message().contains("audio"), "{}", answer.text);
        }
    }
    let mut request = body(&model, "hi");
    request["max_tokens"] = 2.into();
    assert_eq!(post(&crucible, &request).await.status, 200);
}
