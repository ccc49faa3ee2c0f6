//! Continue: `/v1/chat/completions` by its provider `openai`, in a file of its folder of models.

use std::{fmt::Write as _, path::PathBuf};

use serde_json::json;

use crate::connect::{
    client_program::{ClientFile, ClientFormat, ClientProgram, ClientSetup, FirstPrompt},
    client_settings::ClientSettings,
    file_change::FileChange,
    user_folders::UserFolders,
};

/// The entry of the editor extension Continue, which asks over `/v1/chat/completions`.
pub(crate) static CONTINUE: ClientProgram = ClientProgram {
    name: "continue",
    aliases: &["continue-dev", "cn"],
    title: "Continue",
    format: ClientFormat::Chat,
    prompt: FirstPrompt::Measured(1_500),
    programs: &["cn"],
    install: "npm install -g @continuedev/cli, or the extension Continue in the editor",
    folder: Some(folder),
    setup,
    launch: None,
    limits: &[
        "The file is Crucible's own: Continue adds the models of `~/.continue/models` to every configuration, and `config.yaml` is not touched.",
        "For completion at the cursor add a model with `roles: [autocomplete]` that can insert: docs/completions.md.",
        "Its provider `ollama` with `apiBase` at Crucible works too.",
        "After an error in the middle of a stream it sends the whole request again, several times.",
    ],
    read_in: "Continue's guide \"Configuring Models, Rules, and Tools\", continuedev/continue `core/config/loadLocalAssistants.ts`, and Continue CLI 1.5.47",
    tried: "Continue CLI 1.5.47 with `--config` at this file: says hi, tools over three turns and its terminal, on simulated engines; says hi on a real llama.cpp and a real Ollama. The extension was not run",
};

fn folder(folders: &UserFolders) -> PathBuf {
    folders.of_program("CONTINUE_GLOBAL_DIR", ".continue")
}

fn setup(settings: &ClientSettings, folders: &UserFolders) -> ClientSetup {
    let path = folder(folders).join("models").join("crucible.yaml");
    let mut text = String::from(
        "# Written by `crucible connect continue`; `--undo` removes it.\n\
         name: Crucible\nversion: 1.0.0\nschema: v1\nmodels:\n",
    );
    for model in settings.models() {
        let _ = write!(
            text,
            "  - name: {name}\n    provider: openai\n    model: {model}\n    apiBase: {base}\n    apiKey: {key}\n    \
             roles: [chat, edit, apply]\n    capabilities: [tool_use]\n    defaultCompletionOptions:\n      \
             contextLength: {context}\n",
            name = json!(format!("{} (Crucible)", model.name)),
            model = json!(model.name),
            base = json!(settings.v1()),
            key = json!(settings.key_or_word()),
            context = model.tokens(),
        );
    }
    ClientSetup {
        steps: vec![
            "In the editor choose the model in Continue's list; it reads the file when it is saved.".to_owned(),
            format!("On the command line: `cn --config {}`.", path.display()),
        ],
        files: vec![ClientFile {
            path,
            change: FileChange::Own(text),
        }],
        ..ClientSetup::default()
    }
}
