//! Typed values as reports show them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::kind;

/// A typed value that a report can show as text.
pub(super) trait ShownInReport {
    /// The value in JSON: durations in seconds, sizes in bytes, null for what is not set.
    fn to_json(&self) -> Value;
}

// === impl ShownInReport ===

macro_rules! shown_as_they_are {
    ($($Type:ty),*) => {
        $(impl ShownInReport for $Type {
            fn to_json(&self) -> Value {
                json!(self)
            }
        })*
    };
}

shown_as_they_are!(bool, f64, i64, u32, u64, usize, String, Option<f64>);

impl ShownInReport for Duration {
    fn to_json(&self) -> Value {
        kind::Value::Duration(*self).to_json()
    }
}
