//! Simulated engines and the configuration that points Crucible at them.

use std::{io::ErrorKind, time::Duration};

use crucible_sim::{Fault, FaultKind, LogView, Options, Sim};
use serde_json::Value;

use crate::{
    process::{Crucible, PATIENCE, free_port},
    rest::eventually,
};

/// Crucible in front of both simulated engines.
pub struct Both {
    /// The LM Studio, which computes on the GPU.
    pub lmstudio: Sim,
    /// The Ollama, which computes on the processor.
    pub ollama: Sim,
    /// In front of them.
    pub crucible: Crucible,
}

impl Both {
    /// `qwen` and `shared` on LM Studio, `llama3.2:3b` and `shared` on Ollama.
    pub async fn start() -> Self {
        Self::with("", |_| {}, |_| {}).await
    }

    /// The same with more configuration and other engines.
    pub async fn with(
        toml: &str,
        lmstudio: impl FnOnce(&mut Options),
        ollama: impl FnOnce(&mut Options),
    ) -> Self {
        let mut gpu = Options::lmstudio(&["qwen=4GB", "shared=2GB", "thinker-think=2GB"]);
        lmstudio(&mut gpu);
        let mut cpu = Options::ollama(&["llama3.2:3b=2GB", "shared=2GB", "small=1GB"]);
        cpu.parallel = 2;
        ollama(&mut cpu);
        let lmstudio = start(gpu).await;
        let ollama = start(cpu).await;
        let crucible = Crucible::start(&format!(
            "{toml}\n{}\n{}",
            engine("lmstudio", "lmstudio", &lmstudio.url()),
            engine("ollama", "ollama", &ollama.url()),
        ));
        Self {
            lmstudio,
            ollama,
            crucible,
        }
    }
}

/// Crucible in front of one engine of each kind, each with one model that is resident already.
pub struct Trio {
    /// The LM Studio, which has the model `qwen`.
    pub lmstudio: Sim,
    /// The Ollama, which has the model `llama`.
    pub ollama: Sim,
    /// The OpenAI-compatible server, which has the model `plain`.
    pub openai: Sim,
    /// In front of them.
    pub crucible: Crucible,
}

/// The models of [`Trio`].
pub const TRIO: [&str; 3] = ["qwen", "llama", "plain"];

// === impl Trio ===

impl Trio {
    /// Starts them with more configuration, changed engines, and one request to each.
    ///
    /// # Panics
    /// If one does not answer.
    pub async fn with(toml: &str, change: impl Fn(&mut Options)) -> Self {
        let sim = async |mut options: Options| {
            options.parallel = 2;
            change(&mut options);
            start(options).await
        };
        let lmstudio = sim(Options::lmstudio(&["qwen=2GB"])).await;
        let ollama = sim(Options::ollama(&["llama=1GB"])).await;
        let openai = sim(Options::openai(&["plain=1GB"])).await;
        let crucible = Crucible::start(&format!(
            "{toml}\n{}\n{}\n{}",
            engine("lmstudio", "lmstudio", &lmstudio.url()),
            engine("ollama", "ollama", &ollama.url()),
            engine("openai", "openai", &openai.url()),
        ));
        for model in TRIO {
            let answer = crate::chat::post(&crucible, &crate::chat::body(model, "repeat 1")).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
        }
        Self {
            lmstudio,
            ollama,
            openai,
            crucible,
        }
    }

    /// The engine that has the model.
    pub fn of(&self, model: &str) -> &Sim {
        match model {
            "qwen" => &self.lmstudio,
            "llama" => &self.ollama,
            _ => &self.openai,
        }
    }
}

/// One engine of each kind, for the clients that are to be served alike by all.
pub struct EveryKind {
    /// The simulated LM Studio.
    pub lmstudio: Sim,
    /// The simulated Ollama.
    pub ollama: Sim,
    /// The simulated llama.cpp's server.
    pub llamacpp: Sim,
    /// A server of OpenAI's API.
    pub openai: Sim,
}

// === impl EveryKind ===

impl EveryKind {
    /// Starts them with these models, in the order of the fields.
    pub async fn start(models: [&[&str]; 4]) -> Self {
        let [lmstudio, ollama, llamacpp, openai] = models;
        Self {
            lmstudio: start(Options::lmstudio(lmstudio)).await,
            ollama: start(Options::ollama(ollama)).await,
            llamacpp: start(Options::openai(llamacpp)).await,
            openai: start(Options::openai(openai)).await,
        }
    }

    /// Returns all four of them.
    pub fn all(&self) -> [&Sim; 4] {
        [&self.lmstudio, &self.ollama, &self.llamacpp, &self.openai]
    }

    /// Their `[[engine]]` blocks, each with the name of its kind.
    pub fn config(&self) -> String {
        let kinds = ["lmstudio", "ollama", "llamacpp", "openai"];
        let blocks = kinds.into_iter().zip(self.all());
        blocks
            .map(|(kind, sim)| engine(kind, kind, &sim.url()))
            .collect()
    }
}

/// A server that breaks its streams off with an error, `breaks`, and one that is busy when it is asked first, `busy`.
pub struct Troubled {
    /// The engine with the model `breaks`.
    pub breaking: Sim,
    /// The engine with the model `busy`.
    pub busy: Sim,
}

// === impl Troubled ===

impl Troubled {
    /// Starts both of the engines.
    pub async fn start() -> Self {
        let breaking = start(Options::openai(&["breaks"])).await;
        breaking.arm(Fault::new(FaultKind::ErrorEvent).after_events(2));
        let busy = start(Options::openai(&["busy"])).await;
        busy.arm(Fault::new(FaultKind::Http429).delay_ms(1000));
        Self { breaking, busy }
    }

    /// Returns the `[[engine]]` blocks of both.
    pub fn config(&self) -> String {
        let breaking = engine("breaking", "openai", &self.breaking.url());
        breaking + &engine("busy", "openai", &self.busy.url())
    }
}

/// A simulated engine, on a port that nobody else takes once it has ended. It waits for a port that is taken: a child
/// that another test starts has a copy of a listener until it runs its program.
///
/// # Panics
/// If it does not start.
pub async fn start(mut options: Options) -> Sim {
    if options.port == 0 {
        options.port = free_port();
    }
    eventually("the simulator's port is free", || async {
        match Sim::start(options.clone()).await {
            Ok(sim) => Some(sim),
            Err(error) if error.kind() == ErrorKind::AddrInUse => None,
            Err(error) => panic!("the simulator does not start: {error}"),
        }
    })
    .await
}

/// Writes the `[[engine]]` block of an engine.
pub fn engine(name: &str, kind: &str, url: &str) -> String {
    format!("[[engine]]\nname = \"{name}\"\nkind = \"{kind}\"\nurl = \"{url}\"\n")
}

/// The generation requests that an engine saw, preloads left out.
///
/// # Panics
/// If a body is not JSON.
pub fn asked(log: &LogView) -> Vec<Value> {
    log.requests
        .iter()
        .filter(|r| matches!(r.path.as_str(), "/v1/chat/completions" | "/api/chat"))
        .map(|r| serde_json::from_str(&r.body).expect("a JSON body"))
        .filter(|body: &Value| !body["messages"].as_array().is_some_and(Vec::is_empty))
        .collect()
}

/// Waits until the simulator's log shows something.
///
/// # Panics
/// If it never does.
pub async fn until(sim: &Sim, what: &str, want: impl Fn(&LogView) -> bool) -> LogView {
    let found = tokio::time::timeout(PATIENCE, sim.wait_for(want)).await;
    found.unwrap_or_else(|_| panic!("never in the engine's log: {what}; it is {:?}", sim.log()))
}

/// A client that follows nothing and asks no proxy.
///
/// # Panics
/// Never in practice.
pub fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(300))
        .build()
        .expect("a client")
}
