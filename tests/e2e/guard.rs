//! Who may ask: Host, Origin, keys, rates, closed paths; and that no secret leaves.

use std::time::Duration;

use crucible_sim::Options;
use crucible_tests::{
    Crucible,
    chat::{Whole, body, get, post, whole},
    engines::{Both, asked, client, engine, start, until},
    raw::{Answer, talk},
    rest::{at_rest, json_of, ready},
};
use reqwest::Method;
use serde_json::json;

/// Longer than any refusal takes; a closed connection ends the wait at once.
const QUIET: Duration = Duration::from_secs(10);

async fn say(crucible: &Crucible, text: &str) -> Answer {
    talk(crucible.addr(), text.as_bytes(), QUIET).await
}

/// A key made by the command: the secret and its configuration.
fn key(name: &str, more: &str) -> (String, String) {
    let (code, out, _) = Crucible::command(&["key", "new", "--name", name], "");
    assert_eq!(code, 0, "{out}");
    let secret = out
        .split_whitespace()
        .find(|word| word.starts_with("crk-"))
        .expect("a secret")
        .to_owned();
    let block = &out[out.find("[[key]]").expect("a block")..];
    (secret, format!("{block}\n{more}\n"))
}

async fn ask(
    crucible: &Crucible,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    text: &str,
) -> Whole {
    let mut request = client()
        .request(method, crucible.at(path))
        .body(text.to_owned());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    whole(request.send().await.expect("an answer")).await
}

#[tokio::test]
async fn a_foreign_host_is_refused_on_every_path() {
    let both = Both::with("allowed_hosts = [\"models.example\"]", |_| {}, |_| {}).await;
    for path in [
        "/",
        "/healthz",
        "/readyz",
        "/metrics",
        "/v1/models",
        "/crucible/state",
        "/nothing",
    ] {
        for host in [
            "evil.example",
            "127.0.0.1.nip.io",
            "localhost.evil.example:80",
        ] {
            let answer = say(
                &both.crucible,
                &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"),
            )
            .await;
            assert_eq!(answer.status(), 403, "{path} {host}: {}", answer.text);
            let error = &json_of(&answer.text)["error"];
            assert_eq!(error["code"], "host_not_allowed");
            assert_eq!(error["type"], "permission_error");
            let message = error["message"].as_str().expect("a message");
            assert!(message.contains("allowed_hosts = ["), "{message}");
        }
    }
    for host in [
        "localhost",
        "127.0.0.1:9",
        "[::1]:1",
        "box.local",
        "MODELS.example:443",
    ] {
        let answer = say(
            &both.crucible,
            &format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"),
        )
        .await;
        assert_eq!(answer.status(), 200, "{host}: {}", answer.text);
    }
    at_rest(&both.crucible).await;
}

#[tokio::test]
async fn no_host_or_two_close_the_connection() {
    let crucible = Crucible::start("");
    for head in [
        "",
        "Host: localhost\r\nHost: localhost\r\n",
        "Host: localhost\r\nhost: evil.example\r\n",
    ] {
        let answer = say(&crucible, &format!("GET /healthz HTTP/1.1\r\n{head}\r\n")).await;
        assert_eq!(answer.status(), 400, "{head:?}: {}", answer.text);
        assert!(answer.closed, "{head:?}");
        assert_eq!(json_of(&answer.text)["error"]["code"], "bad_request");
    }
    at_rest(&crucible).await;
}

#[tokio::test]
async fn an_absolute_target_is_judged_instead_of_host() {
    let crucible = Crucible::start("");
    for (target, host, status) in [
        ("http://evil.example/healthz", "localhost", 403),
        ("http://localhost/healthz", "evil.example", 200),
        ("http://user@evil.example/healthz", "localhost", 403),
    ] {
        let answer = say(
            &crucible,
            &format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"),
        )
        .await;
        assert_eq!(answer.status(), status, "{target}: {}", answer.text);
    }
}

#[tokio::test]
async fn origins_are_this_machine_editors_and_what_is_listed() {
    let both = Both::with(
        "allowed_origins = [\"https://chat.example\"]",
        |_| {},
        |_| {},
    )
    .await;
    let chat = body("qwen", "repeat 1").to_string();
    for origin in [
        "null",
        "https://evil.example",
        "http://localhost.evil.example",
        "http://192.168.1.2",
    ] {
        for (method, path, text) in [
            (Method::POST, "/v1/chat/completions", chat.as_str()),
            (Method::GET, "/v1/models", ""),
            (Method::GET, "/metrics", ""),
        ] {
            let answer = ask(
                &both.crucible,
                method,
                path,
                &[("origin", origin), ("content-type", "application/json")],
                text,
            )
            .await;
            assert_eq!(answer.status, 403, "{origin} {path}: {}", answer.text);
            assert_eq!(answer.code(), "origin_not_allowed");
            assert!(
                answer.message().contains("allowed_origins = ["),
                "{}",
                answer.message()
            );
            assert!(!answer.headers.contains_key("access-control-allow-origin"));
        }
    }
    assert!(
        asked(&both.lmstudio.log()).is_empty(),
        "nothing went to an engine"
    );
    for origin in [
        "http://localhost:3000",
        "https://127.0.0.1",
        "vscode-webview://1a2b",
        "app://obsidian.md",
        "tauri://localhost",
        "https://chat.example",
    ] {
        let answer = ask(
            &both.crucible,
            Method::POST,
            "/v1/chat/completions",
            &[("origin", origin), ("content-type", "application/json")],
            &chat,
        )
        .await;
        assert_eq!(answer.status, 200, "{origin}: {}", answer.text);
        assert_eq!(answer.header("access-control-allow-origin"), origin);
        assert!(
            answer
                .header("access-control-expose-headers")
                .contains("x-crucible-engine")
        );
    }
}

#[tokio::test]
async fn a_page_cannot_send_a_simple_post() {
    let both = Both::start().await;
    let chat = body("qwen", "repeat 1").to_string();
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
    ] {
        let answer = ask(
            &both.crucible,
            Method::POST,
            "/v1/chat/completions",
            &[
                ("origin", "http://localhost:3000"),
                ("content-type", content_type),
            ],
            &chat,
        )
        .await;
        assert_eq!(answer.status, 403, "{content_type}: {}", answer.text);
        assert!(
            answer.message().contains("application/json"),
            "{}",
            answer.message()
        );
    }
    assert!(asked(&both.lmstudio.log()).is_empty());
    // curl's default type, without a page behind it.
    let answer = ask(
        &both.crucible,
        Method::POST,
        "/v1/chat/completions",
        &[("content-type", "application/x-www-form-urlencoded")],
        &chat,
    )
    .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

#[tokio::test]
async fn preflights_are_answered_for_allowed_origins_with_and_without_keys() {
    let (_, keyed) = key("laptop", "");
    for toml in ["", keyed.as_str()] {
        let crucible = Crucible::start(toml);
        let preflight = |origin: &'static str| {
            let headers = [
                ("origin", origin),
                ("access-control-request-method", "POST"),
                (
                    "access-control-request-headers",
                    "authorization,content-type,x-stainless-os",
                ),
                ("access-control-request-private-network", "true"),
            ];
            let crucible = &crucible;
            async move {
                ask(
                    crucible,
                    Method::OPTIONS,
                    "/v1/chat/completions",
                    &headers,
                    "",
                )
                .await
            }
        };
        let allowed = preflight("http://localhost:5173").await;
        assert_eq!(allowed.status, 200, "{}", allowed.text);
        assert_eq!(
            allowed.header("access-control-allow-origin"),
            "http://localhost:5173"
        );
        assert!(
            allowed
                .header("access-control-allow-methods")
                .contains("POST")
        );
        for name in ["authorization", "content-type", "x-stainless-os"] {
            assert!(
                allowed
                    .header("access-control-allow-headers")
                    .contains(name),
                "{name}: {:?}",
                allowed.headers
            );
        }
        assert!(
            !allowed
                .headers
                .contains_key("access-control-allow-private-network")
        );
        for origin in ["https://evil.example", "null"] {
            let refused = preflight(origin).await;
            assert_eq!(refused.status, 403, "{}", refused.text);
            for name in refused.headers.keys() {
                assert!(!name.as_str().starts_with("access-control-"), "{name}");
            }
        }
    }
}

#[tokio::test]
async fn keys_open_by_three_headers_and_health_needs_none() {
    let (secret, toml) = key("laptop", "");
    let both = Both::with(&toml, |_| {}, |_| {}).await;
    let crucible = &both.crucible;
    let bearer = format!("Bearer {secret}");
    for (name, value) in [
        ("authorization", bearer.as_str()),
        ("x-api-key", &secret),
        ("api-key", &secret),
    ] {
        let answer = ask(crucible, Method::GET, "/v1/models", &[(name, value)], "").await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.text);
    }
    for headers in [
        &[][..],
        &[("authorization", "Bearer wrong")],
        &[("authorization", "Bearer ")],
        &[("authorization", "Basic Zm9v")],
        &[("x-api-key", "crk-wrong")],
    ] {
        for path in [
            "/v1/models",
            "/metrics",
            "/crucible/state",
            "/",
            "/api/tags",
        ] {
            let answer = ask(crucible, Method::GET, path, headers, "").await;
            assert_eq!(answer.status, 401, "{path} {headers:?}: {}", answer.text);
            assert_eq!(answer.code(), "invalid_api_key");
            assert_eq!(answer.json["error"]["type"], "authentication_error");
            assert!(
                answer.message().contains("x-api-key"),
                "{}",
                answer.message()
            );
            assert!(
                !answer.text.contains("wrong"),
                "the key is not told: {}",
                answer.text
            );
        }
    }
    for (method, path) in [(Method::GET, "/healthz"), (Method::HEAD, "/")] {
        let answer = ask(crucible, method, path, &[], "").await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    }
    ready(crucible).await;
}

#[tokio::test]
async fn a_valid_key_lifts_the_host_rule_and_never_the_origin_rule() {
    let (secret, toml) = key("laptop", "");
    let crucible = Crucible::start(&toml);
    for (head, status) in [
        (
            format!("Host: models.example\r\nx-api-key: {secret}\r\n"),
            200,
        ),
        (
            "Host: models.example\r\nx-api-key: wrong\r\n".to_owned(),
            403,
        ),
        ("Host: models.example\r\n".to_owned(), 403),
        ("Host: localhost\r\nx-api-key: wrong\r\n".to_owned(), 401),
        (
            format!("Host: localhost\r\nOrigin: https://evil.example\r\nx-api-key: {secret}\r\n"),
            403,
        ),
    ] {
        let answer = say(
            &crucible,
            &format!("GET /v1/models HTTP/1.1\r\n{head}Connection: close\r\n\r\n"),
        )
        .await;
        assert_eq!(answer.status(), status, "{head}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_key_over_its_rate_is_told_when_to_come_back() {
    let (secret, toml) = key("laptop", "rate = \"2/min\"");
    let (other, more) = key("desk", "");
    let crucible = Crucible::start(&format!("{toml}\n{more}"));
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let answer = ask(
            &crucible,
            Method::GET,
            "/v1/models",
            &[("x-api-key", &secret)],
            "",
        )
        .await;
        if answer.status == 429 {
            assert_eq!(answer.code(), "rate_limited");
            assert_eq!(answer.json["error"]["type"], "rate_limit_error");
            let seconds: u64 = answer.header("retry-after").parse().expect("seconds");
            assert!((1..=60).contains(&seconds), "{seconds}");
        }
        statuses.push(answer.status);
    }
    assert_eq!(statuses, [200, 200, 429, 429]);
    let answer = ask(
        &crucible,
        Method::GET,
        "/v1/models",
        &[("x-api-key", &other)],
        "",
    )
    .await;
    assert_eq!(answer.status, 200, "another key has its own rate");
}

#[tokio::test]
async fn management_paths_are_closed_in_every_spelling_and_opened_on_purpose() {
    let both = Both::start().await;
    for (method, path) in [
        ("POST", "/api/pull"),
        ("POST", "//api//pull"),
        ("POST", "/v1/api/pull"),
        ("POST", "/v1/v1/api/pull"),
        ("POST", "/api/%2e%2e/api/pull"),
        ("POST", "/x/../api/pull"),
        ("POST", "/api%2Fpull"),
        ("POST", "/api%2fpull"),
        ("POST", "/api/%70ull"),
        ("POST", "/api/pull;a=b"),
        ("POST", "/API/Pull/"),
        ("POST", "/api/pull?x=1"),
        ("DELETE", "/api/delete"),
        ("POST", "/api/create"),
        ("HEAD", "/api/blobs/sha256:12"),
        ("POST", "/api/v1/models/load"),
        ("POST", "/api/v1/models/unload"),
        ("POST", "/models/load"),
        ("GET", "/slots"),
    ] {
        let answer = say(
            &both.crucible,
            &format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
        )
        .await;
        assert_eq!(answer.status(), 403, "{method} {path}: {}", answer.text);
        if method != "HEAD" {
            let error = &json_of(&answer.text)["error"];
            assert_eq!(error["code"], "endpoint_closed", "{path}");
            assert!(
                error["message"]
                    .as_str()
                    .expect("text")
                    .contains("guard.open = [")
            );
        }
    }
    let open = Crucible::start("[guard]\nopen = [\"/api/pull\"]");
    let answer = ask(&open, Method::POST, "/api/pull", &[], "").await;
    assert_ne!(answer.status, 403, "{}", answer.text);
    let answer = ask(&open, Method::POST, "/api/push", &[], "").await;
    assert_eq!(answer.status, 403, "only what was opened is open");
}

#[tokio::test]
async fn the_engines_token_reaches_the_engine_and_the_clients_key_never_does() {
    let mut options = Options::lmstudio(&["qwen=1GB"]);
    options.token = Some("engine-token".into());
    let sim = start(options).await;
    let (secret, toml) = key("laptop", "");
    let crucible = Crucible::start_with(
        &format!(
            "{}api_key_env = \"TEST_ENGINE_TOKEN\"\n{toml}",
            engine("lmstudio", "lmstudio", &sim.url())
        ),
        &[],
        &[("TEST_ENGINE_TOKEN", "engine-token")],
    );
    let bearer = format!("Bearer {secret}");
    let answer = ask(
        &crucible,
        Method::POST,
        "/v1/chat/completions",
        &[
            ("authorization", &bearer),
            ("x-api-key", &secret),
            ("cookie", "session=cookie-secret"),
            ("proxy-authorization", "Basic proxy-secret"),
            ("x-forwarded-for", "203.0.113.9"),
            ("connection", "x-listed"),
            ("x-listed", "hop-secret"),
        ],
        &body("qwen", "repeat 1").to_string(),
    )
    .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let log = until(&sim, "the chat", |log| !asked(log).is_empty()).await;
    for request in &log.requests {
        assert_eq!(
            request.header("authorization"),
            Some("Bearer engine-token"),
            "{request:?}"
        );
        let seen = format!("{:?}", request.headers);
        for private in [
            secret.as_str(),
            "cookie-secret",
            "proxy-secret",
            "203.0.113.9",
            "hop-secret",
        ] {
            assert!(!seen.contains(private), "{private} in {seen}");
        }
        assert_eq!(
            request.header("host"),
            Some(sim.url().trim_start_matches("http://"))
        );
    }
}

#[tokio::test]
async fn keys_in_a_body_that_name_servers_go_nowhere() {
    let canary = start(Options::openai(&["canary"])).await;
    let both = Both::start().await;
    let mut request = body("qwen", "repeat 1");
    for name in [
        "api_base",
        "base_url",
        "api_key",
        "custom_llm_provider",
        "extra_headers",
        "url",
        "host",
    ] {
        request[name] = canary.url().into();
    }
    let answer = post(&both.crucible, &request).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.header("x-crucible-engine"), "lmstudio");
    assert_eq!(canary.log().connections, 0);
}

#[tokio::test]
async fn a_secret_is_in_no_log_metric_error_or_state() {
    const SECRET: &str = "canary7f3a91";
    let (key, toml) = key("laptop", "");
    let both = Both::with(&format!("{toml}\n[log]\nlevel = \"trace\""), |_| {}, |_| {}).await;
    let crucible = &both.crucible;
    let mut seen = String::new();
    let prompts = [
        body("qwen", &format!("repeat 1 {SECRET}")),
        body("llama3.2:3b", &format!("repeat 1 {SECRET}")),
        json!({ "model": "qwen", "messages": SECRET }),
        json!({ "model": "qwen", "messages": [{ "role": SECRET, "content": [{ "type": SECRET }] }] }),
        json!({ "model": "llama3.2:3b", "messages": [{ "role": "user", "content": [{ "type": "file", "file": SECRET }] }] }),
        json!({ "model": "llama3.2:3b", "messages": [{ "role": "user", "content": [{ "type": "image_url", "image_url": { "url": format!("https://h/{SECRET}") } }] }] }),
        json!({ "model": "qwen", "temperature": SECRET, "messages": [] }),
    ];
    for prompt in prompts {
        let answer = ask(
            crucible,
            Method::POST,
            &format!("/v1/chat/completions?key={SECRET}"),
            &[
                ("x-api-key", &key),
                ("x-secret", SECRET),
                ("cookie", SECRET),
                ("user-agent", "test"),
            ],
            &prompt.to_string(),
        )
        .await;
        // An answer may repeat the prompt, an error may not.
        if answer.status != 200 {
            seen.push_str(&answer.text);
        }
        seen.extend(
            answer
                .headers
                .values()
                .filter_map(|value| value.to_str().ok()),
        );
    }
    let broken = format!("{{\"model\": \"qwen\", \"messages\": [\"{SECRET}");
    let answer = ask(
        crucible,
        Method::POST,
        "/v1/chat/completions",
        &[("x-api-key", &key)],
        &broken,
    )
    .await;
    assert_eq!(answer.status, 400);
    seen.push_str(&answer.text);
    let answer = ask(
        crucible,
        Method::GET,
        &format!("/v1/models?token={SECRET}"),
        &[("authorization", &format!("Bearer {SECRET}"))],
        "",
    )
    .await;
    assert_eq!(answer.status, 401);
    seen.push_str(&answer.text);
    for path in ["/metrics", "/crucible/state", "/crucible/tunings"] {
        let answer = ask(crucible, Method::GET, path, &[("x-api-key", &key)], "").await;
        assert_eq!(answer.status, 200, "{path}");
        seen.push_str(&answer.text);
    }
    seen.push_str(&crucible.log());
    assert!(seen.contains("request"), "the log was read");
    for secret in [SECRET, key.as_str()] {
        if let Some(at) = seen.find(secret) {
            let around: String = seen[at.saturating_sub(300)..].chars().take(500).collect();
            panic!("the secret is told: {around}");
        }
    }
}

#[tokio::test]
async fn beyond_loopback_a_key_is_demanded_at_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("crucible.toml");
    std::fs::write(&file, "listen = \"0.0.0.0:0\"\n").expect("written");
    let path = file.display().to_string();
    let (code, _, err) = Crucible::command(&["serve", "--config", &path], "");
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("crucible key new"), "{err}");
    let (_, toml) = key("laptop", "");
    let crucible = Crucible::start(&format!("listen = \"0.0.0.0:0\"\n{toml}"));
    let port = crucible
        .addr()
        .rsplit(':')
        .next()
        .expect("a port")
        .to_owned();
    let answer = talk(
        &format!("127.0.0.1:{port}"),
        b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        QUIET,
    )
    .await;
    assert_eq!(answer.status(), 401, "{}", answer.text);
}

#[tokio::test]
async fn an_odd_request_id_is_replaced_and_a_sane_one_kept() {
    let crucible = Crucible::start("");
    let kept = ask(
        &crucible,
        Method::GET,
        "/healthz",
        &[("x-request-id", "abc-1.2:3")],
        "",
    )
    .await;
    assert_eq!(kept.header("x-request-id"), "abc-1.2:3");
    for odd in ["a b", "\"quoted\"", &"x".repeat(400)] {
        let new = ask(
            &crucible,
            Method::GET,
            "/healthz",
            &[("x-request-id", odd)],
            "",
        )
        .await;
        assert!(
            new.header("x-request-id").starts_with("req_"),
            "{:?}",
            new.headers
        );
    }
    assert!(
        get(&crucible, "/healthz")
            .await
            .header("x-request-id")
            .starts_with("req_")
    );
}
