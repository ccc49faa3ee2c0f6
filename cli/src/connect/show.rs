//! The output of `crucible connect`: the list of clients, and the settings of one.

use std::path::Path;

use serde_json::{Value, json};

use super::{
    applied::AppliedClient,
    client_program::{ClientProgram, ClientSetup},
    client_settings::ClientSettings,
    clients::CLIENTS,
    user_folders::UserFolders,
};
use crate::output::table;

/// One client in the list, with what was found on this machine.
pub(super) struct ListedClient {
    client: &'static ClientProgram,
    found: Option<String>,
    applied: bool,
}

/// Looks for all clients on this machine.
pub(super) fn look(folders: &UserFolders, state_dir: &Path) -> Vec<ListedClient> {
    CLIENTS
        .iter()
        .map(|client| ListedClient {
            client,
            found: client.found(folders).map(|path| shortened(&path, folders)),
            applied: AppliedClient::load(state_dir, client.name).is_ok_and(|known| known.is_some()),
        })
        .collect()
}

/// The list for a terminal.
pub(super) fn listed(clients: &[ListedClient]) -> String {
    let heading = [
        "client",
        "program",
        "asks",
        "first prompt",
        "launch",
        "connected",
        "found here",
    ];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(clients.iter().map(|listed| {
        let client = listed.client;
        vec![
            client.name.to_owned(),
            client.title.to_owned(),
            client.format.path().to_owned(),
            client.prompt.words().unwrap_or_default(),
            yes(client.launch.is_some()),
            yes(listed.applied),
            listed.found.clone().unwrap_or_else(|| "no".to_owned()),
        ]
    }));
    format!(
        "{}\n\n`crucible connect CLIENT` prints its settings, `--apply` writes them, `--undo` takes them back; \
         `crucible launch CLIENT` starts it and writes nothing.",
        table(&rows)
    )
}

/// The list for scripts.
pub(super) fn listed_json(clients: &[ListedClient]) -> Value {
    let clients = clients.iter().map(|listed| {
        json!({
            "client": listed.client.name,
            "title": listed.client.title,
            "path": listed.client.format.path(),
            "prompt_tokens": listed.client.prompt.tokens(),
            "launch": listed.client.launch.is_some(),
            "found": listed.found,
            "applied": listed.applied,
        })
    });
    json!({ "clients": clients.collect::<Vec<_>>() })
}

/// The settings of one client for a terminal, as they stand in files that are empty otherwise.
pub(super) fn settings(
    client: &ClientProgram,
    setup: &ClientSetup,
    folders: &UserFolders,
) -> String {
    let mut parts = Vec::new();
    for file in &setup.files {
        // Nothing stands in the way of a change of an empty text.
        let text = file.change.applied_to("").unwrap_or_default();
        parts.push(format!(
            "{}:\n\n{}",
            shortened(&file.path, folders),
            indented(&text)
        ));
    }
    if !setup.environment.is_empty() {
        let lines = setup
            .environment
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        let lines = lines.collect::<Vec<_>>().join("\n");
        parts.push(format!("In its environment:\n\n{}", indented(&lines)));
    }
    if !setup.steps.is_empty() {
        let steps = setup.steps.iter().enumerate();
        let steps = steps.map(|(index, step)| format!("{}. {step}", index + 1));
        parts.push(steps.collect::<Vec<_>>().join("\n"));
    }
    let limits = client.limits.iter().map(|limit| format!("- {limit}"));
    parts.push(limits.collect::<Vec<_>>().join("\n"));
    parts.join("\n\n")
}

/// The settings of one client for scripts.
pub(super) fn settings_json(
    client: &ClientProgram,
    settings: &ClientSettings,
    setup: &ClientSetup,
) -> Value {
    let files = setup.files.iter().map(|file| {
        json!({
            "path": file.path,
            "format": file.change.format().name(),
            "content": file.change.applied_to("").unwrap_or_default(),
        })
    });
    let environment = setup.environment.iter();
    let environment = environment.map(|(name, value)| ((*name).to_owned(), json!(value)));
    json!({
        "client": client.name,
        "title": client.title,
        "url": settings.url,
        "path": client.format.path(),
        "model": settings.model.name,
        "context": settings.model.context,
        "files": files.collect::<Vec<_>>(),
        "environment": environment.collect::<serde_json::Map<_, _>>(),
        "steps": setup.steps,
        "launch": client.launch.is_some(),
        "limits": client.limits,
        "read_in": client.read_in,
        "tried": client.tried,
    })
}

/// The path with `~` for the home folder.
pub(super) fn shortened(path: &Path, folders: &UserFolders) -> String {
    path.strip_prefix(folders.home()).map_or_else(
        |_| path.display().to_string(),
        |rest| Path::new("~").join(rest).display().to_string(),
    )
}

fn yes(flag: bool) -> String {
    if flag { "yes" } else { "" }.to_owned()
}

fn indented(text: &str) -> String {
    let lines = text
        .lines()
        .map(|line| format!("    {line}").trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}
