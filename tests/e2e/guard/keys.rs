//! Keys: where they are read, what they lift, their rate, and that none leaves.

use crucible_sim::Options;
use crucible_tests::{
    Crucible,
    chat::body,
    engines::{Both, asked, engine, start, until},
    raw::talk,
    rest::ready,
};
use reqwest::Method;
use serde_json::json;

use super::{QUIET, ask, key, say};

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
            if path == "/api/tags" {
                assert!(answer.json["error"].is_string(), "{}", answer.text);
            } else {
                assert_eq!(answer.code(), "invalid_api_key");
                assert_eq!(answer.json["error"]["type"], "authentication_error");
            }
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

/// What a broken body, a wrong key and the pages of Crucible itself are answered with.
async fn told_elsewhere(crucible: &Crucible, key: &str, secret: &str) -> String {
    let mut seen = String::new();
    let broken = format!("{{\"model\": \"qwen\", \"messages\": [\"{secret}");
    let answer = ask(
        crucible,
        Method::POST,
        "/v1/chat/completions",
        &[("x-api-key", key)],
        &broken,
    )
    .await;
    assert_eq!(answer.status, 400);
    seen.push_str(&answer.text);
    let answer = ask(
        crucible,
        Method::GET,
        &format!("/v1/models?token={secret}"),
        &[("authorization", &format!("Bearer {secret}"))],
        "",
    )
    .await;
    assert_eq!(answer.status, 401);
    seen.push_str(&answer.text);
    for path in ["/metrics", "/crucible/state", "/crucible/tunings"] {
        let answer = ask(crucible, Method::GET, path, &[("x-api-key", key)], "").await;
        assert_eq!(answer.status, 200, "{path}");
        seen.push_str(&answer.text);
    }
    seen
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
    seen.push_str(&told_elsewhere(crucible, &key, SECRET).await);
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
