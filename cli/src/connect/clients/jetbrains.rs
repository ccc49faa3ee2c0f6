//! AI Assistant of the `JetBrains` IDEs: `/v1/chat/completions` by an OpenAI-compatible provider, in its dialog.

use crate::connect::{
    client_program::{ClientFormat, ClientProgram, ClientSetup, FirstPrompt},
    client_settings::ClientSettings,
    user_folders::UserFolders,
};

/// The entry of the AI Assistant in the editors of `JetBrains`, which asks over
/// `/v1/chat/completions`.
pub(crate) static JETBRAINS: ClientProgram = ClientProgram {
    name: "jetbrains",
    aliases: &["intellij", "ai-assistant"],
    title: "JetBrains AI Assistant",
    format: ClientFormat::Chat,
    prompt: FirstPrompt::Agent,
    programs: &[],
    install: "the plugin JetBrains AI Assistant",
    folder: None,
    setup,
    launch: None,
    limits: &[
        "It keeps providers and keys in the settings and the password store of each IDE, which no other program can edit safely.",
        "Ollama and LM Studio are named as local providers too: Crucible's address without `/v1` is their URL.",
    ],
    read_in: "JetBrains' help, \"Use third-party and local models\"",
    tried: "not run: its requests are not known from a capture",
};

fn setup(settings: &ClientSettings, _: &UserFolders) -> ClientSetup {
    ClientSetup {
        steps: vec![
            "Settings, Tools, AI Assistant, Providers & API keys.".to_owned(),
            "Below Third-party AI providers choose the provider `OpenAI-compatible`.".to_owned(),
            format!("URL: `{}`", settings.v1()),
            format!("API Key: `{}`", settings.key_or_word()),
            "Switch tool calling on, then Test Connection and Apply.".to_owned(),
            format!("Below Models assignment choose `{}`.", settings.model.name),
            format!(
                "Context window of local models: `{}`",
                settings.model.tokens()
            ),
        ],
        ..ClientSetup::default()
    }
}
