//! Copilot's command line: `/v1/chat/completions`, by variables.

use std::path::PathBuf;

use crate::connect::{
    client_program::{ClientFormat, ClientLaunch, ClientProgram, ClientSetup, FirstPrompt},
    client_settings::{ChosenModel, ClientSettings},
    user_folders::UserFolders,
};

/// The entry of Copilot's command line, which asks over `/v1/chat/completions`.
pub(crate) static COPILOT_CLI: ClientProgram = ClientProgram {
    name: "copilot-cli",
    aliases: &["gh-copilot"],
    title: "Copilot CLI",
    format: ClientFormat::Chat,
    prompt: FirstPrompt::Measured(5_500),
    programs: &["copilot"],
    install: "npm install -g @github/copilot",
    folder: Some(folder),
    setup,
    launch: Some(launch),
    limits: &[
        "It wants a model that calls tools and streams; GitHub advises a context of 128,000 tokens.",
        "`COPILOT_PROVIDER_MAX_PROMPT_TOKENS` is the context less an answer, so that it shortens the conversation in time.",
        "`COPILOT_OFFLINE=true` keeps it from asking GitHub for anything; it is yours to set.",
    ],
    read_in: "`copilot help environment` of 1.0.102, and GitHub's documentation, \"Using your own LLM models in GitHub Copilot CLI\"",
    tried: "Copilot CLI 1.0.102: says hi, tools over three turns and its terminal, with `crucible launch`'s environment and `COPILOT_OFFLINE=true`, on simulated engines",
};

fn folder(folders: &UserFolders) -> PathBuf {
    folders.home().join(".copilot")
}

/// The tokens of the context that are left for a prompt beside an answer.
fn prompt_tokens(model: &ChosenModel) -> u64 {
    model.tokens().saturating_sub(model.answer_tokens())
}

fn environment(settings: &ClientSettings) -> Vec<(&'static str, String)> {
    vec![
        ("COPILOT_PROVIDER_TYPE", "openai".to_owned()),
        ("COPILOT_PROVIDER_BASE_URL", settings.v1()),
        (
            "COPILOT_PROVIDER_API_KEY",
            settings.key_or_word().to_owned(),
        ),
        ("COPILOT_MODEL", settings.model.name.clone()),
        (
            "COPILOT_PROVIDER_MAX_PROMPT_TOKENS",
            prompt_tokens(&settings.model).to_string(),
        ),
        (
            "COPILOT_PROVIDER_MAX_OUTPUT_TOKENS",
            settings.model.answer_tokens().to_string(),
        ),
    ]
}

fn setup(settings: &ClientSettings, _: &UserFolders) -> ClientSetup {
    ClientSetup {
        environment: environment(settings),
        ..ClientSetup::default()
    }
}

fn launch(settings: &ClientSettings) -> ClientLaunch {
    ClientLaunch {
        environment: environment(settings),
        ..ClientLaunch::default()
    }
}
