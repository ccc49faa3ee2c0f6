//! The WebSocket API, namespace `llm`: `loadModel`, `getLoadConfig`, `listLoaded`. LM Studio
//! 0.4.25 as its SDK 2.0.0 (`lms-external-backend-interfaces`) describes it; same port as HTTP.

use std::{sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use hyper::header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use hyper::{Request, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Message, handshake::derive_accept_key, protocol::Role};

use crate::http::{self, Reply};
use crate::lmstudio::load::find;
use crate::lmstudio::residents::{Instance, LoadConfig, Residents};
use crate::model_spec::ModelSpec;
use crate::options::WebSocket;
use crate::sim::Core;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

const RATIO: &str = "llm.load.llama.acceleration.offloadRatio";
/// What [`WebSocket::Wrong`] gives every load.
const WRONG_TTL: Duration = Duration::from_mins(1);
const CACHES: [&str; 2] = [
    "llm.load.llama.kCacheQuantizationType",
    "llm.load.llama.vCacheQuantizationType",
];

/// The answer to the key; `None` where no WebSocket is asked for or there is none.
pub(crate) fn accept<B>(core: &Core, request: &Request<B>) -> Option<HeaderValue> {
    if core.options.websocket == WebSocket::Missing || request.uri().path() != "/llm" {
        return None;
    }
    let key = request.headers().get(SEC_WEBSOCKET_KEY)?;
    HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok()
}

/// Takes the connection over.
pub(crate) fn upgrade<B>(
    core: &Arc<Core>,
    request: &mut Request<B>,
    accept: HeaderValue,
    seq: u64,
) -> Reply {
    let upgrading = hyper::upgrade::on(request);
    let owner = Arc::clone(core);
    core.tracker.spawn(async move {
        let stop = owner.stop.clone();
        let work = async {
            let io = TokioIo::new(upgrading.await.ok()?);
            let socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
            talk(&owner, socket, seq).await
        };
        // A broken connection is the client's affair.
        let _ = stop.run_until_cancelled(work).await;
    });
    let mut reply = http::full(101, "text/plain", "");
    let headers = reply.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    reply
}

/// `None`: the client left.
async fn talk(core: &Arc<Core>, mut socket: Socket, seq: u64) -> Option<()> {
    let hello = receive(&mut socket).await?;
    let refusal = refusal(core, &hello);
    let answer = match refusal {
        None => json!({"success": true}),
        Some(why) => json!({"success": false, "error": why}),
    };
    send(&mut socket, &answer).await?;
    if refusal.is_some() {
        return None;
    }
    loop {
        let message = receive(&mut socket).await?;
        match (message["type"].as_str()?, message["endpoint"].as_str()) {
            ("rpcCall", Some(endpoint)) => {
                let id = &message["callId"];
                let answer = match call(core, endpoint, &message["parameter"]) {
                    Ok(result) => json!({"type": "rpcResult", "callId": id, "result": result}),
                    Err(title) => {
                        json!({"type": "rpcError", "callId": id, "error": {"title": title}})
                    }
                };
                send(&mut socket, &answer).await?;
            }
            ("channelCreate", Some("loadModel")) => load(core, &mut socket, &message, seq).await?,
            ("keepAlive", _) => send(&mut socket, &json!({"type": "keepAliveAck"})).await?,
            _ => {
                let warning = "unknown message or endpoint";
                let answer = json!({"type": "communicationWarning", "warning": warning});
                send(&mut socket, &answer).await?;
            }
        }
    }
}

/// A token is taken apart into identifier and passkey; without one any guest may ask.
fn refusal(core: &Core, hello: &Value) -> Option<&'static str> {
    let text = |key: &str| hello[key].as_str().filter(|t| t.len() <= 256);
    let (Some(identifier), Some(passkey)) = (text("clientIdentifier"), text("clientPasskey"))
    else {
        return Some("Malformed authentication packet");
    };
    if hello["authVersion"] != 1 {
        return Some("Unsupported authentication version");
    }
    let given = format!("sk-lm-{identifier}:{passkey}");
    let token = core.options.token.as_ref()?;
    (*token != given).then_some("Invalid passkey for client")
}

fn call(core: &Core, endpoint: &str, parameter: &Value) -> Result<Value, String> {
    let held = Residents::of(core).map(Residents::all).unwrap_or_default();
    match endpoint {
        // The namespace `llm` lists no embedding models.
        "listLoaded" if core.options.websocket != WebSocket::Unlisted => Ok(held
            .iter()
            .filter(|i| !i.model.embedding)
            .map(info)
            .collect()),
        "getLoadConfig" => {
            let name = &parameter["specifier"]["query"]["identifier"];
            let found = held.iter().find(|instance| *name == *instance.id);
            let found = found.ok_or_else(|| format!("Model instance {name} not found"))?;
            Ok(json!({"fields": fields(core, &found.config)}))
        }
        _ => Err(format!("Unknown endpoint {endpoint}")),
    }
}

/// One loaded model of LM Studio 0.4.25: `ttlMs` is null where it stays until it is unloaded, as
/// after a load by hand; a load on request has its clock.
fn info(instance: &Instance) -> Value {
    let ttl = instance.config.jit_ttl.or(instance.config.ttl);
    json!({
        "type": "llm",
        "modelKey": instance.model.name,
        "path": instance.model.name,
        "format": "gguf",
        "sizeBytes": instance.model.bytes,
        "maxContextLength": instance.model.max_context,
        "identifier": instance.id,
        "instanceReference": instance.id,
        "contextLength": instance.config.context,
        "ttlMs": ttl.map(|ttl| ttl.as_millis()),
    })
}

/// What was asked for over the schema's defaults (`lms-kv-config` 0.2.15).
fn fields(core: &Core, config: &LoadConfig) -> Vec<Value> {
    let off = json!({"checked": false, "value": "f16"});
    let q4 = json!({"checked": true, "value": "q4_0"});
    let wrong = core.options.websocket == WebSocket::Wrong;
    let asked = |key: &str| {
        let mut fields = config.fields.iter();
        fields.find(|f| f["key"] == key).map(|f| f["value"].clone())
    };
    let told = |key: &str, default: Value, otherwise: Value| {
        let right = asked(key).unwrap_or(default);
        json!({"key": key, "value": if wrong { otherwise } else { right }})
    };
    let mut all = vec![
        json!({"key": "llm.load.contextLength", "value": config.context}),
        told(RATIO, json!("max"), json!(0.5)),
    ];
    all.extend(CACHES.map(|key| told(key, off.clone(), q4.clone())));
    all
}

async fn load(core: &Arc<Core>, socket: &mut Socket, message: &Value, seq: u64) -> Option<()> {
    let channel = &message["channelId"];
    let asked = &message["creationParameter"];
    let key = asked["modelKey"].as_str().unwrap_or_default();
    let refused = |title: String| json!({"type": "channelError", "channelId": channel, "error": {"title": title}});
    // Optional is not nullable in the SDK's schema.
    if asked.get("ttlMs").is_some_and(|ttl| !ttl.is_u64()) {
        return send(
            socket,
            &refused("Invalid creation parameter: ttlMs".to_owned()),
        )
        .await;
    }
    let Some(model) = find(core, key) else {
        let title = format!("Cannot find a model with key {key}");
        return send(socket, &refused(title)).await;
    };
    let packet =
        |body: Value| json!({"type": "channelSend", "channelId": channel, "message": body});
    let resolved = json!({"type": "resolved", "info": {"modelKey": model.name}});
    send(socket, &packet(resolved)).await?;
    send(
        socket,
        &packet(json!({"type": "progress", "progress": 0.5})),
    )
    .await?;
    let config = load_config(core, asked, model);
    let residents = Residents::of(core)?;
    let loaded = residents.load(core, seq, model, config, "/llm").await;
    let answer = match loaded {
        Ok(instance) => packet(json!({"type": "success", "info": info(&instance)})),
        Err(refused) => {
            let error = json!({"title": "Failed to load model", "cause": refused.text()});
            json!({"type": "channelError", "channelId": channel, "error": error})
        }
    };
    send(socket, &answer).await?;
    send(
        socket,
        &json!({"type": "channelClose", "channelId": channel}),
    )
    .await
}

/// The load that the SDK's layers of fields ask for.
fn load_config(core: &Core, asked: &Value, model: &ModelSpec) -> LoadConfig {
    let layers = asked["loadConfigStack"]["layers"].as_array();
    let fields: Vec<Value> = layers
        .into_iter()
        .flatten()
        .filter_map(|layer| layer["config"]["fields"].as_array())
        .flatten()
        .cloned()
        .collect();
    let value = |key: &str| fields.iter().find(|f| f["key"] == key).map(|f| &f["value"]);
    let number = |key: &str| value(key).and_then(Value::as_u64);
    let flash = value("llm.load.llama.flashAttention").and_then(Value::as_bool);
    LoadConfig {
        context: number("llm.load.contextLength")
            .unwrap_or(core.options.context)
            .min(model.max_context),
        eval_batch_size: number("llm.load.llama.evalBatchSize").unwrap_or(512),
        flash_attention: flash.unwrap_or(true),
        offload_kv_cache_to_gpu: true,
        jit_ttl: None,
        ttl: match core.options.websocket {
            WebSocket::Wrong => Some(WRONG_TTL),
            _ => asked["ttlMs"].as_u64().map(Duration::from_millis),
        },
        identifier: asked["identifier"].as_str().map(str::to_owned),
        fields,
    }
}

async fn send(socket: &mut Socket, message: &Value) -> Option<()> {
    socket.send(Message::text(message.to_string())).await.ok()
}

async fn receive(socket: &mut Socket) -> Option<Value> {
    loop {
        match socket.next().await?.ok()? {
            Message::Text(text) => return serde_json::from_str(&text).ok(),
            Message::Close(_) => return None,
            _ => {}
        }
    }
}
