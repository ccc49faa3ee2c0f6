//! What one or more layers set: path to value, each with its origin.
//!
//! A file is walked key by key against [`ROOT`], so that a mistake in one key never hides one in
//! another; unknown keys name the nearest known one.
//!
//! The text is read by the `toml` crate. The walk is written by hand because a deserializer stops at the
//! first mistake, knows no layers and forgets where a value came from: a file with five mistakes would
//! take five starts. It runs once per start or reload. The fuzz target `config_file` holds that any text
//! is read, always in the same way, or refused with a place for each problem.

mod odd_character;
mod report;
mod windows_path;

use std::path::Path;

use indexmap::IndexMap;
use serde::Serialize;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

pub(crate) use self::report::Report;
use crate::{
    keys::{self, Key, KeyPath, Part, ROOT, Shape, join},
    kind::{self, Kind, SettingType, Value},
    tuning::TuningId,
};

/// Which layer set a value; later ones win.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Layer {
    /// The built-in profile.
    Profile,
    /// The configuration file.
    File,
    /// An environment variable.
    Environment,
    /// The command line.
    Flag,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// Its layer.
    pub layer: Layer,
    /// `crucible.toml:12`, a variable, a flag or a profile.
    pub source: String,
}

/// A value and its origin.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// Everything that was set, in the order in which it was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// `timeouts.idle`, `engine[0].url`, `pool.gpu.budget`.
    pub(crate) entries: IndexMap<String, Entry>,
    /// Tables that may repeat or have a free name: `engine[0]`, `pool.gpu`.
    pub(crate) tables: IndexMap<String, Origin>,
}

/// Reads the text of a file into settings; whatever is wrong goes to the report.
pub(crate) fn read_file(name: &Path, text: &str, report: &mut Report) -> Settings {
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut walk = Walk {
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

struct Walk<'a> {
    name: &'a Path,
    text: &'a str,
    settings: Settings,
    report: &'a mut Report,
}

// === impl Walk ===

impl Walk<'_> {
    fn source(&self, at: usize) -> String {
        let before = self.text.as_bytes().get(..at).unwrap_or_default();
        let line = 1 + before.split(|b| *b == b'\n').count().saturating_sub(1);
        format!("{}:{line}", self.name.display())
    }

    fn origin(&self, at: usize) -> Origin {
        Origin {
            layer: Layer::File,
            source: self.source(at),
        }
    }

    fn table(&mut self, prefix: &str, table: &DeTable<'_>, known: &[Key]) {
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

    fn shape(&mut self, path: &str, shape: Shape, at: usize, value: &Spanned<DeValue<'_>>) {
        match (shape, value.get_ref()) {
            (Shape::Value(kind), found) => self.value(path, kind, at, found),
            (Shape::Table(_) | Shape::Tuning | Shape::Rows(_), DeValue::Table(table)) => {
                self.table(path, table, &shape.keys());
            }
            (Shape::Tables(known), DeValue::Array(items)) => {
                for (i, item) in items.iter().enumerate() {
                    let path = format!("{path}[{i}]");
                    let at = item.span().start;
                    if let DeValue::Table(table) = item.get_ref() {
                        let origin = self.origin(at);
                        self.settings.tables.insert(path.clone(), origin);
                        self.table(&path, table, known);
                    } else {
                        self.wrong(&path, at, item.get_ref(), "a table", "");
                    }
                }
            }
            (Shape::Named(known), DeValue::Table(tables)) => {
                for (name, item) in tables {
                    let path = join(path, name.get_ref());
                    let at = name.span().start;
                    if let DeValue::Table(table) = item.get_ref() {
                        let origin = self.origin(at);
                        self.settings.tables.insert(path.clone(), origin);
                        self.table(&path, table, known);
                    } else {
                        let hint = format!("name it: [{path}]");
                        self.wrong(&path, at, item.get_ref(), "a table", &hint);
                    }
                }
            }
            (Shape::NamedValues(kind), DeValue::Table(values)) => {
                let mut items: Vec<_> = values.iter().collect();
                items.sort_by_key(|(name, _)| name.span().start);
                for (name, item) in items {
                    let path = join(path, name.get_ref());
                    self.value(&path, kind, name.span().start, item.get_ref());
                }
            }
            (Shape::OffOr(_), DeValue::Boolean(false)) => {
                let origin = self.origin(at);
                self.settings.set(path, Value::Boolean(false), origin);
            }
            (Shape::OffOr(known), DeValue::Table(table)) => self.table(path, table, known),
            (Shape::OffOr(_), found) => {
                self.wrong(
                    path,
                    at,
                    found,
                    "false or a table",
                    "leave it out for the defaults",
                );
            }
            (Shape::Tables(_), found) => {
                self.wrong(
                    path,
                    at,
                    found,
                    "a list of tables",
                    &format!("write [[{path}]]"),
                );
            }
            (_, found) => self.wrong(path, at, found, "a table", &format!("write [{path}]")),
        }
    }

    fn value(&mut self, path: &str, kind: Kind, at: usize, found: &DeValue<'_>) {
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
    report: &mut Report,
    path: &str,
    prefix: &str,
    name: &str,
    source: &str,
    known: &[Key],
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

// === impl Settings ===

impl Settings {
    pub(crate) fn set(&mut self, path: &str, value: Value, origin: Origin) {
        self.entries
            .insert(path.to_owned(), Entry { value, origin });
    }

    /// Sets a value of the profile layer where nothing else did.
    pub(crate) fn fill(&mut self, path: &str, value: Value, source: &str) {
        if !self.entries.contains_key(path) {
            let origin = Origin {
                layer: Layer::Profile,
                source: source.to_owned(),
            };
            self.set(path, value, origin);
        }
    }

    pub(crate) fn source(&self, path: &str) -> String {
        if let Some(entry) = self.entries.get(path) {
            return entry.origin.source.clone();
        }
        self.tables
            .get(path)
            .or_else(|| {
                path.rsplit_once('.')
                    .and_then(|(table, _)| self.tables.get(table))
            })
            .map(|origin| origin.source.clone())
            .unwrap_or_default()
    }

    pub(crate) fn layer(&self, path: &str) -> Option<Layer> {
        self.entries.get(path).map(|entry| entry.origin.layer)
    }

    /// How many `[[name]]` there are.
    pub(crate) fn count(&self, name: &str) -> usize {
        (0..=self.tables.len())
            .take_while(|i| self.tables.contains_key(&format!("{name}[{i}]")))
            .count()
    }

    /// Names of the tables directly below one with free names.
    pub(crate) fn names_of_tables(&self, table: &str) -> Vec<String> {
        let below = |path: &String| Some(path.strip_prefix(table)?.strip_prefix('.')?.to_owned());
        self.tables.keys().filter_map(below).collect()
    }

    /// Names directly below a table with free names.
    pub(crate) fn names(&self, table: &str) -> Vec<String> {
        let below = |path: &String| {
            path.strip_prefix(table)
                .and_then(|rest| rest.strip_prefix('.'))
                .map(str::to_owned)
        };
        let mut all: Vec<String> = self.tables.keys().filter_map(below).collect();
        all.extend(self.entries.keys().filter_map(below));
        all
    }

    /// Whether something is set there.
    pub(crate) fn is_set(&self, path: &str) -> bool {
        self.entries.contains_key(path)
    }

    /// The value of a key that need not be set.
    pub(crate) fn find<T: SettingType>(&self, path: &KeyPath<Option<T>>) -> Option<T> {
        let value = self.entries.get(&**path).map(|entry| &entry.value);
        Option::<T>::of(value).flatten()
    }

    /// The value of a key; where nothing is set, its default.
    pub(crate) fn get<T: SettingType + Default>(
        &self,
        path: &KeyPath<T>,
        report: &mut Report,
    ) -> T {
        let default = match path.key.shape {
            Shape::Value(kind) if !self.is_set(path) => kind.read_text(path.key.default).ok(),
            _ => None,
        };
        self.typed(path, default.as_ref(), report)
    }

    /// The value of one of the 39 settings.
    pub(crate) fn tuning<T: SettingType + Default>(&self, id: TuningId, report: &mut Report) -> T {
        self.typed(id.path(), None, report)
    }

    /// A value that is missing, or of another type, is a mistake in Crucible's own tables: it is
    /// reported as an error and never read as 0.
    fn typed<T: SettingType + Default>(
        &self,
        path: &str,
        default: Option<&Value>,
        report: &mut Report,
    ) -> T {
        let set = self.entries.get(path).map(|entry| &entry.value);
        let value = set.or(default);
        T::of(value).unwrap_or_else(|| {
            let found = value.map_or_else(|| "nothing".to_owned(), Value::to_text);
            let hint = "this is a mistake in Crucible's own table of keys; please report it";
            let expected = "a value in the key's type";
            report.error(path, &self.source(path), &found, expected, hint);
            T::default()
        })
    }

    /// Whether `false` stands where a table may stand.
    pub(crate) fn is_off(&self, path: &KeyPath<Part>) -> bool {
        self.entries
            .get(&**path)
            .is_some_and(|entry| entry.value == Value::Boolean(false))
    }

    /// The value under a name of the user's choice.
    pub(crate) fn named<T: SettingType>(&self, table: &str, name: &str) -> Option<T> {
        let entry = self.entries.get(&join(table, name))?;
        T::of(Some(&entry.value))
    }
}
