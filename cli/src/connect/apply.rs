//! `connect CLIENT --apply` and `--undo`: a client's files are changed and taken back.

use std::path::Path;

use super::{
    applied::{AppliedClient, AppliedFile, WithoutOurs},
    client_program::{ClientFile, ClientProgram},
    user_file::{FileMode, UserFile},
};
use crate::{CommandFailure, output::write_stdout};

/// A file that is about to be written, with the file as it is now.
struct PlannedFile {
    now: UserFile,
    applied: AppliedFile,
}

// === impl PlannedFile ===

impl PlannedFile {
    /// The permissions that the file gets.
    fn mode(&self, key: Option<&str>) -> FileMode {
        match key {
            Some(key) if self.applied.after.contains(key) => FileMode::Private,
            _ => FileMode::Kept,
        }
    }

    /// Whether the file is as it is to be already.
    fn is_done(&self, key: Option<&str>) -> bool {
        let is_private = self.mode(key) == FileMode::Kept || !self.now.is_open_to_others();
        is_private && self.now.text.as_ref() == Some(&self.applied.after)
    }
}

/// Writes the files of a client, after the difference was shown and the texts before were kept.
///
/// Returns whether there is something that can be taken back. A file in which `key` stands is readable by its user
/// alone.
///
/// # Errors
/// A file cannot be changed; none is written then.
pub(super) fn apply(
    state_dir: &Path,
    client: &ClientProgram,
    files: &[ClientFile],
    key: Option<&str>,
) -> Result<bool, CommandFailure> {
    let known = AppliedClient::load(state_dir, client.name).map_err(CommandFailure::wrong)?;
    let mut planned = Vec::new();
    for file in files {
        planned.push(plan(client, known.as_ref(), file)?);
    }
    forgotten(client, known.as_ref(), &planned)?;
    if planned.iter().all(|file| file.is_done(key)) {
        write_stdout("nothing to change: the settings are there already");
        return Ok(known.is_some());
    }
    for file in &planned {
        let (now, after) = (file.now.text(), &file.applied.after);
        if now != after {
            write_stdout(&difference(&file.now.path, now, after));
        }
    }
    let mut record = AppliedClient::new(state_dir, client.name);
    record.files = planned.iter().map(|file| file.applied.clone()).collect();
    record.save().map_err(CommandFailure::wrong)?;
    for (index, file) in planned.iter().enumerate() {
        let made = file
            .now
            .write(&file.applied.after, file.mode(key))
            .map_err(CommandFailure::wrong)?;
        if let Some(kept) = record.files.get_mut(index)
            && kept.made.is_empty()
        {
            kept.made = made;
        }
        write_stdout(&format!("written: {}", file.now.path.display()));
        if file.applied.before.is_some() {
            let kept = record.text_path(index, "before");
            write_stdout(&format!("before:  {}", kept.display()));
        }
    }
    record.save().map_err(CommandFailure::wrong)?;
    Ok(true)
}

/// Takes back what was written for a client.
///
/// # Errors
/// Nothing was written for it, or a file was changed since at the same places.
pub(super) fn undo(state_dir: &Path, client: &ClientProgram) -> Result<(), CommandFailure> {
    let record = AppliedClient::load(state_dir, client.name).map_err(CommandFailure::wrong)?;
    let record = record.ok_or_else(|| {
        CommandFailure::wrong(format!(
            "nothing to undo: `crucible connect {} --apply` wrote nothing here ({} has no record)",
            client.name,
            state_dir.display()
        ))
    })?;
    let mut steps = Vec::new();
    for (index, file) in record.files.iter().enumerate() {
        let now = UserFile::read(&file.path).map_err(CommandFailure::wrong)?;
        let without = file.without_ours(&now);
        if without == WithoutOurs::Entangled {
            let kept = match &file.before {
                Some(_) => format!(
                    "its text before is in {}, and takes its place where the file is removed before --undo",
                    record.text_path(index, "before").display()
                ),
                None => "it did not exist before".to_owned(),
            };
            return Err(CommandFailure::wrong(format!(
                "{path}: was changed since at the places that Crucible wrote, so nothing is taken back; {kept}. \
                 What was changed since:\n{difference}",
                path = file.path.display(),
                difference = difference(&file.path, &file.after, now.text()),
            )));
        }
        steps.push((file, now, without));
    }
    for (file, now, without) in steps {
        take_back(file, &now, without).map_err(CommandFailure::wrong)?;
    }
    record.forget().map_err(CommandFailure::wrong)
}

/// Plans the new text of one file, starting from its text without what was written before.
fn plan(
    client: &ClientProgram,
    known: Option<&AppliedClient>,
    file: &ClientFile,
) -> Result<PlannedFile, CommandFailure> {
    let now = UserFile::read(&file.path).map_err(CommandFailure::wrong)?;
    let old = known.and_then(|known| known.files.iter().find(|old| old.path == now.path));
    let compared = old.filter(|_| now.text.is_some());
    let before = match compared.map(|old| (old, old.without_ours(&now))) {
        None | Some((_, WithoutOurs::Untouched)) => now.text.clone(),
        Some((old, WithoutOurs::AsWritten)) => old.before.clone(),
        Some((_, WithoutOurs::Merged(text))) => Some(text),
        Some((_, WithoutOurs::Entangled)) => {
            return Err(CommandFailure::wrong(format!(
                "{}: was changed since at the places that Crucible wrote; first say which text counts: \
                 `crucible connect {} --undo` shows the difference",
                now.path.display(),
                client.name
            )));
        }
    };
    let changed = file
        .change
        .applied_to(before.as_deref().unwrap_or_default());
    let after = changed.map_err(|why| {
        CommandFailure::wrong(format!(
            "{}: {why}; it is left alone. `crucible connect {}` prints what to put in",
            now.path.display(),
            client.name
        ))
    })?;
    Ok(PlannedFile {
        applied: AppliedFile {
            path: now.path.clone(),
            format: file.change.format(),
            paths: file.change.paths(),
            before,
            after,
            made: old.map(|old| old.made.clone()).unwrap_or_default(),
            mode: old.map_or(now.mode, |old| old.mode),
        },
        now,
    })
}

/// Refuses where an earlier record names files that would be forgotten.
fn forgotten(
    client: &ClientProgram,
    known: Option<&AppliedClient>,
    planned: &[PlannedFile],
) -> Result<(), CommandFailure> {
    let recorded = known.into_iter().flat_map(|known| &known.files);
    let mut lost = recorded.filter(|old| planned.iter().all(|new| new.now.path != old.path));
    lost.next().map_or(Ok(()), |old| {
        Err(CommandFailure::wrong(format!(
            "the settings were written to {} before: first `crucible connect {} --undo`",
            old.path.display(),
            client.name
        )))
    })
}

fn take_back(file: &AppliedFile, now: &UserFile, without: WithoutOurs) -> Result<(), String> {
    let path = file.path.display();
    match (without, &file.before) {
        (WithoutOurs::AsWritten, Some(before)) => {
            now.write(before, file.mode_before(now))?;
            write_stdout(&format!("restored: {path}"));
        }
        (WithoutOurs::AsWritten, None) => {
            now.remove(&file.made)?;
            write_stdout(&format!("removed: {path}, which did not exist before"));
        }
        (WithoutOurs::Merged(text), _) => {
            now.write(&text, file.mode_before(now))?;
            write_stdout(&format!(
                "taken out: {path}; what was changed there since is kept"
            ));
        }
        (WithoutOurs::Untouched | WithoutOurs::Entangled, _) => {
            write_stdout(&format!("as before already: {path}"));
        }
    }
    Ok(())
}

/// The difference of two texts of a file, as `diff -u` writes it.
fn difference(path: &Path, old: &str, new: &str) -> String {
    let name = path.display().to_string();
    let mut options = diffy::DiffOptions::new();
    options
        .set_original_filename(name.clone())
        .set_modified_filename(name);
    options
        .create_patch(old, new)
        .to_string()
        .trim_end()
        .to_owned()
}
