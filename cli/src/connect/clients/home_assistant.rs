//! Home Assistant: `/api/chat` and `/api/tags` by its integration Ollama, in its dialog.

use crate::connect::{
    client_program::{ClientFormat, ClientProgram, ClientSetup, FirstPrompt},
    client_settings::ClientSettings,
    user_folders::UserFolders,
};

/// The entry of Home Assistant, whose integration of Ollama asks over `/api/chat` and `/api/tags`.
pub(crate) static HOME_ASSISTANT: ClientProgram = ClientProgram {
    name: "home-assistant",
    aliases: &["homeassistant", "hass"],
    title: "Home Assistant",
    format: ClientFormat::Ollama,
    prompt: FirstPrompt::Agent,
    programs: &[],
    install: "https://www.home-assistant.io/installation",
    folder: None,
    setup,
    launch: None,
    limits: &[
        "It runs on another machine as a rule: Crucible has to listen beyond loopback, with a key (`crucible key new`), and the URL then names Crucible's machine.",
        "It asks for 8192 tokens of context unless told otherwise; Crucible keeps the context of the model stable all the same.",
        "It pulls a model that is not listed; Crucible answers a pull of a listed one with success and refuses others in words.",
    ],
    read_in: "home-assistant/core `homeassistant/components/ollama/config_flow.py`",
    tried: "not run; it asks through ollama-python, which is tried",
};

fn setup(settings: &ClientSettings, _: &UserFolders) -> ClientSetup {
    let mut steps = vec![
        "Settings, Devices & services, Add integration, Ollama.".to_owned(),
        format!("URL: `{}` (without `/v1`)", settings.url),
    ];
    if let Some(key) = &settings.key {
        steps.push(format!("API key: `{key}`"));
    }
    steps.extend([
        format!(
            "Add a conversation agent with the model `{}`.",
            settings.model.name
        ),
        format!("Context window size: `{}`", settings.model.tokens()),
    ]);
    ClientSetup {
        steps,
        ..ClientSetup::default()
    }
}
