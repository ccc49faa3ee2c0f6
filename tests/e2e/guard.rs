//! Who may ask: Host, Origin, keys, rates, closed paths; and that no secret leaves.

mod browsers;
mod keys;
mod opened;
mod paths;

use std::time::Duration;

use crucible_tests::{
    Crucible,
    chat::{Whole, get, whole},
    engines::{Both, client},
    raw::{Answer, talk},
    rest::{at_rest, json_of},
};
use reqwest::Method;

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
async fn no_host_or_two_or_what_is_none_close_the_connection() {
    let crucible = Crucible::start("");
    for head in [
        "",
        "Host: localhost\r\nHost: localhost\r\n",
        "Host: localhost\r\nhost: evil.example\r\n",
        "Host: user@localhost\r\n",
        "Host: localhost:eighty\r\n",
        "Host: [::1].evil\r\n",
        "Host: 127.0.0.1, evil.example\r\n",
        "Host: *.local\r\n",
        "Host: b\u{fc}cher.local\r\n",
        "Host: a..local\r\n",
        "Host: .local\r\n",
        "Host: local host\r\n",
        "Host: \"localhost\"\r\n",
        "Host: localhost/\r\n",
        "Host: localhost#x\r\n",
        "Host: localhost;x\r\n",
        "Host: loc%61lhost\r\n",
        "Host: 127.0.0.1:99999\r\n",
        "Host: 127.0.0.1:80:80\r\n",
        "Host: ::1\r\n",
        "Host: [::1\r\n",
        "Host: [v1.fe]\r\n",
        "Host: http://localhost\r\n",
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
        ("http://user@evil.example/healthz", "localhost", 400),
        // However the path is spelt.
        ("http://evil.example//healthz", "localhost", 403),
        ("http://evil.example/healthz/", "localhost", 403),
        ("http://evil.example", "localhost", 403),
        ("http://evil.example/v1/v1/models", "localhost", 403),
        ("https://localhost//healthz", "localhost", 200),
        ("http://localhost", "localhost", 200),
        ("http://localhost/healthz", "user@localhost", 400),
        ("http://localhost:99999/healthz", "localhost", 400),
        ("http:///healthz", "localhost", 400),
        ("ftp://localhost/healthz", "localhost", 400),
        ("healthz", "localhost", 400),
        ("localhost", "localhost", 400),
        ("localhost:80", "localhost", 400),
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
