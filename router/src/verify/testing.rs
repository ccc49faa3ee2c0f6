//! An LM Studio on the GPU and an Ollama on the CPU in which every setting is right.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use crucible_config::{
    Config,
    checked::{Device, EngineKind},
};

use super::evidence::{Counters, Evidence};
use crate::{
    catalog::{Capabilities, ModelInfo, ModelKind},
    engine::testing::resident,
    machine::{
        Hardware,
        ollama_process::{OllamaProcess, OllamaRunner, ProcessEnvironment},
    },
    view::{BreakerState, EngineView, Health, ResidentView, View},
};

/// A place in the view that a test changes.
impl Evidence {
    pub(super) fn engine(&mut self, kind: EngineKind) -> &mut EngineView {
        let view = Arc::make_mut(&mut self.view);
        view.engines.iter_mut().find(|e| e.kind == kind).unwrap()
    }

    pub(super) fn lmstudio(&mut self) -> &mut EngineView {
        self.engine(EngineKind::Lmstudio)
    }

    pub(super) fn ollama(&mut self) -> &mut EngineView {
        self.engine(EngineKind::Ollama)
    }

    /// The configuration that is to be in effect.
    pub(super) fn config(&mut self) -> &mut Config {
        Arc::make_mut(&mut self.config)
    }

    /// The process of the Ollama.
    pub(super) fn process(&mut self) -> &mut OllamaProcess {
        self.processes.get_mut("ollama").unwrap().as_mut().unwrap()
    }

    /// The environment variables of the Ollama's process.
    pub(super) fn variables(&mut self) -> &mut ProcessEnvironment {
        self.process().environment.as_mut().unwrap()
    }

    /// Replaces the word after a flag of the runner; `None` removes both.
    pub(super) fn argument(&mut self, flag: &str, value: Option<&str>) {
        let words = &mut self.process().runners[0].arguments;
        if let Some(at) = words.iter().position(|w| w == flag) {
            words.drain(at..at + 2);
        }
        if let Some(value) = value {
            words.extend([flag.to_owned(), value.to_owned()]);
        }
    }
}

pub(super) fn held(model: &str) -> ResidentView {
    ResidentView {
        info: resident(model),
        tuple: None,
        active: 0,
        idle: Duration::from_secs(20),
        pinned: false,
        owned: true,
    }
}

pub(super) fn model(id: &str, quantization: &str) -> ModelInfo {
    ModelInfo {
        id: Arc::from(id),
        runner: Arc::from(id),
        load: Arc::default(),
        via: Arc::default(),
        names: Arc::default(),
        kind: ModelKind::Generation,
        capabilities: Capabilities::default(),
        max_context: Some(131_072),
        size_bytes: None,
        context_bytes: None,
        quantization: Some(quantization.to_owned()),
        format: Some("gguf".to_owned()),
        cloud: false,
        created: None,
        metadata: Arc::default(),
    }
}

fn engine(kind: EngineKind, name: &str, device: Device) -> EngineView {
    EngineView {
        name: Arc::from(name),
        kind,
        device,
        pool: Arc::from(if device == Device::Gpu { "gpu" } else { "cpu" }),
        url: "http://127.0.0.1:1".to_owned(),
        health: Health::Up,
        breaker: BreakerState::Closed,
        left_alone: None,
        error: None,
        refused_access: false,
        version: Some("0.33.0".to_owned()),
        advice: Arc::default(),
        conflicts: Vec::new(),
        load_control: true,
        discovered: true,
        models: Arc::default(),
        residents: Vec::new(),
        permits: 2,
        queue_limit: 10,
        queued: 0,
        active: 0,
        loading: None,
        wedged: false,
        budget: None,
        others: None,
        used: 0,
        peak: 0,
        models_limit: None,
        ttl: None,
        limit: None,
    }
}

pub(super) fn runner(line: &str) -> OllamaRunner {
    OllamaRunner {
        pid: 12,
        arguments: line.split_whitespace().map(str::to_owned).collect(),
        mapped: Ok(true),
        locked: Ok(0),
        interleaved: Ok(true),
    }
}

/// An LM Studio on the GPU with one of its two models loaded, within its budget.
fn lmstudio() -> EngineView {
    let mut lmstudio = engine(EngineKind::Lmstudio, "lmstudio", Device::Gpu);
    lmstudio.models = Arc::new(vec![model("qwen", "Q4_K_M"), model("big", "Q4_K_M")]);
    let mut qwen = held("qwen");
    qwen.info.context = Some(8192);
    qwen.info.bytes = Some(8_000_000_000);
    qwen.info.batch_size = Some(512);
    qwen.info.flash_attention = Some(true);
    lmstudio.residents.push(qwen);
    (lmstudio.budget, lmstudio.used) = (Some(9_600_000_000), 8_000_000_000);
    lmstudio.peak = 9_100_000_000;
    lmstudio.ttl = Some(Duration::from_mins(5));
    lmstudio
}

/// An Ollama on the processor with its one model loaded, within its budget.
fn ollama() -> EngineView {
    let mut ollama = engine(EngineKind::Ollama, "ollama", Device::Cpu);
    ollama.models = Arc::new(vec![model("llama:3b", "Q4_0")]);
    let mut llama = held("llama:3b");
    llama.info.context = Some(4096);
    llama.info.bytes = Some(3_000_000_000);
    llama.info.vram_bytes = Some(0);
    ollama.residents.push(llama);
    (ollama.budget, ollama.used) = (Some(16_000_000_000), 3_000_000_000);
    ollama.ttl = Some(Duration::from_mins(5));
    ollama
}

/// The process of that Ollama, started as the settings want it.
fn ollama_process() -> OllamaProcess {
    let environment = [
        ("CUDA_VISIBLE_DEVICES", "-1"),
        ("OLLAMA_MAX_LOADED_MODELS", "2"),
        ("OLLAMA_MAX_QUEUE", "10"),
        ("OLLAMA_NUM_PARALLEL", "2"),
    ];
    OllamaProcess {
        pid: 9,
        environment: Ok(environment
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()),
        memory_max: Ok(Some(16_000_000_000)),
        runners: vec![runner(
            "--model /b/sha256-1 -c 8192 -np 2 -ngl 0 -t 8 -b 512 -ub 512",
        )],
        others: Vec::new(),
    }
}

/// Evidence by which every setting that can be checked is in effect.
pub(super) fn all_right() -> Evidence {
    let mut config = Config::builtin();
    config.pools.insert(
        "gpu".to_owned(),
        crucible_config::checked::PoolSettings {
            memory: Some(12_000_000_000),
            ..Default::default()
        },
    );
    Evidence {
        config: Arc::new(config),
        view: Arc::new(View {
            engines: vec![lmstudio(), ollama()],
            settled: true,
            ..View::default()
        }),
        counters: Some(Counters {
            uptime: Duration::from_secs(60),
            stream_bytes: 9000,
            stream_flushes: 30,
            polls: [("lmstudio", 12), ("ollama", 12)]
                .map(|(name, n)| (name.to_owned(), n))
                .into(),
            ..Counters::default()
        }),
        machine: Hardware {
            cores: Some(16),
            nodes: Some(1),
            memory: Some(64_000_000_000),
            gpu: None,
            on_gpu: None,
        },
        processes: HashMap::from([(Arc::from("ollama"), Ok(ollama_process()))]),
        reported: HashMap::new(),
        listed: HashMap::from([(
            Arc::from("lmstudio"),
            Ok(vec!["qwen".to_owned(), "big".to_owned()]),
        )]),
        probes: HashMap::new(),
        contexts: BTreeMap::new(),
    }
}
