//! n8n: `/v1/chat/completions` by a credential of OpenAI with another base URL.

use crate::connect::{
    client_program::{ClientFormat, ClientProgram, ClientSetup, FirstPrompt},
    client_settings::ClientSettings,
    user_folders::UserFolders,
};

/// The entry of the workflow program n8n, which asks over `/v1/chat/completions` as a user of
/// OpenAI does.
pub(crate) static N8N: ClientProgram = ClientProgram {
    name: "n8n",
    aliases: &[],
    title: "n8n",
    format: ClientFormat::Chat,
    prompt: FirstPrompt::Chat,
    programs: &["n8n"],
    install: "npm install -g n8n",
    folder: None,
    setup,
    launch: None,
    limits: &[
        "It keeps credentials encrypted in its database, which no other program can edit safely.",
        "In a container the base URL has `host.docker.internal` in place of `127.0.0.1`; Crucible then has to listen beyond loopback, with a key.",
        "The node OpenAI Chat Model asks over `/v1/responses` where \"Use Responses API\" is on: Crucible answers both.",
        "A credential of Ollama with Crucible's address (without `/v1`) works for the node Ollama Chat Model.",
    ],
    read_in: "the documentation of n8n, \"OpenAI credentials\"",
    tried: "not run: npm lacks a package that 2.41.3 wants (`@n8n/agents` 0.26.2)",
};

fn setup(settings: &ClientSettings, _: &UserFolders) -> ClientSetup {
    ClientSetup {
        steps: vec![
            "Credentials, Create credential, OpenAI.".to_owned(),
            format!("API Key: `{}`", settings.key_or_word()),
            format!("Base URL: `{}`", settings.v1()),
            format!(
                "In the node OpenAI Chat Model choose that credential and the model `{}` (by ID, where the list is filtered).",
                settings.model.name
            ),
        ],
        ..ClientSetup::default()
    }
}
