//! Who may use the inspector: programs on the machine itself, with a key where there are keys, and no page of others.

use std::net::UdpSocket;

use crucible_sim::Options;
use crucible_tests::{
    Crucible,
    chat::{Whole, body, get, post, whole},
    engines::{client, engine, start},
    rest::{eventually, ready},
};
use http::Method;
use serde_json::json;

use super::{ended, list, on, one, shown, switch};

/// Asks each path of the inspector with these headers.
async fn every(base: &str, headers: &[(&str, &str)]) -> Vec<Whole> {
    let mut answers = Vec::new();
    for (method, path) in [
        (Method::GET, "/crucible/inspect"),
        (Method::POST, "/crucible/inspect"),
        (Method::DELETE, "/crucible/inspect"),
        (Method::GET, "/crucible/inspect/last"),
    ] {
        let mut request = client().request(method, format!("{base}{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.json(&json!({ "minutes": 1 }));
        answers.push(whole(request.send().await.expect("an answer")).await);
    }
    answers
}

#[tokio::test]
async fn forwarded_requests_and_pages_of_others_are_refused() {
    let (_sim, crucible) = one().await;
    on(&crucible).await;
    let base = crucible.url();
    for (header, code) in [
        (("x-forwarded-for", "127.0.0.1"), "endpoint_closed"),
        (("forwarded", "for=127.0.0.1"), "endpoint_closed"),
        (("via", "1.1 proxy"), "endpoint_closed"),
        (("x-real-ip", "127.0.0.1"), "endpoint_closed"),
        (("x-client-ip", "127.0.0.1"), "endpoint_closed"),
        (("x-original-forwarded-for", "::1"), "endpoint_closed"),
        (("x-forwarded-port", "443"), "endpoint_closed"),
        (("tailscale-user-login", "me@x"), "endpoint_closed"),
        // The name of a page that was made to lead here.
        (("host", "x.local:18500"), "endpoint_closed"),
        (("host", "crucible.internal"), "endpoint_closed"),
        (("host", "192.168.1.2"), "endpoint_closed"),
        (("origin", "http://localhost:3000"), "origin_not_allowed"),
        (("origin", "vscode-webview://abc"), "origin_not_allowed"),
        (("origin", "http://evil.example"), "origin_not_allowed"),
        (("sec-fetch-site", "same-site"), "origin_not_allowed"),
    ] {
        for answer in every(base, &[header]).await {
            assert_eq!(
                (answer.status, answer.code()),
                (403, code),
                "{header:?}: {}",
                answer.text
            );
        }
    }
    // Nobody of them changed anything.
    assert!(list(&crucible).await.remaining_s > Some(500.0));
    let own = every(base, &[("origin", base), ("sec-fetch-site", "same-origin")]).await;
    assert_eq!(own[0].status, 200, "{}", own[0].text);
}

#[tokio::test]
async fn the_command_to_copy_asks_crucible_whatever_host_the_client_named_and_has_no_secret_of_its_query()
 {
    let (_sim, crucible) = one().await;
    on(&crucible).await;
    let request = client()
        .post(crucible.at("/v1/chat/completions?sk-SECRET&beta=true&model=sk-SECRET&c2VjcmV0=="))
        .header("host", "evil.local")
        .json(&body("one", "repeat 1"));
    assert_eq!(request.send().await.expect("an answer").status(), 200);
    ended(&crucible, 1).await;
    let said = get(&crucible, "/crucible/inspect/%231").await;
    assert!(!said.text.contains("SECRET") && !said.text.contains("c2VjcmV0"));
    assert_eq!(
        said.json["asked"],
        "POST /v1/chat/completions?...&beta=true&model=...&..."
    );
    let command = said.json["curl"].as_str().expect("a command");
    let address = format!(
        "curl -N '{}'",
        crucible.at("/v1/chat/completions?beta=true")
    );
    assert!(command.starts_with(&address), "{command}");
    assert!(!command.contains("evil"), "{command}");
    let note = said.json["curl_note"].as_str().expect("a note");
    assert!(note.contains("query"), "{note}");
}

#[tokio::test]
async fn of_a_body_that_was_not_read_there_is_no_command_and_of_one_that_is_no_text_there_are_the_bytes()
 {
    let (_sim, crucible) = one().await;
    on(&crucible).await;
    let refused = client()
        .put(crucible.at("/v1/chat/completions"))
        .json(&body("one", "repeat 1"));
    assert_eq!(refused.send().await.expect("an answer").status(), 405);
    let odd = client()
        .post(crucible.at("/v1/chat/completions"))
        .header("content-type", "application/json")
        .body(&b"{\"model\": \"\xff\"}"[..]);
    assert_eq!(odd.send().await.expect("an answer").status(), 400);
    ended(&crucible, 2).await;
    let unread = shown(&crucible, "#1").await;
    assert_eq!((unread.received, unread.curl), (None, None));
    let note = unread.curl_note.expect("a note");
    assert!(note.starts_with("no body was read"), "{note}");
    let odd = shown(&crucible, "#2").await;
    let received = odd.received.expect("a body");
    assert_eq!(received.base64.as_deref(), Some("eyJtb2RlbCI6ICL/In0="));
    let note = odd.curl_note.expect("a note");
    assert!(note.contains("UTF-8"), "{note}");
}

#[tokio::test]
async fn only_a_loopback_peer_is_answered_whatever_it_says() {
    // The address of the machine in its network, which is asked for nothing.
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    socket
        .connect("192.0.2.1:9")
        .expect("a route out of the machine");
    let own = socket.local_addr().expect("an address").ip();
    assert!(!own.is_loopback());
    let sim = start(Options::lmstudio(&["one=1GB"])).await;
    let crucible = Crucible::start(&format!(
        "listen = \"0.0.0.0:0\"\nallow_unauthenticated = true\n{}",
        engine("gpu", "lmstudio", &sim.url())
    ));
    let port = crucible.addr().rsplit(':').next().expect("a port");
    let (far, near) = (
        format!("http://{own}:{port}"),
        format!("http://127.0.0.1:{port}"),
    );
    assert_eq!(
        client()
            .get(format!("{far}/healthz"))
            .send()
            .await
            .expect("an answer")
            .status(),
        200
    );
    for headers in [
        &[][..],
        &[("x-forwarded-for", "127.0.0.1")],
        &[("host", "127.0.0.1")],
    ] {
        for answer in every(&far, headers).await {
            assert_eq!(
                (answer.status, answer.code()),
                (403, "endpoint_closed"),
                "{}",
                answer.text
            );
        }
    }
    let answers = every(&near, &[]).await;
    assert_eq!(answers[1].status, 200, "{}", answers[1].text);
}

#[tokio::test]
async fn with_keys_it_needs_one_and_requests_without_one_are_not_kept() {
    let sim = start(Options::lmstudio(&["one=1GB"])).await;
    let (_, minted, _) = Crucible::command(&["key", "new"], "");
    let secret = minted
        .split_whitespace()
        .find(|word| word.starts_with("crk-"))
        .expect("a secret");
    let block = &minted[minted.find("[[key]]").expect("a block")..];
    let crucible = Crucible::start(&format!("{block}{}", engine("gpu", "lmstudio", &sim.url())));
    for answer in every(crucible.url(), &[]).await {
        assert_eq!(
            (answer.status, answer.code()),
            (401, "invalid_api_key"),
            "{}",
            answer.text
        );
    }
    let on = client()
        .post(crucible.at("/crucible/inspect"))
        .bearer_auth(secret)
        .json(&json!({ "minutes": 5 }));
    assert_eq!(on.send().await.expect("an answer").status(), 200);
    assert_eq!(
        post(&crucible, &body("one", "of a stranger")).await.status,
        401
    );
    let asked = client()
        .post(crucible.at("/v1/chat/completions?key=secret-query"))
        .header("x-api-key", secret);
    let asked = asked
        .header("cookie", "session=secret-cookie")
        .json(&body("one", "repeat 1"));
    assert_eq!(asked.send().await.expect("an answer").status(), 200);
    let shown = eventually("it has ended", || async {
        let read = client()
            .get(crucible.at("/crucible/inspect/last"))
            .bearer_auth(secret);
        let shown = whole(read.send().await.expect("an answer")).await;
        (shown.status == 200 && !shown.json["ended"].is_null()).then_some(shown)
    })
    .await;
    for hidden in [secret, "secret-cookie", "secret-query", "of a stranger"] {
        assert!(!shown.text.contains(hidden), "{hidden}: {}", shown.text);
    }
    assert!(
        shown.text.contains("x-api-key: $CRUCIBLE_API_KEY"),
        "{}",
        shown.text
    );
    let read = client()
        .get(crucible.at("/crucible/inspect"))
        .bearer_auth(secret);
    let kept = whole(read.send().await.expect("an answer")).await;
    assert_eq!(
        kept.json["requests"].as_array().map(Vec::len),
        Some(1),
        "{}",
        kept.text
    );
}

#[tokio::test]
async fn the_second_listener_has_none_of_it() {
    let sim = start(Options::lmstudio(&["one=1GB"])).await;
    let crucible = Crucible::start(&format!(
        "metrics_listen = \"127.0.0.1:0\"\n{}",
        engine("gpu", "lmstudio", &sim.url())
    ));
    ready(&crucible).await;
    let metrics = crucible
        .metrics_url()
        .expect("a second listener")
        .to_owned();
    for answer in every(&metrics, &[]).await {
        assert_eq!(
            (answer.status, answer.code()),
            (404, "unknown_endpoint"),
            "{}",
            answer.text
        );
    }
}

#[tokio::test]
async fn wrong_switches_are_told() {
    let (_sim, crucible) = one().await;
    for (minutes, message) in [
        (61.0, "minutes must be between 0 and 60"),
        (-1.0, "minutes must be"),
    ] {
        let said = switch(&crucible, minutes).await;
        assert_eq!(
            (said.status, said.code()),
            (400, "unsupported_value"),
            "{}",
            said.text
        );
        assert!(said.message().contains(message), "{}", said.text);
    }
    for body in [
        "",
        "{}",
        "{\"minutes\": \"ten\"}",
        "{\"minutes\": 1, \"seconds\": 2}",
        "[]",
        "[5]",
    ] {
        let request = client().post(crucible.at("/crucible/inspect")).body(body);
        let said = whole(request.send().await.expect("an answer")).await;
        assert_eq!(
            (said.status, said.code()),
            (400, "invalid_json"),
            "{body}: {}",
            said.text
        );
        assert!(
            said.message().contains("{\"minutes\": 10}"),
            "{}",
            said.text
        );
    }
}

#[tokio::test]
async fn a_request_that_is_not_kept_is_told_with_the_reason() {
    let (_sim, crucible) = one().await;
    let off = get(&crucible, "/crucible/inspect/last").await;
    assert_eq!(off.status, 404);
    assert!(off.message().contains("is off"), "{}", off.text);
    on(&crucible).await;
    let none = get(&crucible, "/crucible/inspect/last").await;
    assert!(
        none.message().contains("no request has come yet"),
        "{}",
        none.text
    );
    assert_eq!(post(&crucible, &body("one", "repeat 1")).await.status, 200);
    ended(&crucible, 1).await;
    let other = get(&crucible, "/crucible/inspect/req_other").await;
    assert!(
        other.message().contains("named 'req_other'"),
        "{}",
        other.text
    );
}
