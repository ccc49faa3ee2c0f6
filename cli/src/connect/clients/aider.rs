//! aider: `/v1/chat/completions` through LiteLLM, by its YAML file or by variables.

use std::path::PathBuf;

use serde_json::json;

use crate::connect::{
    client_program::{
        ClientFile, ClientFormat, ClientLaunch, ClientProgram, ClientSetup, FirstPrompt,
    },
    client_settings::ClientSettings,
    file_change::FileChange,
    user_folders::UserFolders,
    yaml_change::YamlEntry,
};

/// The entry of aider, which asks over `/v1/chat/completions` through LiteLLM.
pub(crate) static AIDER: ClientProgram = ClientProgram {
    name: "aider",
    aliases: &[],
    title: "aider",
    format: ClientFormat::Chat,
    prompt: FirstPrompt::Measured(700),
    programs: &["aider"],
    install: "python -m pip install aider-install && aider-install",
    folder: Some(file),
    setup,
    launch: Some(launch),
    limits: &[
        "The name of the model stands behind `openai/`, which is LiteLLM's word for the format.",
        "It warns that it does not know the context of the model and goes on: it reports limits and enforces none.",
        "The models `ollama_chat/NAME` with `OLLAMA_API_BASE` at Crucible work too; Crucible keeps the context stable where aider asks for another one with each message.",
    ],
    read_in: "the documentation of aider 0.86, \"OpenAI compatible APIs\" and \"Advanced model settings\"",
    tried: "aider 0.86.2: says hi and edits two files over two turns, with `crucible launch`'s environment and with this file, on simulated engines",
};

fn file(folders: &UserFolders) -> PathBuf {
    folders.home().join(".aider.conf.yml")
}

fn setup(settings: &ClientSettings, folders: &UserFolders) -> ClientSetup {
    ClientSetup {
        files: vec![ClientFile {
            path: file(folders),
            change: FileChange::Yaml(vec![
                YamlEntry::Key("model", json!(format!("openai/{}", settings.model.name))),
                YamlEntry::Key("openai-api-base", json!(settings.v1())),
                YamlEntry::Key("openai-api-key", json!(settings.key_or_word())),
            ]),
        }],
        ..ClientSetup::default()
    }
}

fn launch(settings: &ClientSettings) -> ClientLaunch {
    let model: &[&str] = &["--model", "--architect"];
    let chosen = vec![
        "--model".to_owned(),
        format!("openai/{}", settings.model.name),
    ];
    ClientLaunch {
        optional: vec![(model, chosen)],
        environment: vec![
            ("OPENAI_API_BASE", settings.v1()),
            ("OPENAI_API_KEY", settings.key_or_word().to_owned()),
        ],
        ..ClientLaunch::default()
    }
}
