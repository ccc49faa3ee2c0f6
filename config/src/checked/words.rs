//! Types whose variants are the words that the file may hold.

use serde::{
    Deserialize as _,
    de::{IntoDeserializer as _, value::Error as NoSuchWord},
};

use super::{Class, Device, Fit, LogFormat, Manage, OnExit, ProfileName};
use crate::kind::{SettingType, Value, ValueShape};

/// Reads a word as `serde` reads the variant of that name.
macro_rules! words {
    ($($Type:ty),*) => {
        $(impl SettingType for $Type {
            const SHAPE: ValueShape = ValueShape::Text;

            fn of(value: Option<&Value>) -> Option<Self> {
                let Value::Text(word) = value? else {
                    return None;
                };
                let word = word.as_str().into_deserializer();
                let variant: Result<Self, NoSuchWord> = Self::deserialize(word);
                variant.ok()
            }
        })*
    };
}

words!(Class, Device, Fit, LogFormat, Manage, OnExit, ProfileName);
