//! The event log of the instance that a configuration describes, or a file that a person names.

use std::path::{Path, PathBuf};

use crucible_config::home;
use crucible_documents::event_log::{
    EVENT_LOG_FILE, EventLog, OLDER_EVENT_LOG_FILE, read_event_log,
};

use crate::CommandFailure;

/// Returns the log in this file, or in the files of this folder, where one is named, else the one in `state_dir`;
/// older file first, and the path of its newest file.
///
/// # Errors
/// Exit code 1 with the path and the reason, where a file cannot be read or none is there.
pub(crate) fn read(
    state_dir: &Path,
    named: Option<&Path>,
) -> Result<(EventLog, PathBuf), CommandFailure> {
    let named = named.map(home::expand);
    let paths = match &named {
        Some(path) if !path.is_dir() => vec![path.clone()],
        folder => {
            let folder = folder.as_deref().unwrap_or(state_dir);
            let both = [OLDER_EVENT_LOG_FILE, EVENT_LOG_FILE];
            both.map(|name| folder.join(name)).to_vec()
        }
    };
    let newest = paths.last().cloned().unwrap_or_default();
    let log = read_event_log(&paths).map_err(|unreadable| {
        CommandFailure::wrong(format!(
            "{}: {}; `crucible serve` writes it while log.events is true, or name one with --log",
            unreadable.path.display(),
            unreadable.error
        ))
    })?;
    Ok((log, newest))
}

/// Returns what a reader of the log should know of lines that are missing from it, one sentence each.
pub(crate) fn gaps(log: &EventLog) -> Vec<String> {
    let mut said = Vec::new();
    if log.corrupt > 0 {
        said.push(match log.corrupt {
            1 => "1 line is no event and was skipped".to_owned(),
            lines => format!("{lines} lines are no events and were skipped"),
        });
    }
    if log.dropped > 0 {
        said.push(format!(
            "{} events are missing: they came faster than the disk took them",
            log.dropped
        ));
    }
    said
}
