//! Cline: `/v1/chat/completions` by its provider `openai-compatible`; a file on the command line, a dialog in
//! VS Code.

use std::path::PathBuf;

use crate::connect::{
    assignment::Assignment,
    client_program::{ClientFile, ClientFormat, ClientProgram, ClientSetup, FirstPrompt},
    client_settings::ClientSettings,
    file_change::FileChange,
    user_folders::UserFolders,
};

/// The entry of Cline on the command line and in VS Code, which asks over `/v1/chat/completions`.
pub(crate) static CLINE: ClientProgram = ClientProgram {
    name: "cline",
    aliases: &[],
    title: "Cline",
    format: ClientFormat::Chat,
    prompt: FirstPrompt::Measured(5_500),
    programs: &["cline"],
    install: "npm install -g cline, or the extension Cline in VS Code",
    folder: Some(folder),
    setup,
    launch: None,
    limits: &[
        "The file is the command line program's. The extension keeps its settings in VS Code's own storage, which no other program can edit safely.",
        "Its command line reads providers from its file alone, so `crucible launch` cannot start it without writing.",
    ],
    read_in: "Cline CLI 3.0.65, the program itself, and cline/cline",
    tried: "Cline CLI 3.0.65 with this file: says hi, tools over three turns and its terminal, on simulated engines. The extension was not run",
};

fn folder(folders: &UserFolders) -> PathBuf {
    folders.of_program("CLINE_DATA_DIR", ".cline/data")
}

fn setup(settings: &ClientSettings, folders: &UserFolders) -> ClientSetup {
    let provider = |key| ["providers", "openai-compatible", "settings", key];
    let outer = |key| ["providers", "openai-compatible", key];
    ClientSetup {
        files: vec![ClientFile {
            path: folder(folders).join("settings").join("providers.json"),
            change: FileChange::Json(vec![
                Assignment::fill(["version"], 1),
                Assignment::set(["lastUsedProvider"], "openai-compatible"),
                Assignment::set(provider("provider"), "openai-compatible"),
                Assignment::set(provider("apiKey"), settings.key_or_word()),
                Assignment::set(provider("model"), settings.model.name.as_str()),
                Assignment::set(provider("baseUrl"), settings.v1()),
                Assignment::fill(outer("tokenSource"), "manual"),
                Assignment::fill(outer("updatedAt"), "2026-01-01T00:00:00.000Z"),
            ]),
        }],
        steps: vec![
            "On the command line: `cline --provider openai-compatible`.".to_owned(),
            format!(
                "In VS Code open Cline's settings (the gear) and choose: API Provider `OpenAI Compatible`, Base URL `{}`, API Key `{}`, Model ID `{}`; below Model Configuration give {} as the context window.",
                settings.v1(),
                settings.key_or_word(),
                settings.model.name,
                settings.model.tokens(),
            ),
        ],
        ..ClientSetup::default()
    }
}
