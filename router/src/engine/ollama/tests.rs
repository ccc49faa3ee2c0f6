use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};

use super::{parse::context_bytes, *};
use crate::{catalog::Capabilities, engine::testing::Fake};

/// What the fake remembers.
#[derive(Default)]
struct RecordedRequests {
    shows: AtomicUsize,
    bodies: Mutex<Vec<(&'static str, Value)>>,
    loaded: Mutex<Option<u64>>,
    looks_until_gone: AtomicUsize,
}

type Shared = State<Arc<RecordedRequests>>;

async fn tags() -> Json<Value> {
    Json(json!({"models": [
        {"name": "llama3.2:3b", "digest": "d1", "size": 2_000_000_000_u64, "new_field": [1],
         "modified_at": "2024-02-29T12:00:00Z",
         "details": {"family": "llama", "format": "gguf", "quantization_level": "Q4_0"}},
        {"name": "nomic-embed-text:latest", "digest": "d2", "size": "odd",
         "details": {"family": "nomic-bert"}},
        {"name": "gpt-oss:120b-cloud", "digest": "d3"},
        {"size": 1}, 7
    ]}))
}

async fn show(State(told): Shared, Json(body): Json<Value>) -> (StatusCode, Json<Value>) {
    told.shows.fetch_add(1, Ordering::Relaxed);
    if body["model"] == "llama3.2:3b" {
        let info = json!({"general.architecture": "llama", "llama.context_length": 131_072});
        let answer = json!({"capabilities": ["completion", "tools"], "model_info": info});
        return (StatusCode::OK, Json(answer));
    }
    (
        StatusCode::NOT_FOUND,
        Json(json!({"error": "model not found"})),
    )
}

async fn ps(State(told): Shared) -> Json<Value> {
    let mut loaded = told.loaded.lock();
    if told.looks_until_gone.load(Ordering::Relaxed) > 0
        && told.looks_until_gone.fetch_sub(1, Ordering::Relaxed) == 1
    {
        *loaded = None;
    }
    Json(json!({"models": loaded.iter().map(|context| json!({
        "name": "llama3.2:3b", "size": 3_000_000_000_u64, "size_vram": 0,
        "context_length": context, "expires_at": "2318-01-01T00:00:00Z",
    })).collect::<Vec<_>>()}))
}

async fn generate(State(told): Shared, Json(body): Json<Value>) -> Json<Value> {
    if body["keep_alive"] == 0 {
        told.looks_until_gone.store(2, Ordering::Relaxed);
    } else {
        *told.loaded.lock() = body["options"]["num_ctx"].as_u64();
    }
    told.bodies.lock().push(("generate", body));
    Json(json!({"done": true, "done_reason": "load"}))
}

async fn fake() -> (Fake, Arc<RecordedRequests>) {
    let told = Arc::new(RecordedRequests::default());
    let app = Router::new()
        .route(
            "/api/version",
            get(|| async { Json(json!({"version": "0.33.0"})) }),
        )
        .route("/api/tags", get(tags))
        .route("/api/show", post(show))
        .route("/api/ps", get(ps))
        .route("/api/generate", post(generate))
        .with_state(Arc::clone(&told));
    (Fake::start(app).await, told)
}

fn order() -> LoadOrder {
    LoadOrder {
        model: Arc::from("llama3.2:3b"),
        kind: ModelKind::Generation,
        tuple: LoadTuple {
            context: Some(4096),
            batch: Some(512),
            threads: Some(2),
            gpu_layers: Some(0),
            mmap: Some(true),
            flash_attention: None,
            as_loaded: false,
        },
        permits: 2,
        pinned: false,
    }
}

#[tokio::test]
async fn the_list_survives_odd_entries_and_describes_each_digest_once() {
    let (fake, told) = fake().await;
    let ollama = Ollama::new(fake.endpoint(), Duration::from_mins(5));
    let listing = ollama.list().await.unwrap();
    ollama.list().await.unwrap();
    assert_eq!(listing.version.as_deref(), Some("0.33.0"));
    let [llama, nomic, cloud] = &listing.models[..] else {
        panic!("{:?}", listing.models)
    };
    assert_eq!(llama.max_context, Some(131_072));
    assert_eq!(llama.capabilities.tools, Some(true));
    assert_eq!(llama.capabilities.vision, Some(false));
    assert_eq!(llama.created, Some(1_709_208_000));
    assert_eq!(nomic.kind, ModelKind::Embedding);
    assert_eq!(nomic.capabilities, Capabilities::default());
    assert!(cloud.cloud && !llama.cloud);
    // Two local digests, never the cloud one, never twice.
    assert_eq!(told.shows.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_preload_carries_the_whole_tuple_and_reads_back_the_context() {
    let (fake, told) = fake().await;
    let ollama = Ollama::new(fake.endpoint(), Duration::from_mins(5));
    let resident = ollama.load(order()).await.unwrap();
    assert_eq!(resident.context, Some(4096));
    assert_eq!(resident.vram_bytes, Some(0));
    assert_eq!(resident.expires_at, None);
    let bodies = told.bodies.lock();
    let expected = json!({
        "model": "llama3.2:3b", "prompt": "", "stream": false, "keep_alive": 300,
        "options": {"num_ctx": 4096, "num_batch": 512, "num_gpu": 0, "num_thread": 2,
            "use_mmap": true},
        "shift": false, "truncate": false,
    });
    assert_eq!(bodies[0].1, expected);
}

#[tokio::test]
async fn an_unload_returns_when_ps_no_longer_lists_it() {
    let (fake, told) = fake().await;
    let ollama = Ollama::new(fake.endpoint(), Duration::from_mins(5));
    let resident = ollama.load(order()).await.unwrap();
    ollama.unload(&resident).await.unwrap();
    assert_eq!(*told.loaded.lock(), None);
    assert_eq!(told.bodies.lock()[1].1["keep_alive"], 0);
}

#[tokio::test]
async fn an_embedding_model_is_loaded_by_an_empty_embed() {
    let body = Arc::new(Mutex::new(Value::Null));
    let seen = Arc::clone(&body);
    let ps = json!({"models": [{"model": "nomic-embed-text:latest"}]});
    let app = Router::new()
        .route("/api/ps", get(|| async { Json(ps) }))
        .route(
            "/api/embed",
            post(|Json(sent): Json<Value>| async move {
                *seen.lock() = sent;
                Json(json!({"embeddings": []}))
            }),
        );
    let fake = Fake::start(app).await;
    let ollama = Ollama::new(fake.endpoint(), Duration::from_mins(1));
    let order = LoadOrder {
        model: Arc::from("nomic-embed-text"),
        kind: ModelKind::Embedding,
        tuple: LoadTuple {
            threads: Some(2),
            ..LoadTuple::default()
        },
        permits: 1,
        pinned: false,
    };
    let resident = ollama.load(order).await.unwrap();
    assert_eq!(resident.kind, ModelKind::Embedding);
    let expected = json!({"model": "nomic-embed-text", "input": [], "keep_alive": 60,
        "options": {"num_thread": 2}, "truncate": false});
    assert_eq!(*body.lock(), expected);
}

#[tokio::test]
async fn a_refused_load_keeps_ollamas_words() {
    let answer = (
        StatusCode::INTERNAL_SERVER_ERROR,
        Json(json!({"error": "out of memory"})),
    );
    let app = Router::new().route("/api/generate", post(|| async { answer }));
    let fake = Fake::start(app).await;
    let ollama = Ollama::new(fake.endpoint(), Duration::from_mins(1));
    let error = ollama.load(order()).await.unwrap_err();
    let expected = EngineError::Refused {
        status: 500,
        message: "out of memory".into(),
    };
    assert_eq!(error, expected);
}

#[test]
fn names_match_with_and_without_latest() {
    assert!(same("Nomic", "nomic:latest"));
    assert!(!same("llama3.2:1b", "llama3.2:3b"));
}

#[test]
fn the_memory_of_a_token_is_that_of_all_caches() {
    let llama = json!({
        "general.architecture": "llama", "llama.block_count": 32, "llama.embedding_length": 4096,
        "llama.attention.head_count": 32, "llama.attention.head_count_kv": 8,
    });
    assert_eq!(context_bytes(&llama), Some(131_072));
    let gemma = json!({
        "general.architecture": "gemma3", "gemma3.block_count": 2,
        "gemma3.attention.head_count_kv": [4, 2],
        "gemma3.attention.key_length": 256, "gemma3.attention.value_length": 128,
    });
    assert_eq!(context_bytes(&gemma), Some(6 * (256 + 128) * 2));
    for odd in [
        json!({}),
        json!({"general.architecture": "x", "x.block_count": u64::MAX,
            "x.attention.head_count_kv": 8, "x.attention.key_length": 1,
            "x.attention.value_length": 1}),
        json!({"general.architecture": "x", "x.block_count": 1, "x.embedding_length": 8,
            "x.attention.head_count": 0}),
    ] {
        assert_eq!(context_bytes(&odd), None, "{odd}");
    }
}

/// An Ollama with one weights file and these names, of which it lists the first that was loaded.
#[derive(Default)]
struct SharedWeights {
    names: Mutex<Vec<&'static str>>,
    loaded: Mutex<Option<String>>,
}

async fn sharing(names: &[&'static str]) -> (Fake, Arc<SharedWeights>) {
    type Of = State<Arc<SharedWeights>>;
    let told = Arc::new(SharedWeights::default());
    *told.names.lock() = names.to_vec();
    let app = Router::new()
        .route("/api/version", get(|| async { Json(json!({})) }))
        .route(
            "/api/tags",
            get(|State(told): Of| async move {
                let names = told.names.lock();
                let entry = |name: &&str| json!({"name": name, "digest": format!("d-{name}")});
                Json(json!({"models": names.iter().map(entry).collect::<Vec<_>>()}))
            }),
        )
        .route(
            "/api/show",
            post(|| async { Json(json!({"modelfile": "FROM /x/blobs/sha256-aa\n"})) }),
        )
        .route(
            "/api/ps",
            get(|State(told): Of| async move {
                let loaded = told.loaded.lock();
                let entry = |name: &String| json!({"name": name, "digest": format!("d-{name}")});
                Json(json!({"models": loaded.iter().map(entry).collect::<Vec<_>>()}))
            }),
        )
        .route(
            "/api/generate",
            post(|State(told): Of, Json(body): Json<Value>| async move {
                let name = body["model"].as_str().unwrap().to_owned();
                if !told.names.lock().contains(&&*name) {
                    return (StatusCode::NOT_FOUND, Json(json!({"error": "not found"})));
                }
                let mut loaded = told.loaded.lock();
                if body["keep_alive"] == 0 {
                    *loaded = None;
                } else {
                    loaded.get_or_insert(name);
                }
                (StatusCode::OK, Json(json!({"done": true})))
            }),
        )
        .with_state(Arc::clone(&told));
    (Fake::start(app).await, told)
}

#[tokio::test]
async fn a_load_and_an_unload_are_confirmed_under_any_name_of_the_runner() {
    let (fake, told) = sharing(&["a", "b"]).await;
    let ollama = Ollama::new(fake.endpoint(), Duration::from_mins(5));
    let listing = ollama.list().await.unwrap();
    let runners: Vec<&str> = listing.models.iter().map(|m| &*m.runner).collect();
    assert_eq!(runners, ["a", "a"]);
    for model in ["b", "a"] {
        let order = LoadOrder {
            model: model.into(),
            ..order()
        };
        let resident = ollama.load(order).await.unwrap();
        assert_eq!((&*resident.model, &*resident.instance), ("a", "b"));
    }
    // The name that it was loaded by is deleted; the runner stays, and answers to the other.
    *told.names.lock() = vec!["a"];
    let held = ollama.list().await.unwrap().residents.remove(0);
    assert_eq!((&*held.model, &*held.instance), ("a", "b"));
    ollama.unload(&held).await.unwrap();
    assert_eq!(*told.loaded.lock(), None);
}
