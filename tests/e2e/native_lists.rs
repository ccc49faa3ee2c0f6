//! Ollama's lists over the models of all engines: what pickers, editors and Ollama's own program read before they
//! ask a model.

mod at_odds;
mod managed;
mod show;

use std::collections::BTreeSet;

use crucible_sim::{Options, Sim};
use crucible_tests::{
    Crucible,
    chat::{Whole, body, get, post, post_to, whole},
    engines::{client, engine, start},
    rest::{eventually, ready},
};
use serde::Deserialize;
use serde_json::json;

/// An entry of `/api/tags` as strict clients read it: nothing is null, nothing is missing.
#[derive(Debug, Deserialize)]
struct Tag {
    name: String,
    model: String,
    modified_at: String,
    size: u64,
    digest: String,
    details: Details,
    capabilities: Vec<String>,
}

/// `details` as strict clients read it.
#[derive(Debug, Deserialize)]
struct Details {
    parent_model: String,
    format: String,
    family: String,
    families: Vec<String>,
    parameter_size: String,
    quantization_level: String,
}

/// One engine of each kind, two of which have `tiny`.
struct Kinds {
    lmstudio: Sim,
    ollama: Sim,
    llamacpp: Sim,
    openai: Sim,
    crucible: Crucible,
}

// === impl Kinds ===

impl Kinds {
    async fn start(toml: &str) -> Self {
        let lmstudio = start(Options::lmstudio(&[
            "qwen/qwen3-vl=4GB",
            "shared=2GB",
            "text-embedding-nomic=200MB:embedding",
        ]))
        .await;
        let ollama = start(Options::ollama(&[
            "llama3.2:3b=2GB",
            "shared=2GB",
            "small~llama3.2:3b+num_ctx=8192",
            "gpt-oss:20b=2GB",
        ]))
        .await;
        let llamacpp = start(Options::openai(&["tiny=100MB"])).await;
        let openai = start(Options::openai(&["vllm-model=9GB", "tiny=100MB"])).await;
        let crucible = Crucible::start(&format!(
            "{toml}\n{}{}{}{}",
            engine("lmstudio", "lmstudio", &lmstudio.url()),
            engine("ollama", "ollama", &ollama.url()),
            engine("llama", "llamacpp", &llamacpp.url()),
            engine("server", "openai", &openai.url()),
        ));
        ready(&crucible).await;
        Self {
            lmstudio,
            ollama,
            llamacpp,
            openai,
            crucible,
        }
    }
}

/// The tags, read strictly.
async fn tags(crucible: &Crucible) -> Vec<Tag> {
    let answer = get(crucible, "/api/tags").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let models = answer.json["models"].clone();
    serde_json::from_value(models).unwrap_or_else(|error| panic!("{error}: {}", answer.text))
}

/// The names of `/v1/models`.
async fn listed(crucible: &Crucible) -> BTreeSet<String> {
    let answer = get(crucible, "/v1/models").await;
    let data = answer.json["data"].as_array().expect("a list");
    let ids = data.iter().filter_map(|entry| entry["id"].as_str());
    ids.map(str::to_owned).collect()
}

#[tokio::test]
async fn the_tags_are_every_name_that_a_request_may_use() {
    let kinds = Kinds::start("[[model]]\nname = \"tiny\"\naliases = [\"nick\"]\n").await;
    let tags = tags(&kinds.crucible).await;
    let names: BTreeSet<String> = tags.iter().map(|tag| tag.name.clone()).collect();
    assert_eq!(names.len(), tags.len(), "each stands there once");
    let mut expected = listed(&kinds.crucible).await;
    // A person types it without the tag.
    assert!(expected.contains("small:latest"), "{expected:?}");
    let bare = expected.clone().into_iter();
    expected.extend(bare.filter_map(|name| Some(name.strip_suffix(":latest")?.to_owned())));
    assert_eq!(names, expected);
    for name in [
        "small",
        "nick",
        "auto",
        "shared",
        "shared:latest",
        "llama/tiny",
        "server/tiny",
        "tiny",
        "vllm-model",
    ] {
        assert!(names.contains(name), "{name}: {names:?}");
    }
    for tag in &tags {
        assert_eq!(tag.name, tag.model);
        assert!(
            tag.modified_at.ends_with('Z') && tag.modified_at.len() >= 20,
            "{tag:?}"
        );
        let hex = |c: char| c.is_ascii_hexdigit();
        assert!(
            tag.digest.len() == 64 && tag.digest.chars().all(hex),
            "{tag:?}"
        );
        assert!(
            !tag.details.family.is_empty() && !tag.details.families.is_empty(),
            "{tag:?}"
        );
        assert!(!tag.details.quantization_level.is_empty(), "{tag:?}");
        assert!(!tag.capabilities.is_empty(), "{tag:?}");
    }
    let of = |name: &str| tags.iter().find(|tag| tag.name == name).expect(name);
    let llama = of("llama3.2:3b");
    assert_eq!(
        (llama.size, &*llama.details.parameter_size),
        (2_000_000_000, "8.0B")
    );
    assert_eq!(llama.details.format, "gguf");
    assert_eq!(llama.details.parent_model, "");
    assert_eq!(of("small").digest, of("small:latest").digest);
    assert_eq!(of("text-embedding-nomic").capabilities, ["embedding"]);
    assert!(
        of("qwen/qwen3-vl")
            .capabilities
            .contains(&"vision".to_owned())
    );
    assert!(of("vllm-model").capabilities.contains(&"tools".to_owned()));
}

#[tokio::test]
async fn a_list_asks_no_engine_and_a_head_has_no_body() {
    let kinds = Kinds::start("").await;
    let before = [&kinds.ollama, &kinds.lmstudio].map(|sim| {
        let log = sim.log();
        log.requests
            .iter()
            .filter(|r| r.path == "/api/show")
            .count()
    });
    for _ in 0..5 {
        tags(&kinds.crucible).await;
        let shown = post_to(
            &kinds.crucible,
            "/api/show",
            &json!({ "model": "llama3.2:3b" }),
        )
        .await;
        assert_eq!(shown.status, 200, "{}", shown.text);
    }
    let after = [&kinds.ollama, &kinds.lmstudio].map(|sim| {
        let log = sim.log();
        log.requests
            .iter()
            .filter(|r| r.path == "/api/show")
            .count()
    });
    assert_eq!(before, after, "the descriptions are those of the polls");
    for path in ["/api/tags", "/api/version", "/"] {
        let head = client().head(kinds.crucible.at(path)).send().await;
        let head = whole(head.expect("an answer")).await;
        assert_eq!((head.status, &*head.text), (200, ""), "{path}");
    }
}

#[tokio::test]
async fn the_version_is_never_below_what_clients_demand() {
    for (engines, expected) in [
        (Some("0.9.6"), "0.33.0"),
        (Some("0.0.0"), "0.33.0"),
        (Some("0.33.0-rc2"), "0.33.0"),
        (Some("0.41.2"), "0.41.2"),
        (Some("custom"), "0.33.0"),
        (None, "0.33.0"),
    ] {
        let mut options = match engines {
            Some(version) => {
                let mut options = Options::ollama(&["llama"]);
                options.version = version.to_owned();
                options
            }
            None => Options::lmstudio(&["qwen"]),
        };
        options.parallel = 1;
        let kind = if engines.is_some() {
            "ollama"
        } else {
            "lmstudio"
        };
        let sim = start(options).await;
        let crucible = Crucible::start(&engine("one", kind, &sim.url()));
        for path in ["/api/version", "/v1/api/version", "/api/api/version"] {
            let answer = get(&crucible, path).await;
            assert_eq!(
                answer.json,
                json!({ "version": expected }),
                "{engines:?} {path}"
            );
        }
    }
}

#[tokio::test]
async fn what_is_loaded_is_shown_for_all_pools() {
    let kinds = Kinds::start("").await;
    let nothing = get(&kinds.crucible, "/api/ps").await;
    // llama.cpp's only model is always there.
    let names = |answer: &Whole| -> Vec<String> {
        let models = answer.json["models"].as_array().expect("a list");
        let names = models.iter().filter_map(|entry| entry["name"].as_str());
        names.map(str::to_owned).collect()
    };
    assert_eq!(names(&nothing), ["llama/tiny"], "{}", nothing.text);
    for model in ["llama3.2:3b", "shared"] {
        let answer = post(&kinds.crucible, &body(model, "repeat 1")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    let shown = eventually("both are shown", || async {
        let answer = get(&kinds.crucible, "/api/ps").await;
        let all: BTreeSet<String> = names(&answer).into_iter().collect();
        let expected = ["llama/tiny", "llama3.2:3b", "shared"].map(str::to_owned);
        (all == BTreeSet::from(expected)).then_some(answer)
    })
    .await;
    for entry in shown.json["models"].as_array().expect("a list") {
        assert_eq!(entry["name"], entry["model"]);
        assert!(
            entry["size"].is_u64() && entry["size_vram"].is_u64(),
            "{entry}"
        );
        assert!(entry["context_length"].as_u64() > Some(0), "{entry}");
        assert_eq!(entry["digest"].as_str().map(str::len), Some(64), "{entry}");
        let expires = entry["expires_at"].as_str().expect("a time");
        assert!(expires > "2026" && expires.ends_with('Z'), "{entry}");
        serde_json::from_value::<Details>(entry["details"].clone()).expect("all details");
    }
    let of = |name: &str| {
        let models = shown.json["models"].as_array().expect("a list");
        let found = models.iter().find(|entry| entry["name"] == name);
        found.expect(name).clone()
    };
    // On the processor, and on the graphics card.
    assert_eq!(of("llama3.2:3b")["size_vram"], 0);
    let studio = of("shared");
    assert_eq!(studio["size"], studio["size_vram"]);
}
