//! Token counts as engines write them into answers of OpenAI's format.
//!
//! Nearly every answer has them, so they are read without a tree of values. Engines differ in what they
//! leave out and how: a member of another type than it should be is taken for one that is odd or absent,
//! of a member that stands twice the last one counts, and neither makes the rest unreadable.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

use crate::members::json_objects;

json_objects! {
    /// The member `usage` of an answer in OpenAI's format.
    #[derive(Clone, Copy)]
    pub(crate) struct OpenAiUsage {
        /// The tokens of the prompt, cached ones included.
        pub(super) prompt_tokens: ReportedNumber,
        /// The tokens of the answer, those of the thinking included.
        pub(super) completion_tokens: ReportedNumber,
        /// The parts of the prompt's tokens, where the engine reports them.
        pub(super) prompt_tokens_details: ReportedObject<PromptDetails>,
        /// The parts of the answer's tokens, where the engine reports them.
        pub(super) completion_tokens_details: ReportedObject<CompletionDetails>,
    }

    /// The parts of the prompt's tokens.
    #[derive(Clone, Copy)]
    pub(super) struct PromptDetails {
        /// The tokens that the engine found in its cache.
        pub(super) cached_tokens: ReportedNumber,
    }

    /// The parts of the answer's tokens.
    #[derive(Clone, Copy)]
    pub(super) struct CompletionDetails {
        /// The tokens of the model's thinking.
        pub(super) reasoning_tokens: ReportedNumber,
    }

    /// The counts of an answer of llama.cpp's own `/completion` (b11434, `tools/server/server-task.cpp`).
    #[derive(Clone, Copy)]
    pub(crate) struct LlamaCounts {
        /// The tokens of the prompt, cached ones included.
        pub(super) tokens_evaluated: ReportedNumber,
        /// The tokens of the answer.
        pub(super) tokens_predicted: ReportedNumber,
        /// The times, and the tokens that were found in the cache.
        pub(super) timings: ReportedObject<LlamaTimings>,
    }

    /// The member `timings`, which llama.cpp's server (b10488) adds. Times are milliseconds;
    /// the tokens of the prompt are those that were found in the cache and, apart from them, those that
    /// were read.
    #[derive(Clone, Copy)]
    pub(crate) struct LlamaTimings {
        /// The tokens of the prompt that were found in the cache.
        pub(super) cache_n: ReportedNumber,
        /// The tokens of the prompt that were read, without the cached ones.
        pub(super) prompt_n: ReportedNumber,
        /// The time in which they were read, in milliseconds.
        pub(super) prompt_ms: ReportedNumber,
        /// The tokens that were generated.
        pub(super) predicted_n: ReportedNumber,
        /// The time in which they were generated, in milliseconds.
        pub(super) predicted_ms: ReportedNumber,
    }
}

/// A number as an engine reports it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum ReportedNumber {
    /// The member is missing or null.
    #[default]
    Absent,
    /// A whole number that is not negative.
    Whole(u64),
    /// Any other number.
    Real(f64),
    /// A value that is no number.
    Odd,
}

/// An object as an engine reports it, which is empty where the value is of another type.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReportedObject<T>(pub(crate) T);

struct NumberVisitor;

struct ObjectVisitor<T>(PhantomData<T>);

// === impl ReportedNumber ===

impl ReportedNumber {
    /// Returns the number where it is whole and not negative.
    pub(super) const fn whole(self) -> Option<u64> {
        match self {
            Self::Whole(number) => Some(number),
            Self::Absent | Self::Real(_) | Self::Odd => None,
        }
    }

    /// Returns the number, rounded to 53 bits.
    #[expect(
        clippy::cast_precision_loss,
        reason = "whole milliseconds of this size are 285,000 years"
    )]
    pub(super) const fn real(self) -> Option<f64> {
        match self {
            Self::Whole(number) => Some(number as f64),
            Self::Real(number) => Some(number),
            Self::Absent | Self::Odd => None,
        }
    }
}

impl<'de> Deserialize<'de> for ReportedNumber {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        value.deserialize_any(NumberVisitor)
    }
}

// === impl ReportedObject ===

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for ReportedObject<T> {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        value.deserialize_any(ObjectVisitor(PhantomData)).map(Self)
    }
}

// === impl NumberVisitor ===

impl<'de> Visitor<'de> for NumberVisitor {
    type Value = ReportedNumber;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_u64<E>(self, number: u64) -> Result<ReportedNumber, E> {
        Ok(ReportedNumber::Whole(number))
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "what is negative is no count, however large it is"
    )]
    fn visit_i64<E>(self, number: i64) -> Result<ReportedNumber, E> {
        Ok(
            u64::try_from(number)
                .map_or(ReportedNumber::Real(number as f64), ReportedNumber::Whole),
        )
    }

    fn visit_f64<E>(self, number: f64) -> Result<ReportedNumber, E> {
        Ok(ReportedNumber::Real(number))
    }

    fn visit_unit<E>(self) -> Result<ReportedNumber, E> {
        Ok(ReportedNumber::Absent)
    }

    fn visit_bool<E>(self, _: bool) -> Result<ReportedNumber, E> {
        Ok(ReportedNumber::Odd)
    }

    fn visit_str<E>(self, _: &str) -> Result<ReportedNumber, E> {
        Ok(ReportedNumber::Odd)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<ReportedNumber, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(ReportedNumber::Odd)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ReportedNumber, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(ReportedNumber::Odd)
    }
}

// === impl ObjectVisitor ===

impl<'de, T: Deserialize<'de> + Default> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<T, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(T::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<T, E> {
        Ok(T::default())
    }
}
