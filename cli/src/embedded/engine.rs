//! The embedded engine as an engine block of the configuration.

use std::{path::PathBuf, sync::Arc};

use crucible_config::checked::{Device, EngineConfig, EngineKind, Manage};

/// The engine's name in `engine/model`, in headers and in metric labels.
pub const ENGINE_NAME: &str = "local";

/// The number of slots of the server, and so of requests at the same time.
pub const EMBEDDED_PERMITS: u32 = 2;

/// The command and the model file of an embedded engine, which are all that its start needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedEngine {
    /// The program with its leading arguments. It understands llama-server's `-m -c -np -t --host
    /// --port`.
    pub command: Vec<String>,
    /// The model file; its stem is the model's name.
    pub model_path: PathBuf,
}

// === impl EmbeddedEngine ===

impl EmbeddedEngine {
    /// Returns the engine as the configuration would have it: a spawned llama.cpp server on the
    /// CPU.
    pub fn engine(&self) -> EngineConfig {
        EngineConfig {
            name: Arc::from(ENGINE_NAME),
            kind: EngineKind::Llamacpp,
            url: None,
            device: Device::Cpu,
            pool: None,
            api_key_env: None,
            manage: Manage::Spawn,
            permits: EMBEDDED_PERMITS,
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

    /// Returns the model's name, which is the file's name without its extension.
    pub fn model(&self) -> String {
        self.model_path
            .file_stem()
            .map_or_else(String::new, |s| s.to_string_lossy().into_owned())
    }

    /// Returns the same engine as text for `crucible.toml`, for users who want to keep it with
    /// `serve`.
    pub fn config_snippet(&self) -> String {
        let command: Vec<String> = self.command.iter().map(|part| quote(part)).collect();
        format!(
            "[[engine]]\nname = \"{ENGINE_NAME}\"\nkind = \"llamacpp\"\nmanage = \"spawn\"\n\
             device = \"cpu\"\npermits = {EMBEDDED_PERMITS}\ncommand = [{}]\nmodel_path = {}\n",
            command.join(", "),
            quote(&self.model_path.display().to_string()),
        )
    }
}

/// Returns a text as a TOML basic string. JSON's escapes are a subset of TOML's.
fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embedded() -> EmbeddedEngine {
        EmbeddedEngine {
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
