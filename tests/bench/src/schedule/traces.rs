//! Seeded traces of what a desk and a night look like, and the machine that they run on.

use std::{sync::Arc, time::Duration};

use crucible_config::checked::{Class, Config, Device, EngineKind, PoolSettings};
use crucible_router::{
    catalog::ModelKind,
    replay::{RequestTrace, SimulatedEngine, SimulatedMachine, SimulatedModel, TraceRequest},
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

/// One trace with its machine.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    pub(super) trace: RequestTrace,
    pub(super) machine: SimulatedMachine,
}

/// Who asks: client, class, model, tokens of prompt and answer.
#[derive(Clone, Copy)]
struct Who(&'static str, Class, &'static str, u64, u64);

const SMALL: &str = "coder-1.5b";
const CHAT: &str = "chat-8b";
const AGENT: &str = "agent-14b";
pub(super) const MODELS: [&str; 5] = [SMALL, CHAT, AGENT, "vision-7b", "think-8b"];

fn seconds(s: f64) -> Duration {
    Duration::from_secs_f64(s.max(0.0))
}

/// One LM Studio on a GPU with room for so many models: a load 2 to 10 s, an unload 1 s, two
/// permits per model. Nobody is refused: the waits of all policies are compared in full.
pub(super) fn machine(room: u32) -> SimulatedMachine {
    let mut config = Config::builtin();
    config.tuning.lmstudio.max_loaded_models = room;
    config.timeouts.queue = Duration::from_hours(24);
    // Not what this machine has: the count is the limit.
    let pool = PoolSettings {
        memory: None,
        budget: Some(1_000_000_000_000),
        exclusive: false,
    };
    config.pools.insert("gpu".to_owned(), pool);
    // Room for both permits: what a prompt takes of the context is not compared here.
    config.tuning.lmstudio.context_length = 32_768;
    if let Ok(url) = "http://127.0.0.1:1234".parse() {
        let mut engine = config.discovered(EngineKind::Lmstudio, "gpu", url);
        engine.queue = 1_000_000;
        config.engines.push(engine);
    }
    // Weights of four bits, read at 1 GB/s; rates of a consumer's GPU.
    let models = [
        (1, 4000, 150),
        (5, 2000, 60),
        (9, 1000, 35),
        (5, 2000, 60),
        (5, 2000, 60),
    ];
    let model = |(name, (gb, prefill, generation)): (&str, (u64, u64, u64))| SimulatedModel {
        name: Arc::from(name),
        kind: ModelKind::Generation,
        bytes: Some(gb * 1_000_000_000),
        load_time: Duration::from_secs(gb + 1),
        prompt_per_second: prefill,
        output_per_second: generation,
    };
    SimulatedMachine {
        config,
        engines: vec![SimulatedEngine {
            name: Arc::from("gpu"),
            kind: EngineKind::Lmstudio,
            device: Device::Gpu,
            pool: Arc::from("gpu"),
            unload_time: Duration::from_secs(1),
            models: MODELS.into_iter().zip(models).map(model).collect(),
        }],
    }
}

pub(super) fn request(at: Duration, client: &str, class: Class, model: &str) -> TraceRequest {
    TraceRequest {
        at,
        client: Some(Arc::from(client)),
        class,
        engine: Arc::from("gpu"),
        model: Arc::from(model),
        kind: ModelKind::Generation,
        prompt_tokens: 1000,
        output_tokens: 100,
        service_time: None,
        calls_tools: false,
        follows_after: None,
        longest_wait: None,
    }
}

// === impl Who ===

impl Who {
    /// One request; tokens within a factor of 2 around the usual.
    fn asks(self, at: f64, dice: &mut StdRng) -> TraceRequest {
        let Self(client, class, model, prompt, output) = self;
        let mut around = |usual: u64| dice.random_range(usual / 2..=usual * 3 / 2);
        TraceRequest {
            prompt_tokens: around(prompt),
            output_tokens: around(output),
            ..request(seconds(at), client, class, model)
        }
    }

    /// Independent arrivals with this mean gap in seconds.
    fn arrives(self, every: f64, from: f64, until: f64, dice: &mut StdRng) -> Vec<TraceRequest> {
        let mut requests = Vec::new();
        let mut at = from;
        loop {
            at -= every * (1.0 - dice.random::<f64>()).ln();
            if at >= until {
                return requests;
            }
            requests.push(self.asks(at, dice));
        }
    }
}

/// All of them.
pub(super) fn all() -> Vec<Case> {
    vec![
        desk(),
        night(),
        turns(),
        steady(),
        flood(),
        crowd(),
        tools(),
    ]
}

fn desk() -> Case {
    let mut dice = StdRng::seed_from_u64(1);
    let person = Class::Interactive;
    let mut requests = Vec::new();
    // Ten minutes of typing, five of reading, four times.
    for from in [0.0, 900.0, 1800.0, 2700.0] {
        let typing = Who("editor", person, SMALL, 800, 30);
        requests.extend(typing.arrives(4.0, from, from + 600.0, &mut dice));
    }
    requests.extend(Who("chat", person, CHAT, 1500, 250).arrives(60.0, 0.0, 3600.0, &mut dice));
    requests.extend(Who("agent", person, AGENT, 5000, 150).arrives(30.0, 0.0, 3600.0, &mut dice));
    Case {
        name: "Desk",
        what: "One hour: autocomplete while somebody types (every 4 s), a chat (every 60 s), an \
               agent (every 30 s); three models, room for two.",
        trace: RequestTrace::new(requests),
        machine: machine(2),
    }
}

fn night() -> Case {
    let mut dice = StdRng::seed_from_u64(2);
    let mut requests = Vec::new();
    for _ in 0..300 {
        let model = MODELS[dice.random_range(1..4)];
        let batch = Who("batch", Class::Background, model, 3000, 200);
        requests.push(batch.asks(dice.random_range(0.0..60.0), &mut dice));
    }
    let person = Who("chat", Class::Interactive, CHAT, 1500, 250);
    requests.extend(person.arrives(120.0, 0.0, 3600.0, &mut dice));
    Case {
        name: "Night",
        what: "300 requests of a batch over three models, all put in within a minute, and a person \
               who chats with one of them (every 120 s); room for one.",
        trace: RequestTrace::new(requests),
        machine: machine(1),
    }
}

fn turns() -> Case {
    let mut dice = StdRng::seed_from_u64(3);
    let mut requests = Vec::new();
    for turn in 0..40 {
        let from = f64::from(turn) * 150.0;
        for i in 0..8 {
            let (client, model) = if i % 2 == 0 {
                ("one", CHAT)
            } else {
                ("two", AGENT)
            };
            let at = from + f64::from(i) * 0.5 + dice.random_range(0.0..0.4);
            requests.push(Who(client, Class::Interactive, model, 3000, 150).asks(at, &mut dice));
        }
    }
    Case {
        name: "Alternating",
        what: "Two agents with a model each; every 150 s both ask for four things in turn within \
               4 s; room for one. Every policy is done before the next turn.",
        trace: RequestTrace::new(requests),
        machine: machine(1),
    }
}

fn steady() -> Case {
    let mut dice = StdRng::seed_from_u64(6);
    let mut requests = Vec::new();
    for (client, model) in [("one", CHAT), ("two", AGENT)] {
        let agent = Who(client, Class::Interactive, model, 3000, 150);
        requests.extend(agent.arrives(12.0, 0.0, 3600.0, &mut dice));
    }
    Case {
        name: "Two agents",
        what: "Two agents with a model each, both asking every 12 s for an hour without a pause; \
               room for one.",
        trace: RequestTrace::new(requests),
        machine: machine(1),
    }
}

fn flood() -> Case {
    let mut dice = StdRng::seed_from_u64(4);
    let one = Who("one", Class::Interactive, CHAT, 2000, 150);
    let two = Who("two", Class::Interactive, AGENT, 3000, 150);
    let mut requests = one.arrives(3.0, 0.0, 3600.0, &mut dice);
    requests.extend(two.arrives(60.0, 0.0, 3600.0, &mut dice));
    Case {
        name: "Flood",
        what: "An agent that never stops (every 3 s), and one with another model every 60 s; room \
               for one. Who collates may never swap.",
        trace: RequestTrace::new(requests),
        machine: machine(1),
    }
}

/// So many turns of an agent end in tool calls before its last one.
const TOOL_TURNS: u32 = 7;

fn tools() -> Case {
    let mut dice = StdRng::seed_from_u64(7);
    let mut requests = Vec::new();
    for round in 0..12 {
        for (client, model) in [("one", CHAT), ("two", AGENT), ("three", CHAT)] {
            let agent = Who(client, Class::Interactive, model, 2000, 100);
            let from = f64::from(round) * 300.0 + dice.random_range(0.0..2.0);
            for turn in 0..=TOOL_TURNS {
                let gap = seconds(dice.random_range(0.2..0.5));
                requests.push(TraceRequest {
                    calls_tools: turn < TOOL_TURNS,
                    follows_after: (turn > 0).then_some(gap),
                    // In the order of their turns.
                    ..agent.asks(from + f64::from(turn) / 1000.0, &mut dice)
                });
            }
        }
    }
    Case {
        name: "Tool calls",
        what: "Three agents over two models, room for one; every 300 s each of them is given a task: \
               seven answers that end in tool calls, whose results it sends 0.2 to 0.5 s later, and \
               a last one. Here a client does wait for its answer before it asks again.",
        trace: RequestTrace::new(requests),
        machine: machine(1),
    }
}

fn crowd() -> Case {
    let mut dice = StdRng::seed_from_u64(5);
    let mut requests = Vec::new();
    for model in MODELS {
        let person = Who("crowd", Class::Interactive, model, 1000, 100);
        requests.extend(person.arrives(12.0, 0.0, 3600.0, &mut dice));
    }
    Case {
        name: "Crowd",
        what: "Five models, each asked for every 12 s by somebody; room for two.",
        trace: RequestTrace::new(requests),
        machine: machine(2),
    }
}
