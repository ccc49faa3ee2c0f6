//! The clients that Crucible knows, one file each.

mod aider;
mod claude_code;
mod cline;
mod codex;
mod continue_dev;
mod copilot;
mod copilot_cli;
mod crush;
mod home_assistant;
mod jetbrains;
mod llm;
mod n8n;
mod open_webui;
mod opencode;
mod qwen_code;
mod roo;
mod zed;

use crucible_config::nearest;

use super::client_program::ClientProgram;

/// All clients, in the order of the list.
pub(crate) const CLIENTS: [&ClientProgram; 17] = [
    &aider::AIDER,
    &claude_code::CLAUDE_CODE,
    &cline::CLINE,
    &codex::CODEX,
    &continue_dev::CONTINUE,
    &copilot::COPILOT,
    &copilot_cli::COPILOT_CLI,
    &crush::CRUSH,
    &home_assistant::HOME_ASSISTANT,
    &jetbrains::JETBRAINS,
    &llm::LLM,
    &n8n::N8N,
    &open_webui::OPEN_WEBUI,
    &opencode::OPENCODE,
    &qwen_code::QWEN_CODE,
    &roo::ROO,
    &zed::ZED,
];

/// Finds a client by its name or another name that people type, in any case.
///
/// # Errors
/// The sentence that says which names there are.
pub(crate) fn find(name: &str) -> Result<&'static ClientProgram, String> {
    let wanted = name.trim().to_lowercase().replace([' ', '_'], "-");
    let found = CLIENTS
        .iter()
        .find(|client| client.name == wanted || client.aliases.contains(&wanted.as_str()));
    found.copied().ok_or_else(|| {
        let names = CLIENTS.map(|client| client.name);
        let near = nearest(&wanted, names.iter().copied());
        let near = near.map_or_else(|| ".".to_owned(), |near| format!("; did you mean {near}?"));
        format!(
            "{name}: no such client{near} Known are: {}",
            names.join(", ")
        )
    })
}
