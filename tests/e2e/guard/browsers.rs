//! Pages in browsers: whose may ask, what a preflight is told, and who reads an error.

use crucible_tests::{
    Crucible,
    chat::{Whole, body},
    engines::{Both, asked},
};
use reqwest::Method;

use super::{ask, key};

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
async fn a_preflight_is_exactly_this() {
    let crucible = Crucible::start("");
    let headers = [
        ("origin", "http://localhost:5173"),
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "authorization,content-type",
        ),
    ];
    let answer = ask(
        &crucible,
        Method::OPTIONS,
        "/v1/chat/completions",
        &headers,
        "",
    )
    .await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.text, "");
    let mut told: Vec<(&str, &str)> = answer
        .headers
        .keys()
        .map(|name| (name.as_str(), answer.header(name.as_str())))
        .filter(|(name, _)| name.starts_with("access-control-") || *name == "vary")
        .collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [
            ("access-control-allow-headers", "authorization,content-type"),
            ("access-control-allow-methods", "GET,POST"),
            ("access-control-allow-origin", "http://localhost:5173"),
            ("vary", "origin, access-control-request-headers"),
        ]
    );
}

/// A browser gives the answer with its id and its time to come back to this page; to none without one.
fn may_be_read_by(answer: &Whole, origin: Option<&str>) {
    let status = answer.status;
    let mut told = answer
        .headers
        .keys()
        .map(reqwest::header::HeaderName::as_str)
        .filter(|name| name.starts_with("access-control-"));
    let Some(origin) = origin else {
        assert_eq!(told.next(), None, "{status}");
        return;
    };
    assert_eq!(
        answer.header("access-control-allow-origin"),
        origin,
        "{status}"
    );
    let exposed = answer.header("access-control-expose-headers");
    assert!(exposed.contains("retry-after"), "{status}: {exposed:?}");
    assert!(exposed.contains("x-request-id"), "{status}: {exposed:?}");
}

#[tokio::test]
async fn an_allowed_page_reads_why_it_was_refused_and_a_foreign_one_does_not() {
    let (secret, toml) = key("laptop", "rate = \"7/min\"");
    let both = Both::with(&toml, |_| {}, |_| {}).await;
    let json = ("content-type", "application/json");
    let right = ("x-api-key", secret.as_str());
    let unknown = body("nope", "hi").to_string();
    let chat = body("qwen", "hi").to_string();
    let post = async |headers: &[(&str, &str)], text: &str| {
        let path = "/v1/chat/completions";
        ask(&both.crucible, Method::POST, path, headers, text).await
    };
    let pull = async |headers: &[(&str, &str)]| {
        ask(&both.crucible, Method::POST, "/api/pull", headers, "{}").await
    };
    let get = async |headers: &[(&str, &str)], path: &str| {
        ask(&both.crucible, Method::GET, path, headers, "").await
    };
    for (origin, allowed) in [
        ("http://localhost:5173", true),
        ("https://evil.example", false),
    ] {
        let page = ("origin", origin);
        let answers = [
            (401, post(&[page, json], &chat).await),
            (401, get(&[page, ("x-api-key", "crk-wrong")], "/nope").await),
            (
                403,
                post(&[page, right, ("content-type", "text/plain")], &chat).await,
            ),
            (403, pull(&[page, right, json]).await),
            (404, post(&[page, right, json], &unknown).await),
            (404, get(&[page, right], "/nope").await),
            (405, get(&[page, right], "/v1/chat/completions").await),
        ];
        for (status, answer) in answers {
            let status = if allowed { status } else { 403 };
            assert_eq!(answer.status, status, "{origin}: {}", answer.text);
            may_be_read_by(&answer, allowed.then_some(origin));
        }
    }
    let page = ("origin", "http://localhost:5173");
    let mut limited = None;
    for _ in 0..8 {
        let answer = get(&[page, right], "/v1/models").await;
        if answer.status == 429 {
            limited = Some(answer);
            break;
        }
    }
    let limited = limited.expect("more than the rate");
    assert_eq!(limited.code(), "rate_limited", "{}", limited.text);
    assert_eq!(limited.header("access-control-allow-origin"), page.1);
    // Without an origin there is nothing to say to a browser.
    let plain = get(&[], "/v1/models").await;
    assert_eq!(plain.status, 401);
    assert!(!plain.headers.contains_key("vary"), "{:?}", plain.headers);
}
