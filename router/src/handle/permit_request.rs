//! The request for a permit that a plan's candidate and a demand become.

use std::sync::Arc;

use crucible_config::checked::{ClientKey, Config, Device, Fit};

use crate::{
    catalog::ModelKind, demand::Demand, event::LoadTrigger, fleet::EngineStatus,
    machine::physical_cores, measurements::Measurements, options::tuple_for, plan::Candidate,
    predict, scheduler::PermitRequest, shared_weights,
};

/// The context that a request wants of its model, in tokens.
struct WantedContext {
    /// The context of the configuration, whichever key the request came with.
    configured: u64,
    /// The context with which the model is loaded for this request.
    base: u64,
    /// The most to which it may grow.
    cap: u64,
    fit: Fit,
}

/// Computes what a request asks of the scheduler. Ticket, trigger and deadline are filled in by the caller.
pub(crate) fn permit_request(
    config: &Config,
    engine: &EngineStatus,
    learned: &Measurements,
    candidate: &Candidate,
    demand: &Demand,
) -> PermitRequest {
    let models = &engine.models;
    let (name, id) = (&candidate.engine, &candidate.model);
    let max = models.iter().find(|m| m.id == *id);
    let max = max.and_then(|m| m.max_context);
    let tokens = predict::prompt_tokens(learned, name, id, demand.prompt_tokens);
    let WantedContext {
        configured,
        base,
        cap,
        fit,
    } = WantedContext::of(config, engine, id, max, demand);
    PermitRequest {
        ticket: 0,
        request_id: Arc::clone(&demand.request_id),
        engine: Arc::clone(&candidate.engine),
        model: shared_weights::runner(models, &candidate.model),
        name: Arc::clone(&candidate.model),
        kind: demand.kind,
        prompt_tokens: demand.prompt_for(tokens),
        answer_tokens: demand.reserve(),
        configured_context: configured,
        expected_context: match demand.kind {
            ModelKind::Generation => predict::needed(learned, &demand.client, configured),
            ModelKind::Embedding => 0,
        },
        growing_prompts: demand.tools || demand.session.is_some(),
        base_context: base,
        context_cap: cap,
        fit,
        tuple: tuple_for(
            engine.config.kind,
            &config.tuning,
            base,
            demand.kind,
            engine.device == Device::Cpu,
            physical_cores(),
            max,
        ),
        pin: shared_weights::pinned(config, &engine.config.name, models, &candidate.model),
        resident_only: false,
        trigger: LoadTrigger::Request,
        deadline: tokio::time::Instant::now().into_std(),
        client: demand.client.clone(),
        commits_at: demand.commits,
        class: demand.class,
        session: demand.session,
        supersede_key: demand.supersedes.filter(|_| config.scheduler.supersede),
    }
}

// === impl WantedContext ===

impl WantedContext {
    /// Reads it from the configuration and the client's own wish; `max` is the model's own limit.
    fn of(
        config: &Config,
        engine: &EngineStatus,
        model: &str,
        max: Option<u64>,
        demand: &Demand,
    ) -> Self {
        let context = |key: Option<&ClientKey>| {
            shared_weights::context(config, &engine.config, &engine.models, model, key).value
        };
        let key = demand.key.as_deref();
        let wanted = context(key);
        let base = max.map_or(wanted, |max| wanted.min(max.max(1)));
        let settings = config.model_settings(&engine.config.name, model);
        let fit = settings.and_then(|m| m.fit).unwrap_or(config.context.fit);
        let cap = config.context.max.min(max.unwrap_or(u64::MAX)).max(base);
        Self {
            configured: if key.is_some() { context(None) } else { wanted },
            // A client's own wish sizes a load like the configuration; nothing is loaded anew for it.
            base: match fit {
                Fit::Grow => base.max(demand.num_ctx.unwrap_or(0).min(cap)),
                Fit::Reject => base,
            },
            cap,
            fit,
        }
    }
}
