//! The description of a key: its name, its defaults, and the values that may stand at it.

use std::borrow::Cow;

use crate::{
    kind::SettingKind,
    tuning::{ProfileName, TUNINGS, TuningGroup, TuningId},
};

/// One key of one table, as the documentation and the check of a file know it.
#[derive(Clone, Copy, Debug)]
pub struct SettingKey {
    /// The name of the key in its table.
    pub name: &'static str,
    /// The values or tables that may stand at the key.
    pub shape: KeyShape,
    /// The default of the profile `hybrid` as text, or words that say it; empty where there is
    /// none.
    pub default: &'static str,
    /// The default of the profile `agent`, where it is another one.
    pub agent: Option<&'static str>,
    /// One line that says what it sets.
    pub doc: &'static str,
    /// The engine setting that the key belongs to, where it is one of the 39 of the tuning table.
    pub tuning: Option<TuningId>,
}

/// The values or tables that may stand at a key.
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

/// The shape of `true` or `false`.
pub(super) const BOOLEAN: KeyShape = KeyShape::Value(SettingKind::Boolean);
/// The shape of one string.
pub(super) const TEXT: KeyShape = KeyShape::Value(SettingKind::Text);
/// The shape of a list of strings.
pub(super) const TEXTS: KeyShape = KeyShape::Value(SettingKind::Texts);
/// The shape of the hash of a client key, `sha256:` and 64 hexadecimal digits; messages never show
/// it.
pub(super) const SECRET: KeyShape = KeyShape::Value(SettingKind::Secret);
/// The shape of an address to listen on, `IP:PORT`.
pub(super) const ADDRESS: KeyShape = KeyShape::Value(SettingKind::Address);
/// The shape of one address to listen on, or a list of them.
pub(super) const ADDRESSES: KeyShape = KeyShape::Value(SettingKind::Addresses);
/// The shape of a rate, such as `60/min`.
pub(super) const REQUESTS_PER_TIME: KeyShape = KeyShape::Value(SettingKind::Rate);
/// The shape of a duration of at least 1 ms, such as `30s`.
pub(super) const TIME: KeyShape = KeyShape::Value(SettingKind::Duration { min_ms: 1 });
/// The shape of a duration that may be zero, such as `0s`.
pub(super) const TIME_OR_NONE: KeyShape = KeyShape::Value(SettingKind::Duration { min_ms: 0 });
/// The shape of a number of bytes of at least 1, such as `2GiB`.
pub(super) const BYTES: KeyShape = size(1, i64::MAX as u64);
/// The shape of a number of tokens in a day, from 1 to 2^50.
pub(super) const DAILY_TOKENS: KeyShape = integer(1, 1 << 50);
/// The shape of a number of tokens, from 1 to 2^30.
pub(super) const TOKENS: KeyShape = integer(1, 1 << 30);
/// The shape of a whole number from 1 to one million.
pub(super) const COUNT: KeyShape = integer(1, 1_000_000);
/// The shape of the words `grow` and `reject`: the treatment of a prompt that exceeds a loaded
/// context.
pub(super) const GROW_OR_REJECT: KeyShape = one_of(&["grow", "reject"]);

/// Returns the shape of a whole number from `min` to `max`, both included.
pub(super) const fn integer(min: i64, max: i64) -> KeyShape {
    KeyShape::Value(SettingKind::Integer { min, max })
}

/// Returns the shape of a number from `min` to `max`, both included, which may have a fraction.
pub(super) const fn number(min: f64, max: f64) -> KeyShape {
    KeyShape::Value(SettingKind::Number { min, max })
}

/// Returns the shape of a number of bytes from `min` to `max`, both included.
pub(super) const fn size(min: u64, max: u64) -> KeyShape {
    KeyShape::Value(SettingKind::Size { min, max })
}

/// Returns the shape of a string that is one of `words`.
pub(super) const fn one_of(words: &'static [&'static str]) -> KeyShape {
    KeyShape::Value(SettingKind::OneOf(words))
}

// === impl KeyShape ===

impl KeyShape {
    /// Returns the keys below; empty for values and for tables whose keys the user names.
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

// === impl SettingKey ===

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

    /// Returns the default of this key in a profile, as text; `None` where there is none. A key of
    /// the tuning table has no value in `agent` where that profile sets nothing; every other key
    /// has that of `hybrid` there, unless it names another one.
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

/// Returns the path of the key `name` in the table at `prefix`, such as `server.listen`; an empty
/// prefix is the top level.
pub(crate) fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() {
        name.to_owned()
    } else {
        format!("{prefix}.{name}")
    }
}
