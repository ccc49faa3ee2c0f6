//! LM Studio's WebSocket API, as far as loads need it: `loadModel`, `getLoadConfig`, `listLoaded`.
//!
//! Sources: `lmstudio-ai/lmstudio-js` of 2026-08 (`lms-communication`,
//! `lms-external-backend-interfaces`); SDK 2.0.0. One socket per use, text frames of JSON. The
//! protocol names no version, so what is unknown is passed over.

use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{self, Message, protocol::WebSocketConfig},
};

use super::load_config::{IdleTtl, InstanceFacts, LoadConfig};
use crate::{
    engine::{EngineError, http::EngineEndpoint},
    transport::Transport,
};

/// The time limit of the connection and the greeting together.
const GREETING: Duration = Duration::from_secs(3);
/// The longest message that is read, in bytes.
const MESSAGE_LIMIT: usize = 4 << 20;

/// The WebSocket API of one LM Studio, with the credentials that are sent to it.
#[derive(Clone)]
pub(super) struct WebsocketApi {
    /// The HTTP endpoint of the same engine.
    endpoint: EngineEndpoint,
    identifier: String,
    passkey: String,
}

/// The reason why a load failed.
#[derive(Debug)]
pub(super) enum SocketLoadFailure {
    /// The socket failed before the load was ordered, so another way may be tried.
    Unordered(EngineError),
    /// The load was ordered and failed.
    Load(EngineError),
}

struct ApiSocket(WebSocketStream<Transport>);

// === impl WebsocketApi ===

impl WebsocketApi {
    /// `endpoint` as for HTTP. A token `sk-lm-<identifier>:<passkey>` is taken apart; without one a
    /// guest asks, whose name must be its own (the first to use a name keeps it).
    pub(super) fn new(endpoint: &EngineEndpoint, token: Option<&str>) -> Self {
        let halves = token.and_then(|t| t.strip_prefix("sk-lm-")?.split_once(':'));
        let (identifier, passkey) = halves.map_or_else(
            || (format!("guest:crucible-{}", random()), random()),
            |(identifier, passkey)| (identifier.to_owned(), passkey.to_owned()),
        );
        Self {
            endpoint: endpoint.clone(),
            identifier,
            passkey,
        }
    }

    /// Reads how each of these instances was loaded, and when LM Studio unloads it by itself.
    pub(super) async fn instance_facts(
        &self,
        instances: &[Arc<str>],
    ) -> Result<HashMap<Arc<str>, InstanceFacts>, EngineError> {
        let mut socket = self.connect().await?;
        let listed = match socket.call(0, "listLoaded", None).await {
            // The clocks stay untold.
            Err(EngineError::Refused { .. }) => Value::Null,
            answer => answer?,
        };
        let entries = listed.as_array().map_or(&[][..], Vec::as_slice);
        let mut found = HashMap::new();
        for (id, instance) in (1..).zip(instances) {
            let specifier = json!({"type": "query", "query": {"identifier": &**instance}});
            let parameter = Some(json!({"specifier": specifier}));
            let answer = socket.call(id, "getLoadConfig", parameter).await?;
            let entry = entries.iter().find(|e| e["identifier"] == **instance);
            let told = InstanceFacts {
                load: LoadConfig::parse(&answer),
                ttl: entry.map_or(IdleTtl::Untold, IdleTtl::parse),
            };
            found.insert(Arc::clone(instance), told);
        }
        Ok(found)
    }

    /// Loads and gives the identifier of the new instance, which goes by itself once it was idle
    /// for `ttl`; `None`: never. The caller bounds the time.
    pub(super) async fn load(
        &self,
        model: &str,
        ttl: Option<Duration>,
        fields: Vec<Value>,
    ) -> Result<Arc<str>, SocketLoadFailure> {
        let mut socket = self.connect().await.map_err(SocketLoadFailure::Unordered)?;
        let layer = json!({"layerName": "apiOverride", "config": {"fields": fields}});
        let mut parameter = json!({"modelKey": model, "loadConfigStack": {"layers": [layer]}});
        if let Some(ttl) = ttl {
            let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
            parameter["ttlMs"] = json!(ttl.max(1));
        }
        let order = json!({
            "type": "channelCreate", "endpoint": "loadModel", "channelId": 0,
            "creationParameter": parameter,
        });
        socket
            .send(&order)
            .await
            .map_err(SocketLoadFailure::Unordered)?;
        loop {
            let message = socket.receive().await.map_err(SocketLoadFailure::Load)?;
            if message["channelId"] != 0 {
                continue;
            }
            match message["type"].as_str() {
                Some("channelSend") if message["message"]["type"] == "success" => {
                    let name = message["message"]["info"]["identifier"].as_str();
                    return name.map(Arc::from).ok_or_else(|| {
                        let why = "the answer to the load names no instance";
                        SocketLoadFailure::Load(EngineError::Unexpected(why.to_owned()))
                    });
                }
                Some("channelError") => return Err(SocketLoadFailure::Load(refused(&message))),
                Some("channelClose") => {
                    let why = "the load was closed without an answer";
                    return Err(SocketLoadFailure::Load(EngineError::Unexpected(
                        why.to_owned(),
                    )));
                }
                _ => {}
            }
        }
    }

    async fn connect(&self) -> Result<ApiSocket, EngineError> {
        let greeting = async {
            let limits = WebSocketConfig::default()
                .max_message_size(Some(MESSAGE_LIMIT))
                .max_frame_size(Some(MESSAGE_LIMIT));
            let address = self.endpoint.address();
            // The transport is secure where it is to be; the scheme here only makes a request of it.
            let host = address.host().to_str().unwrap_or_default();
            let path = address
                .target("/llm")
                .map_err(|e| EngineError::Unexpected(e.to_string()))?;
            let request = format!("ws://{host}{path}");
            let transport = self.endpoint.client().connect(address).await?;
            let connected = client_async_with_config(request, transport, Some(limits)).await;
            let mut socket = ApiSocket(connected.map_err(|e| broken(&e))?.0);
            let hello = json!({
                "authVersion": 1,
                "clientIdentifier": self.identifier,
                "clientPasskey": self.passkey,
            });
            socket.send(&hello).await?;
            let answer = socket.receive().await?;
            if answer["success"] == true {
                return Ok(socket);
            }
            let why = answer["error"].as_str().unwrap_or("no reason given");
            Err(EngineError::Refused {
                status: 401,
                message: why.to_owned(),
            })
        };
        let answer = timeout(GREETING, greeting).await;
        answer.unwrap_or(Err(EngineError::Timeout))
    }
}

impl fmt::Debug for WebsocketApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The passkey is a secret.
        f.debug_struct("WebsocketApi").finish_non_exhaustive()
    }
}

// === impl ApiSocket ===

impl ApiSocket {
    /// The result of a remote call.
    async fn call(
        &mut self,
        id: u64,
        endpoint: &str,
        parameter: Option<Value>,
    ) -> Result<Value, EngineError> {
        let mut call = json!({"type": "rpcCall", "endpoint": endpoint, "callId": id});
        if let Some(parameter) = parameter {
            call["parameter"] = parameter;
        }
        self.send(&call).await?;
        loop {
            let mut message = self.receive().await?;
            if message["callId"] != id {
                continue;
            }
            match message["type"].as_str() {
                Some("rpcResult") => return Ok(message["result"].take()),
                Some("rpcError") => return Err(refused(&message)),
                _ => {}
            }
        }
    }

    async fn send(&mut self, message: &Value) -> Result<(), EngineError> {
        let text = Message::text(message.to_string());
        self.0.send(text).await.map_err(|e| broken(&e))
    }

    /// The next message of JSON.
    async fn receive(&mut self) -> Result<Value, EngineError> {
        while let Some(message) = self.0.next().await {
            match message.map_err(|e| broken(&e))? {
                Message::Text(text) => {
                    return serde_json::from_str(&text).map_err(|_| {
                        EngineError::Unexpected("a WebSocket message is not JSON".to_owned())
                    });
                }
                Message::Close(_) => break,
                _ => {}
            }
        }
        Err(EngineError::Unreachable("the socket was closed".to_owned()))
    }
}

fn broken(error: &tungstenite::Error) -> EngineError {
    EngineError::Unreachable(match error {
        tungstenite::Error::Http(answer) => {
            format!("no WebSocket there (status {})", answer.status().as_u16())
        }
        tungstenite::Error::Io(error) => error.to_string(),
        _ => "the WebSocket broke".to_owned(),
    })
}

/// `{error: {title, cause, ...}}`.
fn refused(message: &Value) -> EngineError {
    let error = &message["error"];
    let words: Vec<&str> = ["title", "cause"]
        .iter()
        .filter_map(|key| error[*key].as_str())
        .collect();
    EngineError::Refused {
        status: 500,
        message: if words.is_empty() {
            "refused without a reason".to_owned()
        } else {
            words.join(": ").chars().take(500).collect()
        },
    }
}

fn random() -> String {
    format!("{:016x}", RandomState::new().hash_one(0))
}
