//! The embedded default engine of `try`: a `llama-server` from the PATH, else llama.cpp's
//! server from a Python wheel, with a small model, both in the user's cache folder.
//!
//! [`plan()`] looks and decides, [`describe`] says what would be fetched and how large,
//! [`prepare`] fetches it and gives the command. Only `try` calls this, after it asked:
//! `serve` never downloads.

mod announce;
mod install;
mod lookup;
mod pinned;
mod plan;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crucible_config::checked::{Device, Engine, EngineKind, Manage};

pub use self::{
    announce::{Ready, Shell, announce},
    install::prepare,
    pinned::Wheel,
    plan::{CacheState, EmbeddedPlan, Found, MODEL_PACKAGE, Package, SERVER_PACKAGE, Step, decide},
    plan::{ModelSource, Server, describe},
};

/// The engine's name in `engine/model`, headers and labels.
pub const ENGINE_NAME: &str = "local";

/// Slots of the server, so requests at a time.
pub const PERMITS: u32 = 2;

/// An embedded engine that is ready to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Embedded {
    /// Program and leading arguments; understands llama-server's `-m -c -np -t --host --port`.
    pub command: Vec<String>,
    /// The model file; its stem is the model's name.
    pub model_path: PathBuf,
}

/// Why there is no embedded engine, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says it")]
pub enum EmbeddedError {
    #[error(
        "no Python 3 was found on the PATH, and it is needed to fetch the embedded engine.\n\
         Either install Python 3.10 or newer (Debian, Ubuntu: sudo apt install python3-venv; \
         others: https://www.python.org/downloads/),\nor install llama.cpp, whose llama-server is \
         used where it is on the PATH, and name a model with --model FILE.gguf,\nor start \
         LM Studio or Ollama."
    )]
    NoPython,
    #[error(
        "{python} cannot make virtual environments.\n\
         Debian, Ubuntu: sudo apt install python3-venv; others: install Python from \
         https://www.python.org/downloads/."
    )]
    NoVenv { python: String },
    #[error(
        "the package index could not be reached.\n\
         Check the network, or the proxy and index in pip's configuration (pip config list), \
         and try again; what was fetched so far is kept.\n{output}"
    )]
    NoNetwork { output: String },
    #[error(
        "there is no {package} for this platform ({platform}).\n\
         It exists for 64-bit Python on Linux with glibc (x86_64, aarch64), macOS and Windows \
         (x86_64).\nInstall llama.cpp instead: its llama-server is used where it is on the \
         PATH.\n{output}"
    )]
    UnsupportedPlatform {
        package: String,
        platform: String,
        output: String,
    },
    #[error(
        "{package} is not what it was when this Crucible was made: the package index gave a file \
         with another SHA-256, and it was not installed.\n\
         Somebody may have replaced the upload, or a proxy or mirror may have changed it. Try \
         another network or index (pip config list), or a newer Crucible; or install llama.cpp, \
         whose llama-server is used where it is on the PATH.\n{output}"
    )]
    WrongPackage { package: String, output: String },
    #[error(
        "the model file in {package} is not the one that this Crucible knows: its SHA-256 is \
         {found}, expected {expected}. It was not kept. Name a model of your own with --model \
         FILE.gguf."
    )]
    WrongModel {
        package: String,
        found: String,
        expected: String,
    },
    #[error("the disk is full: {needed} are needed in {path}.\n{output}")]
    NoSpace {
        needed: String,
        path: String,
        output: String,
    },
    #[error("no such model file: {0}\nGive the path of a GGUF file to --model.")]
    NoModelFile(String),
    #[error(
        "there is no home folder to keep the embedded engine in; set HOME (or XDG_CACHE_HOME)."
    )]
    NoCacheFolder,
    #[error("{package} was installed, but holds no GGUF file; please report this.")]
    NoModelInPackage { package: String },
    #[error("{what} failed:\n{output}")]
    Failed { what: String, output: String },
    #[error("{what}: {source}")]
    Io {
        what: String,
        source: std::io::Error,
    },
}

/// Looks at the PATH and the cache folder and decides what is to be done. `model` is
/// `--model`; without it the small model is used. Nothing is fetched or written.
///
/// # Errors
/// [`EmbeddedError::NoPython`], [`EmbeddedError::NoModelFile`], [`EmbeddedError::NoCacheFolder`].
pub async fn plan(model: Option<&Path>) -> Result<EmbeddedPlan, EmbeddedError> {
    if let Some(file) = model
        && !file.is_file()
    {
        return Err(EmbeddedError::NoModelFile(file.display().to_string()));
    }
    decide(&lookup::look().await?, model)
}

// === impl Embedded ===

impl Embedded {
    /// The engine as the configuration would have it: a spawned llama.cpp server on the CPU.
    pub fn engine(&self) -> Engine {
        Engine {
            name: Arc::from(ENGINE_NAME),
            kind: EngineKind::Llamacpp,
            url: None,
            device: Device::Cpu,
            pool: None,
            api_key_env: None,
            manage: Manage::Spawn,
            permits: PERMITS,
            queue: 64,
            defaults: true,
            allow_cloud: false,
            passthrough: Vec::new(),
            websocket: false,
            command: self.command.clone(),
            ca_file: None,
            model_path: Some(self.model_path.clone()),
        }
    }

    /// The model's name: the file's without its ending.
    pub fn model(&self) -> String {
        self.model_path
            .file_stem()
            .map_or_else(String::new, |s| s.to_string_lossy().into_owned())
    }

    /// The same engine as text for `crucible.toml`, for whoever wants to keep it with `serve`.
    pub fn config_snippet(&self) -> String {
        let command: Vec<String> = self.command.iter().map(|part| quote(part)).collect();
        format!(
            "[[engine]]\nname = \"{ENGINE_NAME}\"\nkind = \"llamacpp\"\nmanage = \"spawn\"\n\
             device = \"cpu\"\npermits = {PERMITS}\ncommand = [{}]\nmodel_path = {}\n",
            command.join(", "),
            quote(&self.model_path.display().to_string()),
        )
    }
}

/// A TOML basic string; JSON's escapes are a subset of TOML's.
fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(all(test, unix))]
mod testing;

#[cfg(test)]
mod tests {
    use super::*;

    fn embedded() -> Embedded {
        Embedded {
            command: vec![r"C:\Users\a b\python.exe".into(), "serve.py".into()],
            model_path: PathBuf::from("models/smollm2-135m-instruct.gguf"),
        }
    }

    #[test]
    fn the_model_is_named_after_its_file() {
        assert_eq!(embedded().model(), "smollm2-135m-instruct");
    }

    #[test]
    fn the_engine_is_a_spawned_llamacpp_on_the_cpu() {
        let engine = embedded().engine();
        assert_eq!(
            (
                engine.kind,
                engine.manage,
                engine.device,
                engine.permits,
                engine.url
            ),
            (EngineKind::Llamacpp, Manage::Spawn, Device::Cpu, 2, None)
        );
        assert_eq!(engine.command, embedded().command);
        assert_eq!(engine.model_path, Some(embedded().model_path));
    }

    #[test]
    fn a_windows_path_is_escaped_in_the_snippet() {
        let snippet = embedded().config_snippet();
        assert!(
            snippet.contains(r#"command = ["C:\\Users\\a b\\python.exe", "serve.py"]"#),
            "{snippet}"
        );
    }
}
