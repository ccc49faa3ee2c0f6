//! The number of series and the bytes of a scrape, and requests that try to raise them.

use std::fmt::Write as _;

use crucible_sim::Options;
use crucible_tests::{
    Crucible,
    chat::{body, post, post_raw},
    engines::{client, engine, start},
    rest::ready,
};
use futures_util::{StreamExt as _, stream};

use super::{samples, scrape, series};

/// The most series of a scrape with two engines and twenty models.
const MOST_SERIES: usize = 2_500;
/// The most bytes of such a scrape.
const MOST_BYTES: usize = 200_000;
/// Names that are asked for, and paths.
const JUNK: usize = 10_000;

/// Two engines with ten models each, of which every one was asked once.
async fn two_engines() -> (Crucible, impl Send) {
    let names = |prefix: &str| -> Vec<String> {
        (0..10)
            .map(|n| format!("{prefix}-model-with-a-name-{n}"))
            .collect()
    };
    let (small, large) = (names("lmstudio"), names("ollama"));
    let sized = |names: &[String]| -> Vec<String> {
        names.iter().map(|name| format!("{name}=1GB")).collect()
    };
    let (a, b) = (sized(&small), sized(&large));
    let a: Vec<&str> = a.iter().map(String::as_str).collect();
    let b: Vec<&str> = b.iter().map(String::as_str).collect();
    let lmstudio = start(Options::lmstudio(&a)).await;
    let ollama = start(Options::ollama(&b)).await;
    let crucible = Crucible::start(&format!(
        "{}{}",
        engine("lmstudio", "lmstudio", &lmstudio.url()),
        engine("ollama", "ollama", &ollama.url())
    ));
    ready(&crucible).await;
    for model in small.iter().chain(&large) {
        let answer = post(&crucible, &body(model, "repeat 2")).await;
        assert_eq!(answer.status, 200, "{model}: {}", answer.text);
    }
    (crucible, (lmstudio, ollama))
}

/// Bodies and paths that no two of are the same.
fn junk(n: usize) -> (Vec<u8>, String) {
    let mut name = format!("junk-{n}-");
    match n % 6 {
        0 => name.push_str("<script>alert(1)</script>"),
        1 => name.push_str("line\\nbreak \\\" quote \\\\ {a=\\\"b\\\"}"),
        2 => name.push_str(&"x".repeat(512)),
        3 => name.push_str("\\u0000\\ud83d\\ude00"),
        _ => {}
    }
    let mut body = format!(
        r#"{{"model":"{name}","messages":[{{"role":"user","content":"x"}}],"stream":false}}"#
    )
    .into_bytes();
    if n % 6 == 4 {
        // Not UTF-8, within the name.
        body[12] = 0xff;
    }
    let mut path = String::new();
    let _ = write!(path, "/v1/{n}/%3Cb%3E/{}", "y".repeat(n % 50));
    (body, path)
}

// The engines answer their polls beside the clients.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scrape_is_small_and_ten_thousand_names_and_paths_add_nothing() {
    let (crucible, _engines) = two_engines().await;
    // One of each kind, so that the series of their answers exist.
    for n in 0..6 {
        let (body, path) = junk(n);
        post_raw(&crucible, body).await;
        client()
            .get(crucible.at(&path))
            .send()
            .await
            .expect("an answer");
    }
    let before = scrape(&crucible, "text/plain").await;
    let count = series(&before.text);
    assert!(count <= MOST_SERIES, "{count} series");
    assert!(
        before.text.len() <= MOST_BYTES,
        "{} bytes",
        before.text.len()
    );
    let open = scrape(&crucible, super::OPEN).await;
    assert!(open.text.len() <= MOST_BYTES, "{} bytes", open.text.len());
    let http = client();
    let answers = stream::iter(6..JUNK)
        .map(|n| {
            let (body, path) = junk(n);
            let url = crucible.at("/v1/chat/completions");
            let (asked, looked) = (http.post(url).body(body), http.get(crucible.at(&path)));
            async move {
                let asked = asked
                    .header("content-type", "application/json")
                    .send()
                    .await;
                let status = asked.expect("an answer").status();
                assert!(status.is_client_error(), "{n}: {status}");
                let status = looked.send().await.expect("an answer").status();
                assert_eq!(status, 404, "{n}");
            }
        })
        .buffer_unordered(32);
    answers.for_each(|()| async {}).await;
    let after = samples(&crucible).await;
    assert_eq!(after.len(), count);
    assert!(
        !after
            .keys()
            .any(|name| name.contains("junk") || name.contains("/v1"))
    );
    let requests: f64 = after
        .iter()
        .filter(|(name, _)| name.starts_with("crucible_requests_total"))
        .map(|(_, value)| value)
        .sum();
    assert!(requests >= 20_000.0, "{requests}");
}
