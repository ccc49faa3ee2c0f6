//! This module holds the values that the profile, the file, the environment and the flags set, each
//! under the dotted path of its key and with its origin.

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
    /// The value in the form that its key's kind gives it.
    pub(crate) value: Value,
    /// The layer and the place that set it.
    pub(crate) origin: ValueOrigin,
}

/// The values and tables that the layers set, by their dotted paths and in the order in which they
/// were read. Of two values for one path the one set last stays.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// The values by their paths: `timeouts.idle`, `engine[0].url`, `pool.gpu.budget`.
    pub(crate) entries: IndexMap<String, SettingEntry>,
    /// The tables that may repeat or have a free name: `engine[0]`, `pool.gpu`.
    pub(crate) tables: IndexMap<String, ValueOrigin>,
}

// === impl Settings ===

impl Settings {
    /// Sets the value at this path, in place of one that was set before.
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

    /// Returns the place, in words, that set the value or the table at this path. Where nothing
    /// did, it is that of the table around it, else an empty text.
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

    /// Returns the layer that set the value at this path; `None` where there is no value.
    pub(crate) fn layer(&self, path: &str) -> Option<ConfigLayer> {
        self.entries.get(path).map(|entry| entry.origin.layer)
    }

    /// Returns the number of `[[name]]` tables; for the name `engine` it is the number of engines
    /// that were configured.
    pub(crate) fn count(&self, name: &str) -> usize {
        (0..=self.tables.len())
            .take_while(|i| self.tables.contains_key(&format!("{name}[{i}]")))
            .count()
    }

    /// Returns the names of the tables below a table with free names, such as `gpu` for
    /// `[pool.gpu]` below `pool`.
    pub(crate) fn names_of_tables(&self, table: &str) -> Vec<String> {
        let below = |path: &String| Some(path.strip_prefix(table)?.strip_prefix('.')?.to_owned());
        self.tables.keys().filter_map(below).collect()
    }

    /// Returns the names of the tables and of the values below a table with free names. A value
    /// inside one of those tables comes with the table's name, such as `gpu.budget` below `pool`.
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

    /// Reports whether a value of any type is set at this path. Tables do not count; a value of the
    /// profile counts as soon as [`Settings::fill`] has put it in.
    pub(crate) fn is_set(&self, path: &str) -> bool {
        self.entries.contains_key(path)
    }

    /// Returns the value of a key that need not be set. It is `None` where there is no value, an
    /// empty text, or a value of another type.
    pub(crate) fn find<T: SettingType>(&self, path: &KeyPath<Option<T>>) -> Option<T> {
        let value = self.entries.get(&**path).map(|entry| &entry.value);
        Option::<T>::of(value).flatten()
    }

    /// Returns the value of a key, or the key's default where nothing is set. If that is missing or
    /// of another type, Crucible's own table of keys is wrong, which is reported as an error.
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

    /// Returns the value of one of the 39 settings of `[tuning]`, after the profile was filled in.
    /// A mistake in Crucible's own table is reported as by [`Settings::get`].
    pub(crate) fn tuning<T: SettingType + Default>(
        &self,
        id: TuningId,
        report: &mut ProblemReport,
    ) -> T {
        self.typed(id.path(), None, report)
    }

    /// Returns the value at this path, else the default. One that is missing, or of another type,
    /// is a mistake in Crucible's own tables: it is reported as an error, so that nothing runs with
    /// a 0.
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

    /// Reports whether `false` is set in place of this table, which turns off what the table would
    /// configure.
    pub(crate) fn is_off(&self, path: &KeyPath<SubTable>) -> bool {
        self.entries
            .get(&**path)
            .is_some_and(|entry| entry.value == Value::Boolean(false))
    }

    /// Returns the value that a table with free names has under this name; `None` where there is
    /// none, or one of another type.
    pub(crate) fn named<T: SettingType>(&self, table: &str, name: &str) -> Option<T> {
        let entry = self.entries.get(&join(table, name))?;
        T::of(Some(&entry.value))
    }
}
