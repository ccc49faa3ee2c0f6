//! Crush: `/v1/chat/completions` by a provider in its JSON file.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::connect::{
    assignment::Assignment,
    client_program::{ClientFile, ClientFormat, ClientProgram, ClientSetup, FirstPrompt},
    client_settings::ClientSettings,
    file_change::FileChange,
    user_folders::UserFolders,
};

/// The entry of Crush, which asks over `/v1/chat/completions`.
pub(crate) static CRUSH: ClientProgram = ClientProgram {
    name: "crush",
    aliases: &[],
    title: "Crush",
    format: ClientFormat::Chat,
    prompt: FirstPrompt::Agent,
    programs: &["crush"],
    install: "npm install -g @charmland/crush",
    folder: Some(folder),
    setup,
    launch: None,
    limits: &[
        "It reads providers from its file alone, so `crucible launch` cannot start it without writing.",
        "What is chosen in its model dialog is kept in another file (`~/.local/share/crush/crush.json`) and wins over this one.",
    ],
    read_in: "charmbracelet/crush `README.md` and `internal/config/load.go`",
    tried: "not run: its npm package downloads the program at installation",
};

fn folder(folders: &UserFolders) -> PathBuf {
    folders.local_config().join("crush")
}

fn setup(settings: &ClientSettings, folders: &UserFolders) -> ClientSetup {
    let models: Vec<Value> = settings
        .models()
        .map(|model| {
            json!({
                "id": model.name,
                "name": model.name,
                "context_window": model.tokens(),
                "default_max_tokens": model.answer_tokens(),
            })
        })
        .collect();
    let provider = json!({
        "name": "Crucible",
        "type": "openai-compat",
        "base_url": settings.v1(),
        "api_key": settings.key_or_word(),
        "models": models,
    });
    let choice = json!({ "provider": "crucible", "model": settings.model.name });
    ClientSetup {
        files: vec![ClientFile {
            path: folder(folders).join("crush.json"),
            change: FileChange::Json(vec![
                Assignment::set(["providers", "crucible"], provider),
                Assignment::set(["models", "large"], choice.clone()),
                Assignment::set(["models", "small"], choice),
            ]),
        }],
        ..ClientSetup::default()
    }
}
