//! The values that the layers set, by the path of their key, each with its origin.

mod odd_character;
mod report;
mod walk;
mod windows_path;

use indexmap::IndexMap;
use serde::Serialize;

pub(crate) use self::{report::ProblemReport, walk::read_file};
use crate::{
    keys::{KeyPath, KeyShape, SubTable, join},
    kind::{SettingType, Value},
    tuning::TuningId,
};

/// The layer that set a value; a later one wins over those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ConfigLayer {
    /// The built-in profile set it.
    Profile,
    /// The configuration file set it.
    File,
    /// An environment variable set it.
    Environment,
    /// A flag of the command line set it.
    Flag,
}

/// The layer and the place from which a value came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ValueOrigin {
    /// The layer that set it.
    pub layer: ConfigLayer,
    /// The place in words: `crucible.toml:12`, a variable, a flag or a profile.
    pub source: String,
}

/// The value of one key, and the layer and place that it comes from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SettingEntry {
    pub(crate) value: Value,
    pub(crate) origin: ValueOrigin,
}

/// Everything that was set, in the order in which it was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// The values by their paths: `timeouts.idle`, `engine[0].url`, `pool.gpu.budget`.
    pub(crate) entries: IndexMap<String, SettingEntry>,
    /// The tables that may repeat or have a free name: `engine[0]`, `pool.gpu`.
    pub(crate) tables: IndexMap<String, ValueOrigin>,
}

// === impl Settings ===

impl Settings {
    pub(crate) fn set(&mut self, path: &str, value: Value, origin: ValueOrigin) {
        self.entries
            .insert(path.to_owned(), SettingEntry { value, origin });
    }

    /// Sets a value of the profile layer where nothing else did.
    pub(crate) fn fill(&mut self, path: &str, value: Value, source: &str) {
        if !self.entries.contains_key(path) {
            let origin = ValueOrigin {
                layer: ConfigLayer::Profile,
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

    pub(crate) fn layer(&self, path: &str) -> Option<ConfigLayer> {
        self.entries.get(path).map(|entry| entry.origin.layer)
    }

    /// Returns the number of `[[name]]` tables, such as the engines of the file for the name `engine`.
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
        report: &mut ProblemReport,
    ) -> T {
        let default = match path.key.shape {
            KeyShape::Value(kind) if !self.is_set(path) => kind.read_text(path.key.default).ok(),
            _ => None,
        };
        self.typed(path, default.as_ref(), report)
    }

    /// The value of one of the 39 settings.
    pub(crate) fn tuning<T: SettingType + Default>(
        &self,
        id: TuningId,
        report: &mut ProblemReport,
    ) -> T {
        self.typed(id.path(), None, report)
    }

    /// A value that is missing, or of another type, is a mistake in Crucible's own tables: it is
    /// reported as an error and never read as 0.
    fn typed<T: SettingType + Default>(
        &self,
        path: &str,
        default: Option<&Value>,
        report: &mut ProblemReport,
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
    pub(crate) fn is_off(&self, path: &KeyPath<SubTable>) -> bool {
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
