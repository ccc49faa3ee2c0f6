//! opencode: `/v1/chat/completions` by its OpenAI-compatible provider, in its file or in a variable.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::connect::{
    assignment::Assignment,
    client_program::{
        ClientFile, ClientFormat, ClientLaunch, ClientProgram, ClientSetup, FirstPrompt,
    },
    client_settings::ClientSettings,
    file_change::FileChange,
    user_folders::UserFolders,
};

/// The context in tokens below which opencode's first prompt does not fit: opencode would summarise it and
/// ask again for ever.
const ROOM: u64 = 10_000;

/// The entry of the coding agent opencode, which asks over `/v1/chat/completions`.
pub(crate) static OPENCODE: ClientProgram = ClientProgram {
    name: "opencode",
    aliases: &["open-code"],
    title: "opencode",
    format: ClientFormat::Chat,
    prompt: FirstPrompt::Measured(8_000),
    programs: &["opencode"],
    install: "npm install -g opencode-ai",
    folder: Some(folder),
    setup,
    launch: Some(launch),
    limits: &[
        "Its first prompt is about 8,000 tokens.",
        "It lists the models that its file names; `--model` may be given several times.",
        "Where its first prompt does not fit it summarises and asks again for ever, unless `\"compaction\": { \"auto\": false }` stands in its file; it is put in where the context is less than 10,000 tokens.",
        "After an error in the middle of a stream it sends the whole request again, several times.",
    ],
    read_in: "opencode 1.18.33, the program itself (`OPENCODE_CONFIG_CONTENT`, `opencode.json`)",
    tried: "opencode 1.18.33: says hi, tools over three turns and its terminal, with `crucible launch`'s environment and with this file, on simulated engines",
};

fn folder(folders: &UserFolders) -> PathBuf {
    folders.xdg_config().join("opencode")
}

fn assignments(settings: &ClientSettings) -> Vec<Assignment> {
    let models: Map<String, Value> = settings
        .models()
        .map(|model| {
            let limit = json!({ "context": model.tokens(), "output": model.answer_tokens() });
            (
                model.name.clone(),
                json!({ "name": model.name, "limit": limit }),
            )
        })
        .collect();
    let provider = json!({
        "npm": "@ai-sdk/openai-compatible",
        "name": "Crucible",
        "options": { "baseURL": settings.v1(), "apiKey": settings.key_or_word() },
        "models": models,
    });
    let model = format!("crucible/{}", settings.model.name);
    let mut all = vec![
        Assignment::set(["provider", "crucible"], provider),
        Assignment::set(["model"], model.as_str()),
        Assignment::set(["small_model"], model),
    ];
    if settings.model.context.is_some_and(|tokens| tokens < ROOM) {
        all.push(Assignment::fill(["compaction", "auto"], false));
    }
    all
}

fn setup(settings: &ClientSettings, folders: &UserFolders) -> ClientSetup {
    let folder = folder(folders);
    let path = UserFolders::existing([folder.join("opencode.json"), folder.join("opencode.jsonc")]);
    ClientSetup {
        files: vec![ClientFile {
            path,
            change: FileChange::Json(assignments(settings)),
        }],
        ..ClientSetup::default()
    }
}

fn launch(settings: &ClientSettings) -> ClientLaunch {
    let mut config = Value::Null;
    for assignment in assignments(settings) {
        // From nothing every path can be made.
        let _ = assignment.assign(&mut config);
    }
    ClientLaunch {
        environment: vec![("OPENCODE_CONFIG_CONTENT", config.to_string())],
        ..ClientLaunch::default()
    }
}
