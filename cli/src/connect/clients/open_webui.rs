//! `Open WebUI`: `/v1/chat/completions` and `/v1/models`, by variables at its first start or in its settings.

use crate::connect::{
    client_program::{ClientFormat, ClientLaunch, ClientProgram, ClientSetup, FirstPrompt},
    client_settings::ClientSettings,
    user_folders::UserFolders,
};

/// The entry of the web interface `Open WebUI`, which asks over `/v1/chat/completions` and
/// `/v1/models`.
pub(crate) static OPEN_WEBUI: ClientProgram = ClientProgram {
    name: "open-webui",
    aliases: &["openwebui"],
    title: "Open WebUI",
    format: ClientFormat::Chat,
    prompt: FirstPrompt::Chat,
    programs: &["open-webui"],
    install: "pip install open-webui",
    folder: None,
    setup,
    launch: Some(launch),
    limits: &[
        "Its server is started by `serve`: `crucible launch open-webui -- serve`.",
        "The variables count at its first start; later its database wins, and the connection is changed in its settings.",
        "In a container the base URL has `host.docker.internal` in place of `127.0.0.1`, which Crucible lets in; it then has to listen beyond loopback, with a key: docs/configuration.md.",
        "Titles, tags and follow-up questions are requests of their own, often with another system prompt: `scheduler.small_model` sends them elsewhere.",
        "A connection of the kind Ollama to Crucible's address works too.",
    ],
    read_in: "Open WebUI 0.12.4, its wheel",
    tried: "not run: its 91 packages, PyTorch for graphics cards among them, are some gigabytes; its requests are known from its wheel",
};

fn environment(settings: &ClientSettings) -> Vec<(&'static str, String)> {
    vec![
        ("OPENAI_API_BASE_URL", settings.v1()),
        ("OPENAI_API_KEY", settings.key_or_word().to_owned()),
    ]
}

fn setup(settings: &ClientSettings, _: &UserFolders) -> ClientSetup {
    ClientSetup {
        environment: environment(settings),
        steps: vec![
            "Where it runs already: Admin Panel, Settings, Connections, OpenAI API, Add Connection.".to_owned(),
            format!("URL: `{}`", settings.v1()),
            format!("Key: `{}`", settings.key_or_word()),
            "Leave the model IDs empty: all models of Crucible are listed.".to_owned(),
        ],
        ..ClientSetup::default()
    }
}

fn launch(settings: &ClientSettings) -> ClientLaunch {
    ClientLaunch {
        environment: environment(settings),
        ..ClientLaunch::default()
    }
}
