//! One pass over the top-level keys of a JSON body, whose values are kept as byte ranges.
//!
//! Messages are syntax-checked and skipped, never built into a tree. A [`PeekedBody`] owns ranges, not
//! borrows, so it travels beside the `Bytes` that it was made from.

mod known_keys;
mod refusal;
#[cfg(test)]
mod tests;
mod top_level;

use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;

pub(crate) use self::refusal::not_empty;
pub(crate) use self::top_level::PeekedField;
use self::{known_keys::unescaped, refusal::refused, top_level::TopLevel};
use super::{number::JsonNumber, prompt::PromptFeatures, scan, weight::PromptWeight};
use crate::error::{Error, ErrorKind};

/// The members of the top level of a JSON body that Crucible reads or edits, as byte ranges.
#[derive(Clone, Debug)]
pub struct PeekedBody {
    /// The `model`; `None` where it is absent or null (the caller knows whether there is a default).
    pub model: Option<String>,
    /// The value of `stream`, which is false where it is absent or null.
    pub stream: bool,
    fields: Vec<PeekedField>,
    /// Ranges of the members whose value is null, known ones and others, each with its key.
    nulls: Vec<Range<usize>>,
    /// The number of members, known ones and others.
    members: usize,
    /// The place of the closing brace.
    close: usize,
    has_surrogates: bool,
    weight: PromptWeight,
    /// Ranges of the elements of `messages`.
    messages: Vec<Range<usize>>,
}

// === impl PeekedBody ===

impl PeekedBody {
    /// Reads the top level of a body; `max_depth` is `limits.json_depth`.
    ///
    /// # Errors
    /// `invalid_json` (malformed, no UTF-8, a byte-order mark, not an object, trailing bytes, too deep),
    /// `duplicate_key`, and `invalid_type` for `model` and `stream`.
    pub fn of(body: &Bytes, max_depth: usize) -> Result<Self, Error> {
        let text = simdutf8::compat::from_utf8(body).map_err(|error| {
            let at = error.valid_up_to();
            Error::new(
                ErrorKind::InvalidJson,
                format!("the body is not valid UTF-8 at byte {at}"),
            )
        })?;
        if text.starts_with('\u{feff}') {
            return Err(Error::new(
                ErrorKind::InvalidJson,
                "the body begins with a byte-order mark; send plain UTF-8",
            ));
        }
        let mut top = TopLevel::of(text);
        let scanned = scan::object(text, max_depth, &mut top)
            .map_err(|fault| refused(fault, text, max_depth))?;
        if let Some(name) = top.duplicate {
            return Err(
                Error::new(ErrorKind::DuplicateKey, format!("`{name}` stands twice")).param(name),
            );
        }
        let mut peek = Self {
            model: None,
            stream: false,
            fields: top.fields,
            nulls: top.nulls,
            members: top.members,
            close: scanned.close,
            has_surrogates: scanned.has_surrogates,
            weight: top.weight,
            messages: top.messages,
        };
        peek.model = match peek.raw(body, "model").and_then(unescaped) {
            Some(name) => Some(name.to_owned()),
            None => peek.typed(body, "model", "a string")?,
        };
        peek.stream = peek.typed(body, "stream", "a boolean")?.unwrap_or(false);
        Ok(peek)
    }

    /// Returns the raw JSON of a known key; `None` where it is absent or null.
    pub fn raw<'a>(&self, body: &'a [u8], name: &str) -> Option<&'a str> {
        std::str::from_utf8(self.raw_bytes(body, name)?).ok()
    }

    /// Returns the raw JSON as [`Self::raw`], without a second check that a long text is UTF-8.
    pub fn raw_bytes<'a>(&self, body: &'a [u8], name: &str) -> Option<&'a [u8]> {
        let raw = body.get(self.field(name)?.value.clone())?;
        (raw != b"null").then_some(raw)
    }

    /// Reads the value of a known key as a `T`; `None` where it is absent or null.
    ///
    /// # Errors
    /// `invalid_type` for a value of another type, which the message calls `expected`.
    pub fn typed<T: DeserializeOwned>(
        &self,
        body: &[u8],
        name: &'static str,
        expected: &str,
    ) -> Result<Option<T>, Error> {
        let Some(raw) = self.raw(body, name) else {
            return Ok(None);
        };
        serde_json::from_str(raw).map(Some).map_err(|error| {
            // Skipping a value does not look at lone surrogates or a parser's own depth.
            if error.is_syntax() {
                return Error::new(
                    ErrorKind::InvalidJson,
                    format!("`{name}` is not valid JSON"),
                )
                .param(name);
            }
            Error::new(
                ErrorKind::InvalidType,
                format!("`{name}` must be {expected}, found {}", found(raw)),
            )
            .param(name)
        })
    }

    /// Returns the limit of the answer in tokens: `max_completion_tokens`, or `max_tokens` where
    /// that is absent or null. A fraction is cut. `None` means no limit: both are absent, or the
    /// one that is read is negative, no number, or beyond the range of `u64`.
    pub fn max_tokens(&self, body: &[u8]) -> Option<u64> {
        let mut names = ["max_completion_tokens", "max_tokens"].into_iter();
        let raw = names.find_map(|name| self.raw(body, name))?;
        match JsonNumber::of(raw)? {
            JsonNumber::Whole(limit) => u64::try_from(limit).ok(),
            // As llama.cpp's server cuts it.
            JsonNumber::Fraction(limit) => format!("{:.0}", limit.trunc()).parse().ok(),
            JsonNumber::Beyond => None,
        }
    }

    /// Returns the context that the client asks for in tokens: `num_ctx`, or `options.num_ctx` as Ollama's own clients
    /// write it; `None` where it is no positive whole number.
    pub fn num_ctx(&self, body: &[u8]) -> Option<u64> {
        #[derive(Deserialize)]
        struct Options<'a> {
            #[serde(borrow, default)]
            num_ctx: Option<&'a RawValue>,
        }
        let whole = |raw: &str| match JsonNumber::of(raw)? {
            JsonNumber::Whole(tokens) => u64::try_from(tokens).ok(),
            JsonNumber::Fraction(_) | JsonNumber::Beyond => None,
        };
        let own = self.raw(body, "num_ctx").and_then(whole);
        let options = || {
            let raw = self.raw(body, "options")?;
            whole(
                serde_json::from_str::<Options<'_>>(raw)
                    .ok()?
                    .num_ctx?
                    .get(),
            )
        };
        own.or_else(options).filter(|n| *n > 0)
    }

    /// Estimates the tokens of the prompt: a quarter of the bytes of messages, tools, prompt and input, and
    /// 512 for each image.
    pub fn estimated_prompt_tokens(&self) -> u64 {
        self.weight.tokens()
    }

    /// Reports whether an assistant's message is present, so that part of the prompt may be in the engine's
    /// cache.
    pub fn may_be_later_turn(&self) -> bool {
        self.weight.later_turn
    }

    /// Reports whether a string of the messages or tools is `cache_control`, perhaps as a key.
    pub(crate) fn may_have_cache_control(&self) -> bool {
        self.weight.cache_controls > 0
    }

    /// Reports whether the content of each message is one text, so that no message has to be rewritten.
    pub(crate) fn has_plain_messages(&self) -> bool {
        self.weight.plain
    }

    /// Reports whether some string has the escape of half of a surrogate pair, perhaps beside its other
    /// half.
    pub(crate) fn has_surrogates(&self) -> bool {
        self.has_surrogates
    }

    /// Reports whether tools are offered (a list that is not empty).
    pub fn has_tools(&self, body: &[u8]) -> bool {
        self.raw_bytes(body, "tools")
            .is_some_and(|raw| raw.starts_with(b"[") && raw[1..].trim_ascii_start() != b"]")
    }

    /// Reports whether images are attached to the messages.
    pub fn has_images(&self) -> bool {
        self.weight.has_images
    }

    /// Reads the messages for the rules of virtual models; those that are malformed are skipped.
    pub fn prompt(&self, body: &[u8]) -> PromptFeatures {
        PromptFeatures::of(self.raw(body, "messages").unwrap_or_default())
    }

    /// Returns the bytes of each element of `messages`, where they are a list.
    pub(crate) fn messages<'a>(&self, body: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.messages
            .iter()
            .filter_map(|range| body.get(range.clone()))
    }

    /// Returns the known keys that stand in the body, null values included.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.fields.iter().map(|field| field.name)
    }

    /// Returns the range of a known key, null values included.
    pub(crate) fn field(&self, name: &str) -> Option<&PeekedField> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// Returns the ranges of the members whose value is null, each with its key.
    pub(crate) fn nulls(&self) -> &[Range<usize>] {
        &self.nulls
    }

    /// Returns the number of members and the place of the closing brace.
    pub(crate) fn shape(&self) -> (usize, usize) {
        (self.members, self.close)
    }
}

/// Returns the words for the type of a raw JSON value in error messages, such as `a string`.
pub(crate) fn found(raw: &str) -> &'static str {
    match raw.as_bytes().first() {
        Some(b'"') => "a string",
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') | None => "null",
        Some(_) => "a number",
    }
}
