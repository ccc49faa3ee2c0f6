//! The traffic of an event log: a trace of its requests, and the engines and models that served
//! them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crucible_documents::{
    EndingClass,
    event_log::{LoadEvent, LoggedEngineFacts, LoggedEvent, RequestEvent},
};
use crucible_router::{
    catalog::ModelKind,
    measurements,
    replay::{
        LoadRecord, ReplayOutcome, RequestFate, RequestTrace, SimulatedEngine, SimulatedModel,
        TraceRequest,
    },
};

/// The longest time that a simulated unload takes; the log has no times of unloads.
const UNLOAD_TIME: Duration = Duration::from_secs(1);
/// The ratio of a load's time to an unload's.
const LOAD_TO_UNLOAD: u32 = 10;
/// The time for which a request holds its permit where no request of its model ever had one.
const PERMIT_TIME: Duration = Duration::from_secs(5);

/// The requests of an event log with what is known of the engines that served them.
pub(super) struct LoggedTraffic {
    /// All requests, in the order of their arrival.
    pub(super) trace: RequestTrace,
    /// The engines and models that the requests asked for, with their measured or estimated times.
    pub(super) engines: Vec<SimulatedEngine>,
    /// The waits and loads as they were logged.
    pub(super) logged: ReplayOutcome,
}

/// The times of one model's loads and permits in the log.
#[derive(Default)]
struct ModelTimes {
    loads: Vec<Duration>,
    held: Vec<Duration>,
}

fn median(mut all: Vec<Duration>) -> Option<Duration> {
    all.sort_unstable();
    all.get(all.len() / 2).copied()
}

type TimesByModel<'a> = BTreeMap<(&'a str, &'a str), (&'a LoggedEngineFacts, ModelTimes)>;

// === impl LoggedTraffic ===

impl LoggedTraffic {
    /// Reads the traffic from the lines of a log; the result is `None` where no request with a
    /// known engine is among them.
    pub(super) fn of(lines: &[LoggedEvent]) -> Option<Self> {
        let mut requests: Vec<(&RequestEvent, &LoggedEngineFacts)> = Vec::new();
        let mut loads: Vec<&LoadEvent> = Vec::new();
        for line in lines {
            match line {
                LoggedEvent::Request(request) => {
                    requests.extend(request.facts.as_ref().map(|facts| (request, facts)));
                }
                LoggedEvent::Load(load) if load.outcome == "ok" => loads.push(load),
                LoggedEvent::Load(_) | LoggedEvent::Energy(_) | LoggedEvent::Dropped { .. } => {}
            }
        }
        requests.sort_by_key(|(request, _)| request.at_ms);
        let (first, _) = requests.first()?;
        let begin = first.at_ms;
        // What was loaded before is part of an older log.
        loads.retain(|load| load.at_ms + load.took_ms >= begin);
        let mut models = TimesByModel::new();
        for (request, facts) in &requests {
            let entry = models
                .entry((&request.engine, &request.model))
                .or_insert_with(|| (facts, ModelTimes::default()));
            entry.0 = facts;
            entry
                .1
                .held
                .extend(request.held_ms.map(Duration::from_millis));
        }
        for load in &loads {
            if let Some((_, times)) = models.get_mut(&(&*load.engine, &*load.model)) {
                times.loads.push(Duration::from_millis(load.took_ms));
            }
        }
        let logged = logged_outcome(&requests, &loads, begin);
        let trace = requests.iter().map(|(request, facts)| {
            let times = &models[&(&*request.engine, &*request.model)].1;
            trace_request(request, facts, times, begin)
        });
        Some(Self {
            trace: RequestTrace::new(trace.collect()),
            engines: engines(models),
            logged,
        })
    }
}

fn trace_request(
    line: &RequestEvent,
    facts: &LoggedEngineFacts,
    times: &ModelTimes,
    begin: u64,
) -> TraceRequest {
    let waited = Duration::from_millis(line.wait_ms);
    let held = line.held_ms.map(Duration::from_millis);
    TraceRequest {
        at: Duration::from_millis(line.at_ms - begin),
        client: line.client.clone(),
        class: line.class,
        engine: Arc::clone(&line.engine),
        model: Arc::clone(&line.model),
        kind: kind(facts),
        prompt_tokens: line.prompt_tokens,
        output_tokens: line.output_tokens,
        // Whoever got no permit would have held it as long as others did.
        service_time: held
            .or_else(|| median(times.held.clone()))
            .or(Some(PERMIT_TIME)),
        calls_tools: line.called_tools,
        follows_after: None,
        longest_wait: (held.is_none() && line.ending() == EndingClass::Left).then_some(waited),
    }
}

const fn kind(facts: &LoggedEngineFacts) -> ModelKind {
    if facts.embedding {
        ModelKind::Embedding
    } else {
        ModelKind::Generation
    }
}

fn engines(models: TimesByModel<'_>) -> Vec<SimulatedEngine> {
    let mut engines: Vec<SimulatedEngine> = Vec::new();
    for ((name, model), (facts, times)) in models {
        let load = median(times.loads)
            .unwrap_or_else(|| measurements::load_time_prior(facts.device, facts.size_bytes));
        let model = SimulatedModel {
            name: Arc::from(model),
            kind: kind(facts),
            bytes: facts.size_bytes,
            load_time: load,
            prompt_per_second: measurements::prompt_prior(facts.device),
            output_per_second: measurements::output_prior(facts.device),
        };
        let unload = UNLOAD_TIME.min(load / LOAD_TO_UNLOAD);
        if let Some(engine) = engines.iter_mut().find(|e| *e.name == *name) {
            engine.unload_time = engine.unload_time.max(unload);
            engine.models.push(model);
            continue;
        }
        engines.push(SimulatedEngine {
            name: Arc::from(name),
            kind: facts.engine_kind,
            device: facts.device,
            pool: Arc::clone(&facts.pool),
            unload_time: unload,
            models: vec![model],
        });
    }
    engines
}

/// Returns the logged waits and loads in the form of a simulation's outcome.
fn logged_outcome(
    requests: &[(&RequestEvent, &LoggedEngineFacts)],
    loads: &[&LoadEvent],
    begin: u64,
) -> ReplayOutcome {
    let fates = requests.iter().map(|(line, _)| {
        let wait = Duration::from_millis(line.wait_ms);
        match line.held_ms {
            Some(held) => RequestFate::Served {
                wait,
                held: Duration::from_millis(held),
                loaded: line.loaded,
            },
            None => RequestFate::Rejected { after: wait },
        }
    });
    let ends = requests
        .iter()
        .map(|(line, _)| line.at_ms - begin + line.wait_ms + line.held_ms.unwrap_or(0));
    ReplayOutcome {
        fates: fates.collect(),
        loads: loads
            .iter()
            .map(|load| LoadRecord {
                started: Duration::from_millis(load.at_ms.saturating_sub(begin)),
                took: Duration::from_millis(load.took_ms),
                engine: Arc::clone(&load.engine),
                model: Arc::clone(&load.model),
            })
            .collect(),
        unloads: 0,
        makespan: Duration::from_millis(ends.max().unwrap_or(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> LoggedEvent {
        serde_json::from_str(text).unwrap()
    }

    fn request(at: u64, rest: &str) -> LoggedEvent {
        line(&format!(
            "{{\"event\":\"request\",\"at_ms\":{at},\"engine\":\"gpu\",\"model\":\"m\",\
             \"class\":\"background\",\"prompt_tokens\":10,\"output_tokens\":20,\"loaded\":false,\
             \"engine_kind\":\"lmstudio\",\"device\":\"gpu\",\"pool\":\"gpu\",{rest}}}"
        ))
    }

    fn load(at: u64, took: u64, outcome: &str) -> LoggedEvent {
        line(&format!(
            "{{\"event\":\"load\",\"at_ms\":{at},\"engine\":\"gpu\",\"model\":\"m\",\
             \"took_ms\":{took},\"outcome\":\"{outcome}\",\"trigger\":\"request\"}}"
        ))
    }

    #[test]
    fn times_are_measured_where_the_log_has_them() {
        let lines = [
            load(400, 500, "ok"),
            request(
                3000,
                "\"wait_ms\":40,\"held_ms\":700,\"status\":200,\"outcome\":\"ok\"",
            ),
            request(
                1000,
                "\"wait_ms\":30,\"held_ms\":500,\"status\":200,\"outcome\":\"ok\"",
            ),
            request(
                4000,
                "\"wait_ms\":60,\"status\":499,\"outcome\":\"client_gone\"",
            ),
            load(1000, 3000, "ok"),
            load(1100, 1, "error"),
        ];
        let traffic = LoggedTraffic::of(&lines).unwrap();
        let requests = traffic.trace.requests();
        let ms = Duration::from_millis;
        let seen: Vec<_> = requests
            .iter()
            .map(|r| (r.at, r.service_time, r.longest_wait))
            .collect();
        assert_eq!(
            seen,
            [
                (ms(0), Some(ms(500)), None),
                (ms(2000), Some(ms(700)), None),
                (ms(3000), Some(ms(700)), Some(ms(60))),
            ]
        );
        assert_eq!(traffic.engines[0].models[0].load_time, ms(3000));
        assert_eq!(
            (traffic.logged.loads.len(), traffic.logged.makespan),
            (1, ms(3060))
        );
        let all = traffic.logged.wait_summary(&traffic.trace, |_| true);
        assert_eq!((all.served, all.rejected, all.max), (2, 1, ms(40)));
    }

    #[test]
    fn a_load_that_was_never_seen_is_estimated_by_size() {
        let lines = [request(
            0,
            "\"wait_ms\":0,\"status\":503,\"outcome\":\"queue_full\",\"size_bytes\":4000000000",
        )];
        let traffic = LoggedTraffic::of(&lines).unwrap();
        assert_eq!(
            traffic.engines[0].models[0].load_time,
            Duration::from_secs(4)
        );
        assert_eq!(traffic.trace.requests()[0].service_time, Some(PERMIT_TIME));
        assert_eq!(traffic.trace.requests()[0].longest_wait, None);
    }

    #[test]
    fn without_a_request_there_is_nothing_to_replay() {
        assert!(LoggedTraffic::of(&[load(0, 1, "ok")]).is_none());
        assert!(LoggedTraffic::of(&[]).is_none());
    }
}
