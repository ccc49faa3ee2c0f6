//! Roo Code: `/v1/chat/completions` by its provider `OpenAI Compatible`, in its dialog.

use crate::connect::{
    client_program::{ClientFormat, ClientProgram, ClientSetup, FirstPrompt},
    client_settings::ClientSettings,
    user_folders::UserFolders,
};

/// The entry of the editor extension Roo Code, which asks over `/v1/chat/completions`.
pub(crate) static ROO: ClientProgram = ClientProgram {
    name: "roo",
    aliases: &["roo-code"],
    title: "Roo Code",
    format: ClientFormat::Chat,
    prompt: FirstPrompt::Agent,
    programs: &[],
    install: "the extension Roo Code in VS Code",
    folder: None,
    setup,
    launch: None,
    limits: &[
        "It keeps its settings in VS Code's own storage and its keys in the keychain, which no other program can edit safely.",
        "Its provider `Ollama` with Crucible's address works too. Its provider `LM Studio` asks for the models over a WebSocket, which is refused with a clear 404: use `OpenAI Compatible`.",
    ],
    read_in: "RooCodeInc/Roo-Code `src/api/providers` and `src/utils/autoImportSettings.ts`",
    tried: "not run: it needs VS Code",
};

fn setup(settings: &ClientSettings, _: &UserFolders) -> ClientSetup {
    ClientSetup {
        steps: vec![
            "In VS Code open Roo Code's settings (the gear) and choose Providers.".to_owned(),
            "Choose the API Provider `OpenAI Compatible`.".to_owned(),
            format!("Base URL: `{}`", settings.v1()),
            format!("API Key: `{}`", settings.key_or_word()),
            format!("Model: `{}`", settings.model.name),
            format!("Context Window Size: `{}`", settings.model.tokens()),
            format!("Max Output Tokens: `{}`", settings.model.answer_tokens()),
        ],
        ..ClientSetup::default()
    }
}
