//! The change of a user's file: what is put in, and how the text becomes the new text.
//!
//! Comments, order and spacing of what is not ours stay as they are; a file that cannot be understood is
//! left alone, with the reason in words.

use super::{
    assignment::{Assignment, PathStep},
    json_change, toml_change, yaml_change,
    yaml_change::YamlEntry,
};

/// The change of a client's file.
#[derive(Clone, Debug)]
pub(crate) enum FileChange {
    /// Values of a JSON file that may have comments and commas at the end.
    Json(Vec<Assignment>),
    /// Values of a TOML file.
    Toml(Vec<Assignment>),
    /// Entries at the top of a YAML file.
    Yaml(Vec<YamlEntry>),
    /// The whole text of a YAML file that belongs to Crucible alone.
    Own(String),
}

/// The format of a file, by which it can be checked again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FileFormat {
    /// JSON with comments.
    Json,
    /// TOML.
    Toml,
    /// YAML.
    Yaml,
}

// === impl FileChange ===

impl FileChange {
    /// The text with the change in it. The text of a file that does not exist is empty.
    ///
    /// # Errors
    /// Why the file cannot be changed, as the end of a sentence that begins with its path.
    pub(crate) fn applied_to(&self, text: &str) -> Result<String, String> {
        let (mark, body) = match text.strip_prefix('\u{feff}') {
            Some(body) => ("\u{feff}", body),
            None => ("", text),
        };
        let changed = match self {
            Self::Json(assignments) => json_change::apply(body, assignments)?,
            Self::Toml(assignments) => toml_change::apply(body, assignments)?,
            Self::Yaml(entries) => yaml_change::apply(body, entries)?,
            Self::Own(own) => own.clone(),
        };
        let changed = if has_dos_lines(body) {
            changed.replace("\r\n", "\n").replace('\n', "\r\n")
        } else {
            changed
        };
        Ok(format!("{mark}{changed}"))
    }

    /// The paths of the values that are put in.
    pub(crate) fn paths(&self) -> Vec<Vec<PathStep>> {
        match self {
            Self::Json(assignments) | Self::Toml(assignments) => {
                assignments.iter().map(|a| a.path.clone()).collect()
            }
            Self::Yaml(entries) => entries.iter().filter_map(YamlEntry::path).collect(),
            Self::Own(_) => Vec::new(),
        }
    }

    /// The format of the file.
    pub(crate) const fn format(&self) -> FileFormat {
        match self {
            Self::Json(_) => FileFormat::Json,
            Self::Toml(_) => FileFormat::Toml,
            Self::Yaml(_) | Self::Own(_) => FileFormat::Yaml,
        }
    }
}

/// Whether every line ends as on Windows.
fn has_dos_lines(text: &str) -> bool {
    text.contains("\r\n") && text.matches('\n').count() == text.matches("\r\n").count()
}

// === impl FileFormat ===

impl FileFormat {
    /// The name of the format in words and in a fenced block of Markdown.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Toml => "toml",
            Self::Yaml => "yaml",
        }
    }

    /// The text without the values at these paths that are still as they were written, where the text was
    /// changed since at the same places.
    ///
    /// # Errors
    /// A text cannot be read, or its lines cannot be taken out.
    pub(crate) fn taken_out(
        self,
        before: &str,
        after: &str,
        now: &str,
        paths: &[Vec<PathStep>],
    ) -> Result<String, String> {
        let take_out = match self {
            Self::Json => json_change::take_out,
            Self::Toml => toml_change::take_out,
            Self::Yaml => yaml_change::take_out,
        };
        let (mark, now) = match now.strip_prefix('\u{feff}') {
            Some(now) => ("\u{feff}", now),
            None => ("", now),
        };
        let bare = |text: &'_ str| text.trim_start_matches('\u{feff}').to_owned();
        let restored = take_out(&bare(before), &bare(after), now, paths)?;
        Ok(format!("{mark}{restored}"))
    }

    /// Whether a text is of this format.
    pub(crate) fn accepts(self, text: &str) -> bool {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        match self {
            Self::Json => json_change::read(text).is_ok(),
            Self::Toml => toml_change::read(text).is_ok(),
            Self::Yaml => yaml_change::read(text).is_ok(),
        }
    }
}
