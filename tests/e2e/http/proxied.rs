//! Behind nginx as it comes from the package: a stream is handed on as it comes.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crucible_sim::Options;
use crucible_tests::{
    chat::{body, header, open, post},
    engines::client,
    process::free_port,
    rest::{at_rest, eventually},
};
use futures_util::StreamExt as _;
use tempfile::TempDir;

use super::Edge;

/// An nginx that passes everything to one address, with no setting but those that a folder of its
/// own needs.
struct Nginx {
    url: String,
    child: Child,
    _folder: TempDir,
}

// === impl Nginx ===

impl Nginx {
    async fn start(upstream: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let port = free_port();
        let path = folder.path().join("nginx.conf");
        std::fs::write(&path, config(folder.path(), port, upstream)).expect("written");
        let child = Command::new(program())
            .arg("-c")
            .arg(&path)
            .arg("-p")
            .arg(folder.path())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx starts");
        let url = format!("http://127.0.0.1:{port}");
        eventually("nginx answers", || async {
            let answer = client().get(format!("{url}/healthz")).send().await;
            answer.is_ok_and(|a| a.status() == 200).then_some(())
        })
        .await;
        Self {
            url,
            child,
            _folder: folder,
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // A killed master would leave its worker behind.
        let quit = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        if quit.is_ok() {
            let _ = self.child.wait();
        }
    }
}

fn program() -> PathBuf {
    let places = [
        "/usr/sbin/nginx",
        "/usr/local/sbin/nginx",
        "/opt/homebrew/bin/nginx",
    ];
    let found = places
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.is_file());
    found.unwrap_or_else(|| "nginx".into())
}

fn config(folder: &Path, port: u16, upstream: &str) -> String {
    let folder = folder.display();
    // A master that is root gives its worker another user, who may not enter our folder.
    let id = Command::new("id")
        .arg("-u")
        .output()
        .expect("id runs")
        .stdout;
    let user = if id.trim_ascii() == b"0" {
        "user root;\n"
    } else {
        ""
    };
    let places: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("  {name}_temp_path {folder}/{name};\n"))
        .concat();
    format!(
        "{user}daemon off;\npid {folder}/pid;\nerror_log {folder}/errors;\nevents {{}}\n\
         http {{\n  access_log off;\n{places}  server {{\n    listen 127.0.0.1:{port};\n\
         \x20   location / {{ proxy_pass http://{upstream}; }}\n  }}\n}}\n"
    )
}

#[tokio::test]
async fn nginx_with_its_defaults_hands_a_stream_on_as_it_comes() {
    // Far less text than nginx would keep back, at one word a second.
    let engines = [
        (Options::lmstudio(&["qwen=1GB"]), ""),
        (
            // Headers that go out before the engine has said anything.
            Options::lmstudio(&["qwen=1GB"]),
            "[timeouts]\ncommit = \"100ms\"\n",
        ),
    ];
    for (mut options, toml) in engines {
        options.rate = 2;
        let edge = Edge::with(toml, options).await;
        let nginx = Nginx::start(edge.crucible.addr()).await;
        let mut want = body("qwen", "repeat 1000");
        want["stream"] = true.into();
        let answer = client()
            .post(format!("{}/v1/chat/completions", nginx.url))
            .json(&want)
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status(), 200);
        assert_eq!(
            header(answer.headers(), "content-type"),
            "text/event-stream"
        );
        let mut text = String::new();
        let mut pieces = answer.bytes_stream();
        while !text.contains("word2") {
            let piece = pieces.next().await.expect("more of it").expect("bytes");
            text.push_str(&String::from_utf8_lossy(&piece));
        }
        // Eight minutes of it are still to come: nothing was kept back.
        assert!(!text.contains("word20"), "{text}");
        drop(pieces);
        drop(nginx);
        at_rest(&edge.crucible).await;
    }
}

#[tokio::test]
async fn only_what_comes_bit_by_bit_asks_not_to_be_buffered() {
    let edge = Edge::start("").await;
    let mut want = body("qwen", "repeat 2");
    want["stream"] = true.into();
    let stream = open(&edge.crucible, &want).await;
    assert_eq!(header(stream.headers(), "x-accel-buffering"), "no");
    assert_eq!(header(stream.headers(), "cache-control"), "no-cache");
    drop(stream);
    let whole = post(&edge.crucible, &body("qwen", "repeat 2")).await;
    assert_eq!(whole.status, 200, "{}", whole.text);
    assert_eq!(whole.header("x-accel-buffering"), "");
}
