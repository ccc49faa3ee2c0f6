//! The record of what was written for a client: the texts before and after, so that it can be taken back.
//!
//! It lies in `connect/CLIENT` below the folder of state, readable by its user alone, since files of clients
//! may hold keys.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    assignment::PathStep,
    file_change::FileFormat,
    user_file::{FileMode, UserFile, private},
};

/// The file that lists what was written.
const RECORD: &str = "record.json";

/// The files that were written for one client, with their texts.
#[derive(Debug)]
pub(super) struct AppliedClient {
    folder: PathBuf,
    /// One for each file of the client.
    pub(super) files: Vec<AppliedFile>,
}

/// One file that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AppliedFile {
    /// The path of the file, with links followed.
    pub(super) path: PathBuf,
    /// The format that it has to keep.
    pub(super) format: FileFormat,
    /// The text of the file before; `None` where it did not exist.
    pub(super) before: Option<String>,
    /// The text that was written.
    pub(super) after: String,
    /// The paths of the values that were put in.
    pub(super) paths: Vec<Vec<PathStep>>,
    /// The folders that were made for it, the outermost first.
    pub(super) made: Vec<PathBuf>,
    /// The permissions of the file before, on Unix.
    pub(super) mode: Option<u32>,
}

/// The state of a file compared with what was written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WithoutOurs {
    /// Nothing of ours is in it: it is as before.
    Untouched,
    /// The file is as it was written, so the text before takes its place.
    AsWritten,
    /// The file was changed since; this is its text with the changes and without what was written.
    Merged(String),
    /// The file was changed since, at the places that were written, so the two cannot be told
    /// apart.
    Entangled,
}

#[derive(Serialize, Deserialize)]
struct RecordDoc {
    version: u32,
    files: Vec<RecordedFileDoc>,
}

#[derive(Serialize, Deserialize)]
struct RecordedFileDoc {
    path: PathBuf,
    format: FileFormat,
    existed: bool,
    paths: Vec<Vec<PathStep>>,
    made: Vec<PathBuf>,
    #[serde(default)]
    mode: Option<u32>,
}

// === impl AppliedClient ===

impl AppliedClient {
    /// An empty record of a client in this folder of state.
    pub(super) fn new(state_dir: &Path, client: &str) -> Self {
        Self {
            folder: state_dir.join("connect").join(client),
            files: Vec::new(),
        }
    }

    /// Reads what was written for a client; `None` where nothing was.
    ///
    /// # Errors
    /// The record is there and cannot be read.
    pub(super) fn load(state_dir: &Path, client: &str) -> Result<Option<Self>, String> {
        let mut this = Self::new(state_dir, client);
        let record = this.folder.join(RECORD);
        let Ok(text) = fs::read_to_string(&record) else {
            return Ok(None);
        };
        let broken = |words: String| format!("{}: {words}", record.display());
        let record_doc: RecordDoc =
            serde_json::from_str(&text).map_err(|e| broken(e.to_string()))?;
        for (index, file) in record_doc.files.into_iter().enumerate() {
            let read = |kind| {
                let path = this.text_path(index, kind);
                fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))
            };
            let before = file.existed.then(|| read("before")).transpose()?;
            let after = read("after")?;
            this.files.push(AppliedFile {
                path: file.path,
                format: file.format,
                before,
                after,
                paths: file.paths,
                made: file.made,
                mode: file.mode,
            });
        }
        Ok(Some(this))
    }

    /// Writes the record, whole or not at all for each file. It is called before a file of the client is written,
    /// and again for the folders that were made.
    ///
    /// # Errors
    /// The folder of state cannot be written.
    pub(super) fn save(&self) -> Result<(), String> {
        let keep = |path: &Path, text: &str| {
            let old = UserFile::read(path)?;
            old.write(text, FileMode::Kept).map(drop)
        };
        for (index, file) in self.files.iter().enumerate() {
            if let Some(before) = &file.before {
                keep(&self.text_path(index, "before"), before)?;
            }
            keep(&self.text_path(index, "after"), &file.after)?;
        }
        let files = self.files.iter().map(|file| RecordedFileDoc {
            path: file.path.clone(),
            format: file.format,
            existed: file.before.is_some(),
            paths: file.paths.clone(),
            made: file.made.clone(),
            mode: file.mode,
        });
        let record = RecordDoc {
            version: 1,
            files: files.collect(),
        };
        let text = serde_json::to_string_pretty(&record).map_err(|e| e.to_string())?;
        keep(&self.folder.join(RECORD), &text)
    }

    /// Removes the record with the texts that it keeps, once the files are as they were before.
    ///
    /// # Errors
    /// The folder cannot be removed.
    pub(super) fn forget(&self) -> Result<(), String> {
        fs::remove_dir_all(&self.folder).map_err(|e| format!("{}: {e}", self.folder.display()))
    }

    /// Returns the path at which the text of the file with this index is kept.
    pub(super) fn text_path(&self, index: usize, kind: &str) -> PathBuf {
        self.folder.join(format!("{index}.{kind}"))
    }
}

// === impl AppliedFile ===

impl AppliedFile {
    /// The permissions that the file gets back: those from before, unless somebody gave it others since.
    pub(super) fn mode_before(&self, now: &UserFile) -> FileMode {
        let is_ours = |mode| now.mode.is_none_or(|now| now == private(mode));
        match self.mode.filter(|mode| is_ours(*mode)) {
            Some(mode) => FileMode::As(mode),
            None => FileMode::Kept,
        }
    }

    /// Compares the file as it is now with what was written.
    pub(super) fn without_ours(&self, now: &UserFile) -> WithoutOurs {
        if now.text == self.before {
            return WithoutOurs::Untouched;
        }
        let Some(text) = &now.text else {
            // The user removed it, and with it what was there before.
            return WithoutOurs::AsWritten;
        };
        if *text == self.after {
            return WithoutOurs::AsWritten;
        }
        let before = self.before.as_deref().unwrap_or_default();
        if text.trim().is_empty() && !before.trim().is_empty() {
            // Nothing shows where the text before would go back to, and it is kept nowhere else.
            return WithoutOurs::Entangled;
        }
        match diffy::merge(&self.after, text, before) {
            Ok(merged) if merged == before => WithoutOurs::AsWritten,
            Ok(merged) if self.format.accepts(&merged) => WithoutOurs::Merged(merged),
            _ => {
                let taken = self
                    .format
                    .taken_out(before, &self.after, text, &self.paths);
                let bare = |text: &String| matches!(text.trim(), "" | "{}" | "[]");
                match taken {
                    Ok(taken) if self.before.is_none() && bare(&taken) => WithoutOurs::AsWritten,
                    Ok(taken) => WithoutOurs::Merged(taken),
                    Err(_) => WithoutOurs::Entangled,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(before: Option<&str>, after: &str) -> AppliedFile {
        AppliedFile {
            path: PathBuf::from("x"),
            format: FileFormat::Json,
            before: before.map(str::to_owned),
            after: after.to_owned(),
            paths: vec![vec![PathStep::Key("ours".to_owned())]],
            made: Vec::new(),
            mode: None,
        }
    }

    fn now(text: Option<&str>) -> UserFile {
        UserFile {
            path: PathBuf::from("x"),
            text: text.map(str::to_owned),
            mode: None,
        }
    }

    #[test]
    fn what_the_user_changed_since_stays_where_it_is_elsewhere() {
        let before = "{\n  \"a\": 1,\n  \"b\": 2\n}\n";
        let after = "{\n  \"a\": 1,\n  \"ours\": 3,\n  \"b\": 2\n}\n";
        let file = applied(Some(before), after);
        assert_eq!(file.without_ours(&now(Some(after))), WithoutOurs::AsWritten);
        assert_eq!(
            file.without_ours(&now(Some(before))),
            WithoutOurs::Untouched
        );
        let added = "{\n  \"zero\": 0,\n  \"a\": 1,\n  \"ours\": 3,\n  \"b\": 2\n}\n";
        assert_eq!(
            file.without_ours(&now(Some(added))),
            WithoutOurs::Merged("{\n  \"zero\": 0,\n  \"a\": 1,\n  \"b\": 2\n}\n".to_owned())
        );
        let same_place = after.replace("\"ours\": 3", "\"ours\": 4");
        assert_eq!(
            file.without_ours(&now(Some(&same_place))),
            WithoutOurs::Merged(same_place.clone()),
            "a value that was changed is the user's"
        );
        let beside = after.replace("3,", "3,\n  \"theirs\": 5,");
        assert_eq!(
            file.without_ours(&now(Some(&beside))),
            WithoutOurs::Merged("{\n  \"a\": 1,\n  \"theirs\": 5,\n  \"b\": 2\n}\n".to_owned())
        );
        for entangled in [&*after.replace("3,", ""), "", " \n"] {
            assert_eq!(
                file.without_ours(&now(Some(entangled))),
                WithoutOurs::Entangled,
                "{entangled:?}"
            );
        }
    }

    #[test]
    fn a_file_that_did_not_exist_is_ours_until_it_is_changed() {
        let file = applied(None, "{\n  \"ours\": 3\n}\n");
        assert_eq!(
            file.without_ours(&now(Some("{\n  \"ours\": 3\n}\n"))),
            WithoutOurs::AsWritten
        );
        assert_eq!(file.without_ours(&now(None)), WithoutOurs::Untouched);
        let more = "{\n  \"mine\": 1,\n  \"ours\": 3\n}\n";
        assert_eq!(
            file.without_ours(&now(Some(more))),
            WithoutOurs::Merged("{\n  \"mine\": 1\n}\n".to_owned())
        );
    }
}
