//! What pages of other origins may do, in a real browser (`TEST_BROWSER`: a Chromium). Only a
//! browser decides by itself what to ask for first and what to show to a page.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use axum::{
    Json, Router,
    response::Html,
    routing::{get, post},
};
use crucible_sim::Options;
use crucible_tests::{
    Crucible,
    engines::{engine, start},
    rest::ready,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc, time::timeout};

/// Streams a chat with a key, asks for a model that is not there, and tells what it could see.
const PAGE: &str = r#"<script>
const at = new URLSearchParams(location.search).get("at");
const ask = (model, stream) => fetch(at + "/v1/chat/completions", {
    method: "POST",
    headers: { "content-type": "application/json", "authorization": "Bearer any" },
    body: JSON.stringify({ model, stream, messages: [{ role: "user", content: "repeat 3" }] }),
});
const told = {};
(async () => {
    try {
        const answer = await ask("qwen", true);
        told.engine = answer.headers.get("x-crucible-engine");
        const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
        told.text = "";
        for (let part; !(part = await reader.read()).done;) told.text += part.value;
        const missing = await ask("missing", false);
        told.status = missing.status;
        told.code = (await missing.json()).error.code;
    } catch (error) {
        told.error = String(error);
    }
    await fetch("/told", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(told),
    });
})();
</script>"#;

/// A browser that ends with its test.
struct Browser(Child);

impl Drop for Browser {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Serves the page; its port, and what it tells.
async fn pages() -> (u16, mpsc::UnboundedReceiver<Value>) {
    let (tell, told) = mpsc::unbounded_channel();
    let hear = move |Json(value): Json<Value>| {
        drop(tell.send(value));
        async {}
    };
    let app = Router::new()
        .route("/", get(async || Html(PAGE)))
        .route("/told", post(hear));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move { axum::serve(listener, app).await });
    (port, told)
}

fn open(browser: &str, folder: &std::path::Path, url: &str) -> Browser {
    let child = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
        ])
        .arg("--host-resolver-rules=MAP *.example 127.0.0.1")
        .arg(format!("--user-data-dir={}", folder.display()))
        .arg(url)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    Browser(child.expect("a browser"))
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_streams_and_reads_errors_and_a_foreign_one_sees_nothing() {
    let Some(browser) = std::env::var("TEST_BROWSER").ok().filter(|b| !b.is_empty()) else {
        eprintln!("not run: TEST_BROWSER is not set");
        return;
    };
    let sim = start(Options::lmstudio(&["qwen=2GB"])).await;
    let own = engine("gpu", "lmstudio", &sim.url());
    let (port, mut told) = pages().await;
    let config = format!("allowed_origins = [\"http://app.example:{port}\"]\n{own}");
    let crucible = Crucible::start(&config);
    ready(&crucible).await;
    for host in ["app.example", "localhost", "foreign.example"] {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("http://{host}:{port}/?at={}", crucible.url());
        let _browser = open(&browser, folder.path(), &url);
        let saw = timeout(Duration::from_secs(60), told.recv()).await;
        let saw = saw.expect("the page tells in time").expect("what it saw");
        if host == "foreign.example" {
            assert_eq!(saw, json!({ "error": "TypeError: Failed to fetch" }));
            continue;
        }
        assert_eq!(saw["error"], Value::Null, "{host}: {saw}");
        assert_eq!(saw["engine"], "gpu", "{host}: {saw}");
        let text = saw["text"].as_str().expect("a text");
        assert!(
            text.contains("word2") && text.trim_end().ends_with("[DONE]"),
            "{text}"
        );
        assert_eq!(
            (&saw["status"], &saw["code"]),
            (&json!(404), &json!("model_not_found"))
        );
    }
    // What was refused to the foreign page did not reach the engine.
    assert_eq!(sim.log().completions.len(), 2);
}
