//! Lists when nothing is there, with keys, and of names of every form.

use crucible_sim::Options;
use crucible_tests::{
    Crucible,
    chat::{get, post_to, whole},
    engines::{Both, client, engine, start},
    rest::{eventually, ready},
    scripted::{Script, Scripted},
};
use serde_json::{Value, json};

use super::{Tag, tags};

#[tokio::test]
async fn an_empty_catalogue_and_engines_that_are_down_are_empty_lists() {
    let empty = start(Options::ollama(&[])).await;
    let crucible = Crucible::start(&engine("ollama", "ollama", &empty.url()));
    ready(&crucible).await;
    let down = Crucible::start(&engine("gone", "ollama", "http://127.0.0.1:9"));
    for crucible in [&crucible, &down] {
        for path in ["/api/tags", "/api/ps"] {
            assert_eq!(
                get(crucible, path).await.json,
                json!({ "models": [] }),
                "{path}"
            );
        }
        assert_eq!(
            get(crucible, "/api/v0/models").await.json["data"],
            json!([])
        );
        assert_eq!(
            get(crucible, "/api/v1/models").await.json["models"],
            json!([])
        );
        assert_eq!(
            get(crucible, "/api/version").await.json,
            json!({ "version": "0.33.0" })
        );
    }
    let body = json!({ "model": "llama" });
    let unknown = post_to(&crucible, "/api/show", &body).await;
    assert_eq!(
        (unknown.status, &*unknown.text),
        (404, r#"{"error":"model 'llama' not found"}"#)
    );
    // It may have the model; nobody knows.
    let away = post_to(&down, "/api/show", &body).await;
    assert_eq!(away.status, 503, "{}", away.text);
    assert!(away.json["error"].is_string(), "{}", away.text);
    assert!(!away.header("retry-after").is_empty());
}

#[tokio::test]
async fn an_engine_that_goes_down_takes_its_names_with_it() {
    let Both {
        lmstudio,
        ollama: _ollama,
        crucible,
    } = Both::start().await;
    let has = |tags: &[Tag], name: &str| tags.iter().any(|tag| tag.name == name);
    assert!(has(&tags(&crucible).await, "qwen"));
    drop(lmstudio);
    let left = eventually("its names are gone", || async {
        let tags = tags(&crucible).await;
        (!has(&tags, "qwen")).then_some(tags)
    })
    .await;
    assert!(has(&left, "llama3.2:3b"));
}

#[tokio::test]
async fn keys_are_asked_for_as_everywhere() {
    let (code, out, _) =
        tokio::task::spawn_blocking(|| Crucible::command(&["key", "new", "--name", "laptop"], ""))
            .await
            .expect("it ran");
    assert_eq!(code, 0, "{out}");
    let secret = out
        .split_whitespace()
        .find(|word| word.starts_with("crk-"))
        .expect("a secret");
    let block = &out[out.find("[[key]]").expect("a block")..];
    let sim = start(Options::ollama(&["llama"])).await;
    let crucible = Crucible::start(&format!(
        "{block}\n{}",
        engine("ollama", "ollama", &sim.url())
    ));
    for path in [
        "/api/tags",
        "/api/ps",
        "/api/version",
        "/api/v0/models",
        "/api/v1/models",
    ] {
        let refused = get(&crucible, path).await;
        assert_eq!(refused.status, 401, "{path}: {}", refused.text);
        let request = client().get(crucible.at(path)).bearer_auth(secret);
        let served = whole(request.send().await.expect("an answer")).await;
        assert_eq!(served.status, 200, "{path}: {}", served.text);
    }
    let text = get(&crucible, "/api/tags").await.json["error"].clone();
    assert!(
        text.as_str()
            .is_some_and(|text| text.contains("no key was sent")),
        "{text}"
    );
    assert_eq!(
        client()
            .head(crucible.at("/"))
            .send()
            .await
            .expect("an answer")
            .status(),
        200
    );
}

#[tokio::test]
async fn names_of_every_form_are_listed_and_described() {
    let long = format!("x{}", "y".repeat(4000));
    let names = [
        "hf.co/bartowski/Qwen3-8B-GGUF:Q4_K_M",
        "模型-ü",
        "owner/model@q8_0",
        "a b\"c\\d",
        &long,
    ];
    let data: Vec<Value> = names.iter().map(|name| json!({ "id": name })).collect();
    let list = json!({ "object": "list", "data": data }).to_string();
    let server = Scripted::start(move |_| Script::json("200 OK", "", &list)).await;
    let crucible = Crucible::start(&engine("server", "openai", &server.url()));
    ready(&crucible).await;
    let tags = tags(&crucible).await;
    let studio = get(&crucible, "/api/v0/models").await;
    let studio = studio.json["data"].as_array().expect("a list").clone();
    for name in names {
        assert!(tags.iter().any(|tag| tag.name == name), "{name}");
        assert!(studio.iter().any(|entry| entry["id"] == name), "{name}");
        let shown = post_to(&crucible, "/api/show", &json!({ "model": name })).await;
        assert_eq!(shown.status, 200, "{name}: {}", shown.text);
        let mut one = url::Url::parse(&crucible.at("/api/v0/models/")).expect("a URL");
        one.path_segments_mut()
            .expect("a path")
            .pop_if_empty()
            .push(name);
        let one = whole(client().get(one).send().await.expect("an answer")).await;
        assert_eq!(
            (one.status, &one.json["id"]),
            (200, &json!(name)),
            "{}",
            one.text
        );
    }
    // As clients write it that do not escape slashes.
    let plain = get(
        &crucible,
        "/api/v0/models/hf.co/bartowski/Qwen3-8B-GGUF:Q4_K_M",
    )
    .await;
    assert_eq!(plain.json["id"], names[0], "{}", plain.text);
}
