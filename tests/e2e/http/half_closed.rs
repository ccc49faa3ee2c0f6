//! The ends of both sides: a client that closes its half has left, and a stream whose engine ends
//! without a last word still gets one.

use crucible_sim::Options;
use crucible_tests::{
    Crucible,
    chat::{body, stream},
    clean::{Metrics, settled},
    engines::{self, until},
    raw::read,
    rest::{at_rest, ready},
    scripted::{Leave, Script, Scripted},
};
use tokio::io::AsyncWriteExt as _;

use super::{Edge, QUIET, statuses};

#[tokio::test]
async fn a_client_that_closes_its_half_has_left() {
    for streamed in [true, false] {
        let mut options = Options::lmstudio(&["qwen=1GB"]);
        options.rate = 20;
        let edge = Edge::with("", options).await;
        let before = Metrics::of(&edge.crucible).await;
        let mut want = body("qwen", "repeat 100000");
        want["stream"] = streamed.into();
        let want = want.to_string();
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{want}",
            want.len()
        );
        let mut client = edge.connect().await;
        client.write_all(request.as_bytes()).await.expect("written");
        until(&edge.sim, "the request", |log| {
            !engines::asked(log).is_empty()
        })
        .await;
        client.shutdown().await.expect("half closed");
        until(&edge.sim, "the client's absence", |log| {
            log.disconnects.len() == 1
        })
        .await;
        // The other half is closed too, without a word more.
        let rest = read(&mut client, QUIET).await;
        assert!(
            rest.closed && !rest.text.contains("[DONE]"),
            "{}",
            rest.text
        );
        let after = settled(&edge.crucible, &before, 1).await;
        let left = "crucible_client_disconnects_total";
        assert_eq!(
            after.sum(left, &[]) - before.sum(left, &[]),
            1.0,
            "{streamed}"
        );
        at_rest(&edge.crucible).await;
    }
}

#[tokio::test]
async fn what_was_asked_and_answered_before_the_half_was_closed_is_read() {
    let edge = Edge::start("").await;
    let mut client = edge.connect().await;
    client
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .expect("written");
    let mut first = [0; 15];
    tokio::io::AsyncReadExt::read_exact(&mut client, &mut first)
        .await
        .expect("an answer");
    client.shutdown().await.expect("half closed");
    let rest = read(&mut client, QUIET).await;
    assert!(rest.closed);
    let text = String::from_utf8_lossy(&first).into_owned() + &rest.text;
    assert_eq!(statuses(&text), [200], "{text}");
    at_rest(&edge.crucible).await;
}

fn event(delta: &str, finish: &str) -> String {
    format!(
        "data: {{\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"created\":1,\
         \"model\":\"plain\",\"choices\":[{{\"index\":0,\"delta\":{delta},\
         \"finish_reason\":{finish}}}]}}\n\n"
    )
}

/// The same bytes as a chunked body, with its proper end or without.
fn chunked(text: &str, whole: bool) -> Script {
    let end = if whole { "0\r\n\r\n" } else { "" };
    let bytes = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\
         Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{text}\r\n{end}",
        text.len()
    );
    Script::raw(&bytes, Leave::Fin)
}

#[tokio::test]
async fn a_stream_that_its_engine_finished_without_done_gets_one_and_a_cut_one_does_not() {
    let word = event(r#"{"role":"assistant","content":"word0"}"#, "null");
    let finish = event("{}", "\"stop\"");
    let usage = "data: {\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"created\":1,\
                 \"model\":\"plain\",\"choices\":[],\"usage\":{\"prompt_tokens\":1,\
                 \"completion_tokens\":1,\"total_tokens\":2}}\n\n";
    let done = "data: [DONE]\n\n";
    let both = event(r#"{"content":"word0"}"#, "\"length\"");
    for (what, text, finished) in [
        ("all of it", format!("{word}{finish}{done}"), true),
        ("no [DONE]", format!("{word}{finish}"), true),
        (
            "counts and no [DONE]",
            format!("{word}{finish}{usage}"),
            true,
        ),
        ("the reason with the last word", both, true),
        ("no reason and no [DONE]", word.clone(), false),
    ] {
        let close = Script::typed("text/event-stream", &text);
        for (framing, script) in [("chunked", chunked(&text, true)), ("closed", close)] {
            let list = r#"{"object":"list","data":[{"id":"plain","object":"model"}]}"#;
            let engine = Scripted::start(move |path| match path {
                "/v1/models" => Script::json("200 OK", "", list),
                "/v1/chat/completions" => script.clone(),
                _ => Script::json("404 Not Found", "", "{}"),
            })
            .await;
            let crucible = Crucible::start(&engines::engine("plain", "openai", &engine.url()));
            ready(&crucible).await;
            let (_, answer) = stream(&crucible, &body("plain", "hi")).await;
            let what = format!("{what}, {framing}");
            assert_eq!(answer.content(), "word0", "{what}: {}", answer.text);
            assert_eq!(answer.done, finished, "{what}: {}", answer.text);
            let dones = answer.text.matches("[DONE]").count();
            assert_eq!(dones, usize::from(finished), "{what}: {}", answer.text);
            let code = answer.error().map(|error| error["code"].clone());
            let want = (!finished).then(|| "engine_cut".into());
            assert_eq!(code, want, "{what}: {}", answer.text);
        }
    }
}
