use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use parking_lot::Mutex;

use super::*;
use crate::engine::{LoadTuple, testing::Fake};

/// What the fake holds and was told.
#[derive(Default)]
struct RecordedRequests {
    instances: Mutex<Vec<(String, u64)>>,
    loads: Mutex<Vec<Value>>,
}

type Shared = State<Arc<RecordedRequests>>;

async fn list(State(told): Shared) -> Json<Value> {
    let instances = told.instances.lock();
    let loaded: Vec<_> = instances
        .iter()
        .map(
            |(id, context)| json!({"id": id, "config": {"context_length": context, "parallel": 4}}),
        )
        .collect();
    Json(json!({"models": [
        {"type": "llm", "key": "qwen", "loaded_instances": loaded, "max_context_length": 32768,
         "format": "gguf", "quantization": {"name": "Q4_K_M"}, "size_bytes": 5_000_000_000_u64,
         "capabilities": {"vision": false, "trained_for_tool_use": false,
             "reasoning": {"allowed_options": ["xhigh"]}}},
        {"type": "embedding", "key": "nomic", "loaded_instances": null},
        {"type": "llm"}
    ]}))
}

async fn load(State(told): Shared, Json(body): Json<Value>) -> Json<Value> {
    let context = body["context_length"].as_u64().unwrap_or(0);
    told.loads.lock().push(body);
    let mut instances = told.instances.lock();
    instances.push(("qwen".into(), context));
    Json(json!({"type": "llm", "instance_id": "qwen", "status": "loaded"}))
}

async fn unload(State(told): Shared, Json(body): Json<Value>) -> Json<Value> {
    let mut instances = told.instances.lock();
    let before = instances.len();
    instances.retain(|(id, _)| body["instance_id"] != **id);
    if instances.len() == before {
        return Json(json!({"error": "no such instance"}));
    }
    Json(body)
}

async fn fake() -> (Fake, Arc<RecordedRequests>) {
    let told = Arc::new(RecordedRequests::default());
    let app = Router::new()
        .route("/api/v1/models", get(list))
        .route("/api/v1/models/load", post(load))
        .route("/api/v1/models/unload", post(unload))
        .with_state(Arc::clone(&told));
    (Fake::start(app).await, told)
}

fn order(context: u64, permits: u32) -> LoadOrder {
    LoadOrder {
        model: Arc::from("qwen"),
        kind: ModelKind::Generation,
        tuple: LoadTuple {
            context: Some(context),
            batch: Some(512),
            flash_attention: Some(true),
            ..LoadTuple::default()
        },
        permits,
        pinned: false,
    }
}

#[tokio::test]
async fn the_v1_list_is_read_leniently() {
    let (fake, told) = fake().await;
    told.instances.lock().push(("qwen:2".into(), 8192));
    let listing = Lmstudio::new(fake.endpoint(), None).list().await.unwrap();
    assert!(listing.load_control);
    assert_eq!(listing.models.len(), 2);
    assert_eq!(listing.models[0].quantization.as_deref(), Some("Q4_K_M"));
    let able = listing.models[0].capabilities;
    assert_eq!(able.thinking, Some(true));
    // The flag tells which models are better at tools, not which take them.
    assert_eq!(
        (able.tools, able.trained_for_tools),
        (Some(true), Some(false))
    );
    assert_eq!(listing.models[1].kind, ModelKind::Embedding);
    let resident = &listing.residents[0];
    assert_eq!((&*resident.model, &*resident.instance), ("qwen", "qwen:2"));
    assert_eq!((resident.context, resident.parallel), (Some(8192), Some(4)));
}

#[tokio::test]
async fn a_load_shares_its_context_among_permits_and_sends_only_documented_keys() {
    let (fake, told) = fake().await;
    let engine = Lmstudio::new(fake.endpoint(), None);
    let resident = engine.load(order(4096, 2)).await.unwrap();
    assert_eq!(resident.context, Some(8192));
    let expected = json!({"model": "qwen", "context_length": 8192, "eval_batch_size": 512,
        "flash_attention": true, "echo_load_config": true});
    assert_eq!(*told.loads.lock(), [expected]);
    engine.unload(&resident).await.unwrap();
    assert!(told.instances.lock().is_empty());
    // Gone already: that is what was asked for.
    engine.unload(&resident).await.unwrap();
}

#[tokio::test]
async fn it_looks_first_and_never_makes_a_second_instance() {
    let (fake, told) = fake().await;
    told.instances.lock().push(("by-hand".into(), 6000));
    let engine = Lmstudio::new(fake.endpoint(), None);
    assert_eq!(
        &*engine.load(order(4096, 2)).await.unwrap().instance,
        "by-hand"
    );
    let error = engine.load(order(8192, 1)).await.unwrap_err();
    assert!(
        matches!(&error, EngineError::HeldSmaller(held) if *held.instance == *"by-hand"),
        "{error:?}"
    );
    assert!(told.loads.lock().is_empty());
}

#[tokio::test]
async fn a_failed_load_inside_a_200_is_an_error() {
    let failing = post(|| async { Json(json!({"error": {"type": "model_load_failed"}})) });
    let app = Router::new()
        .route(
            "/api/v1/models",
            get(|| async { Json(json!({"models": []})) }),
        )
        .route("/api/v1/models/load", failing);
    let fake = Fake::start(app).await;
    let error = Lmstudio::new(fake.endpoint(), None)
        .load(order(1, 1))
        .await
        .unwrap_err();
    let expected = EngineError::Refused {
        status: 200,
        message: "model_load_failed".into(),
    };
    assert_eq!(error, expected);
}

#[tokio::test]
async fn older_servers_are_listed_without_load_control() {
    let odd = || get(|| async { Json(json!({"error": "Unexpected endpoint or method"})) });
    let v0 = json!({"data": [{"id": "a", "type": "vlm", "state": "loaded",
        "loaded_context_length": 4096, "max_context_length": 8192}, {"id": "b", "state": "not-loaded"}]});
    let app = Router::new()
        .route("/api/v1/models", odd())
        .route("/api/v0/models", get(|| async { Json(v0) }));
    let fake = Fake::start(app).await;
    let listing = Lmstudio::new(fake.endpoint(), None).list().await.unwrap();
    assert!(!listing.load_control);
    assert_eq!(listing.models.len(), 2);
    assert_eq!(listing.residents[0].context, Some(4096));
    let app = Router::new()
        .route("/api/v1/models", odd())
        .route("/api/v0/models", odd())
        .route(
            "/v1/models",
            get(|| async { Json(json!({"data": [{"id": "c"}]})) }),
        );
    let fake = Fake::start(app).await;
    let listing = Lmstudio::new(fake.endpoint(), None).list().await.unwrap();
    assert_eq!(&*listing.models[0].id, "c");
    assert!(listing.residents.is_empty());
}

#[tokio::test]
async fn a_missing_token_is_told_and_not_taken_for_an_old_server() {
    let answer = (
        StatusCode::UNAUTHORIZED,
        Json(json!({"error": {"message": "invalid token", "code": "invalid_api_key"}})),
    );
    let app = Router::new()
        .route("/api/v1/models", get(|| async { answer }))
        .route("/v1/models", get(|| async { Json(json!({"data": []})) }));
    let fake = Fake::start(app).await;
    let error = Lmstudio::new(fake.endpoint(), None)
        .list()
        .await
        .unwrap_err();
    assert!(
        matches!(error, EngineError::Refused { status: 401, .. }),
        "{error:?}"
    );
}

#[test]
fn mlx_gets_no_llamacpp_options() {
    let known = parse_v1(&json!({"models": [{"key": "qwen", "format": "mlx"}]}));
    let body = load_body(&order(4096, 1), known.models.first());
    let expected = json!({"model": "qwen", "context_length": 4096, "echo_load_config": true});
    assert_eq!(body, expected);
}
