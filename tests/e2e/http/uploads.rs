//! Bodies on their way: refused while they still come, too slow, packed in several members.

use std::{process::Stdio, time::Duration};

use crucible_tests::{
    chat::{body, get, whole},
    engines::{asked, client},
    packed::{gzip, zstd},
    process::PATIENCE,
    raw::read,
    rest::{at_rest, json_of},
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::Command,
};

use super::{Edge, QUIET, chat, whole_answer};

/// A key, so that all but one of the clients are strangers.
const HASH: &str = "sha256:fe5cf6eef1dc1ca10d8bfa761cf662da62aba67f81b3dd7665e5feaec19643d8";

/// Sends everything before it reads anything, as simple clients do.
const BLOCKING: &str = r#"
import socket, sys
host, port, head, size, chunked = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5] == "chunked"
s = socket.create_connection((host, port))
s.settimeout(60)
s.sendall(head.encode().replace(b"\\r\\n", b"\r\n"))
piece = b"x" * 65536
try:
    for _ in range(size // len(piece)):
        s.sendall(b"10000\r\n" + piece + b"\r\n" if chunked else piece)
except OSError as error:
    print("sending:", error)
    sys.exit(1)
s.shutdown(socket.SHUT_WR)
got = b""
while True:
    more = s.recv(65536)
    if not more:
        break
    got += more
sys.stdout.write(got.decode())
"#;

/// Node's own client, twelve at a time, as editors use it.
const NODE: &str = r#"
const http = require("http");
const [host, port, method, path, key, host_header, size, chunked] = process.argv.slice(1);
const body = Buffer.alloc(Number(size), "x");
const one = () => new Promise((done) => {
  const headers = { "content-type": "application/json", host: host_header };
  if (key) headers.authorization = "Bearer " + key;
  if (chunked !== "chunked") headers["content-length"] = body.length;
  const request = http.request({ host, port, method, path, headers, agent: false }, (answer) => {
    let text = "";
    answer.on("data", (data) => (text += data));
    answer.on("end", () => done(answer.statusCode + " " + JSON.parse(text).error.code));
    answer.on("error", (error) => done("answer: " + error.code));
  });
  request.on("error", (error) => done("request: " + error.code));
  request.end(body);
});
Promise.all(Array.from({ length: 12 }, one)).then((all) => console.log(JSON.stringify(all)));
"#;

async fn output(command: &mut Command) -> String {
    let run = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let out = tokio::time::timeout(PATIENCE, run).await;
    let out = out
        .expect("it ends")
        .expect("it starts (Debian: apt install nodejs python3)");
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(errors.is_empty(), "{said}{errors}");
    said
}

fn with_key() -> String {
    format!(
        "[limits]\nbody = \"64KB\"\n[[key]]\nname = \"own\"\nhash = \"{HASH}\"\nrate = \"1/hour\"\n"
    )
}

#[tokio::test]
async fn twelve_clients_of_node_that_still_send_ten_megabytes_all_read_their_refusal() {
    let edge = Edge::start(&with_key()).await;
    let (host, port) = edge.crucible.addr().split_once(':').expect("a port");
    let path = "/v1/chat/completions";
    for (method, path, key, host_header, want) in [
        ("POST", path, "", "localhost", "401 invalid_api_key"),
        ("POST", path, "wrong", "localhost", "401 invalid_api_key"),
        ("POST", path, "", "evil.example", "403 host_not_allowed"),
        ("POST", "/api/pull", "a-key-of-the-tests", "localhost", ""),
        ("POST", "/nothing", "a-key-of-the-tests", "localhost", ""),
        ("PUT", "/v1/models", "a-key-of-the-tests", "localhost", ""),
        ("POST", path, "a-key-of-the-tests", "localhost", ""),
    ] {
        for framing in ["length", "chunked"] {
            let mut node = Command::new("node");
            node.args(["-e", NODE, "--", host, port, method, path, key])
                .args([host_header, "10000000", framing]);
            let said = output(&mut node).await;
            let all: Vec<String> = serde_json::from_str(&said).expect(&said);
            assert_eq!(all.len(), 12);
            for one in &all {
                let status = one.split(' ').next().and_then(|s| s.parse::<u16>().ok());
                assert!(
                    status.is_some_and(|s| (400..500).contains(&s)),
                    "{method} {path} {framing}: {all:?}"
                );
                // The key's rate is soon used up, so that one of several refusals comes.
                assert!(want.is_empty() || one == want, "{path} {framing}: {all:?}");
            }
        }
    }
    at_rest_with_key(&edge).await;
    assert!(asked(&edge.sim.log()).is_empty());
}

/// Rest, asked with the key at a path that needs none.
async fn at_rest_with_key(edge: &Edge) {
    assert_eq!(get(&edge.crucible, "/healthz").await.status, 200);
}

#[tokio::test]
async fn a_client_that_sends_all_before_it_reads_anything_reads_its_refusal() {
    let python = std::env::var("TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let edge = Edge::start("[limits]\nbody = \"64KB\"\n").await;
    let (host, port) = edge.crucible.addr().split_once(':').expect("a port");
    let chat = "POST /v1/chat/completions HTTP/1.1\\r\\n";
    let local = "Host: localhost\\r\\n";
    let odd = "Transfer-Encoding: gzip, chunked\\r\\n";
    let size = 20_000_000;
    let length = format!("Content-Length: {}\\r\\n", size / 65_536 * 65_536);
    for (what, head, framing, status) in [
        ("413", format!("{chat}{local}{length}\\r\\n"), "length", 413),
        (
            "413 in chunks",
            format!("{chat}{local}Transfer-Encoding: chunked\\r\\n\\r\\n"),
            "chunked",
            413,
        ),
        (
            "415",
            format!("{chat}{local}Content-Encoding: br\\r\\nContent-Length: 60000\\r\\n\\r\\n"),
            "length",
            415,
        ),
        (
            "a doubtful framing",
            format!("{chat}{local}{odd}\\r\\n"),
            "chunked",
            400,
        ),
        ("a TLS hello", "\u{16}\u{3}\u{1}".to_owned(), "length", 400),
        (
            "a header without end",
            format!("{chat}{local}X: "),
            "length",
            431,
        ),
        (
            "404 after the body was read in part",
            format!("POST /nothing HTTP/1.1\\r\\n{local}{length}\\r\\n"),
            "length",
            404,
        ),
        (
            "405",
            format!("POST /v1/models HTTP/1.1\\r\\n{local}{length}Connection: close\\r\\n\\r\\n"),
            "length",
            405,
        ),
    ] {
        let mut run = Command::new(&python);
        run.args([
            "-c",
            BLOCKING,
            host,
            port,
            &head,
            &size.to_string(),
            framing,
        ]);
        let said = output(&mut run).await;
        assert!(
            said.starts_with(&format!("HTTP/1.1 {status} ")),
            "{what}: {said}"
        );
        assert!(
            json_of(&said)["error"]["code"].is_string(),
            "{what}: {said}"
        );
    }
    at_rest(&edge.crucible).await;
}

#[tokio::test]
async fn a_client_that_never_stops_sending_is_cut() {
    let edge = Edge::start("[limits]\nbody = \"64KB\"\n").await;
    for framing in ["Content-Length: 999999999999", "Transfer-Encoding: chunked"] {
        let mut stream = edge.connect().await;
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\nffffffffff\r\n"
        );
        stream.write_all(head.as_bytes()).await.expect("written");
        let (mut from, mut to) = stream.split();
        let mut written = 0_u64;
        let send = async {
            let piece = vec![b'x'; 1 << 20];
            while to.write_all(&piece).await.is_ok() {
                written += 1 << 20;
                assert!(written < 1 << 30, "{framing}: it is never cut");
            }
        };
        let mut answer = Vec::new();
        let receive = async {
            let mut buf = [0; 4096];
            while let Ok(n @ 1..) = from.read(&mut buf).await {
                answer.extend_from_slice(&buf[..n]);
            }
        };
        let both = async { tokio::join!(send, receive) };
        tokio::time::timeout(PATIENCE, both).await.expect("cut");
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 413 "), "{framing}: {answer}");
    }
    at_rest(&edge.crucible).await;
}

#[tokio::test]
async fn a_small_rest_of_a_refused_body_costs_no_connection_and_an_expected_one_is_not_sent() {
    let edge = Edge::start("").await;
    let mut stream = edge.connect().await;
    let wrong = "POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n\r\n\
                 01234567890123456789";
    for bytes in [wrong.to_owned(), chat("")] {
        stream
            .write_all(bytes.as_bytes())
            .await
            .expect("it is open");
        whole_answer(&mut stream).await;
    }
    drop(stream);
    let mut stream = edge.connect().await;
    stream
        .write_all(
            b"POST /nothing HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\
              Content-Length: 10000000\r\n\r\n",
        )
        .await
        .expect("written");
    let answer = read(&mut stream, QUIET).await;
    assert_eq!(answer.status(), 404, "{}", answer.text);
    assert!(
        answer.closed && !answer.text.contains(" 100 "),
        "{}",
        answer.text
    );
    drop(stream);
    at_rest(&edge.crucible).await;
}

#[tokio::test]
async fn a_body_of_a_byte_now_and_then_is_408_and_an_honest_slow_one_is_answered() {
    let edge = Edge::start("[timeouts]\nbody = \"10s\"\n[limits]\nbody_rate = \"200B\"\n").await;
    let head = |length: usize| {
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    let drip = async {
        let mut stream = edge.connect().await;
        let (mut from, mut to) = stream.split();
        let send = async {
            let _ = to.write_all(head(1000).as_bytes()).await;
            while to.write_all(b"{").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
        };
        let mut text = String::new();
        tokio::select! {
            () = send => {}
            _ = from.read_to_string(&mut text) => {}
        }
        text
    };
    let honest = async {
        let request = body("qwen", &"word ".repeat(3000)).to_string();
        let mut stream = edge.connect().await;
        let _ = stream.write_all(head(request.len()).as_bytes()).await;
        // Some 420 bytes a second, for longer than the window.
        for piece in request.as_bytes().chunks(420) {
            stream.write_all(piece).await.expect("it is open");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        whole_answer(&mut stream).await
    };
    let both = async { tokio::join!(drip, honest) };
    let (drip, honest) = tokio::time::timeout(2 * PATIENCE, both)
        .await
        .expect("ends");
    assert!(drip.starts_with("HTTP/1.1 408 "), "{drip}");
    assert!(drip.contains("connection: close"), "{drip}");
    let error = &json_of(&drip)["error"];
    assert_eq!(error["code"], "request_timeout");
    let message = error["message"].as_str().unwrap_or_default();
    assert!(message.contains("limits.body_rate"), "{message}");
    assert!(honest.starts_with("HTTP/1.1 200 "), "{honest}");
    at_rest(&edge.crucible).await;
}

#[tokio::test]
async fn packed_bodies_of_several_members_are_read_and_nothing_may_follow_them() {
    let edge = Edge::start("[limits]\nbody = \"64KB\"\n").await;
    let text = body("qwen", "repeat 1").to_string();
    let (first, second) = text.as_bytes().split_at(10);
    let bomb = gzip(&vec![b' '; 40_000]);
    for (what, encoding, packed, want) in [
        ("one", "gzip", gzip(text.as_bytes()), Ok(())),
        ("two", "gzip", [gzip(first), gzip(second)].concat(), Ok(())),
        (
            "an empty one between",
            "x-gzip",
            [gzip(first), gzip(b""), gzip(second)].concat(),
            Ok(()),
        ),
        ("a zstd frame", "zstd", zstd(text.as_bytes()), Ok(())),
        (
            "two of them",
            "zstd",
            [zstd(first), zstd(second)].concat(),
            Ok(()),
        ),
        (
            "garbage behind",
            "gzip",
            [gzip(text.as_bytes()), b"garbage".to_vec()].concat(),
            Err((400, "invalid_json")),
        ),
        (
            "text behind",
            "zstd",
            [zstd(text.as_bytes()), text.clone().into_bytes()].concat(),
            Err((400, "invalid_json")),
        ),
        (
            "half a member",
            "gzip",
            [&gzip(first)[..], &gzip(second)[..9]].concat(),
            Err((400, "invalid_json")),
        ),
        (
            "another packing behind",
            "gzip",
            [gzip(first), zstd(second)].concat(),
            Err((400, "invalid_json")),
        ),
        (
            "members that are too large together",
            "gzip",
            [&bomb[..], &bomb[..]].concat(),
            Err((413, "body_too_large")),
        ),
    ] {
        let answer = client()
            .post(edge.crucible.at("/v1/chat/completions"))
            .header("content-encoding", encoding)
            .body(packed)
            .send()
            .await
            .expect("an answer");
        let answer = whole(answer).await;
        match want {
            Ok(()) => assert_eq!(answer.status, 200, "{what}: {}", answer.text),
            Err(want) => {
                assert_eq!(
                    (answer.status, answer.code()),
                    want,
                    "{what}: {}",
                    answer.text
                );
            }
        }
    }
    let seen = asked(&edge.sim.log());
    assert_eq!(seen.len(), 5, "{seen:?}");
    let content = |request: &Value| request["messages"].clone();
    assert!(
        seen.iter().all(|r| content(r) == content(&seen[0])),
        "{seen:?}"
    );
    at_rest(&edge.crucible).await;
}
