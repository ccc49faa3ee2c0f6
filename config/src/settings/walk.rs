//! The walk over the text of a file: every key against the table of keys.
//!
//! A mistake in one key never hides one in another, and an unknown key names the nearest known one.
//!
//! The text is read by the `toml` crate. The walk is written by hand because a deserializer stops at the
//! first mistake, knows no layers and forgets where a value came from: a file with five mistakes would
//! take five starts. It runs once per start or reload. The fuzz target `config_file` holds that any text
//! is read, always in the same way, or refused with a place for each problem.

use std::path::Path;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{ConfigLayer, ProblemReport, Settings, ValueOrigin, odd_character, windows_path};
use crate::{
    keys::{self, KeyShape, ROOT, SettingKey, join},
    kind::{self, SettingKind, Value},
};

/// Reads the text of a file into settings; whatever is wrong goes to the report.
pub(crate) fn read_file(name: &Path, text: &str, report: &mut ProblemReport) -> Settings {
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut walk = FileWalk {
        name,
        text,
        settings: Settings::default(),
        report,
    };
    let mut lines = Vec::new();
    for error in &errors {
        let at = error.span().map_or(0, |span| span.start);
        let source = walk.source(at);
        // One slip is several errors to a parser.
        if lines.contains(&source) {
            continue;
        }
        lines.push(source.clone());
        if let Some(slip) = windows_path::slip(line_at(text, at)) {
            let found = "a backslash between double quotes, where it begins an escape";
            let assignment = match slip.key.as_str() {
                key if slip.stands_alone => format!("{key} = "),
                _ => String::new(),
            };
            let hint = format!("for example {assignment}'{}'", slip.path);
            let expected = "a Windows path between single quotes";
            walk.report
                .error(&slip.key, &source, found, expected, &hint);
            continue;
        }
        if let Some(odd) = odd_character::first(line_at(text, at)) {
            walk.report
                .error("", &source, &odd.found, odd.expected, odd.hint);
            continue;
        }
        walk.report
            .error("", &source, error.message().trim(), "TOML", "");
    }
    // What was recovered from broken text would only add noise.
    if errors.is_empty() {
        walk.table("", root.get_ref(), ROOT);
    }
    walk.settings
}

/// The line that holds this place.
fn line_at(text: &str, at: usize) -> &str {
    let at = (0..=at.min(text.len()))
        .rev()
        .find(|i| text.is_char_boundary(*i));
    let (before, after) = text.split_at(at.unwrap_or_default());
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    let end = before.len() + after.find('\n').unwrap_or(after.len());
    text.get(start..end).unwrap_or_default()
}

struct FileWalk<'a> {
    name: &'a Path,
    text: &'a str,
    settings: Settings,
    report: &'a mut ProblemReport,
}

// === impl FileWalk ===

impl FileWalk<'_> {
    fn source(&self, at: usize) -> String {
        let before = self.text.as_bytes().get(..at).unwrap_or_default();
        let line = 1 + before.split(|b| *b == b'\n').count().saturating_sub(1);
        format!("{}:{line}", self.name.display())
    }

    fn origin(&self, at: usize) -> ValueOrigin {
        ValueOrigin {
            layer: ConfigLayer::File,
            source: self.source(at),
        }
    }

    fn table(&mut self, prefix: &str, table: &DeTable<'_>, known: &[SettingKey]) {
        let mut items: Vec<_> = table.iter().collect();
        items.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in items {
            let at = name.span().start;
            let name = name.get_ref();
            let path = join(prefix, name);
            if let Some(key) = known.iter().find(|key| key.name == name) {
                self.shape(&path, key.shape, at, value);
            } else {
                let source = self.source(at);
                unknown_key(self.report, &path, prefix, name, &source, known);
            }
        }
    }

    fn shape(&mut self, path: &str, shape: KeyShape, at: usize, value: &Spanned<DeValue<'_>>) {
        match (shape, value.get_ref()) {
            (KeyShape::Value(kind), found) => self.value(path, kind, at, found),
            (KeyShape::Table(_) | KeyShape::Tuning | KeyShape::Rows(_), DeValue::Table(table)) => {
                self.table(path, table, &shape.keys());
            }
            (KeyShape::Tables(known), DeValue::Array(items)) => {
                for (i, item) in items.iter().enumerate() {
                    let path = format!("{path}[{i}]");
                    self.one_table(&path, item.span().start, item.get_ref(), known, "");
                }
            }
            (KeyShape::Named(known), DeValue::Table(tables)) => {
                for (name, item) in tables {
                    let path = join(path, name.get_ref());
                    let hint = format!("name it: [{path}]");
                    self.one_table(&path, name.span().start, item.get_ref(), known, &hint);
                }
            }
            (KeyShape::NamedValues(kind), DeValue::Table(values)) => {
                let mut items: Vec<_> = values.iter().collect();
                items.sort_by_key(|(name, _)| name.span().start);
                for (name, item) in items {
                    let path = join(path, name.get_ref());
                    self.value(&path, kind, name.span().start, item.get_ref());
                }
            }
            (KeyShape::OffOr(_), DeValue::Boolean(false)) => {
                let origin = self.origin(at);
                self.settings.set(path, Value::Boolean(false), origin);
            }
            (KeyShape::OffOr(known), DeValue::Table(table)) => self.table(path, table, known),
            (KeyShape::OffOr(_), found) => {
                let hint = "leave it out for the defaults";
                self.wrong(path, at, found, "false or a table", hint);
            }
            (KeyShape::Tables(_), found) => {
                let hint = format!("write [[{path}]]");
                self.wrong(path, at, found, "a list of tables", &hint);
            }
            (_, found) => self.wrong(path, at, found, "a table", &format!("write [{path}]")),
        }
    }

    /// One table of those that repeat or have a free name.
    fn one_table(
        &mut self,
        path: &str,
        at: usize,
        found: &DeValue<'_>,
        known: &[SettingKey],
        hint: &str,
    ) {
        if let DeValue::Table(table) = found {
            let origin = self.origin(at);
            self.settings.tables.insert(path.to_owned(), origin);
            self.table(path, table, known);
        } else {
            self.wrong(path, at, found, "a table", hint);
        }
    }

    fn value(&mut self, path: &str, kind: SettingKind, at: usize, found: &DeValue<'_>) {
        match kind.read_toml(found) {
            Ok(value) => {
                let origin = self.origin(at);
                self.settings.set(path, value, origin);
            }
            Err(wrong) => {
                let source = self.source(at);
                self.report
                    .error(path, &source, &wrong.found, &kind.expected(), &wrong.hint);
            }
        }
    }

    fn wrong(&mut self, path: &str, at: usize, found: &DeValue<'_>, expected: &str, hint: &str) {
        let source = self.source(at);
        self.report
            .error(path, &source, &kind::describe(found), expected, hint);
    }
}

fn unknown_key(
    report: &mut ProblemReport,
    path: &str,
    prefix: &str,
    name: &str,
    source: &str,
    known: &[SettingKey],
) {
    let elsewhere = || {
        keys::fixed()
            .into_iter()
            .find(|(_, key)| key.name == name)
            .map(|(path, _)| path)
    };
    let hint = if let Some(near) = kind::nearest(name, known.iter().map(|key| key.name)) {
        format!("did you mean {:?}?", join(prefix, near))
    } else if let Some(path) = elsewhere() {
        format!("did you mean {path:?}?")
    } else {
        String::new()
    };
    let names: Vec<&str> = known.iter().map(|key| key.name).collect();
    let expected = format!("one of: {}", names.join(", "));
    report.error(
        path,
        source,
        &format!("the unknown key {name:?}"),
        &expected,
        &hint,
    );
}
