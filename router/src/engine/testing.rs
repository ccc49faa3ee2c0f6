//! What the tests of this room share: a fake engine on a free port and plain values.

use std::{sync::Arc, time::Duration};

use axum::Router;
use crucible_config::{Config, checked::Tuning};
use tokio::net::TcpListener;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use url::Url;

use super::http::{EngineEndpoint, client};
use crate::{
    catalog::{ModelKind, ResidentInfo},
    transport::EngineAddress,
};

/// A fake engine; it ends when this is dropped.
pub(crate) struct Fake {
    pub(crate) url: Url,
    _guard: DropGuard,
}

impl Fake {
    pub(crate) async fn start(router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap())
            .parse()
            .unwrap();
        let cancel = CancellationToken::new();
        let stop = cancel.clone();
        TaskTracker::new().spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                result = axum::serve(listener, router) => result.unwrap(),
            }
        });
        Self {
            url,
            _guard: cancel.drop_guard(),
        }
    }

    /// The way of a driver to this engine, without a token.
    pub(crate) fn endpoint(&self) -> EngineEndpoint {
        EngineEndpoint::new(
            client(Duration::from_secs(2)),
            EngineAddress::new(self.url.clone(), None).unwrap(),
            None,
        )
    }
}

/// A resident of which nothing but the name is known.
pub(crate) fn resident(model: &str) -> ResidentInfo {
    ResidentInfo::named(Arc::from(model), ModelKind::Generation)
}

/// The profile's values.
pub(crate) fn tuning() -> Tuning {
    Config::builtin().tuning
}
