//! What Crucible tells about itself: health, state, explain, metrics, the second listener.

mod explain;

use std::{collections::BTreeSet, time::Duration};

use crucible_sim::Options;
use crucible_tests::{
    Crucible, binary,
    chat::{Whole, body, get, open, post, whole},
    clean::Metrics,
    engines::{Both, asked, client, engine, start},
    rest::{at_rest, eventually, ready, sample},
};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

#[tokio::test]
async fn alive_at_once_and_ready_when_an_engine_is_up() {
    let crucible = Crucible::start(&engine("gone", "ollama", "http://127.0.0.1:1"));
    assert_eq!(get(&crucible, "/healthz").await.status, 200);
    let answer = eventually("the failed first poll", || async {
        let answer = get(&crucible, "/readyz").await;
        assert_eq!(answer.status, 503, "{}", answer.text);
        (answer.json["reason"] == "no engine is up").then_some(answer)
    })
    .await;
    assert_eq!(answer.json["status"], "not_ready");
    let both = Both::start().await;
    ready(&both.crucible).await;
    let answer = get(&both.crucible, "/readyz").await;
    assert_eq!(answer.json["status"], "ready", "{}", answer.text);
}

#[tokio::test]
async fn not_ready_before_every_engine_has_told() {
    // It takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("an address"));
    let sim = start(Options::lmstudio(&["qwen=1GB"])).await;
    let crucible = Crucible::start(&format!(
        "{}{}",
        engine("lmstudio", "lmstudio", &sim.url()),
        engine("ollama", "ollama", &url)
    ));
    let answer = get(&crucible, "/readyz").await;
    assert_eq!(answer.status, 503, "{}", answer.text);
    assert!(
        answer.json["reason"]
            .as_str()
            .is_some_and(|r| r.contains("first poll"))
    );
    // The one engine that is up answers all the same.
    let answer = post(&crucible, &body("qwen", "repeat 1")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    ready(&crucible).await;
}

#[tokio::test]
async fn the_state_has_its_shape_and_follows_a_request() {
    let both = Both::with("", |lmstudio| lmstudio.rate = 20, |_| {}).await;
    ready(&both.crucible).await;
    let state = get(&both.crucible, "/crucible/state").await.json;
    for key in ["engines", "pools", "queue", "in_flight"] {
        assert!(state[key].is_array(), "{key}: {state}");
    }
    let engines = state["engines"].as_array().expect("a list");
    assert_eq!(engines.len(), 2);
    for engine in engines {
        for key in [
            "name", "kind", "device", "pool", "url", "state", "version", "models", "permits",
            "queue",
        ] {
            assert!(engine.get(key).is_some(), "{key}: {engine}");
        }
        assert_eq!(engine["state"], "up", "{engine}");
    }
    let ollama = engines
        .iter()
        .find(|e| e["name"] == "ollama")
        .expect("it is there");
    assert_eq!(ollama["version"], "0.33.0-rc2", "{ollama}");
    for pool in state["pools"].as_array().expect("a list") {
        for key in [
            "name",
            "budget_bytes",
            "used_bytes",
            "peak_bytes",
            "loading",
            "residents",
        ] {
            assert!(pool.get(key).is_some(), "{key}: {pool}");
        }
    }
    let mut stream = open(&both.crucible, &body("qwen", "repeat 200")).await;
    assert!(stream.chunk().await.expect("a chunk").is_some());
    let flight = eventually("the stream in the state", || async {
        let state = get(&both.crucible, "/crucible/state").await.json;
        let flight = state["in_flight"].get(0)?.clone();
        (flight["tokens"].as_u64()? > 0).then_some(flight)
    })
    .await;
    assert_eq!(flight["engine"], "lmstudio", "{flight}");
    assert_eq!(flight["model"], "qwen");
    assert_eq!(flight["phase"], "stream");
    assert!(
        flight["since_s"].is_f64()
            && flight["request_id"]
                .as_str()
                .is_some_and(|id| id.starts_with("req_"))
    );
    let resident = eventually("the resident in the state", || async {
        let state = get(&both.crucible, "/crucible/state").await.json;
        let pools = state["pools"].as_array()?.clone();
        pools
            .iter()
            .find_map(|pool| pool["residents"].get(0).cloned())
    })
    .await;
    for key in [
        "engine", "model", "context", "bytes", "active", "idle_s", "pinned", "owned",
    ] {
        assert!(resident.get(key).is_some(), "{key}: {resident}");
    }
    // 4,096 for each of its two permits.
    assert_eq!(resident["context"], 8192, "{resident}");
    drop(stream);
    at_rest(&both.crucible).await;
}

#[tokio::test]
async fn an_engine_that_is_too_old_is_told_in_the_state_and_on_the_page() {
    let both = Both::with("", |_| {}, |ollama| "0.5.0".clone_into(&mut ollama.version)).await;
    ready(&both.crucible).await;
    let state = get(&both.crucible, "/crucible/state").await.json;
    let of = |name: &str| {
        let mut engines = state["engines"].as_array().expect("a list").iter();
        engines.find(|e| e["name"] == name).expect("an engine")["advice"].clone()
    };
    assert_eq!(of("lmstudio"), json!([]));
    let told = of("ollama");
    let lines = told.as_array().expect("a list");
    assert!(!lines.is_empty(), "{state}");
    for line in lines {
        let line = line.as_str().expect("a sentence");
        assert!(line.starts_with("version 0.5.0 is older than "), "{line}");
    }
    // The live page shows every sentence of `advice`.
    let part = get(&both.crucible, "/crucible/page/state.js").await;
    assert!(part.text.contains("...one.advice"), "{}", part.text);
}

#[tokio::test]
async fn tunings_are_39_rows_with_evidence() {
    let both = Both::start().await;
    ready(&both.crucible).await;
    let told = get(&both.crucible, "/crucible/tunings").await;
    let rows = told.json["tunings"].as_array().expect("rows");
    assert_eq!(rows.len(), 39);
    for row in rows {
        assert!(
            row["state"].is_string() && row["evidence"].is_string(),
            "{row}"
        );
    }
}

/// Names and types of the table in `docs/metrics.md`.
fn documented() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(binary::root().join("docs/metrics.md")).expect("the page");
    text.lines()
        .filter_map(|line| {
            let mut cells = line.split('|').map(str::trim).skip(1);
            let name = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
            Some((name.to_owned(), cells.next()?.to_owned()))
        })
        // Another table lists the buckets.
        .filter(|(_, kind)| ["counter", "gauge", "histogram"].contains(&kind.as_str()))
        .collect()
}

#[tokio::test]
async fn every_documented_family_is_there_and_no_other() {
    let both = Both::start().await;
    ready(&both.crucible).await;
    for stream in [false, true] {
        let mut request = body("qwen", "repeat 3");
        request["stream"] = stream.into();
        post(&both.crucible, &request).await;
    }
    // The families of loaded models have a series once one is seen to be loaded.
    let answer = eventually("a loaded model in the metrics", || async {
        let answer = get(&both.crucible, "/metrics").await;
        (sample(&answer.text, "crucible_model_loaded") > 0).then_some(answer)
    })
    .await;
    assert_eq!(answer.status, 200);
    let content_type = answer.header("content-type");
    assert!(
        content_type.starts_with("text/plain") && content_type.contains("version=0.0.4"),
        "{content_type}"
    );
    let documented = documented();
    assert!(documented.len() > 30, "{documented:?}");
    let types: BTreeSet<(String, String)> = answer
        .text
        .lines()
        .filter_map(|line| {
            let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
            Some((name.to_owned(), kind.to_owned()))
        })
        .collect();
    // What a machine or an engine does not say has no series.
    let unsaid = [
        "gpu_",
        "energy_",
        "engine_memory_limit",
        "model_expires",
        "pool_budget",
    ];
    for family in &documented {
        let name = family.0.trim_start_matches("crucible_");
        let may_be_absent = unsaid.iter().any(|start| name.starts_with(start));
        let is_there = types.contains(family);
        assert!(is_there || may_be_absent, "{family:?} is missing");
    }
    for (name, _) in types {
        assert!(
            documented.iter().any(|(n, _)| *n == name),
            "{name} is not documented"
        );
    }
}

/// They counted under `other`: the models of the catalogue got their series with the first scrape.
#[tokio::test]
async fn requests_before_the_first_scrape_count_under_their_model() {
    let both = Both::start().await;
    ready(&both.crucible).await;
    post(&both.crucible, &body("qwen", "repeat 1")).await;
    let metrics = Metrics::of(&both.crucible).await;
    let count = |model| {
        let labels = [("endpoint", "chat"), ("model", model)];
        metrics.sum("crucible_requests_total", &labels)
    };
    assert_eq!((count("qwen"), count("other")), (1.0, 0.0));
    let tokens = [("model", "qwen"), ("type", "completion")];
    assert!(metrics.sum("crucible_tokens_total", &tokens) > 0.0);
}

#[tokio::test]
async fn each_request_counts_once_and_junk_makes_no_series() {
    let both = Both::start().await;
    ready(&both.crucible).await;
    post(&both.crucible, &body("qwen", "repeat 1")).await;
    let series = |text: &str| text.lines().filter(|l| !l.starts_with('#')).count();
    let before = get(&both.crucible, "/metrics").await.text;
    // Twenty at a time, since each unknown name is looked for on the engines once more.
    let junk = futures_util::stream::iter(0..200).for_each_concurrent(20, |i| {
        let crucible = &both.crucible;
        async move {
            post(crucible, &body(&format!("junk-{i}"), "x")).await;
            get(crucible, &format!("/v1/junk-{i}")).await;
        }
    });
    junk.await;
    let after = get(&both.crucible, "/metrics").await.text;
    let count = |text: &str, endpoint: &str| -> u64 {
        text.lines()
            .filter(|l| {
                l.starts_with("crucible_requests_total{")
                    && l.contains(&format!("endpoint=\"{endpoint}\""))
            })
            .map(|l| sample(l, "crucible_requests_total"))
            .sum()
    };
    assert_eq!(count(&before, "chat"), 1);
    assert_eq!(count(&after, "chat"), 201);
    assert_eq!(count(&after, "other"), 200);
    assert!(!after.contains("junk"), "a client's text is no label");
    // The two new kinds of answers bring a few series of their own, not 400.
    assert!(
        series(&after) < series(&before) + 60,
        "{} {}",
        series(&before),
        series(&after)
    );
    assert_eq!(
        after
            .lines()
            .filter(|l| l.starts_with("crucible_rejected_total{") && l.contains("model_not_found"))
            .map(|l| sample(l, "crucible_rejected_total"))
            .sum::<u64>(),
        200
    );
}

#[tokio::test]
async fn the_second_listener_has_metrics_and_answers_no_prompts() {
    let crucible = Crucible::start("metrics_listen = \"127.0.0.1:0\"\n");
    let url = crucible
        .metrics_url()
        .expect("a second listener")
        .to_owned();
    let status = async |method: reqwest::Method, path: &str, host: Option<&str>| {
        let mut request = client()
            .request(method, format!("{url}{path}"))
            .timeout(Duration::from_secs(30));
        if let Some(host) = host {
            request = request.header("host", host);
        }
        request.send().await.expect("an answer").status().as_u16()
    };
    for path in [
        "/metrics",
        "/healthz",
        "/",
        "/crucible/state",
        "/crucible/tunings",
    ] {
        assert_eq!(
            status(reqwest::Method::GET, path, None).await,
            200,
            "{path}"
        );
    }
    for path in ["/v1/models", "/api/tags"] {
        assert_eq!(
            status(reqwest::Method::GET, path, None).await,
            404,
            "{path}"
        );
    }
    for path in ["/v1/chat/completions", "/crucible/explain"] {
        assert_eq!(
            status(reqwest::Method::POST, path, None).await,
            404,
            "{path}"
        );
    }
    assert_eq!(
        status(reqwest::Method::GET, "/metrics", Some("evil.example")).await,
        403
    );
    assert_ne!(url, crucible.url());
}
