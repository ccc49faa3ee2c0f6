//! Zed: `/v1/chat/completions` by an OpenAI-compatible provider in its settings.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::connect::{
    assignment::Assignment,
    client_program::{ClientFile, ClientFormat, ClientProgram, ClientSetup, FirstPrompt},
    client_settings::ClientSettings,
    file_change::FileChange,
    user_folders::UserFolders,
};

/// The entry of the editor Zed, which asks over `/v1/chat/completions`.
pub(crate) static ZED: ClientProgram = ClientProgram {
    name: "zed",
    aliases: &["zeditor"],
    title: "Zed",
    format: ClientFormat::Chat,
    prompt: FirstPrompt::Agent,
    programs: &["zed", "zeditor"],
    install: "https://zed.dev/download",
    folder: Some(folder),
    setup,
    launch: None,
    limits: &[
        "Zed wants a key that is not empty, and keeps it in the system's keychain or reads `CRUCIBLE_API_KEY`; it cannot stand in the file.",
        "It lists the models that its file names; `--model` may be given several times.",
        "Its Ollama and LM Studio providers work as well, need no key and find the models themselves: give `ollama` below `language_models` an `api_url` of Crucible's address without `/v1`, or `lmstudio` one with `/api/v0` in place of `/v1`.",
    ],
    read_in: "the documentation of Zed, \"Use API Access\" and \"Use a Local Model\" (2026)",
    tried: "not run: it needs a display and a graphics card; its reading of streams is known from its source",
};

fn folder(folders: &UserFolders) -> PathBuf {
    if folders.is_windows() {
        return folders.applications().join("Zed");
    }
    folders.xdg_config().join("zed")
}

fn setup(settings: &ClientSettings, folders: &UserFolders) -> ClientSetup {
    let models: Vec<Value> = settings
        .models()
        .map(|model| {
            json!({
                "name": model.name,
                "display_name": model.name,
                "max_tokens": model.tokens(),
                "max_output_tokens": model.answer_tokens(),
                "capabilities": { "tools": true, "images": false },
            })
        })
        .collect();
    let provider = json!({ "api_url": settings.v1(), "available_models": models });
    let choice = json!({ "provider": "Crucible", "model": settings.model.name });
    let key = match &settings.key {
        Some(_) => "the client key",
        None => "any text",
    };
    ClientSetup {
        files: vec![ClientFile {
            path: folder(folders).join("settings.json"),
            change: FileChange::Json(vec![
                Assignment::set(
                    ["language_models", "openai_compatible", "Crucible"],
                    provider,
                ),
                Assignment::fill(["agent", "default_model"], choice),
            ]),
        }],
        steps: vec![format!(
            "In Zed open the agent's settings, and below LLM Providers give Crucible {key} as its key; or start Zed with CRUCIBLE_API_KEY set."
        )],
        ..ClientSetup::default()
    }
}
