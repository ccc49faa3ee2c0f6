//! What the tests of this room share: a fake engine on a free port and plain values.

use std::{sync::Arc, time::Duration};

use axum::Router;
use crucible_config::checked::{LmstudioTuning, OllamaTuning, Tuning};
use tokio::net::TcpListener;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use url::Url;

use super::http::{Endpoint, client};
use crate::catalog::{ModelKind, ResidentInfo};

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

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::new(
            client(Duration::from_secs(2)).unwrap(),
            self.url.clone(),
            None,
        )
    }
}

/// A resident of which nothing but the name is known.
pub(crate) fn resident(model: &str) -> ResidentInfo {
    ResidentInfo {
        model: Arc::from(model),
        instance: Arc::from(model),
        kind: ModelKind::Generation,
        context: None,
        parallel: None,
        bytes: None,
        vram_bytes: None,
        expires_at: None,
        batch_size: None,
        flash_attention: None,
    }
}

/// The profile's values.
pub(crate) fn tuning() -> Tuning {
    Tuning {
        lmstudio: LmstudioTuning {
            gpu_memory_fraction: 0.8,
            gpu_layers: -1,
            max_loaded_models: 2,
            jit_loading: true,
            model_ttl: Duration::from_mins(5),
            auto_evict: true,
            batch_size: 512,
            flash_attention: true,
            key_cache_quantization: "f16".into(),
            value_cache_quantization: "f16".into(),
            stream_buffer_size: 1024,
            stream_timeout: Duration::from_secs(30),
            context_length: 4096,
            temperature: Some(0.3),
            top_p: Some(0.8),
            frequency_penalty: Some(0.1),
            presence_penalty: Some(0.1),
            keep_alive_interval: Duration::from_secs(30),
            keep_alive_enabled: true,
            model_warmup: true,
        },
        ollama: OllamaTuning {
            max_loaded_models: 2,
            max_queue: 10,
            num_parallel: 2,
            memory_limit: 16_000_000_000,
            num_threads: 8,
            numa_policy: "spread".into(),
            context_size: 4096,
            quantization: "q4_0".into(),
            batch_size: 512,
            use_mmap: true,
            use_mlock: false,
        },
        environment: indexmap::IndexMap::new(),
    }
}
