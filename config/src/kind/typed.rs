//! The Rust types in which checked values are kept.
//!
//! A key names the type of its values, and [`of_type`] compares it with the key's [`SettingKind`] while
//! Crucible is compiled: a key of durations cannot be read as a number.

use std::{net::SocketAddr, time::Duration};

use super::{Rate, SettingKind, Value};

/// The shapes of a [`Value`], as far as they decide into which type it fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueShape {
    Boolean,
    /// An integer or a size in bytes.
    Whole,
    Number,
    Duration,
    Text,
    Texts,
    Rate,
    /// One address.
    Address,
    /// One address or several.
    Addresses,
}

/// A type that a checked value is kept in.
pub(crate) trait SettingType: Sized {
    /// The values that it can hold.
    const SHAPE: ValueShape;

    /// Takes the value; `None` where there is none that fits.
    fn of(value: Option<&Value>) -> Option<Self>;
}

/// Returns the kind, and ends compilation where the type cannot hold its values.
pub(crate) const fn of_type<T: SettingType>(kind: SettingKind) -> SettingKind {
    assert!(
        T::SHAPE.fits(&kind),
        "the type of this setting cannot hold its values"
    );
    kind
}

/// A line of a documentation comment without the space that the comment begins with.
pub(crate) const fn doc_line(text: &'static str) -> &'static str {
    match text.as_bytes() {
        [b' ', ..] => text.split_at(1).1,
        _ => text,
    }
}

// === impl ValueShape ===

impl ValueShape {
    /// Whether every value of a kind has this shape.
    pub(crate) const fn fits(self, kind: &SettingKind) -> bool {
        match self {
            Self::Boolean => matches!(kind, SettingKind::Boolean),
            Self::Whole => matches!(kind, SettingKind::Integer { .. } | SettingKind::Size { .. }),
            Self::Number => matches!(kind, SettingKind::Number { .. }),
            Self::Duration => matches!(kind, SettingKind::Duration { .. }),
            Self::Text => matches!(
                kind,
                SettingKind::Text
                    | SettingKind::Secret
                    | SettingKind::OneOf(_)
                    | SettingKind::IntegerText { .. }
            ),
            Self::Texts => matches!(kind, SettingKind::Texts),
            Self::Rate => matches!(kind, SettingKind::Rate),
            Self::Address => matches!(kind, SettingKind::Address),
            Self::Addresses => matches!(kind, SettingKind::Addresses),
        }
    }
}

// === impl SettingType ===

/// A value that need not be there; a text of spaces is none.
impl<T: SettingType> SettingType for Option<T> {
    const SHAPE: ValueShape = T::SHAPE;

    fn of(value: Option<&Value>) -> Option<Self> {
        match value {
            None => Some(None),
            Some(Value::Text(text)) if text.trim().is_empty() => Some(None),
            Some(_) => T::of(value).map(Some),
        }
    }
}

/// A list need not be there.
impl SettingType for Vec<String> {
    const SHAPE: ValueShape = ValueShape::Texts;

    fn of(value: Option<&Value>) -> Option<Self> {
        match value {
            None => Some(Self::new()),
            Some(Value::Texts(all)) => Some(all.clone()),
            Some(_) => None,
        }
    }
}

impl SettingType for Vec<SocketAddr> {
    const SHAPE: ValueShape = ValueShape::Addresses;

    fn of(value: Option<&Value>) -> Option<Self> {
        match value? {
            Value::Addresses(all) => Some(all.clone()),
            _ => None,
        }
    }
}

impl SettingType for SocketAddr {
    const SHAPE: ValueShape = ValueShape::Address;

    fn of(value: Option<&Value>) -> Option<Self> {
        match value? {
            Value::Addresses(all) => all.first().copied(),
            _ => None,
        }
    }
}

impl SettingType for Rate {
    const SHAPE: ValueShape = ValueShape::Rate;

    fn of(value: Option<&Value>) -> Option<Self> {
        match value? {
            Value::Rate(rate) => Some(*rate),
            _ => None,
        }
    }
}

impl SettingType for bool {
    const SHAPE: ValueShape = ValueShape::Boolean;

    fn of(value: Option<&Value>) -> Option<Self> {
        match value? {
            Value::Boolean(value) => Some(*value),
            _ => None,
        }
    }
}

impl SettingType for f64 {
    const SHAPE: ValueShape = ValueShape::Number;

    fn of(value: Option<&Value>) -> Option<Self> {
        match value? {
            Value::Number(value) => Some(*value),
            _ => None,
        }
    }
}

impl SettingType for Duration {
    const SHAPE: ValueShape = ValueShape::Duration;

    fn of(value: Option<&Value>) -> Option<Self> {
        match value? {
            Value::Duration(value) => Some(*value),
            _ => None,
        }
    }
}

impl SettingType for String {
    const SHAPE: ValueShape = ValueShape::Text;

    fn of(value: Option<&Value>) -> Option<Self> {
        match value? {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        }
    }
}

macro_rules! whole_numbers {
    ($($Type:ty),*) => {
        $(impl SettingType for $Type {
            const SHAPE: ValueShape = ValueShape::Whole;

            fn of(value: Option<&Value>) -> Option<Self> {
                match value? {
                    Value::Integer(n) => Self::try_from(*n).ok(),
                    Value::Size(n) => Self::try_from(*n).ok(),
                    _ => None,
                }
            }
        })*
    };
}

whole_numbers!(i64, u32, u64, usize);
