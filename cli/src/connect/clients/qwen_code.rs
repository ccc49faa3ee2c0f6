//! Qwen Code: `/v1/chat/completions`, by its settings file or by variables.

use std::path::PathBuf;

use serde_json::json;

use crate::connect::{
    assignment::Assignment,
    client_program::{
        ClientFile, ClientFormat, ClientLaunch, ClientProgram, ClientSetup, FirstPrompt,
    },
    client_settings::ClientSettings,
    file_change::FileChange,
    user_folders::UserFolders,
};

/// The variable that its list of models names for the key.
const KEY_VARIABLE: &str = "CRUCIBLE_API_KEY";

/// The entry of Qwen Code, which asks over `/v1/chat/completions`.
pub(crate) static QWEN_CODE: ClientProgram = ClientProgram {
    name: "qwen-code",
    aliases: &["qwen"],
    title: "Qwen Code",
    format: ClientFormat::Chat,
    prompt: FirstPrompt::Measured(17_000),
    programs: &["qwen"],
    install: "npm install -g @qwen-code/qwen-code",
    folder: Some(folder),
    setup,
    launch: Some(launch),
    limits: &[
        "Its first prompt is about 17,000 tokens.",
        "It sends a second request after each answer.",
        "Started by `crucible launch` it is not told the context, for which it has no variable; its file has `contextWindowSize`.",
    ],
    read_in: "Qwen Code 0.15.10, its README and program, and its documentation \"Model Providers\"",
    tried: "Qwen Code 0.15.10: says hi, tools over three turns and its terminal, with `crucible launch`'s environment and with this file, on simulated engines",
};

fn folder(folders: &UserFolders) -> PathBuf {
    folders.of_program("QWEN_HOME", ".qwen")
}

fn setup(settings: &ClientSettings, folders: &UserFolders) -> ClientSetup {
    let mut values: Vec<Assignment> = settings
        .models()
        .map(|model| {
            let entry = json!({
                "id": model.name,
                "name": format!("{} (Crucible)", model.name),
                "baseUrl": settings.v1(),
                "envKey": KEY_VARIABLE,
                "generationConfig": { "contextWindowSize": model.tokens() },
            });
            Assignment::element(["modelProviders", "openai"], "id", &model.name, entry)
        })
        .collect();
    values.extend([
        Assignment::set(["env", KEY_VARIABLE], settings.key_or_word()),
        Assignment::set(["security", "auth", "selectedType"], "openai"),
        Assignment::set(["model", "name"], settings.model.name.as_str()),
    ]);
    ClientSetup {
        files: vec![ClientFile {
            path: folder(folders).join("settings.json"),
            change: FileChange::Json(values),
        }],
        ..ClientSetup::default()
    }
}

fn launch(settings: &ClientSettings) -> ClientLaunch {
    let auth: &[&str] = &["--auth-type"];
    ClientLaunch {
        optional: vec![(auth, vec!["--auth-type".to_owned(), "openai".to_owned()])],
        environment: vec![
            ("OPENAI_BASE_URL", settings.v1()),
            ("OPENAI_API_KEY", settings.key_or_word().to_owned()),
            ("OPENAI_MODEL", settings.model.name.clone()),
        ],
        ..ClientLaunch::default()
    }
}
