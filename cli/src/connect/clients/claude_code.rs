//! Claude Code: `/v1/messages` only, by variables of its environment, which its settings file can hold.

use std::path::PathBuf;

use crate::connect::{
    assignment::Assignment,
    client_program::{
        ClientFile, ClientFormat, ClientLaunch, ClientProgram, ClientSetup, FirstPrompt,
    },
    client_settings::ClientSettings,
    file_change::FileChange,
    user_folders::UserFolders,
};

/// The entry of Claude Code, which asks over `/v1/messages` alone.
pub(crate) static CLAUDE_CODE: ClientProgram = ClientProgram {
    name: "claude-code",
    aliases: &["claude"],
    title: "Claude Code",
    format: ClientFormat::Messages,
    prompt: FirstPrompt::Measured(20_000),
    programs: &["claude"],
    install: "npm install -g @anthropic-ai/claude-code",
    folder: Some(folder),
    setup,
    launch: Some(launch),
    limits: &[
        "Its first prompt is about 20,000 tokens, and it keeps a part of the context free: with 8192 it says \"Prompt is too long\" without asking. 65536 is comfortable.",
        "`CLAUDE_CODE_MAX_CONTEXT_TOKENS` is the context that Crucible gives; without it a million tokens are assumed of a model that it does not know.",
        "Its automatic permission mode has each command judged by a service of its vendor, which no other server has: the mode `default` asks the user instead.",
        "`CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK` keeps it from sending a request a second time after an error in a stream.",
        "`ANTHROPIC_API_KEY` is emptied: Claude Code would send it beside the key of Crucible.",
        "`CLAUDE_CODE_ATTRIBUTION_HEADER=0` leaves out a line that differs from request to request and would spoil the engine's prompt cache.",
    ],
    read_in: "the help, variables and behaviour of Claude Code 2.1.332",
    tried: "Claude Code 2.1.332: says hi, tools over three turns and its terminal, with `crucible launch`'s environment and with this file, on simulated engines; says hi on a real llama.cpp and a real Ollama with fewer tools",
};

fn folder(folders: &UserFolders) -> PathBuf {
    folders.of_program("CLAUDE_CONFIG_DIR", ".claude")
}

/// The variables; the key goes where its own token would be.
fn environment(settings: &ClientSettings) -> Vec<(&'static str, String)> {
    let model = &settings.model.name;
    vec![
        ("ANTHROPIC_BASE_URL", settings.url.clone()),
        ("ANTHROPIC_AUTH_TOKEN", settings.key_or_word().to_owned()),
        ("ANTHROPIC_MODEL", model.clone()),
        ("ANTHROPIC_DEFAULT_OPUS_MODEL", model.clone()),
        ("ANTHROPIC_DEFAULT_SONNET_MODEL", model.clone()),
        ("ANTHROPIC_DEFAULT_HAIKU_MODEL", model.clone()),
        ("ANTHROPIC_SMALL_FAST_MODEL", model.clone()),
        ("CLAUDE_CODE_SUBAGENT_MODEL", model.clone()),
        (
            "CLAUDE_CODE_MAX_CONTEXT_TOKENS",
            settings.model.tokens().to_string(),
        ),
        ("CLAUDE_CODE_ATTRIBUTION_HEADER", "0".to_owned()),
        ("CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK", "1".to_owned()),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1".to_owned()),
    ]
}

fn setup(settings: &ClientSettings, folders: &UserFolders) -> ClientSetup {
    let variables = environment(settings).into_iter();
    let mut values: Vec<Assignment> = variables
        .map(|(name, value)| Assignment::set(["env", name], value))
        .collect();
    // A key of its vendor in the environment would be sent beside the token.
    values.push(Assignment::set(["env", "ANTHROPIC_API_KEY"], ""));
    values.push(Assignment::fill(["permissions", "defaultMode"], "default"));
    ClientSetup {
        files: vec![ClientFile {
            path: folder(folders).join("settings.json"),
            change: FileChange::Json(values),
        }],
        ..ClientSetup::default()
    }
}

fn launch(settings: &ClientSettings) -> ClientLaunch {
    let own: &[&str] = &[
        "--permission-mode",
        "--dangerously-skip-permissions",
        "--settings",
    ];
    let mode = r#"{"permissions":{"defaultMode":"default"}}"#;
    ClientLaunch {
        optional: vec![(own, vec!["--settings".to_owned(), mode.to_owned()])],
        environment: environment(settings),
        removed: &[
            "ANTHROPIC_API_KEY",
            "CLAUDE_CODE_USE_BEDROCK",
            "CLAUDE_CODE_USE_VERTEX",
        ],
        ..ClientLaunch::default()
    }
}
