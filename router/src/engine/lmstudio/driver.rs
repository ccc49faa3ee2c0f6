//! The WebSocket driver: loads with the settings that only that API takes, and reads them back from
//! instances.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{
    load_config::{InstanceFacts, LoadConfig, is_mlx, whole_context},
    socket::{SocketLoadFailure, WebsocketApi},
};
use crate::{
    catalog::ModelInfo,
    engine::{EngineError, LoadOrder, http::EngineEndpoint},
};

/// LM Studio's own clock is a net for the case that Crucible is gone: it rings after Crucible's.
const TTL_GRACE: Duration = Duration::from_secs(60);

/// Loads models over LM Studio's WebSocket API.
#[derive(Debug)]
pub(crate) struct WebsocketDriver {
    address: WebsocketApi,
    /// The settings that only the WebSocket API takes.
    load: LoadConfig,
    ttl: Duration,
    /// Whether a failure of the socket was logged before.
    warned: AtomicBool,
}

// === impl WebsocketDriver ===

impl WebsocketDriver {
    /// `ttl` is how long Crucible keeps an idle model.
    pub(crate) fn new(
        endpoint: &EngineEndpoint,
        token: Option<&str>,
        load: LoadConfig,
        ttl: Duration,
    ) -> Self {
        Self {
            address: WebsocketApi::new(endpoint, token),
            load,
            ttl: engine_idle_ttl(ttl),
            warned: AtomicBool::new(false),
        }
    }

    /// Loads a model and returns the identifier of the new instance; `None` where the socket failed
    /// before anything was ordered, so that the load may be tried over REST.
    pub(super) async fn load(
        &self,
        order: &LoadOrder,
        known: Option<&ModelInfo>,
    ) -> Result<Option<Arc<str>>, EngineError> {
        let fields = self
            .load
            .fields(order, whole_context(order, known), is_mlx(known));
        let model = known.map_or(&*order.model, |m| &*m.id);
        let ttl = (!order.pinned).then_some(self.ttl);
        match self.address.load(model, ttl, fields).await {
            Ok(instance) => Ok(Some(instance)),
            Err(SocketLoadFailure::Load(error)) => Err(error),
            Err(SocketLoadFailure::Unordered(error)) => {
                if !self.warned.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        "LM Studio's WebSocket API failed, models are loaded over REST without \
                         gpu_layers, key_cache_quantization and value_cache_quantization: {error}"
                    );
                }
                Ok(None)
            }
        }
    }
}

/// The idle time that LM Studio is given for a model that Crucible keeps idle for `ttl`.
pub(crate) fn engine_idle_ttl(ttl: Duration) -> Duration {
    ttl.saturating_add(TTL_GRACE)
}

/// Reads over the WebSocket API how each of these instances was loaded, and when LM Studio unloads
/// it by itself.
pub(crate) async fn instance_facts(
    endpoint: &EngineEndpoint,
    token: Option<&str>,
    instances: &[Arc<str>],
) -> Result<HashMap<Arc<str>, InstanceFacts>, EngineError> {
    WebsocketApi::new(endpoint, token)
        .instance_facts(instances)
        .await
}
