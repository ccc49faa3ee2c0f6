//! One pass over the top-level keys of a JSON body; values are kept as byte ranges.
//!
//! Messages are syntax-checked and skipped, never built. A `PeekedBody` owns ranges, not borrows, so it
//! travels beside the `Bytes` it was made from.

use std::{borrow::Cow, ops::Range, sync::LazyLock};

use bytes::Bytes;
use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::{error::Category, value::RawValue};

use super::{
    number::Number,
    prompt::Prompt,
    scan::{self, Fault, Member},
    weight::{Strings, Weight},
    word_search::WordSearch,
};
use crate::error::{Error, Kind};

/// What stands in messages of which one may have another content than a text. A text that is "content"
/// would count for the content that another message lacks.
static ODD: LazyLock<WordSearch<7>> = LazyLock::new(|| {
    WordSearch::new([
        "null",
        ":[",
        ": [",
        "\"content\":{",
        "\"content\": {",
        ":\"content\"",
        ": \"content\"",
    ])
});

/// Keys that Crucible reads or edits. Each but [`MANY`] may stand only once in a body.
const KNOWN: &[&str] = &[
    "model",
    "messages",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "frequency_penalty",
    "presence_penalty",
    "stop",
    "seed",
    "response_format",
    "reasoning_effort",
    "reasoning",
    "logprobs",
    "top_logprobs",
    "logit_bias",
    "input",
    "prompt",
    "num_ctx",
    "keep_alive",
    "options",
    "think",
    "thinking",
    "enable_thinking",
    "chat_template_kwargs",
    "thinking_budget",
    "reasoning_budget",
    "include_reasoning",
];

/// Of these the last one counts where they stand twice, as it does for the engines that read them.
const MANY: &[&str] = &[
    "think",
    "thinking",
    "enable_thinking",
    "chat_template_kwargs",
    "thinking_budget",
    "reasoning_budget",
    "include_reasoning",
];

/// What the top level of a JSON body holds.
#[derive(Clone, Debug)]
pub struct PeekedBody {
    /// `model`; `None` where it is absent or null (the caller knows whether there is a default).
    pub model: Option<String>,
    /// `stream`; absent and null are false.
    pub stream: bool,
    fields: Vec<Field>,
    /// Members whose value is null, known ones and others, key and value.
    nulls: Vec<Range<usize>>,
    members: usize,
    close: usize,
    weight: Weight,
}

/// The top level, as far as it was passed.
#[derive(Default)]
struct Top<'a> {
    text: &'a str,
    fields: Vec<Field>,
    nulls: Vec<Range<usize>>,
    members: usize,
    duplicate: Option<&'static str>,
    weight: Weight,
    /// Of the member that is being passed.
    strings: Strings,
}

#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) key: usize,
    pub(crate) value: Range<usize>,
}

// === impl PeekedBody ===

impl PeekedBody {
    /// Reads the top level. `max_depth` is `limits.json_depth`.
    ///
    /// Errors: `invalid_json` (malformed, UTF-8, BOM, not an object, trailing bytes, too deep),
    /// `duplicate_key`, and `invalid_type` for `model` and `stream`.
    pub fn of(body: &Bytes, max_depth: usize) -> Result<Self, Error> {
        let text = std::str::from_utf8(body).map_err(|error| {
            let at = error.valid_up_to();
            Error::new(
                Kind::InvalidJson,
                format!("the body is not valid UTF-8 at byte {at}"),
            )
        })?;
        if text.starts_with('\u{feff}') {
            return Err(Error::new(
                Kind::InvalidJson,
                "the body begins with a byte-order mark; send plain UTF-8",
            ));
        }
        let mut top = Top {
            text,
            fields: Vec::with_capacity(16),
            ..Top::default()
        };
        let close = scan::object(text, max_depth, &mut top)
            .map_err(|fault| refused(fault, text, max_depth))?;
        if let Some(name) = top.duplicate {
            return Err(
                Error::new(Kind::DuplicateKey, format!("`{name}` stands twice")).param(name),
            );
        }
        let mut peek = Self {
            model: None,
            stream: false,
            fields: top.fields,
            nulls: top.nulls,
            members: top.members,
            close,
            weight: top.weight,
        };
        peek.model = match peek.raw(body, "model").and_then(plain) {
            Some(name) => Some(name.to_owned()),
            None => peek.typed(body, "model", "a string")?,
        };
        peek.stream = peek.typed(body, "stream", "a boolean")?.unwrap_or(false);
        Ok(peek)
    }

    /// The raw JSON of a known key; `None` where it is absent or null.
    pub fn raw<'a>(&self, body: &'a [u8], name: &str) -> Option<&'a str> {
        std::str::from_utf8(self.raw_bytes(body, name)?).ok()
    }

    /// As [`Self::raw`], without a second look at whether a long text is UTF-8.
    pub fn raw_bytes<'a>(&self, body: &'a [u8], name: &str) -> Option<&'a [u8]> {
        let raw = body.get(self.field(name)?.value.clone())?;
        (raw != b"null").then_some(raw)
    }

    /// A known key's value as `T`; absent and null are `None`, anything else is `invalid_type`.
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
                return Error::new(Kind::InvalidJson, format!("`{name}` is not valid JSON"))
                    .param(name);
            }
            Error::new(
                Kind::InvalidType,
                format!("`{name}` must be {expected}, found {}", found(raw)),
            )
            .param(name)
        })
    }

    /// `max_completion_tokens`, else `max_tokens`; `None` where it is negative, which is no limit.
    pub fn max_tokens(&self, body: &[u8]) -> Option<u64> {
        let mut names = ["max_completion_tokens", "max_tokens"].into_iter();
        let raw = names.find_map(|name| self.raw(body, name))?;
        match Number::of(raw)? {
            Number::Whole(limit) => u64::try_from(limit).ok(),
            // As llama.cpp's server cuts it.
            Number::Fraction(limit) => format!("{:.0}", limit.trunc()).parse().ok(),
            Number::Beyond => None,
        }
    }

    /// The context that the client asks for: `num_ctx`, or `options.num_ctx` as Ollama's own clients
    /// write it; `None` where it is no positive whole number.
    pub fn num_ctx(&self, body: &[u8]) -> Option<u64> {
        #[derive(Deserialize)]
        struct Options<'a> {
            #[serde(borrow, default)]
            num_ctx: Option<&'a RawValue>,
        }
        let whole = |raw: &str| match Number::of(raw)? {
            Number::Whole(tokens) => u64::try_from(tokens).ok(),
            Number::Fraction(_) | Number::Beyond => None,
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

    /// Prompt tokens, estimated: bytes of messages, tools, prompt and input / 4; an image is 512.
    pub fn estimated_prompt_tokens(&self) -> u64 {
        self.weight.tokens()
    }

    /// An assistant's message is present: part of the prompt may be in the engine's cache.
    pub fn may_be_later_turn(&self) -> bool {
        self.weight.later_turn
    }

    /// Each message has a content that is one text: nothing in them needs a second look.
    pub(crate) fn has_plain_messages(&self, body: &[u8]) -> bool {
        self.weight.plain
            && self
                .raw_bytes(body, "messages")
                .is_some_and(|raw| !ODD.is_in(raw))
    }

    /// Tools are offered (a non-empty list).
    pub fn has_tools(&self, body: &[u8]) -> bool {
        self.raw_bytes(body, "tools")
            .is_some_and(|raw| raw.starts_with(b"[") && raw[1..].trim_ascii_start() != b"]")
    }

    /// Image parts are attached.
    pub fn has_images(&self) -> bool {
        self.weight.has_images
    }

    /// Walks the messages; only virtual models need it. Odd messages are skipped.
    pub fn prompt(&self, body: &[u8]) -> Prompt {
        Prompt::of(self.raw(body, "messages").unwrap_or_default())
    }

    pub(crate) fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// Where members with the value null stand.
    pub(crate) fn nulls(&self) -> &[Range<usize>] {
        &self.nulls
    }

    /// How many members the object has, and where its closing brace stands.
    pub(crate) fn shape(&self) -> (usize, usize) {
        (self.members, self.close)
    }
}

// === impl Top ===

impl scan::Visit for &mut Top<'_> {
    fn member(&mut self, member: Member) {
        self.members += 1;
        if &self.text[member.value.clone()] == "null" {
            self.nulls.push(member.key.start..member.value.end);
        }
        let strings = std::mem::take(&mut self.strings);
        let Some(name) = known(&self.text[member.key.clone()]) else {
            return;
        };
        if let Some(field) = self.fields.iter_mut().find(|field| field.name == name) {
            if MANY.contains(&name) {
                field.key = member.key.start;
                field.value = member.value;
            } else {
                self.duplicate.get_or_insert(name);
            }
            return;
        }
        if &self.text[member.value.clone()] != "null" {
            self.weight.add(name, member.value.clone(), strings);
        }
        self.fields.push(Field {
            name,
            key: member.key.start,
            value: member.value,
        });
    }

    fn string(&mut self, inside: Range<usize>) {
        self.strings.pass(&self.text.as_bytes()[inside]);
    }
}

/// What a JSON string says, where no escape stands in it.
fn plain(raw: &str) -> Option<&str> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    (!inner.contains('\\')).then_some(inner)
}

/// The known key that this JSON string spells, escapes included.
fn known(raw: &str) -> Option<&'static str> {
    // No known key is longer than this with each of its characters escaped.
    if raw.len() > 2 + 6 * 24 {
        return None;
    }
    let name: Cow<'_, str> = match plain(raw) {
        Some(name) => name.into(),
        None => Cow::Owned(serde_json::from_str(raw).ok()?),
    };
    KNOWN.iter().copied().find(|known| *known == name)
}

/// The error of a body that is no JSON object; where it is broken is told by a parser that keeps
/// lines.
fn refused(fault: Fault, text: &str, max_depth: usize) -> Error {
    if text.trim().is_empty() {
        let message = "the body is empty; send a JSON object with `model` and `messages` (curl: \
                       -d '{\"model\": \"auto\", \"messages\": [...]}')";
        return Error::new(Kind::InvalidJson, message);
    }
    let message = match (fault, serde_json::from_str::<IgnoredAny>(text)) {
        (Fault::Depth, _) => {
            format!("the body is nested deeper than {max_depth} (limits.json_depth)")
        }
        (Fault::Syntax, Ok(_)) => "the body must be a JSON object".to_owned(),
        (Fault::Syntax, Err(error)) => {
            let what = match error.classify() {
                Category::Eof => "the body ends in the middle of its JSON",
                _ => "the body is not valid JSON",
            };
            format!("{what}, line {} column {}", error.line(), error.column())
        }
    };
    Error::new(Kind::InvalidJson, message)
}

/// What kind of JSON value a raw text is, for error texts.
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

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    fn peek(text: &str) -> Result<PeekedBody, Error> {
        PeekedBody::of(&Bytes::copy_from_slice(text.as_bytes()), 64)
    }

    fn kind(text: &str) -> Kind {
        peek(text).unwrap_err().kind
    }

    #[test]
    fn malformed_bodies_are_invalid_json() {
        for text in [
            "",
            "[]",
            "{",
            "{} x",
            "\u{feff}{}",
            "{\"a\":1,}",
            "nul",
            "7",
        ] {
            assert_eq!(kind(text), Kind::InvalidJson, "{text}");
        }
        let bytes = Bytes::from_static(b"{\"a\":\"\xff\"}");
        assert_eq!(
            PeekedBody::of(&bytes, 64).unwrap_err().kind,
            Kind::InvalidJson
        );
    }

    #[test]
    fn hostile_nesting_is_refused_and_strings_do_not_count() {
        let deep = format!("{{\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(kind(&deep), Kind::InvalidJson);
        let text = format!("{{\"x\":\"\\\"{}\"}}", "[".repeat(1000));
        assert!(peek(&text).is_ok());
    }

    #[test]
    fn escaped_and_doubled_routed_keys_are_found() {
        assert_eq!(
            peek(r#"{"mod\u0065l":"a"}"#).unwrap().model.as_deref(),
            Some("a")
        );
        assert_eq!(
            kind(r#"{"model":"a","mod\u0065l":"b"}"#),
            Kind::DuplicateKey
        );
        assert!(peek(r#"{"x":1,"x":2}"#).is_ok());
    }

    #[test]
    fn wrong_types_name_their_key_and_null_is_absent() {
        let error = peek(r#"{"model":3}"#).unwrap_err();
        assert_eq!(
            (error.kind, error.param.as_deref()),
            (Kind::InvalidType, Some("model"))
        );
        let found = peek(r#"{"model":null,"stream":null}"#).unwrap();
        assert_eq!((found.model, found.stream), (None, false));
    }

    #[test]
    fn lengths_are_read_however_they_are_spelt() {
        for (fields, limit, context) in [
            (r#""max_tokens":4096"#, Some(4096), None),
            (r#""max_tokens":4096.0"#, Some(4096), None),
            (r#""max_tokens":4e3"#, Some(4000), None),
            (r#""max_tokens":4.9"#, Some(4), None),
            (r#""max_tokens":0"#, Some(0), None),
            (r#""max_tokens":-1"#, None, None),
            (r#""max_tokens":null"#, None, None),
            (r#""max_tokens":1e400"#, None, None),
            (r#""max_tokens":"9""#, None, None),
            // The newer name decides, also where it says that there is no limit.
            (
                r#""max_tokens":9,"max_completion_tokens":7.0"#,
                Some(7),
                None,
            ),
            (r#""max_tokens":9,"max_completion_tokens":-1"#, None, None),
            (
                r#""max_tokens":9,"max_completion_tokens":null"#,
                Some(9),
                None,
            ),
            (r#""num_ctx":8192"#, None, Some(8192)),
            (r#""num_ctx":8192.0"#, None, Some(8192)),
            (r#""options":{"num_ctx":8192.0}"#, None, Some(8192)),
            (r#""options":{"num_ctx":null}"#, None, None),
            (
                r#""num_ctx":-1,"options":{"num_ctx":2048}"#,
                None,
                Some(2048),
            ),
            (r#""num_ctx":0"#, None, None),
            (r#""num_ctx":1.5"#, None, None),
        ] {
            let body = format!("{{{fields}}}");
            let found = peek(&body).unwrap();
            let read = (
                found.max_tokens(body.as_bytes()),
                found.num_ctx(body.as_bytes()),
            );
            assert_eq!(read, (limit, context), "{fields}");
        }
    }

    #[test]
    fn a_million_keys_are_one_pass() {
        let mut body = String::from("{");
        for key in 0..1_000_000 {
            let _ = write!(body, "\"k{key}\":0,");
        }
        body.push_str("\"model\":\"m\"}");
        assert_eq!(peek(&body).unwrap().model.as_deref(), Some("m"));
    }

    #[test]
    fn images_are_not_weighed_by_their_bytes() {
        let body = format!(
            r#"{{"messages":[{{"role":"user","content":[{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{}"}}}}]}}]}}"#,
            "A".repeat(100_000)
        );
        let found = peek(&body).unwrap();
        assert!(found.has_images());
        assert!(found.estimated_prompt_tokens() < 600);
    }

    #[test]
    fn words_in_a_text_are_no_image_and_no_answer() {
        let body = r#"{"messages":[{"role":"user","content":"\"assistant\" \"image_url\" data:image/png"}]}"#;
        let found = peek(body).unwrap();
        assert!(!found.has_images() && !found.may_be_later_turn());
        let answered = body.replace("user", "assistant");
        assert!(peek(&answered).unwrap().may_be_later_turn());
        let elsewhere = body.replace("{\"mess", "{\"stop\":[\"assistant\"],\"mess");
        assert!(!peek(&elsewhere).unwrap().may_be_later_turn());
    }

    #[test]
    fn the_prompt_walk_sees_last_user_text_and_turn() {
        let body = r#"{"messages":[{"role":"system","content":"s"},{"role":"user","content":"A"},{"role":"assistant","content":null},{"role":"user","content":[{"type":"text","text":"Last ONE"}]}]}"#;
        let prompt = peek(body).unwrap().prompt(body.as_bytes());
        assert_eq!(prompt.last_user, "last one");
        assert!(prompt.later_turn);
        let first =
            r#"{"messages":[{"role":"system","content":"s"},{"role":"user","content":"A"}]}"#;
        let earlier = peek(first).unwrap().prompt(first.as_bytes());
        assert_eq!(earlier.opening, prompt.opening);
        assert_eq!(earlier.instructions, prompt.instructions);
        // The same text in another form.
        let parts = first.replace(
            "\"A\"",
            r#"[{"type":"text","text":"A","cache_control":{}}]"#,
        );
        let parts = peek(&parts).unwrap().prompt(parts.as_bytes());
        assert_eq!(parts.opening, prompt.opening);
        // An odd message is skipped, and a bare string is a part.
        let odd = first.replace("\"A\"", "[\"A\",{\"text\":null},7]");
        let odd = odd.replace(
            "[{\"role\":\"system\"",
            "[7,{\"role\":9},{\"role\":\"system\"",
        );
        let odd = peek(&odd).unwrap().prompt(odd.as_bytes());
        assert_eq!(odd.opening, prompt.opening);
        let other = first.replace("\"A\"", "\"B\"").replace("\"s\"", "\"t\"");
        let other = peek(&other).unwrap().prompt(other.as_bytes());
        assert_ne!(other.opening, prompt.opening);
        assert_ne!(other.instructions, prompt.instructions);
    }
}
