//! Every path of the three engines, as `docs/paths.md` lists them, and those that are passed to llama.cpp's server.

mod passed;

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use crucible_sim::{Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{Whole, body, get, post, whole},
    engines::{client, engine, start},
    rest::{at_rest, ready},
};
use serde_json::{Value, json};

/// The routes of the engines, from the sources that the page names: methods and paths.
const OLLAMA: &str = "HEAD / GET / HEAD /api/version GET /api/version GET /api/status POST /api/pull POST /api/push \
    HEAD /api/tags GET /api/tags POST /api/show DELETE /api/delete POST /api/me POST /api/signout \
    DELETE /api/user/keys/k POST /api/create POST /api/blobs/sha256:1 HEAD /api/blobs/sha256:1 POST /api/copy \
    POST /api/experimental/web_search POST /api/experimental/web_fetch \
    GET /api/experimental/model-recommendations GET /api/ps POST /api/generate POST /api/chat POST /api/embed \
    POST /api/embeddings POST /v1/chat/completions POST /v1/completions POST /v1/embeddings GET /v1/models \
    GET /v1/models/qwen POST /v1/responses POST /v1/audio/transcriptions POST /v1/messages";
const LM_STUDIO: &str = "GET /api/v0/models GET /api/v0/models/qwen POST /api/v0/chat/completions \
    POST /api/v0/completions POST /api/v0/embeddings GET /api/v1/models GET /api/v1/models/qwen POST /api/v1/models/load \
    POST /api/v1/models/unload POST /api/v1/models/download GET /api/v1/models/download/status/1 POST /api/v1/chat \
    GET /lmstudio-greeting GET /lms-status GET /llm GET /embedding GET /system GET /repository GET /files \
    GET /diagnostics GET /plugins GET /runtime";
const LLAMA_CPP: &str = "POST /models POST /models/load POST /models/unload GET /models/sse DELETE /models GET /health \
    GET /v1/health GET /metrics GET /props POST /props GET /models POST /completion POST /completions \
    POST /chat/completions POST /v1/chat/completions/control POST /responses POST /audio/transcriptions \
    POST /infill POST /embedding POST /embeddings POST /rerank POST /reranking POST /v1/rerank POST /v1/reranking \
    POST /v1/systemone POST /tokenize POST /detokenize POST /apply-template POST /chat/completions/input_tokens \
    POST /v1/chat/completions/input_tokens POST /responses/input_tokens POST /v1/responses/input_tokens \
    POST /v1/messages/count_tokens GET /lora-adapters POST /lora-adapters GET /slots POST /slots/0 GET /v1/stream \
    POST /v1/streams/lookup DELETE /v1/stream GET /cors-proxy POST /cors-proxy GET /tools POST /tools";

/// A row of the page: method, path, and what becomes of it.
type Row = (String, String, String);

fn rows() -> Vec<Row> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/paths.md");
    let page = fs::read_to_string(page).expect("the page is there");
    let mut rows = Vec::new();
    for line in page.lines().filter_map(|line| line.strip_prefix("| `")) {
        let (target, rest) = line.split_once("` | ").expect("a row");
        let word = rest.split(" |").next().expect("a word").trim();
        let (methods, path) = target.rsplit_once(' ').expect("methods and a path");
        for method in methods.split(", ") {
            rows.push((method.to_owned(), path.to_owned(), word.to_owned()));
        }
    }
    rows
}

#[test]
fn the_page_lists_every_path_of_the_engines() {
    let rows: BTreeSet<(String, String)> = rows().into_iter().map(|(m, p, _)| (m, p)).collect();
    for routes in [OLLAMA, LM_STUDIO, LLAMA_CPP] {
        let words: Vec<&str> = routes.split_whitespace().collect();
        for pair in words.chunks(2) {
            let row = (pair[0].to_owned(), pair[1].to_owned());
            assert!(rows.contains(&row), "{row:?} is not on the page");
        }
    }
}

/// A body with which the path is answered.
fn fitting(path: &str) -> Value {
    let chat = json!([{ "role": "user", "content": "repeat 1" }]);
    let name = path.rsplit('/').next().unwrap_or_default();
    match (path, name) {
        ("/api/generate", _) => json!({ "model": "llama", "prompt": "repeat 1" }),
        ("/api/embed" | "/api/embeddings", _) => {
            json!({ "model": "cpu-embed", "input": "a", "prompt": "a" })
        }
        ("/api/show", _) => json!({ "model": "qwen" }),
        ("/api/pull", _) => json!({ "model": "elsewhere" }),
        ("/completion", _) => json!({ "prompt": "a", "n_predict": 1 }),
        ("/infill", _) => json!({ "input_prefix": "a", "input_suffix": "b" }),
        (_, "tokenize" | "embedding") => json!({ "content": "a" }),
        (_, "detokenize") => json!({ "tokens": [97] }),
        (_, "apply-template") => json!({ "messages": chat }),
        (_, "responses") => json!({ "model": "qwen", "input": "repeat 1" }),
        (_, "completions") if !path.contains("chat") => {
            json!({ "model": "qwen", "prompt": "repeat 1" })
        }
        (_, "embeddings") => json!({ "model": "gpu-embed", "input": "a" }),
        (_, "rerank" | "reranking") => {
            json!({ "model": "tiny-coder", "query": "a", "documents": ["a", "b"] })
        }
        _ => json!({ "model": "qwen", "max_tokens": 9, "messages": chat }),
    }
}

/// Three engines, one of each kind whose paths are listed.
async fn three(llama: Options) -> (Sim, Crucible) {
    let lmstudio = start(Options::lmstudio(&[
        "qwen=1GB",
        "gpu-embed=100MB:embedding",
    ]))
    .await;
    let ollama = start(Options::ollama(&["llama=1GB", "cpu-embed=100MB:embedding"])).await;
    let llamacpp = start(llama).await;
    let crucible = Crucible::start(&format!(
        "{}{}{}",
        engine("lmstudio", "lmstudio", &lmstudio.url()),
        engine("ollama", "ollama", &ollama.url()),
        engine("llama", "llamacpp", &llamacpp.url()),
    ));
    ready(&crucible).await;
    // The simulators live as long as the test.
    std::mem::forget((lmstudio, ollama));
    (llamacpp, crucible)
}

async fn ask(crucible: &Crucible, method: &str, path: &str, body: Option<&Value>) -> Whole {
    let method = method.parse().expect("a method");
    let mut request = client().request(method, crucible.at(path));
    if let Some(body) = body {
        request = request.json(body);
    }
    whole(request.send().await.expect("an answer")).await
}

fn passed(sim: &Sim, path: &str) -> usize {
    let log = sim.log();
    let of_it = |asked: &str| asked.split('?').next() == Some(path);
    log.requests
        .iter()
        .filter(|request| of_it(&request.path))
        .count()
}

#[tokio::test]
async fn every_path_is_answered_as_the_page_says() {
    let (llamacpp, crucible) = three(Options::openai(&["tiny-coder=100MB"])).await;
    for (method, path, word) in rows() {
        let sent = fitting(&path);
        let body = (method == "POST").then_some(&sent);
        if method == "GET" && ["served", "passed"].contains(&&*word) {
            // Clients and proxies look whether a path is there before they ask it.
            let head = ask(&crucible, "HEAD", &path, None).await;
            assert_eq!((head.status, &*head.text), (200, ""), "HEAD {path}");
        }
        let before = passed(&llamacpp, &path);
        let answer = ask(&crucible, &method, &path, body).await;
        let what = format!(
            "{method} {path} ({word}): {} {}",
            answer.status, answer.text
        );
        let is_rerank = path.contains("rerank");
        match &*word {
            // No engine of the test ranks.
            "translated" if is_rerank => assert!(answer.status < 500, "{what}"),
            "served" | "translated" => assert_eq!(answer.status, 200, "{what}"),
            "passed" => {
                assert_eq!(answer.status, 200, "{what}");
                assert_eq!(answer.header("x-crucible-engine"), "llama", "{what}");
                // The polls ask for the properties too.
                assert!(passed(&llamacpp, &path) > before, "{what}");
            }
            "closed" => {
                assert_eq!(answer.status, 403, "{what}");
                assert!(
                    method == "HEAD" || answer.text.contains("guard.open"),
                    "{what}"
                );
            }
            "refused" => {
                assert!(matches!(answer.status, 404 | 405), "{what}");
                let is_said = ["is not served", "takes GET, not"];
                assert!(
                    is_said.iter().any(|words| answer.text.contains(words)),
                    "{what}"
                );
            }
            other => panic!("{other} is no word of the page"),
        }
    }
}

#[tokio::test]
async fn a_websocket_is_refused_at_once_and_in_words() {
    let (_llamacpp, crucible) = three(Options::openai(&["tiny=100MB"])).await;
    for path in [
        "/llm",
        "/embedding",
        "/system",
        "/files",
        "/",
        "/api/tags",
        "/v1/chat/completions",
        "/nowhere",
    ] {
        let request = client()
            .get(crucible.at(path))
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        let answer = tokio::time::timeout(Duration::from_secs(10), request.send());
        let answer = whole(answer.await.expect("at once").expect("an answer")).await;
        if ["/", "/api/tags"].contains(&path) {
            // An upgrade is an offer; HTTP is what it gets.
            assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        } else {
            assert_eq!(answer.status, 404, "{path}: {}", answer.text);
            assert!(
                answer.text.contains("no WebSocket here"),
                "{path}: {}",
                answer.text
            );
        }
    }
}

#[tokio::test]
async fn a_prompt_that_is_passed_waits_for_its_turn_and_gives_it_back() {
    let mut options = Options::openai(&["tiny=100MB"]);
    options.prefill = 10;
    let (llamacpp, crucible) = three(options).await;
    let asks = (0..4).map(|_| {
        let sent = json!({ "prompt": "a", "stream": true });
        let request = client().post(crucible.at("/completion")).json(&sent);
        tokio::spawn(request.send())
    });
    for ask in asks.collect::<Vec<_>>() {
        let answer = whole(ask.await.expect("it ran").expect("an answer")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.header("content-type"), "text/event-stream");
        assert!(
            answer.text.ends_with("\n\n") && answer.text.contains("\"stop\":true"),
            "{}",
            answer.text
        );
    }
    assert_eq!(passed(&llamacpp, "/completion"), 4);
    at_rest(&crucible).await;
    // One that leaves gives its turn back too.
    let sent = json!({ "prompt": "a" });
    let leaves = client()
        .post(crucible.at("/completion"))
        .json(&sent)
        .timeout(Duration::from_millis(50));
    assert!(leaves.send().await.is_err());
    at_rest(&crucible).await;
}

#[tokio::test]
async fn the_engine_of_a_passed_path_is_named_or_the_only_one() {
    let mut router = Options::openai(&["small=100MB", "large=200MB"]);
    router.router = Some(2);
    let (llamacpp, crucible) = three(router).await;
    let tokenize = json!({ "content": "ab" });
    let open = ask(&crucible, "POST", "/tokenize", Some(&tokenize)).await;
    assert_eq!(open.status, 400, "{}", open.text);
    assert!(open.message().contains("name one"), "{}", open.text);
    // It is asked about, and not loaded for that.
    let named = json!({ "content": "ab", "model": "small" });
    let unloaded = ask(&crucible, "POST", "/tokenize", Some(&named)).await;
    assert_eq!(unloaded.status, 503, "{}", unloaded.text);
    assert_eq!(passed(&llamacpp, "/models/load"), 0);
    let answer = post(&crucible, &body("small", "repeat 1")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    for sent in [&named, &tokenize] {
        let answer = ask(&crucible, "POST", "/tokenize", Some(sent)).await;
        assert_eq!(
            (answer.status, &answer.json),
            (200, &json!({ "tokens": [97, 98] })),
            "{}",
            answer.text
        );
        assert_eq!(answer.header("x-crucible-model"), "small");
    }
    // A prompt loads it.
    let prompt = json!({ "prompt": "a", "model": "large" });
    let answer = ask(&crucible, "POST", "/completion", Some(&prompt)).await;
    assert_eq!(
        (answer.status, &answer.json["model"]),
        (200, &json!("large")),
        "{}",
        answer.text
    );

    let elsewhere = json!({ "prompt": "a", "model": "qwen" });
    let answer = ask(&crucible, "POST", "/completion", Some(&elsewhere)).await;
    assert_eq!(answer.status, 400, "{}", answer.text);
    assert!(
        answer.message().contains("LM Studio") && answer.message().contains("/v1/completions"),
        "{}",
        answer.text
    );
    let unknown = json!({ "prompt": "a", "model": "nix" });
    let answer = ask(&crucible, "POST", "/completion", Some(&unknown)).await;
    assert_eq!(answer.status, 404, "{}", answer.text);
    let broken = client()
        .post(crucible.at("/completion"))
        .body("{")
        .send()
        .await;
    let broken = whole(broken.expect("an answer")).await;
    assert_eq!(
        (broken.status, broken.code()),
        (400, "invalid_json"),
        "{}",
        broken.text
    );
}

#[tokio::test]
async fn where_no_llama_cpp_is_a_passed_path_says_what_every_engine_has() {
    let ollama = start(Options::ollama(&["llama=1GB"])).await;
    let crucible = Crucible::start(&engine("ollama", "ollama", &ollama.url()));
    ready(&crucible).await;
    for (method, path, instead) in [
        ("POST", "/infill", "/v1/completions"),
        ("POST", "/embedding", "/v1/embeddings"),
        ("GET", "/props", "/api/show"),
        ("POST", "/tokenize", "/v1/messages/count_tokens"),
    ] {
        let sent = fitting(path);
        let answer = ask(&crucible, method, path, (method == "POST").then_some(&sent)).await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.text);
        assert!(
            answer.message().contains(instead),
            "{path}: {}",
            answer.text
        );
    }
    assert_eq!(
        get(&crucible, "/health").await.json,
        json!({ "status": "ok" })
    );
    let down = Crucible::start(&engine("gone", "llamacpp", "http://127.0.0.1:9"));
    let health = get(&down, "/health").await;
    assert_eq!(
        (health.status, &health.json["error"]["code"]),
        (503, &json!(503)),
        "{}",
        health.text
    );
}
