//! The making of the state's document from the router's view.

use std::sync::Arc;

use crucible_router::{
    catalog::ModelInfo,
    view::{EngineView, LoadingView, QueuedView, ResidentView, View},
};

use super::{
    EngineDoc, LoadingDoc, ModelDoc, PermitsDoc, PoolDoc, QueueDoc, ResidentDoc, StateDoc,
    WaiterDoc,
};
use crate::number::{seconds, unix_seconds};

// === impl StateDoc ===

impl StateDoc {
    /// Makes the document of what the router knows. The server adds itself, the requests in flight, the
    /// prefixes that broke and the prompts of each resident, which are absent here.
    pub fn of(view: &View) -> Self {
        Self {
            instance: None,
            owns_state: view.owns_state,
            engines: view.engines.iter().map(EngineDoc::of).collect(),
            pools: pools(view),
            queue: view.queue.iter().map(WaiterDoc::of).collect(),
            in_flight: Vec::new(),
            prefixes: Vec::new(),
        }
    }
}

fn pools(view: &View) -> Vec<PoolDoc> {
    let mut names: Vec<&Arc<str>> = Vec::new();
    for engine in &view.engines {
        if !names.contains(&&engine.pool) {
            names.push(&engine.pool);
        }
    }
    let pools = names.into_iter();
    pools.map(|name| PoolDoc::of(view, name)).collect()
}

// === impl EngineDoc ===

impl EngineDoc {
    fn of(view: &EngineView) -> Self {
        let conflicts = view.conflicts.iter();
        let conflicts = conflicts.map(|c| format!("{}; {}", c.found, c.fix));
        Self {
            name: Arc::clone(&view.name),
            kind: view.kind,
            device: view.device,
            pool: Arc::clone(&view.pool),
            url: view.url.clone(),
            state: view.health,
            breaker: view.breaker,
            error: view.error.clone(),
            version: view.version.clone(),
            advice: view.advice.iter().cloned().chain(conflicts).collect(),
            discovered: view.discovered,
            load_control: view.load_control,
            wedged: view.wedged,
            models: view.models.iter().map(|m| Arc::clone(&m.id)).collect(),
            permits: PermitsDoc {
                limit: view.permits,
                active: view.active,
            },
            queue: QueueDoc {
                limit: view.queue_limit,
                waiting: view.queued,
            },
            catalog: view.models.iter().map(ModelDoc::of).collect(),
        }
    }
}

// === impl ModelDoc ===

impl ModelDoc {
    fn of(model: &ModelInfo) -> Self {
        Self {
            model: Arc::clone(&model.id),
            kind: model.kind,
            size_bytes: model.size_bytes,
            quantization: model.quantization.clone(),
            max_context: model.max_context,
        }
    }
}

// === impl PoolDoc ===

impl PoolDoc {
    fn of(view: &View, name: &Arc<str>) -> Self {
        let members = || view.engines.iter().filter(|e| e.pool == *name);
        let used = members().map(|e| e.used).fold(0, u64::saturating_add);
        let residents = members().flat_map(|e| e.residents.iter().map(move |r| (e, r)));
        Self {
            name: Arc::clone(name),
            budget_bytes: members().filter_map(|e| e.budget).min(),
            used_bytes: used,
            others_bytes: members().find_map(|e| e.others),
            peak_bytes: members().map(|e| e.peak).fold(used, u64::max),
            loading: members()
                .find_map(|e| e.loading.as_ref())
                .map(LoadingDoc::of),
            residents: residents
                .map(|(engine, resident)| ResidentDoc::of(engine, resident))
                .collect(),
        }
    }
}

// === impl LoadingDoc ===

impl LoadingDoc {
    fn of(view: &LoadingView) -> Self {
        Self {
            model: Arc::clone(&view.model),
            since: seconds(view.since),
            expected_s: view.expected.map(seconds),
        }
    }
}

// === impl ResidentDoc ===

impl ResidentDoc {
    fn of(engine: &EngineView, view: &ResidentView) -> Self {
        let info = &view.info;
        Self {
            engine: Arc::clone(&engine.name),
            model: Arc::clone(info.name(engine.kind)),
            names: engine.names(info),
            instance: Arc::clone(&info.instance),
            context: info.context,
            bytes: info.bytes,
            vram_bytes: info.vram_bytes,
            active: view.active,
            idle_s: seconds(view.idle),
            pinned: view.pinned,
            owned: view.owned,
            prompts: Vec::new(),
            expires_unix: info.expires_at.and_then(unix_seconds),
        }
    }
}

// === impl WaiterDoc ===

impl WaiterDoc {
    fn of(view: &QueuedView) -> Self {
        Self {
            request_id: Arc::clone(&view.request_id),
            engine: Arc::clone(&view.engine),
            model: Arc::clone(&view.model),
            position: view.position,
            waiting_s: seconds(view.waiting),
            reason: view.reason.to_owned(),
        }
    }
}
