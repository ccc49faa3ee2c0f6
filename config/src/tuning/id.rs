//! The identifier of a setting as text, in JSON and in labels.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{TUNINGS, TuningId, TuningRow};

// === impl TuningId ===

impl TuningId {
    /// The place in the table, from 1 to 39.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Returns the row of the table about this setting.
    pub fn row(self) -> &'static TuningRow {
        // The assertion below proves that every number is a place of the table.
        &TUNINGS[usize::from(self.number()) - 1]
    }

    /// The setting that a text names, as [`as_str`](Self::as_str) writes it; `None` where none has
    /// this name.
    pub fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|id| id.as_str() == text)
    }
}

/// The numbers in the table are 1, 2, 3 and so on.
const _: () = {
    let mut i = 0;
    while i < TuningId::ALL.len() {
        assert!(
            TuningId::ALL[i] as usize == i + 1,
            "a number in the table is out of order"
        );
        i += 1;
    }
};

impl fmt::Display for TuningId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for TuningId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for TuningId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::named(&text).ok_or_else(|| de::Error::custom(format!("no setting is named {text:?}")))
    }
}
