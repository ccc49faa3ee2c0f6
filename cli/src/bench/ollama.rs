//! Ollama: options go with each request. One that somebody started keeps its environment; one with
//! `manage = "spawn"` is started anew where that is what varies.

mod api;
mod child;

use crucible_config::checked::Manage;
use crucible_router::{
    engine::{Tuple, ollama_options},
    machine::physical_cores,
};
use futures_util::future::BoxFuture;
use serde_json::Value;

use self::{api::Api, child::Child};
use super::{
    stats::Sample,
    subject::{Driver, Missed, Place, Plan},
    tune::{self, Axes},
    variant::{Change, Fixed, Setting, variants},
};
use crate::CommandFailure;

/// What a request carries.
const CHANGES: [Change; 4] = [
    Change::Threads,
    Change::Batch,
    Change::Context,
    Change::Mmap,
];
/// What the environment carries.
const STARTED: [Change; 3] = [Change::FlashAttention, Change::Cache, Change::Parallel];
/// Ollama 0.33 reads these from its own environment when it starts.
const FIXED: [Fixed; 3] = [
    Fixed {
        setting: "flash attention",
        why: "OLLAMA_FLASH_ATTENTION is read when Ollama starts; bench does not restart it",
    },
    Fixed {
        setting: "K/V type",
        why: "OLLAMA_KV_CACHE_TYPE is read when Ollama starts; bench does not restart it",
    },
    Fixed {
        setting: "parallel",
        why: "OLLAMA_NUM_PARALLEL is read when Ollama starts; bench does not restart it",
    },
];
const NOTE: &str = "parallel was not searched: Ollama reads OLLAMA_NUM_PARALLEL when it starts";

/// An Ollama and the model that is measured.
pub(super) struct Ollama {
    server: Server,
}

/// Who starts it.
enum Server {
    /// Somebody did.
    Running(Api),
    /// Bench does.
    Child(Box<Child>),
}

pub(super) fn plan(place: &Place) -> Plan {
    let spawned = place.engine.manage == Manage::Spawn;
    let mut profile = place.profile();
    // Which device is used is no setting of the profile: the defaults stay on the same one.
    let bare = Setting::of(Tuple {
        gpu_layers: profile.tuple.gpu_layers,
        ..Tuple::default()
    });
    let mut axes = Axes {
        threads: tune::threads(physical_cores()),
        batch: tune::BATCHES.to_vec(),
        ..Axes::default()
    };
    let mut changes = CHANGES.to_vec();
    if spawned {
        profile.parallel = place.engine.permits.max(1);
        axes.parallel = tune::PARALLEL.to_vec();
        changes.extend(STARTED);
    } else {
        axes.notes.push(NOTE);
    }
    Plan {
        variants: variants(bare, profile, &changes),
        fixed: if spawned { Vec::new() } else { FIXED.to_vec() },
        profile,
        axes,
    }
}

// === impl Ollama ===

impl Ollama {
    pub(super) fn new(place: &Place) -> Result<Self, CommandFailure> {
        let server = match Child::of(place) {
            Some(child) => Server::Child(Box::new(child)),
            None => Server::Running(Api::new(place.address()?, &place.model.id)),
        };
        Ok(Self { server })
    }

    async fn run(&self, setting: &Setting, run: usize) -> Result<Sample, Missed> {
        match &self.server {
            Server::Running(api) => api.run(setting, run).await,
            Server::Child(child) => child.with(setting).await?.run(setting, run).await,
        }
    }

    async fn end(&self) -> Result<(), String> {
        match &self.server {
            Server::Running(api) => match api.unload().await {
                Ok(()) => Ok(()),
                Err(Missed::Refused(words) | Missed::Over(words)) => Err(words),
            },
            Server::Child(child) => child.stop().await,
        }
    }
}

impl Driver for Ollama {
    fn measure<'a>(
        &'a self,
        setting: &'a Setting,
        run: usize,
    ) -> BoxFuture<'a, Result<Sample, Missed>> {
        Box::pin(self.run(setting, run))
    }

    fn clear(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(self.end())
    }

    fn options(&self, setting: &Setting) -> Value {
        let mut options = ollama_options(&setting.tuple);
        if let Server::Child(_) = &self.server {
            let variables = child::variables(setting).into_iter();
            options.extend(variables.map(|(name, value)| (name.to_owned(), value.into())));
        }
        Value::Object(options)
    }
}
