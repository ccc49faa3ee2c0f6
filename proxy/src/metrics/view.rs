//! The gauges of engines and models, set at each scrape from the view that the router publishes.

use std::{
    collections::{HashMap, HashSet},
    time::Instant,
};

use crucible_router::view::{BreakerState, EngineView, Health, View};

use super::{Metrics, family::float, view_series::ViewSeries};

impl Metrics {
    /// Sets queue, limits, health, breaker and residents of every engine.
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
            for (model, bytes) in self.residents(engine) {
                let key = (engine.name.to_string(), model);
                self.set_model(&key, 1.0, bytes);
                gone.remove(&key);
                shown.models.insert(key);
            }
        }
        for key in gone {
            self.set_model(&key, 0.0, 0);
            let (engine, model) = key;
            shown.unloaded.entry(engine).or_default().insert(model);
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
                for gauge in [&v.model_loaded, &v.model_memory] {
                    let _ = gauge.remove_label_values(&[name, model]);
                }
            }
            !goes
        });
        // Those that were unloaded before stand there with 0.
        for model in shown.unloaded.remove(name).into_iter().flatten() {
            for gauge in [&v.model_loaded, &v.model_memory] {
                let _ = gauge.remove_label_values(&[name, &model]);
            }
        }
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

    /// The label and the bytes of every loaded model, instances of one model together.
    fn residents(&self, engine: &EngineView) -> HashMap<String, u64> {
        let mut loaded = HashMap::new();
        for resident in &engine.residents {
            let label = self.inner.models.label(resident.info.name(engine.kind));
            *loaded.entry(label.to_owned()).or_default() += resident.info.bytes.unwrap_or(0);
        }
        loaded
    }

    fn set_model(&self, (engine, model): &(String, String), loaded: f64, bytes: u64) {
        let v = self.vectors();
        let labels = [engine.as_str(), model.as_str()];
        v.model_loaded.with_label_values(&labels).set(loaded);
        v.model_memory.with_label_values(&labels).set(float(bytes));
    }
}
