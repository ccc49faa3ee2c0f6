//! The WebSocket driver: loads with what only that API takes, and what it tells of instances.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use url::Url;

use super::{
    is_mlx,
    load_config::{LoadConfig, Told},
    socket::{Address, Failure},
    whole_context,
};
use crate::{
    catalog::ModelInfo,
    engine::{EngineError, LoadOrder},
};

/// LM Studio's own clock is a net for the case that Crucible is gone: it rings after Crucible's.
const TTL_GRACE: Duration = Duration::from_secs(60);

/// Loads over the WebSocket API.
pub(crate) struct Driver {
    address: Result<Address, EngineError>,
    asked: Asked,
    ttl: Duration,
    /// It failed once and that was said.
    warned: AtomicBool,
}

/// What the driver of an engine loads with.
pub struct Asked {
    /// Rows 2, 9 and 10.
    pub load: LoadConfig,
    /// Whether a model is pinned now: LM Studio gets no idle clock for it.
    pub pinned: Box<dyn Fn(&str) -> bool + Send + Sync>,
}

// === impl Driver ===

impl Driver {
    /// `ttl` is how long Crucible keeps an idle model.
    pub(crate) fn new(base: &Url, token: Option<&str>, asked: Asked, ttl: Duration) -> Self {
        Self {
            address: Address::new(base, token),
            asked,
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
        let load = &self.asked.load;
        let fields = load.fields(order, whole_context(order, known), is_mlx(known));
        let model = known.map_or(&*order.model, |m| &*m.id);
        let ttl = (!(self.asked.pinned)(model)).then_some(self.ttl);
        let answer = match &self.address {
            Ok(address) => address.load(model, ttl, fields).await,
            Err(error) => Err(Failure::Unordered(error.clone())),
        };
        match answer {
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

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Driver");
        shown.field("address", &self.address);
        shown.field("ttl", &self.ttl).finish_non_exhaustive()
    }
}

/// The idle time that LM Studio is given for a model that Crucible keeps idle for `ttl`.
pub(crate) fn own_clock(ttl: Duration) -> Duration {
    ttl.saturating_add(TTL_GRACE)
}

/// What the WebSocket API tells of each of these instances.
pub(crate) async fn told(
    base: &Url,
    token: Option<&str>,
    instances: &[Arc<str>],
) -> Result<HashMap<Arc<str>, Told>, EngineError> {
    Address::new(base, token)?.told(instances).await
}
