//! Codex: `/v1/responses` only, by a provider in its TOML file or by `-c` flags.

use crate::connect::{
    assignment::{Assignment, PathStep},
    client_program::{
        ClientFile, ClientFormat, ClientLaunch, ClientProgram, ClientSetup, FirstPrompt,
    },
    client_settings::ClientSettings,
    file_change::FileChange,
    toml_change,
    user_folders::UserFolders,
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The variable that the provider reads its key from.
const KEY_VARIABLE: &str = "CRUCIBLE_KEY";

/// The entry of Codex, which asks over `/v1/responses` alone.
pub(crate) static CODEX: ClientProgram = ClientProgram {
    name: "codex",
    aliases: &["codex-cli"],
    title: "Codex",
    format: ClientFormat::Responses,
    prompt: FirstPrompt::Measured(10_000),
    programs: &["codex"],
    install: "npm install -g @openai/codex",
    folder: Some(folder),
    setup,
    launch: Some(launch),
    limits: &[
        "Its first prompt is about 10,000 tokens.",
        "`model_context_window` is the context that Crucible gives; without it Codex assumes that of a model of its vendor.",
        "A profile that its file chooses counts before the values at the top, so where it names a model or a provider these are set there too; `crucible launch codex` cannot know that.",
        "It leaves after 300 s without an event; Crucible sends it events while a prompt is read.",
        "`codex --oss` needs none of this once Crucible listens on the engine's port: see docs/takeover.md.",
    ],
    read_in: "the help and behaviour of Codex 0.171.0, and openai/codex `codex-rs/model-provider-info`",
    tried: "Codex 0.171.0: says hi, tools over three turns and its terminal, with `crucible launch`'s flags and with this file, on simulated engines; says hi on a real llama.cpp",
};

fn folder(folders: &UserFolders) -> PathBuf {
    folders.of_program("CODEX_HOME", ".codex")
}

/// The provider and what chooses it, as keys of the file.
fn assignments(settings: &ClientSettings) -> Vec<Assignment> {
    let provider = |key| ["model_providers", "crucible", key];
    let mut all = vec![
        Assignment::set(["model"], settings.model.name.as_str()),
        Assignment::set(["model_provider"], "crucible"),
        Assignment::set(["model_context_window"], settings.model.tokens()),
        Assignment::set(provider("name"), "Crucible"),
        Assignment::set(provider("base_url"), settings.v1()),
        Assignment::set(provider("wire_api"), "responses"),
    ];
    if settings.key.is_some() {
        all.push(Assignment::set(provider("env_key"), KEY_VARIABLE));
    }
    all
}

/// The same values in the profile that the file chooses, where that has others: they count before those at its top.
fn in_profile(path: &Path, values: &[Assignment]) -> Vec<Assignment> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let Ok(document) = toml_change::read(&text) else {
        // The change of the file says why it cannot be read.
        return Vec::new();
    };
    let chosen = toml_change::values(document.as_table());
    let Some(name) = chosen["profile"].as_str() else {
        return Vec::new();
    };
    let profile = &chosen["profiles"][name];
    let top = values.iter().filter_map(|value| match &*value.path {
        [PathStep::Key(key)] if !profile[key].is_null() => {
            let set = Assignment::set(["profiles", name, key], value.value.clone());
            Some(set)
        }
        _ => None,
    });
    top.collect()
}

fn setup(settings: &ClientSettings, folders: &UserFolders) -> ClientSetup {
    let mut setup = ClientSetup::default();
    let path = folder(folders).join("config.toml");
    let mut values = assignments(settings);
    values.extend(in_profile(&path, &values));
    setup.files.push(ClientFile {
        path,
        change: FileChange::Toml(values),
    });
    if settings.key.is_some() {
        setup.steps.push(format!(
            "Set {KEY_VARIABLE} to the client key in the environment of Codex: its file names the variable only."
        ));
    }
    setup
}

fn launch(settings: &ClientSettings) -> ClientLaunch {
    let flags = assignments(settings).into_iter().flat_map(|assignment| {
        // A text of JSON is one of TOML.
        let path = Assignment::spelled(&assignment.path);
        ["-c".to_owned(), format!("{path}={}", assignment.value)]
    });
    let key = settings.key.clone();
    ClientLaunch {
        arguments: flags.collect(),
        environment: key.map(|key| (KEY_VARIABLE, key)).into_iter().collect(),
        ..ClientLaunch::default()
    }
}
