//! `guard.open`: a management path that is opened on purpose reaches the engine whose it is.

use crucible_tests::{
    Crucible,
    engines::{self, client, engine},
    process::PATIENCE,
    raw::talk,
    rest::ready,
    scripted::{Leave, Script, Scripted},
};
use futures_util::StreamExt as _;
use reqwest::Method;

use super::ask;

/// An engine that lists nothing and answers its management paths.
async fn manageable(name: &'static str) -> Scripted {
    Scripted::start(move |path| match path.split('?').next().unwrap_or(path) {
        "/api/tags" | "/api/ps" => Script::json("200 OK", "", r#"{"models": []}"#),
        "/api/version" => Script::json("200 OK", "", r#"{"version": "0.33.0"}"#),
        "/api/v1/models" | "/v1/models" => {
            Script::json("200 OK", "", r#"{"data": [], "models": []}"#)
        }
        "/api/delete" => Script::json("404 Not Found", "", r#"{"error": "model 'x' not found"}"#),
        "/api/copy" => Script::json("200 OK", "", ""),
        other => Script::json(
            "200 OK",
            "",
            &format!("{{\"engine\": {name:?}, \"path\": {other:?}}}"),
        ),
    })
    .await
}

/// Method, path, the engine that the client names, status, the engine that is reached (in the order
/// first, second, LM Studio, llama.cpp), its path, the body. The queries tell `/slots` and `/props` from those that
/// Crucible reads itself.
type Case = (
    &'static str,
    &'static str,
    Option<&'static str>,
    u16,
    usize,
    &'static str,
    &'static str,
);

#[rustfmt::skip]
const OPENED: [Case; 11] = [
    ("POST", "/api/pull", None, 200, 0, "/api/pull", "{\"model\": \"x\"}"),
    ("POST", "/v1//API/Pull/?insecure=1", None, 200, 0, "/api/pull?insecure=1", "{}"),
    ("POST", "/api/pull", Some("second"), 200, 1, "/api/pull", "{\"model\": \"y\"}"),
    ("DELETE", "/api/delete", None, 404, 0, "/api/delete", "{\"model\": \"x\"}"),
    ("POST", "/api/copy", None, 200, 0, "/api/copy", "{\"source\": \"x\"}"),
    ("POST", "/api/blobs/sha256:12", None, 200, 0, "/api/blobs/sha256:12", "bytes"),
    ("POST", "/api/v1/models/load", None, 200, 2, "/api/v1/models/load", "{}"),
    ("POST", "/models/load", None, 200, 3, "/models/load", "{\"model\": \"x\"}"),
    ("POST", "/v1/models/load", None, 200, 3, "/models/load", "{}"),
    ("GET", "/slots?by=test", None, 200, 3, "/slots?by=test", ""),
    ("POST", "/props?by=test", None, 200, 3, "/props?by=test", "{}"),
];

#[tokio::test]
async fn what_is_opened_leads_nowhere_else_however_its_dots_are_written() {
    let (crucible, engines) = opened().await;
    // `push` is not opened, and `blobs` is.
    for dots in ["%252e%252e", "%25252e%25252e"] {
        let path = crucible.at(&format!("/api/blobs/{dots}/push"));
        let answer = client().post(path).body("{}").send().await;
        assert_eq!(answer.expect("an answer").status().as_u16(), 403, "{dots}");
    }
    for engine in &engines {
        assert_eq!(engine.asked("/api/push").len(), 0);
    }
}

/// Four engines, and what is opened of them.
async fn opened() -> (Crucible, [Scripted; 4]) {
    let engines = [
        manageable("first").await,
        manageable("second").await,
        manageable("lms").await,
        manageable("cpp").await,
    ];
    let crucible = Crucible::start(&format!(
        "[guard]\nopen = [\"/api/pull\", \"/api/delete\", \"/api/copy\", \"/api/blobs\", \
         \"/api/v1/models/load\", \"/models/load\", \"/slots\", \"/props\"]\n{}{}{}{}",
        engine("lms", "lmstudio", &engines[2].url()),
        engine("first", "ollama", &engines[0].url()),
        engine("second", "ollama", &engines[1].url()),
        engine("cpp", "llamacpp", &engines[3].url()),
    ));
    ready(&crucible).await;
    (crucible, engines)
}

fn method(name: &str) -> Method {
    name.parse().expect("a method")
}

#[tokio::test]
async fn an_opened_path_is_passed_on_to_its_engine() {
    let (crucible, engines) = opened().await;
    for (verb, path, named, status, whose, on_engine, body) in OPENED {
        let whose = &engines[whose];
        let before = whose.asked(on_engine).len();
        let headers: Vec<_> = named
            .map(|name| ("x-crucible-engine", name))
            .into_iter()
            .collect();
        let answer = ask(&crucible, method(verb), path, &headers, body).await;
        assert_eq!(answer.status, status, "{verb} {path}: {}", answer.text);
        let asked = whose.asked(on_engine);
        assert_eq!(asked.len(), before + 1, "{verb} {path} reached it");
        assert_eq!(asked[before].body, body, "{verb} {path}");
        assert!(!answer.header("x-crucible-engine").is_empty(), "{path}");
        if status == 404 {
            assert_eq!(
                answer.text, r#"{"error": "model 'x' not found"}"#,
                "as the engine said it"
            );
        }
    }
    let named = [("x-crucible-engine", "third")];
    let nobody = ask(&crucible, Method::POST, "/api/pull", &named, "{}").await;
    assert_eq!(nobody.status, 503, "{}", nobody.text);
    assert!(nobody.json["error"].is_string(), "{}", nobody.text);
    assert!(
        nobody.message().contains("named 'third'"),
        "{}",
        nobody.text
    );
}

#[tokio::test]
async fn what_is_not_opened_stays_closed_beside_what_is() {
    let (crucible, _engines) = opened().await;
    for (verb, path) in [
        ("POST", "/api/push"),
        ("POST", "/api/create"),
        ("POST", "/api/v1/models/unload"),
        ("DELETE", "/models"),
    ] {
        let answer = ask(&crucible, method(verb), path, &[], "{}").await;
        assert_eq!(answer.status, 403, "{path}: {}", answer.text);
        let is_ollamas = matches!(path, "/api/push" | "/api/create");
        assert_eq!(answer.json["error"].is_string(), is_ollamas, "{path}");
        assert!(
            is_ollamas || answer.code() == "endpoint_closed",
            "{}",
            answer.text
        );
        assert!(
            answer.message().contains("guard.open = ["),
            "{}",
            answer.text
        );
    }
}

#[tokio::test]
async fn progress_of_a_pull_comes_as_it_is_made() {
    let engine_of = Scripted::start(|path| match path {
        "/api/pull" => Script::raw(
            "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n\
             1d\r\n{\"status\":\"pulling manifest\"}\r\n",
            Leave::Stay,
        ),
        _ => Script::json("200 OK", "", r#"{"models": [], "version": "0.33.0"}"#),
    })
    .await;
    let crucible = Crucible::start(&format!(
        "[guard]\nopen = [\"/api/pull\"]\n{}",
        engine("ollama", "ollama", &engine_of.url())
    ));
    ready(&crucible).await;
    let request = client().post(crucible.at("/api/pull")).body("{}");
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 200);
    assert_eq!(answer.headers()["content-type"], "application/x-ndjson");
    let mut pieces = answer.bytes_stream();
    let first = pieces.next().await.expect("a piece").expect("whole");
    assert_eq!(&first[..], b"{\"status\":\"pulling manifest\"}");
}

#[tokio::test]
async fn what_comes_bit_by_bit_is_not_kept_back_and_a_body_that_stops_coming_is_408() {
    let progress = "{\"status\": \"pulling\"}\n{\"status\": \"success\"}\n";
    let engine = Scripted::start(move |path| match path {
        "/api/pull" => Script::typed("application/x-ndjson", progress),
        "/api/blobs/sha256:1" => Script::raw("", Leave::Stay),
        _ => Script::json("200 OK", "", "{\"models\": []}"),
    })
    .await;
    let crucible = Crucible::start(&format!(
        "[timeouts]\nbody = \"1s\"\n[guard]\nopen = [\"/api/pull\", \"/api/blobs\"]\n{}",
        engines::engine("ollama", "ollama", &engine.url())
    ));
    ready(&crucible).await;
    let answer = ask(&crucible, Method::POST, "/api/pull", &[], "{}").await;
    assert_eq!((answer.status, &*answer.text), (200, progress));
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    assert_eq!(answer.header("x-accel-buffering"), "no");
    assert_eq!(answer.header("cache-control"), "no-cache");
    let half = b"POST /api/blobs/sha256:1 HTTP/1.1\r\nHost: localhost\r\n\
                 Content-Length: 1000\r\n\r\nhalf";
    let answer = talk(crucible.addr(), half, PATIENCE).await;
    assert_eq!(answer.status(), 408, "{}", answer.text);
    assert!(
        answer.closed && answer.text.contains("timeouts.body"),
        "{}",
        answer.text
    );
}
