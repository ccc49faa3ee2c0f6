//! The WebSocket driver: loads with what only that API takes, and what it tells of instances.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{
    is_mlx,
    load_config::{LoadConfig, Told},
    socket::{Address, Failure},
    whole_context,
};
use crate::{
    catalog::ModelInfo,
    engine::{EngineError, LoadOrder, http::Endpoint},
};

/// LM Studio's own clock is a net for the case that Crucible is gone: it rings after Crucible's.
const TTL_GRACE: Duration = Duration::from_secs(60);

/// Loads over the WebSocket API.
#[derive(Debug)]
pub(crate) struct Driver {
    address: Address,
    /// Rows 2, 9 and 10.
    load: LoadConfig,
    ttl: Duration,
    /// It failed once and that was said.
    warned: AtomicBool,
}

// === impl Driver ===

impl Driver {
    /// `ttl` is how long Crucible keeps an idle model.
    pub(crate) fn new(
        endpoint: &Endpoint,
        token: Option<&str>,
        load: LoadConfig,
        ttl: Duration,
    ) -> Self {
        Self {
            address: Address::new(endpoint, token),
            load,
            ttl: own_clock(ttl),
            warned: AtomicBool::new(false),
        }
    }

    /// The identifier of the new instance; `None` where the socket failed before anything was
    /// ordered.
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
            Err(Failure::Load(error)) => Err(error),
            Err(Failure::Unordered(error)) => {
                if !self.warned.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        "LM Studio's WebSocket API failed, models are loaded over REST without \
                         rows 2, 9 and 10: {error}"
                    );
                }
                Ok(None)
            }
        }
    }
}

/// The idle time that LM Studio is given for a model that Crucible keeps idle for `ttl`.
pub(crate) fn own_clock(ttl: Duration) -> Duration {
    ttl.saturating_add(TTL_GRACE)
}

/// What the WebSocket API tells of each of these instances.
pub(crate) async fn told(
    endpoint: &Endpoint,
    token: Option<&str>,
    instances: &[Arc<str>],
) -> Result<HashMap<Arc<str>, Told>, EngineError> {
    Address::new(endpoint, token).told(instances).await
}
