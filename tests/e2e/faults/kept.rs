//! Connections to engines that are kept from one request to the next, and break under one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use crucible_tests::{
    Crucible,
    chat::{body, post},
    engines,
    rest::ready,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::sleep,
};

use super::assert_refused;

const LIST: &str = r#"{"object":"list","data":[{"id":"plain","object":"model"}]}"#;
const WHOLE: &str = r#"{"id":"c","object":"chat.completion","created":1,"model":"plain","choices":[{"index":0,"message":{"role":"assistant","content":"ok"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#;
const EVENTS: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"plain\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"ok\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

/// What an engine does with the second request on a connection.
#[derive(Clone, Copy)]
enum Second {
    /// It closes in the very moment.
    Closes,
    /// It has read the whole of it, and dies this many milliseconds later.
    Dies(u64),
}

/// A connection that ends within this time after the request was written had been closed before.
const AT_ONCE: Duration = Duration::from_millis(50);

/// Reads one request; its head and body.
async fn request(stream: &mut TcpStream) -> Option<String> {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                let own = name.eq_ignore_ascii_case("content-length");
                value.trim().parse::<usize>().ok().filter(|_| own)
            });
            if body.len() >= length.unwrap_or(0) {
                return Some(text);
            }
        }
        match stream.read_buf(&mut read).await {
            Ok(1..) => {}
            _ => return None,
        }
    }
}

async fn serve(mut stream: TcpStream, second: Second, prompts: Arc<AtomicUsize>) {
    for turn in 0.. {
        let Some(asked) = request(&mut stream).await else {
            return;
        };
        let prompt = asked.starts_with("POST /v1/chat/completions");
        if prompt {
            prompts.fetch_add(1, Ordering::SeqCst);
        }
        if prompt && turn > 0 {
            if let Second::Dies(after) = second {
                sleep(Duration::from_millis(after)).await;
            }
            stream.set_zero_linger().expect("SO_LINGER is known");
            return;
        }
        let (kind, answer) = match (prompt, asked.contains("\"stream\":true")) {
            (false, _) => ("application/json", LIST),
            (true, false) => ("application/json", WHOLE),
            (true, true) => ("text/event-stream", EVENTS),
        };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: ");
        let text = format!("{head}{}\r\n\r\n{answer}", answer.len());
        if stream.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// An engine, and how many prompts it was sent.
async fn engine(second: Second) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let prompts = Arc::<AtomicUsize>::default();
    let counter = Arc::clone(&prompts);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, second, Arc::clone(&counter)));
        }
    });
    (url, prompts)
}

#[tokio::test]
async fn a_prompt_is_sent_again_only_where_the_engine_cannot_have_begun_with_it() {
    use Second::{Closes, Dies};
    for (kind, stream, second, status) in [
        ("openai", false, Closes, 200),
        ("openai", true, Closes, 200),
        ("openai", false, Dies(200), 502),
        ("openai", true, Dies(1000), 502),
        ("llamacpp", true, Closes, 200),
        ("llamacpp", false, Dies(1000), 502),
        ("lmstudio", true, Dies(1000), 502),
    ] {
        let what = format!("{kind} {stream} {status}");
        // Until the second request met the kept connection, and its end in time.
        let mut plays = 0;
        while !second_request(kind, stream, second, status).await {
            plays += 1;
            assert!(plays < 20, "{what}: never played in time");
        }
    }
}

/// Asks twice and looks at how the second request ends; `false` where a busy machine was too slow for it to be
/// told: the connection was not kept yet, or its end came later than at once.
async fn second_request(kind: &str, stream: bool, second: Second, status: u16) -> bool {
    let (url, prompts) = engine(second).await;
    let crucible = Crucible::start(&format!(
        "{}manage = \"observe\"\n",
        engines::engine("plain", kind, &url)
    ));
    ready(&crucible).await;
    let mut want = body("plain", "hi");
    want["stream"] = stream.into();
    assert_eq!(post(&crucible, &want).await.status, 200, "{kind}");
    let began = Instant::now();
    let answer = post(&crucible, &want).await;
    let sent = prompts.load(Ordering::SeqCst);
    let on_a_new_one = answer.status == 200 && sent == 2;
    let ends_late = matches!(second, Second::Closes) && began.elapsed() >= AT_ONCE;
    if on_a_new_one || (ends_late && answer.status == 502) {
        return false;
    }
    let what = format!("{kind} {stream} {status}");
    if status == 200 {
        assert_eq!(answer.status, 200, "{what}: {}", answer.text);
        assert_eq!(sent, 3, "{what}");
    } else {
        assert_refused(&answer, status, "engine_unreachable", &what);
        assert_eq!(sent, 2, "{what}");
    }
    true
}
