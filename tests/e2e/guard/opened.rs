//! `guard.open`: a management path that is opened on purpose reaches the engine whose it is.

use crucible_tests::{
    Crucible,
    engines::{client, engine},
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

#[tokio::test]
async fn an_opened_path_is_passed_on_to_its_engine_and_every_other_stays_closed() {
    let (first, second) = (manageable("first").await, manageable("second").await);
    let (lmstudio, llamacpp) = (manageable("lms").await, manageable("cpp").await);
    let crucible = Crucible::start(&format!(
        "[guard]\nopen = [\"/api/pull\", \"/api/delete\", \"/api/copy\", \"/api/blobs\", \
         \"/api/v1/models/load\", \"/models/load\", \"/slots\", \"/props\"]\n{}{}{}{}",
        engine("lms", "lmstudio", &lmstudio.url()),
        engine("first", "ollama", &first.url()),
        engine("second", "ollama", &second.url()),
        engine("cpp", "llamacpp", &llamacpp.url()),
    ));
    ready(&crucible).await;
    let named = ("x-crucible-engine", "second");
    for (method, path, headers, status, whose, on_engine, body) in [
        (
            Method::POST,
            "/api/pull",
            &[][..],
            200,
            &first,
            "/api/pull",
            r#"{"model": "x"}"#,
        ),
        (
            Method::POST,
            "/v1//API/Pull/?insecure=1",
            &[],
            200,
            &first,
            "/api/pull?insecure=1",
            "{}",
        ),
        (
            Method::POST,
            "/api/pull",
            &[named],
            200,
            &second,
            "/api/pull",
            r#"{"model": "y"}"#,
        ),
        (
            Method::DELETE,
            "/api/delete",
            &[],
            404,
            &first,
            "/api/delete",
            r#"{"model": "x"}"#,
        ),
        (
            Method::POST,
            "/api/copy",
            &[],
            200,
            &first,
            "/api/copy",
            r#"{"source": "x"}"#,
        ),
        (
            Method::POST,
            "/api/blobs/sha256:12",
            &[],
            200,
            &first,
            "/api/blobs/sha256:12",
            "bytes",
        ),
        (
            Method::POST,
            "/api/v1/models/load",
            &[],
            200,
            &lmstudio,
            "/api/v1/models/load",
            "{}",
        ),
        (
            Method::POST,
            "/models/load",
            &[],
            200,
            &llamacpp,
            "/models/load",
            r#"{"model": "x"}"#,
        ),
        (
            Method::POST,
            "/v1/models/load",
            &[],
            200,
            &llamacpp,
            "/models/load",
            "{}",
        ),
        (Method::GET, "/slots", &[], 200, &llamacpp, "/slots", ""),
        (Method::POST, "/props", &[], 200, &llamacpp, "/props", "{}"),
    ] {
        let before = whose.asked(on_engine).len();
        let answer = ask(&crucible, method.clone(), path, headers, body).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
        let asked = whose.asked(on_engine);
        assert_eq!(asked.len(), before + 1, "{method} {path} reached it");
        assert_eq!(asked[before].body, body, "{method} {path}");
        assert!(!answer.header("x-crucible-engine").is_empty(), "{path}");
        if status == 404 {
            assert_eq!(
                answer.text, r#"{"error": "model 'x' not found"}"#,
                "as the engine said it"
            );
        }
    }
    for (method, path) in [
        (Method::POST, "/api/push"),
        (Method::POST, "/api/create"),
        (Method::POST, "/api/v1/models/unload"),
        (Method::DELETE, "/models"),
    ] {
        let answer = ask(&crucible, method, path, &[], "{}").await;
        assert_eq!(answer.status, 403, "{path}: {}", answer.text);
        assert_eq!(answer.code(), "endpoint_closed", "{path}");
    }
    let nobody = ask(
        &crucible,
        Method::POST,
        "/api/pull",
        &[("x-crucible-engine", "third")],
        "{}",
    )
    .await;
    assert_eq!(
        (nobody.status, nobody.code()),
        (503, "no_engine"),
        "{}",
        nobody.text
    );
    assert!(
        nobody.message().contains("named 'third'"),
        "{}",
        nobody.text
    );
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
