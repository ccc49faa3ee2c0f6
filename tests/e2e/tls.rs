//! Engines behind TLS: whom Crucible trusts, what it says where it does not, and that nothing else
//! changes.

use crucible_sim::{Fault, FaultKind, Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{body, get, open, post, stream, whole},
    clean::Metrics,
    engines::{client, engine, start, until},
    rest::{eventually, logged, ready},
    scripted::{Script, Scripted},
    tls::{Authority, TlsFront, Validity},
};
use futures_util::StreamExt as _;
use serde_json::json;

/// An engine behind TLS, and Crucible before both.
struct Secured {
    sim: Sim,
    front: TlsFront,
    authority: Authority,
    crucible: Crucible,
}

// === impl Secured ===

impl Secured {
    /// With a certificate for 127.0.0.1 that is valid and trusted.
    async fn start(kind: &str, options: Options, toml: &str) -> Self {
        let authority = Authority::new("a private authority");
        let sim = start(options).await;
        let server = authority.server("127.0.0.1", Validity::Now);
        let front = TlsFront::start(server, &sim.url()).await;
        let block = engine("e", kind, &front.url());
        let crucible = Crucible::start(&format!("{block}{}{toml}", authority.line()));
        ready(&crucible).await;
        Self {
            sim,
            front,
            authority,
            crucible,
        }
    }
}

/// An LM Studio, an Ollama and a plain server with one model each.
fn kinds() -> [(&'static str, Options, &'static str); 3] {
    [
        ("lmstudio", Options::lmstudio(&["qwen=2GB"]), "qwen"),
        ("ollama", Options::ollama(&["llama=1GB"]), "llama"),
        ("openai", Options::openai(&["plain=1GB"]), "plain"),
    ]
}

/// What the state says of the only engine, once it has been asked.
async fn error_of_the_engine(crucible: &Crucible) -> String {
    eventually("a poll", || async {
        let state = get(crucible, "/crucible/state").await.json;
        let error = state["engines"][0]["error"].as_str();
        error.map(str::to_owned)
    })
    .await
}

#[tokio::test]
async fn an_engine_of_a_private_authority_is_used_like_any_other() {
    for (kind, options, model) in kinds() {
        let secured = Secured::start(kind, options, "").await;
        let crucible = &secured.crucible;
        // The list, a load where there is one, an answer as a whole and one in pieces.
        let models = get(crucible, "/v1/models").await.text;
        assert!(models.contains(model), "{kind}: {models}");
        let answer = post(crucible, &body(model, "repeat 3")).await;
        assert_eq!(
            answer.content(),
            "word0 word1 word2",
            "{kind}: {}",
            answer.text
        );
        let (_, events) = stream(crucible, &body(model, "repeat 3")).await;
        assert!(events.done, "{kind}: {}", events.text);
        assert_eq!(events.content(), "word0 word1 word2", "{kind}");
        let state = get(crucible, "/crucible/state").await.json;
        assert_eq!(state["engines"][0]["state"], "up", "{kind}: {state}");
        assert_eq!(state["engines"][0]["url"], secured.front.url(), "{kind}");
    }
}

#[tokio::test]
async fn a_model_is_loaded_and_unloaded_through_tls() {
    let options = Options::lmstudio(&["qwen=2GB", "other=2GB"]);
    let toml = "[tuning.lmstudio]\nmax_loaded_models = 1\n";
    let secured = Secured::start("lmstudio", options, toml).await;
    for model in ["qwen", "other"] {
        let answer = post(&secured.crucible, &body(model, "repeat 1")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    let log = secured.sim.log();
    let asked = |path: &str| log.requests.iter().filter(|r| r.path == path).count();
    assert_eq!(asked("/api/v1/models/load"), 2);
    assert_eq!(asked("/api/v1/models/unload"), 1);
}

#[tokio::test]
async fn lm_studios_websocket_goes_through_tls() {
    let options = Options::lmstudio(&["qwen=2GB"]);
    let secured = Secured::start("lmstudio", options, "websocket = true\n").await;
    let answer = post(&secured.crucible, &body("qwen", "repeat 1")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let log = secured.sim.log();
    let rest = log.requests.iter().any(|r| r.path == "/api/v1/models/load");
    assert!(!rest, "loaded over REST: {}", secured.crucible.log());
    let report = get(&secured.crucible, "/crucible/tunings").await.json;
    assert_eq!(report["tunings"][1]["state"], "in_effect", "{report}");
}

#[tokio::test]
async fn a_management_path_that_is_opened_goes_through_tls() {
    let authority = Authority::new("one");
    let ollama = Scripted::start(|path| match path {
        "/api/tags" | "/api/ps" => Script::json("200 OK", "", r#"{"models": []}"#),
        "/api/version" => Script::json("200 OK", "", r#"{"version": "0.33.0"}"#),
        _ => Script::json("200 OK", "", r#"{"status": "success"}"#),
    })
    .await;
    let server = authority.server("127.0.0.1", Validity::Now);
    let front = TlsFront::start(server, &ollama.url()).await;
    let crucible = Crucible::start(&format!(
        "[guard]\nopen = [\"/api/pull\"]\n{}{}",
        engine("e", "ollama", &front.url()),
        authority.line()
    ));
    let sent = client()
        .post(crucible.at("/api/pull"))
        .body("{\"model\": \"x\"}");
    let answer = whole(sent.send().await.expect("an answer")).await;
    assert_eq!(
        (answer.status, &answer.json["status"]),
        (200, &json!("success")),
        "{}",
        answer.text
    );
    assert_eq!(ollama.asked("/api/pull")[0].body, "{\"model\": \"x\"}");
}

/// What is wrong with a certificate, and words of what Crucible says.
#[tokio::test]
async fn a_certificate_that_is_not_accepted_is_told_in_words() {
    let (authority, other) = (Authority::new("one"), Authority::new("another"));
    for (server, line, words) in [
        (
            authority.server("127.0.0.1", Validity::Now),
            String::new(),
            &["signed by an authority that is not trusted", "`ca_file`"][..],
        ),
        (
            authority.server("127.0.0.1", Validity::Now),
            other.line(),
            &["signed by an authority that is not trusted", "`ca_file`"],
        ),
        (
            authority.server("127.0.0.1", Validity::Expired),
            authority.line(),
            &["certificate expired", "days ago", "renew it"],
        ),
        (
            authority.server("127.0.0.1", Validity::Later),
            authority.line(),
            &["certificate is valid only", "days from now", "clock"],
        ),
        (
            authority.server("gpu.lan", Validity::Now),
            authority.line(),
            &["certificate is for gpu.lan and not for 127.0.0.1", "`url`"],
        ),
    ] {
        let sim = start(Options::openai(&["plain=1GB"])).await;
        let front = TlsFront::start(server, &sim.url()).await;
        let block = engine("e", "openai", &front.url());
        let crucible = Crucible::start(&format!(
            "{block}{line}[[model]]\nname = \"plain\"\nengine = \"e\"\n"
        ));
        let error = error_of_the_engine(&crucible).await;
        let answer = post(&crucible, &body("e/plain", "repeat 1")).await;
        assert!((500..600).contains(&answer.status), "{}", answer.text);
        let (code, doctor, _) = crucible.beside(&["doctor"]).await;
        assert_eq!(code, 1, "{doctor}");
        let (code, _, check) = crucible.beside(&["check"]).await;
        assert_eq!(code, 2, "{check}");
        for word in words {
            assert!(error.contains(word), "no {word:?} in: {error}");
            assert!(doctor.contains(word), "no {word:?} in: {doctor}");
            assert!(check.contains(word), "no {word:?} in: {check}");
            logged(&crucible, word).await;
        }
        assert!(sim.log().requests.is_empty(), "it was asked");
    }
}

/// An engine whose certificate runs out while it is up fails at the next request.
#[tokio::test]
async fn a_request_that_meets_a_refused_certificate_is_told_so() {
    let authority = Authority::new("one");
    let sim = start(Options::openai(&["plain=1GB"])).await;
    let server = authority.server("127.0.0.1", Validity::Now);
    let front = TlsFront::start(server, &sim.url()).await;
    let block = engine("e", "openai", &front.url());
    let crucible = Crucible::start(&format!("{block}{}", authority.line()));
    ready(&crucible).await;
    // What listens there next has another certificate.
    front.renew(authority.server("127.0.0.1", Validity::Expired));
    front.cut();
    let before = Metrics::of(&crucible).await;
    let answer = post(&crucible, &body("plain", "repeat 1")).await;
    assert_eq!(answer.status, 502, "{}", answer.text);
    assert_eq!(answer.code(), "engine_unreachable", "{}", answer.text);
    assert!(
        answer.message().contains("certificate expired"),
        "{}",
        answer.text
    );
    let after = Metrics::of(&crucible).await;
    let failures =
        |metrics: &Metrics| metrics.sum("crucible_upstream_errors_total", &[("kind", "connect")]);
    assert!(
        failures(&after) > failures(&before),
        "{}",
        after.family("crucible_upstream_errors_total")
    );
}

#[tokio::test]
async fn a_server_without_tls_is_told_from_one_that_is_not_trusted() {
    let sim = start(Options::openai(&["plain=1GB"])).await;
    let url = sim.url().replace("http://", "https://");
    let crucible = Crucible::start(&engine("e", "openai", &url));
    let error = error_of_the_engine(&crucible).await;
    assert!(error.contains("does not speak TLS"), "{error}");
    assert!(error.contains("http://"), "{error}");
}

#[tokio::test]
async fn a_client_that_leaves_mid_stream_cancels_through_tls() {
    let mut options = Options::openai(&["plain=1GB"]);
    options.rate = 50;
    let secured = Secured::start("openai", options, "").await;
    let response = open(&secured.crucible, &body("plain", "repeat 100000")).await;
    assert_eq!(response.status(), 200);
    let mut events = response.bytes_stream();
    for _ in 0..3 {
        events.next().await.expect("an event").expect("bytes");
    }
    drop(events);
    let log = until(&secured.sim, "the disconnect", |log| {
        log.disconnects.len() == 1
    })
    .await;
    assert!(log.disconnects[0].tokens < 100_000, "{:?}", log.disconnects);
}

#[tokio::test]
async fn a_cut_mid_stream_through_tls_is_an_error_and_no_success() {
    let mut options = Options::openai(&["plain=1GB"]);
    options.rate = 50;
    let secured = Secured::start("openai", options, "").await;
    let response = open(&secured.crucible, &body("plain", "repeat 100000")).await;
    assert_eq!(response.status(), 200);
    let mut pieces = response.bytes_stream();
    let mut text = pieces
        .next()
        .await
        .expect("an event")
        .expect("bytes")
        .to_vec();
    secured.front.cut();
    while let Some(piece) = pieces.next().await {
        text.extend_from_slice(&piece.expect("the body ends properly"));
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(text.contains("\"engine_cut\""), "{text}");
    assert!(!text.contains("[DONE]"), "{text}");
}

/// A cut whose TCP connection ends properly, in the middle of the engine's answer.
#[tokio::test]
async fn an_answer_that_ends_too_soon_is_no_success_through_tls() {
    let secured = Secured::start("openai", Options::openai(&["plain=1GB"]), "").await;
    for streamed in [true, false] {
        secured.sim.arm(Fault::new(FaultKind::Cut));
        if streamed {
            let (_, events) = stream(&secured.crucible, &body("plain", "repeat 9")).await;
            assert!(!events.done, "{}", events.text);
            assert!(events.text.contains("engine_cut"), "{}", events.text);
        } else {
            let answer = post(&secured.crucible, &body("plain", "repeat 9")).await;
            assert_eq!(answer.status, 502, "{}", answer.text);
        }
    }
    let answer = post(&secured.crucible, &body("plain", "repeat 1")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

/// An authority is exchanged in its file, and the configuration is read again.
#[cfg(unix)]
#[tokio::test]
async fn a_renewed_ca_file_counts_from_the_next_reload() {
    let secured = Secured::start("openai", Options::openai(&["plain=1GB"]), "").await;
    let next = Authority::new("the next one");
    let ask = async || {
        post(&secured.crucible, &body("plain", "repeat 1"))
            .await
            .status
    };
    assert_eq!(ask().await, 200);
    secured.front.renew(next.server("127.0.0.1", Validity::Now));
    secured.front.cut();
    assert_ne!(ask().await, 200);
    std::fs::write(secured.authority.file(), next.pem()).expect("written");
    secured.crucible.signal("HUP");
    eventually("an answer", || async { (ask().await == 200).then_some(()) }).await;
    // A file that is none is refused, and what was there stays.
    std::fs::write(secured.authority.file(), "nothing").expect("written");
    secured.crucible.signal("HUP");
    eventually("a refusal", || async {
        let log = secured.crucible.log();
        (log.contains("engine[0].ca_file") && log.contains("no certificate in it")).then_some(())
    })
    .await;
    assert_eq!(ask().await, 200);
}

#[test]
fn a_ca_file_that_is_none_is_refused_at_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let authority = Authority::new("one");
    let good = write("good.pem", &authority.pem());
    let cut = authority.pem().replace("-----END", "AAAA\n-----END");
    let broken = write("broken.pem", &cut);
    let empty = write("empty.pem", "# no certificate yet\n");
    let absent = folder.path().join("absent.pem").display().to_string();
    let directory = folder.path().display().to_string();
    for (url, ca_file, code, words) in [
        ("https://127.0.0.1:1", &good, 0, &[][..]),
        (
            "https://127.0.0.1:1",
            &absent,
            2,
            &["absent.pem, which is not there", "correct the path"],
        ),
        (
            "https://127.0.0.1:1",
            &empty,
            2,
            &["no certificate in it", "BEGIN CERTIFICATE"],
        ),
        (
            "https://127.0.0.1:1",
            &broken,
            2,
            &["with a certificate that cannot be read"],
        ),
        ("https://127.0.0.1:1", &directory, 2, &["it is no file"]),
        (
            "http://127.0.0.1:1",
            &good,
            2,
            &["a ca_file for an engine at http://", "https://"],
        ),
    ] {
        let block = engine("e", "openai", url);
        let file = write(
            "crucible.toml",
            &format!("listen = \"127.0.0.1:0\"\n{block}ca_file = {ca_file:?}\n"),
        );
        let args = ["config", "show", "--config", &file];
        let (found, out, err) = Crucible::command(&args, "");
        let all = format!("{out}{err}");
        let warned = url.starts_with("http://");
        assert_eq!(found, if warned { 0 } else { code }, "{ca_file}: {all}");
        let check = Crucible::command(&["check", "--config", &file], "");
        let all = format!("{all}{}{}", check.1, check.2);
        for word in words {
            assert!(all.contains(word), "{ca_file}: no {word:?} in {all}");
        }
        if code != 0 {
            assert!(all.contains("engine[0].ca_file"), "{all}");
        }
    }
}
