//! The gauges of engines and models, set at each scrape from the view that the router publishes.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::{Duration, Instant, SystemTime},
};

use crucible_router::view::{BreakerState, EngineView, Health, View};
use prometheus::GaugeVec;

use super::{
    Metrics,
    family::float,
    labels::QUEUE_REASONS,
    view_series::{PoolSeries, ViewSeries},
};

/// An engine that keeps a model for ever says so by a time that is centuries away.
const NEVER: Duration = Duration::from_hours(10 * 365 * 24);

/// What the gauges of a loaded model show, its instances taken together.
#[derive(Clone, Copy, Debug, Default)]
struct LoadedModel {
    bytes: u64,
    expires: Option<SystemTime>,
}

/// What the gauges of a pool show, its engines taken together.
#[derive(Clone, Copy, Debug, Default)]
struct PoolState {
    budget: Option<u64>,
    used: u64,
    loading: bool,
}

impl Metrics {
    /// Sets queue, limits, health, breaker and residents of every engine, and the memory of every pool.
    pub fn update_view(&self, view: &View) {
        let now = Instant::now();
        self.known_models(view.models());
        let mut shown = self.inner.shown.lock();
        let names: Vec<&str> = view.engines.iter().map(|engine| &*engine.name).collect();
        let before = std::mem::take(&mut shown.engines);
        if before != names {
            self.engines(&names);
        }
        shown.engines = names.iter().map(|&name| name.to_owned()).collect();
        let mut gone = std::mem::take(&mut shown.models);
        for name in before.iter().filter(|name| !names.contains(&name.as_str())) {
            self.forget(name, &mut gone, &mut shown);
        }
        for engine in &view.engines {
            self.update_engine(engine, now);
            self.update_info(engine, &mut shown);
            for (model, loaded) in self.residents(engine) {
                let key = (engine.name.to_string(), model);
                self.set_model(&key, Some(loaded));
                gone.remove(&key);
                shown.models.insert(key);
            }
        }
        for key in gone {
            self.set_model(&key, None);
            let (engine, model) = key;
            shown.unloaded.entry(engine).or_default().insert(model);
        }
        for engine in &view.engines {
            self.forget_models(engine, &mut shown);
        }
        self.update_queue(view);
        self.update_pools(view, &mut shown.pools);
    }

    /// Removes the gauges of models that were unloaded and that their engine lists no longer.
    fn forget_models(&self, engine: &EngineView, shown: &mut ViewSeries) {
        let Some(unloaded) = shown.unloaded.get_mut(&*engine.name) else {
            return;
        };
        let listed: HashSet<&str> = engine
            .models
            .iter()
            .map(|model| self.inner.models.label(&model.id))
            .collect();
        unloaded.retain(|model| {
            let stays = listed.contains(&**model);
            if !stays {
                self.remove_model(&engine.name, model);
            }
            stays
        });
    }

    /// Counts the waiting requests of each engine by what they wait for.
    fn update_queue(&self, view: &View) {
        let gauge = &self.vectors().queue_waiting;
        for engine in &view.engines {
            let waits = |reason: &str| {
                let all = view.queue.iter();
                all.filter(|one| one.engine == engine.name && one.reason == reason)
                    .count()
            };
            for reason in QUEUE_REASONS {
                let waiting = u32::try_from(waits(reason)).unwrap_or(u32::MAX);
                gauge
                    .with_label_values(&[&*engine.name, reason])
                    .set(f64::from(waiting));
            }
        }
    }

    /// Sets budget, use and loads of each pool, and removes those of pools that no engine is in.
    fn update_pools(&self, view: &View, shown: &mut PoolSeries) {
        let mut pools: BTreeMap<&str, PoolState> = BTreeMap::new();
        for engine in &view.engines {
            let pool = pools.entry(&engine.pool).or_default();
            pool.budget = pool.budget.or(engine.budget);
            pool.used = pool.used.saturating_add(engine.used);
            pool.loading |= engine.loading.is_some();
        }
        let v = self.vectors();
        shown.retain(|name| {
            let stays = pools.contains_key(&**name);
            if !stays {
                for gauge in [&v.pool_budget, &v.pool_used, &v.pool_loading] {
                    let _ = gauge.remove_label_values(&[name]);
                }
            }
            stays
        });
        for (name, pool) in pools {
            set_or_remove(&v.pool_budget, &[name], pool.budget.map(float));
            v.pool_used.with_label_values(&[name]).set(float(pool.used));
            let loading = f64::from(u8::from(pool.loading));
            v.pool_loading.with_label_values(&[name]).set(loading);
            shown.insert(name.to_owned());
        }
    }

    /// Removes the gauges of an engine that is configured no more: an engine that nobody watches is not
    /// down. Its counters stay, as Prometheus expects of counters.
    fn forget(&self, name: &str, models: &mut HashSet<(String, String)>, shown: &mut ViewSeries) {
        let v = self.vectors();
        for gauge in self.engine_gauges() {
            // It exists unless another scrape removed it first.
            let _ = gauge.remove_label_values(&[name]);
        }
        models.retain(|(engine, model)| {
            let goes = engine == name;
            if goes {
                self.remove_model(name, model);
            }
            !goes
        });
        // Those that were unloaded before stand there with 0.
        for model in shown.unloaded.remove(name).into_iter().flatten() {
            self.remove_model(name, &model);
        }
        for reason in QUEUE_REASONS {
            let _ = v.queue_waiting.remove_label_values(&[name, reason]);
        }
        let _ = v.engine_memory_limit.remove_label_values(&[name]);
        if let Some([kind, version]) = shown.versions.remove(name) {
            let _ = v.engine_info.remove_label_values(&[name, &kind, &version]);
        }
    }

    fn update_engine(&self, engine: &EngineView, now: Instant) {
        let v = self.vectors();
        let name = [&*engine.name];
        let residents = u32::try_from(engine.residents.len()).unwrap_or(u32::MAX);
        let limit = engine.permits.saturating_mul(residents.max(1));
        let up = matches!(engine.health, Health::Up | Health::Degraded);
        let breaker = match engine.breaker {
            BreakerState::Closed => 0.0,
            BreakerState::Open => 1.0,
            BreakerState::HalfOpen => 2.0,
        };
        let oldest = self.inner.starts.oldest(&engine.name, now).as_secs_f64();
        for (gauge, value) in [
            (&v.queue_depth, f64::from(engine.queued)),
            (&v.queue_limit, f64::from(engine.queue_limit)),
            (&v.in_flight_limit, f64::from(limit)),
            (&v.oldest_in_flight, oldest),
            (&v.models_loaded, f64::from(residents)),
            (&v.engine_up, f64::from(u8::from(up))),
            (&v.breaker_state, breaker),
        ] {
            gauge.with_label_values(&name).set(value);
        }
        if let Some(limit) = engine.models_limit {
            v.models_loaded_limit
                .with_label_values(&name)
                .set(f64::from(limit));
        }
        let limit = engine.limit.as_ref().and_then(|limit| limit.as_ref().ok());
        set_or_remove(
            &v.engine_memory_limit,
            &name,
            limit.map(|bytes| float(*bytes)),
        );
    }

    /// Sets how many prompts an engine reads at this moment, and the longest of the seconds that each of them
    /// is expected to take yet.
    pub(crate) fn set_prompts(&self, engine: &str, left: &[f64]) {
        let v = self.vectors();
        let count = u32::try_from(left.len()).unwrap_or(u32::MAX);
        let longest = left.iter().copied().fold(0.0, f64::max);
        v.prefill_requests
            .with_label_values(&[engine])
            .set(f64::from(count));
        v.prefill_remaining
            .with_label_values(&[engine])
            .set(longest);
    }

    fn update_info(&self, engine: &EngineView, shown: &mut ViewSeries) {
        let gauge = &self.vectors().engine_info;
        let kind = engine.kind.profile().word;
        // A version is the engine's own text: bounded, like every label.
        let version: String = engine
            .version
            .as_deref()
            .unwrap_or("unknown")
            .chars()
            .take(32)
            .collect();
        let info = [kind.to_owned(), version];
        let name = &*engine.name;
        if let Some(old) = shown.versions.get(name)
            && *old != info
        {
            // It exists unless another scrape removed it first.
            let _ = gauge.remove_label_values(&[name, &old[0], &old[1]]);
        }
        gauge
            .with_label_values(&[name, &info[0], &info[1]])
            .set(1.0);
        shown.versions.insert(name.to_owned(), info);
    }

    /// The label and the state of every loaded model, instances of one model together: all their bytes,
    /// and the time at which the last of them goes.
    fn residents(&self, engine: &EngineView) -> HashMap<String, LoadedModel> {
        let mut loaded: HashMap<String, LoadedModel> = HashMap::new();
        for resident in &engine.residents {
            let label = self.inner.models.label(resident.info.name(engine.kind));
            let model = loaded.entry(label.to_owned()).or_default();
            model.bytes += resident.info.bytes.unwrap_or(0);
            model.expires = model.expires.max(resident.info.expires_at);
        }
        loaded
    }

    /// Shows a model of an engine as loaded, or as unloaded.
    fn set_model(&self, (engine, model): &(String, String), loaded: Option<LoadedModel>) {
        let v = self.vectors();
        let labels = [engine.as_str(), model.as_str()];
        let is_loaded = f64::from(u8::from(loaded.is_some()));
        v.model_loaded.with_label_values(&labels).set(is_loaded);
        let loaded = loaded.unwrap_or_default();
        v.model_memory
            .with_label_values(&labels)
            .set(float(loaded.bytes));
        let latest = SystemTime::now() + NEVER;
        let expires = loaded.expires.filter(|at| *at < latest).map(|at| {
            at.duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default()
                .as_secs_f64()
        });
        set_or_remove(&v.model_expires, &labels, expires);
    }

    /// Removes the gauges of a model.
    fn remove_model(&self, engine: &str, model: &str) {
        let v = self.vectors();
        for gauge in [&v.model_loaded, &v.model_memory, &v.model_expires] {
            // It exists unless another scrape removed it first, or the engine says nothing of it.
            let _ = gauge.remove_label_values(&[engine, model]);
        }
    }
}

/// Sets a gauge that is absent where there is no value.
pub(super) fn set_or_remove(gauge: &GaugeVec, labels: &[&str], value: Option<f64>) {
    match value {
        Some(value) => gauge.with_label_values(labels).set(value),
        None => {
            // Mostly there was none before.
            let _ = gauge.remove_label_values(labels);
        }
    }
}
