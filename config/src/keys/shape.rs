//! What a key is, and what may stand at it.

use std::borrow::Cow;

use crate::{
    kind::SettingKind,
    tuning::{ProfileName, TUNINGS, TuningGroup, TuningId},
};

/// One key of one table, as the pages and the walk over a file know it.
#[derive(Clone, Copy, Debug)]
pub struct SettingKey {
    /// The name in its table.
    pub name: &'static str,
    /// What may stand there.
    pub shape: KeyShape,
    /// The default of the profile `hybrid` as text, or words that say it; empty where there is none.
    pub default: &'static str,
    /// The default of the profile `agent`, where it is another one.
    pub agent: Option<&'static str>,
    /// One line that says what it sets.
    pub doc: &'static str,
    /// The setting that it belongs to, where it is one of the 39.
    pub tuning: Option<TuningId>,
}

/// What may stand at a key.
#[derive(Clone, Copy, Debug)]
pub enum KeyShape {
    /// A value.
    Value(SettingKind),
    /// A table, `[name]`.
    Table(&'static [SettingKey]),
    /// A list of tables, `[[name]]`.
    Tables(&'static [SettingKey]),
    /// Tables with names of the user's choice, `[name.ANY]`.
    Named(&'static [SettingKey]),
    /// Values under names of the user's choice, `ANY = value`.
    NamedValues(SettingKind),
    /// The word `false`, or a table.
    OffOr(&'static [SettingKey]),
    /// `[tuning]` with its three tables.
    Tuning,
    /// The settings of one group, `[tuning.group]`.
    Rows(TuningGroup),
}

pub(super) const BOOLEAN: KeyShape = KeyShape::Value(SettingKind::Boolean);
pub(super) const TEXT: KeyShape = KeyShape::Value(SettingKind::Text);
pub(super) const TEXTS: KeyShape = KeyShape::Value(SettingKind::Texts);
pub(super) const SECRET: KeyShape = KeyShape::Value(SettingKind::Secret);
pub(super) const ADDRESS: KeyShape = KeyShape::Value(SettingKind::Address);
pub(super) const ADDRESSES: KeyShape = KeyShape::Value(SettingKind::Addresses);
pub(super) const REQUESTS_PER_TIME: KeyShape = KeyShape::Value(SettingKind::Rate);
pub(super) const TIME: KeyShape = KeyShape::Value(SettingKind::Duration { min_ms: 1 });
pub(super) const TIME_OR_NONE: KeyShape = KeyShape::Value(SettingKind::Duration { min_ms: 0 });
pub(super) const BYTES: KeyShape = size(1, i64::MAX as u64);
pub(super) const TOKENS: KeyShape = integer(1, 1 << 30);
pub(super) const COUNT: KeyShape = integer(1, 1_000_000);
pub(super) const GROW_OR_REJECT: KeyShape = one_of(&["grow", "reject"]);

pub(super) const fn integer(min: i64, max: i64) -> KeyShape {
    KeyShape::Value(SettingKind::Integer { min, max })
}

pub(super) const fn number(min: f64, max: f64) -> KeyShape {
    KeyShape::Value(SettingKind::Number { min, max })
}

pub(super) const fn size(min: u64, max: u64) -> KeyShape {
    KeyShape::Value(SettingKind::Size { min, max })
}

pub(super) const fn one_of(words: &'static [&'static str]) -> KeyShape {
    KeyShape::Value(SettingKind::OneOf(words))
}

// === impl Shape ===

impl KeyShape {
    /// The keys below; empty for values and free names.
    pub fn keys(self) -> Cow<'static, [SettingKey]> {
        match self {
            Self::Value(_) | Self::NamedValues(_) => Cow::Borrowed(&[]),
            Self::Table(keys) | Self::Tables(keys) | Self::Named(keys) | Self::OffOr(keys) => {
                Cow::Borrowed(keys)
            }
            Self::Tuning => TuningGroup::ALL
                .into_iter()
                .map(SettingKey::of_group)
                .collect(),
            Self::Rows(group) => TUNINGS
                .iter()
                .filter(|row| row.group == group)
                .map(|row| SettingKey::of_tuning(row.id))
                .collect(),
        }
    }
}

// === impl Key ===

impl SettingKey {
    fn of_group(group: TuningGroup) -> Self {
        Self {
            name: group.as_str(),
            shape: KeyShape::Rows(group),
            default: "",
            agent: None,
            doc: group.doc(),
            tuning: None,
        }
    }

    fn of_tuning(id: TuningId) -> Self {
        let row = id.row();
        Self {
            name: id.key(),
            shape: KeyShape::Value(row.kind),
            default: row.hybrid,
            agent: row.agent,
            doc: row.short,
            tuning: Some(id),
        }
    }

    /// The value in a profile, as text; `None` where the profile sets nothing.
    pub fn literal(&self, profile: ProfileName) -> Option<&'static str> {
        if let Some(id) = self.tuning {
            return id.row().literal(profile);
        }
        let hybrid = Some(self.default).filter(|text| !text.is_empty());
        match profile {
            ProfileName::Hybrid => hybrid,
            ProfileName::Agent => self.agent.or(hybrid),
        }
    }
}

// === impl TuningGroup ===

impl TuningGroup {
    fn doc(self) -> &'static str {
        match self {
            Self::Lmstudio => "Rows 1-20.",
            Self::Ollama => "Rows 21-31.",
            Self::Environment => "Rows 32-39: environment of the Ollama process.",
        }
    }
}

/// A path one level deeper.
pub(crate) fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() {
        name.to_owned()
    } else {
        format!("{prefix}.{name}")
    }
}
