//! A request's body as the parts of its prompt.

use std::{
    borrow::Cow,
    hash::{BuildHasher as _, Hasher as _},
};

use foldhash::fast::FixedState;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::printable;
use crate::body::object::JsonObject;

/// The members of a body that are its prompt; all others are settings.
const PROMPT_MEMBERS: [&str; 8] = [
    "tools",
    "functions",
    "system",
    "instructions",
    "messages",
    "input",
    "prompt",
    "context",
];
/// The settings that the template of a model, or the engine beside it, may write into the prompt.
const TEMPLATE_SETTINGS: [&str; 20] = [
    "chat_template",
    "chat_template_kwargs",
    "documents",
    "enable_thinking",
    "format",
    "json_schema",
    "output_config",
    "parallel_tool_calls",
    "raw",
    "reasoning",
    "reasoning_effort",
    "reasoning_format",
    "response_format",
    "suffix",
    "template",
    "text",
    "think",
    "thinking",
    "tool_choice",
    "verbosity",
];
/// The most settings that are compared, and that are shown.
const MOST_SETTINGS: [usize; 2] = [256, 8];

/// The place of a piece in a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PieceRole {
    /// One of the tools.
    Tool,
    /// The system prompt that has a member of its own.
    System,
    /// A message, or an item of the Responses API.
    Message,
    /// A prompt that is one text.
    Prompt,
}

/// One piece of a prompt. Two are equal where their bytes are.
#[derive(Clone, Debug)]
pub(super) struct PromptPiece<'a> {
    /// Its place in the prompt.
    pub(super) role: PieceRole,
    /// Its number among its kind, beginning with 1.
    number: usize,
    /// The author of a message, or the name of a tool.
    pub(super) name: Cow<'a, str>,
    /// Its JSON.
    pub(super) raw: &'a str,
    hash: u64,
}

/// A body as the pieces of its prompt, in the order in which engines read them, and its settings.
#[derive(Debug, Default)]
pub(super) struct TurnParts<'a> {
    /// The tools.
    pub(super) tools: Vec<PromptPiece<'a>>,
    system: Vec<PromptPiece<'a>>,
    /// The messages, or a prompt that is one text.
    pub(super) messages: Vec<PromptPiece<'a>>,
    settings: Vec<(Cow<'a, str>, &'a str)>,
}

/// The members of a piece by which a person knows it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct PieceNames<'a> {
    #[serde(borrow)]
    role: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    function: Option<&'a RawValue>,
}

/// A setting that differs between two bodies.
struct ChangedSetting<'a> {
    name: &'a str,
    /// Its JSON in the earlier body.
    before: Option<&'a str>,
    /// Its JSON in the later body.
    after: Option<&'a str>,
}

// === impl TurnParts ===

impl<'a> TurnParts<'a> {
    /// Reads a body; `None` where it is no JSON object.
    pub(super) fn of(body: &'a str) -> Option<Self> {
        let object = JsonObject::of(body.trim_ascii())?;
        let mut parts = Self::default();
        for (name, _, value) in &object.members {
            let raw = object.text.get(value.clone()).unwrap_or_default();
            match &**name {
                "tools" | "functions" => add(&mut parts.tools, PieceRole::Tool, raw),
                "system" | "instructions" => add(&mut parts.system, PieceRole::System, raw),
                "messages" | "input" => add(&mut parts.messages, PieceRole::Message, raw),
                "prompt" => add(&mut parts.messages, PieceRole::Prompt, raw),
                _ if PROMPT_MEMBERS.contains(&&**name) => {}
                _ if parts.settings.len() < MOST_SETTINGS[0] => {
                    parts.settings.push((name.clone(), raw));
                }
                _ => {}
            }
        }
        Some(parts)
    }

    /// Returns the pieces in the order in which engines read them: tools, system prompt, messages.
    pub(super) fn in_order(&self) -> Vec<&PromptPiece<'a>> {
        let all = self.tools.iter().chain(&self.system);
        all.chain(&self.messages).collect()
    }

    /// Returns the settings that differ from those of an earlier body, each with its name, its old and its new JSON.
    fn settings_differing<'b>(&'b self, old: &'b Self) -> Vec<ChangedSetting<'b>> {
        let find = |all: &[(Cow<'a, str>, &'a str)], name: &str| {
            let found = all.iter().find(|(known, _)| known == name);
            found.map(|(_, raw)| *raw)
        };
        let mut differing = Vec::new();
        let names = old.settings.iter().chain(&self.settings);
        for (at, (name, _)) in names.enumerate() {
            let (before, after) = (find(&old.settings, name), find(&self.settings, name));
            let is_repeated = at >= old.settings.len() && before.is_some();
            if before != after && !is_repeated {
                differing.push(ChangedSetting {
                    name,
                    before,
                    after,
                });
            }
        }
        differing
    }

    /// Returns the settings that differ from those of an earlier body, in words: the first ones, and how many more.
    pub(super) fn settings_changed(&self, old: &Self) -> Vec<String> {
        let differing = self.settings_differing(old);
        let shown =
            |raw: Option<&str>| raw.map_or_else(|| "absent".to_owned(), printable::shown_value);
        let first = differing.iter().take(MOST_SETTINGS[1]).map(|setting| {
            let name = printable::shown_name(setting.name);
            format!(
                "{name} {} -> {}",
                shown(setting.before),
                shown(setting.after)
            )
        });
        let mut changed: Vec<String> = first.collect();
        let more = differing.len() - changed.len();
        if more > 0 {
            changed.push(format!("and {more} more"));
        }
        changed
    }

    /// Returns the names of the settings that differ and that may be written into the prompt.
    pub(super) fn template_settings_changed(&self, old: &Self) -> Vec<&'static str> {
        let differing = self.settings_differing(old);
        let is_changed = |name: &&&str| differing.iter().any(|setting| setting.name == **name);
        TEMPLATE_SETTINGS
            .iter()
            .filter(is_changed)
            .copied()
            .collect()
    }
}

/// Adds the elements of a list, or a text as the only piece.
fn add<'a>(pieces: &mut Vec<PromptPiece<'a>>, role: PieceRole, raw: &'a str) {
    let elements: Vec<&'a RawValue> = serde_json::from_str(raw).unwrap_or_default();
    if elements.is_empty() && !raw.starts_with('[') && raw != "null" {
        let number = pieces.len() + 1;
        pieces.push(PromptPiece::new(role, number, raw));
    }
    for element in elements {
        let number = pieces.len() + 1;
        pieces.push(PromptPiece::new(role, number, element.get()));
    }
}

// === impl PromptPiece ===

impl PartialEq for PromptPiece<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.raw == other.raw
    }
}

impl<'a> PromptPiece<'a> {
    fn new(role: PieceRole, number: usize, raw: &'a str) -> Self {
        let mut hasher = FixedState::with_seed(0).build_hasher();
        hasher.write(raw.as_bytes());
        Self {
            role,
            number,
            name: name_of(role, raw),
            raw,
            hash: hasher.finish(),
        }
    }

    /// Returns its hash.
    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    /// Whether a person would call it the same piece with other bytes.
    pub(super) fn is_of_the_same_author(&self, other: &Self) -> bool {
        self.role == other.role && self.name == other.name
    }

    /// Whether it is a text that goes on from an earlier one, as the prompt of an autocompletion does.
    pub(super) fn goes_on_from(&self, old: &Self) -> bool {
        self.role == PieceRole::Prompt
            && self
                .raw
                .starts_with(old.raw.strip_suffix('"').unwrap_or(old.raw))
    }

    /// Returns the piece in words, such as `message 3 (user)`.
    pub(super) fn words(&self) -> String {
        let name = printable::shown_name(&self.name);
        match self.role {
            PieceRole::Tool => format!("tool {} ({name})", self.number),
            PieceRole::System if self.number == 1 => "the system prompt".to_owned(),
            PieceRole::System => format!("block {} of the system prompt", self.number),
            PieceRole::Prompt => "the prompt".to_owned(),
            PieceRole::Message if self.number == 1 && name == "system" => {
                "the system prompt (message 1)".to_owned()
            }
            PieceRole::Message if name.is_empty() => format!("message {}", self.number),
            PieceRole::Message => format!("message {} ({name})", self.number),
        }
    }
}

/// The author of a message, the type of an item, or the name of a tool; empty where it has none.
fn name_of(role: PieceRole, raw: &str) -> Cow<'_, str> {
    let names: PieceNames<'_> = serde_json::from_str(raw).unwrap_or_default();
    if role != PieceRole::Tool {
        return names.role.or(names.kind).unwrap_or_default();
    }
    let function = names.function.map(RawValue::get);
    let of_function = function.and_then(|raw| serde_json::from_str::<PieceNames<'_>>(raw).ok());
    let own = of_function.and_then(|function| function.name);
    own.or(names.name).or(names.kind).unwrap_or_default()
}
