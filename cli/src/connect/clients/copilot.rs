//! Copilot's chat in VS Code: `/v1/chat/completions` by the provider `Custom Endpoint`.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::connect::{
    assignment::Assignment,
    client_program::{ClientFile, ClientFormat, ClientProgram, ClientSetup, FirstPrompt},
    client_settings::ClientSettings,
    file_change::FileChange,
    user_folders::UserFolders,
};

/// The entry of Copilot's chat in VS Code, which asks a custom endpoint over
/// `/v1/chat/completions`.
pub(crate) static COPILOT: ClientProgram = ClientProgram {
    name: "copilot",
    aliases: &["vscode", "vs-code", "github-copilot"],
    title: "Copilot in VS Code",
    format: ClientFormat::Chat,
    prompt: FirstPrompt::Agent,
    programs: &["code"],
    install: "https://code.visualstudio.com",
    folder: Some(folder),
    setup,
    launch: None,
    limits: &[
        "VS Code 1.122 or later; no Copilot plan and no GitHub account are needed for the chat. Completion at the cursor stays GitHub's.",
        "Only models that can call tools are listed for agents.",
        "Where `chat.agentHost.byokModels.enabled` is off, agent sessions in their own window do not show the model.",
        "The built-in Ollama provider is deprecated there; with it Crucible's address works where its `/api` is served.",
    ],
    read_in: "the documentation of VS Code, \"AI language models in VS Code\" (July 2026)",
    tried: "not run: it needs VS Code",
};

fn folder(folders: &UserFolders) -> PathBuf {
    folders.applications().join("Code").join("User")
}

fn setup(settings: &ClientSettings, folders: &UserFolders) -> ClientSetup {
    let models: Vec<Value> = settings
        .models()
        .map(|model| {
            let answer = model.answer_tokens();
            json!({
                "id": model.name,
                "name": model.name,
                "url": format!("{}/chat/completions", settings.v1()),
                "toolCalling": true,
                "vision": false,
                "maxInputTokens": model.tokens().saturating_sub(answer),
                "maxOutputTokens": answer,
            })
        })
        .collect();
    let provider = json!({
        "name": "Crucible",
        "vendor": "customendpoint",
        "apiKey": settings.key_or_word(),
        "apiType": "chat-completions",
        "models": models,
    });
    ClientSetup {
        files: vec![ClientFile {
            path: folder(folders).join("chatLanguageModels.json"),
            change: FileChange::Json(vec![Assignment::element([], "name", "Crucible", provider)]),
        }],
        steps: vec![
            "Choose the model in the chat's list; start VS Code again where it does not show.".to_owned(),
            "For titles and commit messages set `chat.byokUtilityModelDefault` to the main agent model.".to_owned(),
        ],
        ..ClientSetup::default()
    }
}
