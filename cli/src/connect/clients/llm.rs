//! `llm`: `/v1/chat/completions`, by a list of models in YAML.

use std::path::PathBuf;

use serde_json::json;

use crate::connect::{
    client_program::{ClientFile, ClientFormat, ClientProgram, ClientSetup, FirstPrompt},
    client_settings::ClientSettings,
    file_change::FileChange,
    user_folders::UserFolders,
    yaml_change::YamlEntry,
};

/// The entry of the command-line program `llm`, which asks over `/v1/chat/completions`.
pub(crate) static LLM: ClientProgram = ClientProgram {
    name: "llm",
    aliases: &[],
    title: "llm",
    format: ClientFormat::Chat,
    prompt: FirstPrompt::Chat,
    programs: &["llm"],
    install: "pipx install llm",
    folder: Some(folder),
    setup,
    launch: None,
    limits: &[
        "The model is called `crucible/NAME` there, so that it does not hide one of the same name: `llm -m crucible/NAME \"Say hi\"`.",
        "It reads servers from this file alone, so `crucible launch` cannot start it without writing.",
    ],
    read_in: "the documentation of llm, \"Other models\", and llm 0.36",
    tried: "llm 0.36 with this file: says hi, tools over three turns and its chat, on simulated engines",
};

fn folder(folders: &UserFolders) -> PathBuf {
    let named = folders.named_by("LLM_USER_PATH");
    named.unwrap_or_else(|| folders.applications().join("io.datasette.llm"))
}

fn setup(settings: &ClientSettings, folders: &UserFolders) -> ClientSetup {
    let entries = settings.models().map(|model| {
        let mut members = vec![
            ("model_id", json!(format!("crucible/{}", model.name))),
            ("model_name", json!(model.name)),
            ("api_base", json!(settings.v1())),
            ("supports_tools", json!(true)),
            ("supports_schema", json!(true)),
        ];
        if settings.key.is_some() {
            members.push(("api_key_name", json!("crucible")));
        }
        YamlEntry::Element(members)
    });
    let mut steps = vec![format!(
        "`llm models default crucible/{}` makes it the model that `llm` asks without `-m`.",
        settings.model.name
    )];
    if settings.key.is_some() {
        steps.insert(
            0,
            "Run `llm keys set crucible` and enter the client key.".to_owned(),
        );
    }
    ClientSetup {
        files: vec![ClientFile {
            path: folder(folders).join("extra-openai-models.yaml"),
            change: FileChange::Yaml(entries.collect()),
        }],
        steps,
        ..ClientSetup::default()
    }
}
