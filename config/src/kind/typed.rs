//! The Rust types in which checked values are kept.
//!
//! A key names the type of its values, and [`of_type`] compares it with the key's [`Kind`] while
//! Crucible is compiled: a key of durations cannot be read as a number.

use std::time::Duration;

use super::{Kind, Value};

/// The shapes of a [`Value`], as far as they decide into which type it fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueShape {
    Boolean,
    /// An integer or a size in bytes.
    Whole,
    Number,
    Duration,
    Text,
}

/// A type that a checked value is kept in.
pub(crate) trait SettingType: Sized {
    /// The values that it can hold.
    const SHAPE: ValueShape;

    /// Takes the value; `None` where there is none that fits.
    fn of(value: Option<&Value>) -> Option<Self>;
}

/// Returns the kind, and ends compilation where the type cannot hold its values.
pub(crate) const fn of_type<T: SettingType>(kind: Kind) -> Kind {
    let fits = match T::SHAPE {
        ValueShape::Boolean => matches!(kind, Kind::Boolean),
        ValueShape::Whole => matches!(kind, Kind::Integer { .. } | Kind::Size { .. }),
        ValueShape::Number => matches!(kind, Kind::Number { .. }),
        ValueShape::Duration => matches!(kind, Kind::Duration { .. }),
        ValueShape::Text => {
            matches!(
                kind,
                Kind::Text | Kind::Secret | Kind::OneOf(_) | Kind::IntegerText { .. }
            )
        }
    };
    assert!(fits, "the type of this key cannot hold its values");
    kind
}

/// A line of a documentation comment without the space that the comment begins with.
pub(crate) const fn doc_line(text: &'static str) -> &'static str {
    match text.as_bytes() {
        [b' ', ..] => text.split_at(1).1,
        _ => text,
    }
}

// === impl SettingType ===

/// A value that need not be there.
impl<T: SettingType> SettingType for Option<T> {
    const SHAPE: ValueShape = T::SHAPE;

    fn of(value: Option<&Value>) -> Option<Self> {
        match value {
            None => Some(None),
            Some(_) => T::of(value).map(Some),
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
