//! The environment that an Ollama process is started with, so that the settings of
//! `tuning.environment` take effect.
//!
//! Several of these settings name variables that Ollama does not have; a recipe then holds the
//! variable that reaches the same intent, with a note. It is computed from the configuration and the
//! machine alone. Sources: Ollama 0.33 `envconfig/config.go`, `discover/runner.go`; NVIDIA's and AMD's
//! rules for the variables that hide devices.

use std::path::Path;

use crucible_config::{
    Config,
    checked::{Device, EngineConfig, Manage},
    tuning::{TUNINGS, TuningGroup},
};
use url::Url;

use crate::machine::hardware;

/// Fragments of the names of embedding models, which count against memory only.
const EMBEDDING: [&str; 6] = ["embed", "nomic", "minilm", "bge-", "gte-", "e5-"];
/// The most that Ollama may use of main memory, in percent, however large
/// `tuning.ollama.memory_limit` is.
const MEMORY_SHARE: u64 = 80;
/// Ollama's own default port, which needs no variable.
const DEFAULT_PORT: u16 = 11434;

/// The environment and the limits that an Ollama is to be started with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OllamaRecipe {
    /// The environment variables, in the order in which they are shown.
    pub variables: Vec<EnvironmentVariable>,
    /// One note for each setting that no variable can express, with the setting that reaches its intent.
    pub notes: Vec<String>,
    /// The memory limit in bytes that the operating system is to enforce
    /// (`tuning.ollama.memory_limit`).
    pub memory_max: u64,
    /// Whether memory is to be interleaved over the NUMA nodes (`tuning.ollama.numa_policy`).
    pub interleave: bool,
}

/// One environment variable of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvironmentVariable {
    /// The name of the variable.
    pub name: String,
    /// The value of the variable, without quotes.
    pub value: String,
    /// The reason why it differs from the configured value.
    pub note: Option<String>,
}

/// The facts about the machine that a recipe depends on; `None` where one is unknown.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecipeHost {
    /// Main memory in bytes.
    pub memory: Option<u64>,
    /// Number of NUMA nodes.
    pub nodes: Option<u32>,
}

/// Computes the recipe of an Ollama that Crucible starts itself; `None` for every other engine.
pub fn of_a_child(config: &Config, engine: &EngineConfig, root: &Path) -> Option<OllamaRecipe> {
    let spawned = engine.kind.profile().takes_environment && engine.manage == Manage::Spawn;
    spawned.then(|| recipe(config, engine, RecipeHost::read(root)))
}

/// Computes the recipe of an engine of kind `ollama`, whoever starts it.
pub fn recipe(config: &Config, engine: &EngineConfig, host: RecipeHost) -> OllamaRecipe {
    let mut recipe = OllamaRecipe {
        memory_max: memory_max(config, engine, host),
        interleave: config.tuning.ollama.numa_policy != "none" && host.nodes.is_some_and(|n| n > 1),
        ..OllamaRecipe::default()
    };
    if let Some(address) = engine.url.as_ref().and_then(other_address) {
        recipe.set("OLLAMA_HOST", address, None);
    }
    devices(config, engine, &mut recipe);
    let models = config.tuning.ollama.max_loaded_models;
    match embedding_model(config) {
        None => recipe.set("OLLAMA_MAX_LOADED_MODELS", models.to_string(), None),
        Some(name) => {
            let note = format!(
                "one more than the row's {models}: the embedding model {name} counts against \
                 memory only"
            );
            let one_more = models.saturating_add(1).to_string();
            recipe.set("OLLAMA_MAX_LOADED_MODELS", one_more, Some(note));
        }
    }
    recipe.set("OLLAMA_MAX_QUEUE", engine.queue.to_string(), None);
    recipe.set("OLLAMA_NUM_PARALLEL", engine.permits.to_string(), None);
    let superseded = TUNINGS
        .iter()
        .filter(|r| r.group == TuningGroup::Environment);
    for row in superseded {
        if let Some(knob) = row.superseded_by {
            let name = row.id.key();
            recipe.notes.push(format!(
                "{name} does not exist in Ollama; superseded by {knob}"
            ));
        }
    }
    recipe
}

/// Hides the GPUs with every variable that does so: no backend but the CPU's is loaded, and no device
/// is visible to the others.
fn devices(config: &Config, engine: &EngineConfig, recipe: &mut OllamaRecipe) {
    if !leaves_the_gpu(config, engine) {
        let note =
            "CUDA_VISIBLE_DEVICES is left alone: no other engine owns a GPU, so Ollama gets it";
        recipe.notes.push(note.to_owned());
        return;
    }
    let (value, note) = match config.tuning.environment.CUDA_VISIBLE_DEVICES.as_str() {
        "" => (
            "-1".to_owned(),
            Some("an empty value is lost on Windows and is unset to Ollama itself".to_owned()),
        ),
        value => (value.to_owned(), None),
    };
    let hides_all = value == "-1";
    recipe.set("CUDA_VISIBLE_DEVICES", value, note);
    if hides_all {
        recipe.set("ROCR_VISIBLE_DEVICES", "-1", None);
        recipe.set("HIP_VISIBLE_DEVICES", "-1", None);
        let note = "Vulkan is on by default since 0.30 and finds the same card again";
        recipe.set("OLLAMA_VULKAN", "0", Some(note.to_owned()));
        let target = match config.tuning.environment.OLLAMA_CPU_TARGET.as_str() {
            "" => "cpu",
            target => target,
        };
        recipe.set("OLLAMA_LLM_LIBRARY", target, None);
    }
}

/// Reports whether another engine owns the GPU. Where no engine is configured, LM Studio may be found.
fn leaves_the_gpu(config: &Config, engine: &EngineConfig) -> bool {
    match engine.device {
        Device::Cpu => true,
        Device::Gpu => false,
        Device::Auto => {
            let mut others = config.engines.iter().filter(|e| e.name != engine.name);
            config.engines.is_empty() || others.any(|e| e.device == Device::Gpu)
        }
    }
}

/// Returns the first embedding model that the configuration names.
fn embedding_model(config: &Config) -> Option<&str> {
    let models = config.models.iter().map(|m| m.name.as_str());
    let warm = config.warm.iter().map(String::as_str);
    models.chain(warm).find(|name| {
        let name = name.to_lowercase();
        EMBEDDING.iter().any(|part| name.contains(part))
    })
}

/// Returns the budget of its pool, which the scheduler holds loads to as well.
fn memory_max(config: &Config, engine: &EngineConfig, host: RecipeHost) -> u64 {
    let pool = config.pools.get(engine.pool.as_deref().unwrap_or("cpu"));
    if let Some(budget) = pool.and_then(|pool| pool.budget) {
        return budget;
    }
    let limit = config.tuning.ollama.memory_limit;
    let share = host.memory.map(|memory| memory / 100 * MEMORY_SHARE);
    share.map_or(limit, |share| share.min(limit))
}

/// Returns `host:port` where the port is not Ollama's default.
fn other_address(url: &Url) -> Option<String> {
    let port = url.port_or_known_default()?;
    (port != DEFAULT_PORT).then(|| format!("{}:{port}", url.host_str().unwrap_or("127.0.0.1")))
}

// === impl RecipeHost ===

impl RecipeHost {
    /// Reads this machine; `root` is the root of the file system (`/`; another folder in tests).
    pub fn read(root: &Path) -> Self {
        let machine = hardware::read_files(root);
        Self {
            memory: machine.memory,
            nodes: machine.nodes,
        }
    }
}

// === impl OllamaRecipe ===

impl OllamaRecipe {
    fn set(&mut self, name: &str, value: impl Into<String>, note: Option<String>) {
        self.variables.push(EnvironmentVariable {
            name: name.to_owned(),
            value: value.into(),
            note,
        });
    }

    /// Returns the names of the variables of the table that Ollama does not have.
    pub fn fictional() -> impl Iterator<Item = &'static str> {
        TUNINGS
            .iter()
            .filter(|row| row.group == TuningGroup::Environment && row.superseded_by.is_some())
            .map(|row| row.id.key())
    }
}

#[cfg(test)]
mod tests {
    use crucible_config::checked::EngineKind;

    use super::*;

    fn engine(config: &Config, url: &str) -> EngineConfig {
        config.discovered(EngineKind::Ollama, "ollama", url.parse().unwrap())
    }

    fn named(recipe: &OllamaRecipe) -> Vec<String> {
        let all = recipe.variables.iter();
        all.map(|v| format!("{}={}", v.name, v.value)).collect()
    }

    #[test]
    fn beside_a_gpu_engine_ollama_sees_no_device() {
        let config = Config::builtin();
        let recipe = recipe(
            &config,
            &engine(&config, "http://127.0.0.1:11434"),
            RecipeHost::default(),
        );
        assert_eq!(
            named(&recipe),
            [
                "CUDA_VISIBLE_DEVICES=-1",
                "ROCR_VISIBLE_DEVICES=-1",
                "HIP_VISIBLE_DEVICES=-1",
                "OLLAMA_VULKAN=0",
                "OLLAMA_LLM_LIBRARY=cpu",
                "OLLAMA_MAX_LOADED_MODELS=2",
                "OLLAMA_MAX_QUEUE=10",
                "OLLAMA_NUM_PARALLEL=2",
            ]
        );
        assert_eq!(recipe.notes.len(), 4, "{:?}", recipe.notes);
        assert!(
            recipe.notes[0].starts_with("OLLAMA_NUM_GPU does not exist in Ollama; superseded by")
        );
        assert_eq!(
            (recipe.memory_max, recipe.interleave),
            (16_000_000_000, false)
        );
    }

    #[test]
    fn a_sole_ollama_keeps_the_gpu() {
        let mut config = Config::builtin();
        let own = engine(&config, "http://127.0.0.1:11500");
        config.engines.push(own.clone());
        let sole = recipe(&config, &own, RecipeHost::default());
        assert_eq!(named(&sole)[0], "OLLAMA_HOST=127.0.0.1:11500");
        assert!(!named(&sole).iter().any(|v| v.starts_with("CUDA")));
        assert!(sole.notes[0].contains("no other engine owns a GPU"));
        let url = "http://127.0.0.1:1234".parse().unwrap();
        config
            .engines
            .push(config.discovered(EngineKind::Lmstudio, "lmstudio", url));
        let beside = recipe(&config, &own, RecipeHost::default());
        assert!(named(&beside).contains(&"CUDA_VISIBLE_DEVICES=-1".to_owned()));
    }

    #[test]
    fn an_embedding_model_makes_room_for_one_more_and_says_so() {
        let mut config = Config::builtin();
        config.warm.push("nomic-embed-text".to_owned());
        let recipe = recipe(
            &config,
            &engine(&config, "http://127.0.0.1:11434"),
            RecipeHost::default(),
        );
        let models = recipe
            .variables
            .iter()
            .find(|v| v.name == "OLLAMA_MAX_LOADED_MODELS")
            .unwrap();
        assert_eq!(models.value, "3");
        let note = models.note.as_deref().unwrap();
        assert!(note.contains("one more than the row's 2") && note.contains("nomic-embed-text"));
    }

    #[test]
    fn a_device_that_is_named_stays_visible() {
        let mut config = Config::builtin();
        config.tuning.environment.CUDA_VISIBLE_DEVICES = "1".to_owned();
        let recipe = recipe(
            &config,
            &engine(&config, "http://127.0.0.1:11434"),
            RecipeHost::default(),
        );
        assert_eq!(named(&recipe)[0], "CUDA_VISIBLE_DEVICES=1");
        assert!(
            !named(&recipe)
                .iter()
                .any(|v| v.starts_with("OLLAMA_VULKAN"))
        );
    }

    #[test]
    fn the_machine_bounds_memory_and_decides_about_nodes() {
        let config = Config::builtin();
        let host = RecipeHost {
            memory: Some(10_000_000_000),
            nodes: Some(2),
        };
        let recipe = recipe(&config, &engine(&config, "http://127.0.0.1:11434"), host);
        assert_eq!(
            (recipe.memory_max, recipe.interleave),
            (8_000_000_000, true)
        );
        let mut config = config;
        let pool = crucible_config::checked::PoolSettings {
            budget: Some(9_000_000_000),
            ..Default::default()
        };
        config.pools.insert("cpu".to_owned(), pool);
        let engine = engine(&config, "http://127.0.0.1:11434");
        let own = super::recipe(&config, &engine, host);
        assert_eq!(own.memory_max, 9_000_000_000);
    }
}
