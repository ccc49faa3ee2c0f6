//! The wish of a request about thinking, read from the members of every API that has one.
//!
//! These are OpenAI's `reasoning_effort` and `reasoning.effort`, `OpenRouter`'s `reasoning`, Ollama's
//! `think`, Anthropic's `thinking`, and the switches of chat templates (`enable_thinking`, alone or in
//! `chat_template_kwargs`). A request that switches thinking off wins over one that names a level, and
//! a level wins over on. A value that no API knows is reported and never refuses the request.

use serde_json::Value;

use crate::body::peek::PeekedBody;

/// The amount of thinking that a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ThinkingMode {
    On,
    Level(ThinkingLevel),
    Off,
}

/// The levels of thinking that Ollama knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ThinkingLevel {
    Low,
    Medium,
    High,
    Max,
}

/// A wish about thinking, and the path of the member that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ThinkingWish {
    /// The amount of thinking that the member asks for.
    pub(crate) wish: ThinkingMode,
    /// The path of the member in the request, such as `reasoning.effort`.
    pub(crate) path: &'static str,
}

/// Everything that a request says about thinking.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ThinkingRequest {
    /// The wish that counts among all of the request; `None` where the request has none.
    pub(crate) asked: Option<ThinkingWish>,
    /// Paths of members whose value no API knows.
    pub(crate) unknown: Vec<&'static str>,
    /// Whether the client does not want to see the thoughts.
    pub(crate) hidden: bool,
}

/// The meaning of one member's value.
#[derive(Clone, Copy)]
enum MemberMeaning {
    Nothing,
    Mode(ThinkingMode),
    Unknown,
}

// === impl ThinkingRequest ===

impl ThinkingRequest {
    /// Reads all members of a request's body that are about thinking. A value that no API knows is
    /// noted and is no error.
    pub(crate) fn of(body: &[u8], peek: &PeekedBody) -> Self {
        let mut this = Self::default();
        let value = |name: &str| {
            let raw = peek.raw(body, name)?;
            serde_json::from_str::<Value>(raw).ok()
        };
        if let Some(think) = value("think") {
            this.add("think", said(&think));
        }
        match value("reasoning") {
            None => {}
            Some(Value::Object(reasoning)) => {
                let of = |name: &str| reasoning.get(name).unwrap_or(&Value::Null);
                this.add("reasoning.enabled", said(of("enabled")));
                this.add("reasoning.effort", said(of("effort")));
                this.add("reasoning.max_tokens", budget(of("max_tokens"), true));
                this.hidden |= of("exclude") == &Value::Bool(true);
            }
            Some(other) => this.add("reasoning", said(&other)),
        }
        if let Some(effort) = value("reasoning_effort") {
            this.add("reasoning_effort", word(&effort));
        }
        if let Some(switch) = value("enable_thinking") {
            this.add("enable_thinking", said(&switch));
        }
        // What else stands in there is the template's.
        if let Some(Value::Object(kwargs)) = value("chat_template_kwargs") {
            let of = |name: &str| kwargs.get(name).unwrap_or(&Value::Null);
            let path = "chat_template_kwargs.enable_thinking";
            this.add(path, said(of("enable_thinking")));
            this.add("chat_template_kwargs.thinking", said(of("thinking")));
            let path = "chat_template_kwargs.reasoning_effort";
            this.add(path, word(of("reasoning_effort")));
        }
        match value("thinking") {
            None => {}
            Some(Value::Object(thinking)) => {
                let of = |name: &str| thinking.get(name).unwrap_or(&Value::Null);
                this.add("thinking.type", said(of("type")));
                this.add("thinking.budget_tokens", budget(of("budget_tokens"), false));
            }
            Some(other) => this.add("thinking", said(&other)),
        }
        for name in ["thinking_budget", "reasoning_budget"] {
            if let Some(tokens) = value(name) {
                this.add(name, budget(&tokens, false));
            }
        }
        this.hidden |= value("include_reasoning") == Some(Value::Bool(false));
        this
    }

    fn add(&mut self, path: &'static str, said: MemberMeaning) {
        match said {
            MemberMeaning::Nothing => {}
            MemberMeaning::Unknown => self.unknown.push(path),
            MemberMeaning::Mode(wish) => {
                // The first of the same kind counts.
                let rank = |wish: ThinkingMode| match wish {
                    ThinkingMode::On => 0,
                    ThinkingMode::Level(_) => 1,
                    ThinkingMode::Off => 2,
                };
                if self.asked.is_none_or(|asked| rank(asked.wish) < rank(wish)) {
                    self.asked = Some(ThinkingWish { wish, path });
                }
            }
        }
    }
}

// === impl ThinkingLevel ===

impl ThinkingLevel {
    /// Returns Ollama's word for the level.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Max => "max",
        }
    }
}

/// Reads a switch, which is a boolean, or a word.
fn said(value: &Value) -> MemberMeaning {
    match value {
        Value::Bool(true) => MemberMeaning::Mode(ThinkingMode::On),
        Value::Bool(false) => MemberMeaning::Mode(ThinkingMode::Off),
        _ => word(value),
    }
}

fn word(value: &Value) -> MemberMeaning {
    let text = match value {
        Value::Null => return MemberMeaning::Nothing,
        Value::String(text) => text.trim().to_lowercase(),
        _ => return MemberMeaning::Unknown,
    };
    MemberMeaning::Mode(match &*text {
        "none" | "off" | "false" | "disabled" | "disable" => ThinkingMode::Off,
        "minimal" | "low" => ThinkingMode::Level(ThinkingLevel::Low),
        "medium" => ThinkingMode::Level(ThinkingLevel::Medium),
        "high" => ThinkingMode::Level(ThinkingLevel::High),
        "xhigh" | "max" | "ultra" => ThinkingMode::Level(ThinkingLevel::Max),
        "on" | "true" | "enabled" | "enable" => ThinkingMode::On,
        // As the model pleases.
        "" | "auto" | "adaptive" | "default" => return MemberMeaning::Nothing,
        _ => return MemberMeaning::Unknown,
    })
}

/// Reads a bound in tokens. No model of Ollama's knows one, so only 0 means something: off. Where
/// `asks` is set, a positive bound asks for thinking.
fn budget(value: &Value, asks: bool) -> MemberMeaning {
    match value.as_f64() {
        Some(0.0) => MemberMeaning::Mode(ThinkingMode::Off),
        Some(tokens) if asks && tokens > 0.0 => MemberMeaning::Mode(ThinkingMode::On),
        Some(_) => MemberMeaning::Nothing,
        None if value.is_null() => MemberMeaning::Nothing,
        None => MemberMeaning::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn of(fields: &str) -> ThinkingRequest {
        let body = Bytes::from(format!("{{{fields}}}"));
        ThinkingRequest::of(&body, &PeekedBody::of(&body, 64).unwrap())
    }

    const LOW: Option<ThinkingMode> = Some(ThinkingMode::Level(ThinkingLevel::Low));
    const MEDIUM: Option<ThinkingMode> = Some(ThinkingMode::Level(ThinkingLevel::Medium));
    const HIGH: Option<ThinkingMode> = Some(ThinkingMode::Level(ThinkingLevel::High));
    const MAX: Option<ThinkingMode> = Some(ThinkingMode::Level(ThinkingLevel::Max));

    /// The members of a body, and what they wish.
    const WISHES: &[(&str, Option<ThinkingMode>)] = &[
        ("", None),
        (r#""reasoning_effort":"none""#, Some(ThinkingMode::Off)),
        (r#""reasoning_effort":"minimal""#, LOW),
        (r#""reasoning_effort":" Low ""#, LOW),
        (r#""reasoning_effort":"medium""#, MEDIUM),
        (r#""reasoning_effort":"HIGH""#, HIGH),
        (r#""reasoning_effort":"xhigh""#, MAX),
        (r#""reasoning_effort":"auto""#, None),
        (r#""reasoning":{"effort":"low"}"#, LOW),
        (r#""reasoning":{"enabled":true}"#, Some(ThinkingMode::On)),
        (r#""reasoning":{"enabled":false}"#, Some(ThinkingMode::Off)),
        (r#""reasoning":{"enabled":true,"effort":"high"}"#, HIGH),
        (
            r#""reasoning":{"enabled":false,"effort":"high"}"#,
            Some(ThinkingMode::Off),
        ),
        (r#""reasoning":{"max_tokens":2000}"#, Some(ThinkingMode::On)),
        (r#""reasoning":{"max_tokens":0}"#, Some(ThinkingMode::Off)),
        (r#""reasoning":{"summary":"auto"}"#, None),
        (r#""reasoning":{"effort":null,"enabled":null}"#, None),
        (r#""reasoning":"off""#, Some(ThinkingMode::Off)),
        (r#""reasoning":false"#, Some(ThinkingMode::Off)),
        (r#""think":true"#, Some(ThinkingMode::On)),
        (r#""think":false"#, Some(ThinkingMode::Off)),
        (r#""think":"low""#, LOW),
        (r#""think":null"#, None),
        (r#""enable_thinking":false"#, Some(ThinkingMode::Off)),
        (r#""enable_thinking":"false""#, Some(ThinkingMode::Off)),
        (r#""enable_thinking":true"#, Some(ThinkingMode::On)),
        (
            r#""chat_template_kwargs":{"enable_thinking":false}"#,
            Some(ThinkingMode::Off),
        ),
        (
            r#""chat_template_kwargs":{"thinking":true,"x":1}"#,
            Some(ThinkingMode::On),
        ),
        (r#""chat_template_kwargs":{"reasoning_effort":"low"}"#, LOW),
        (r#""thinking":{"type":"disabled"}"#, Some(ThinkingMode::Off)),
        (
            r#""thinking":{"type":"enabled","budget_tokens":1024}"#,
            Some(ThinkingMode::On),
        ),
        (r#""thinking":{"type":"adaptive"}"#, None),
        (r#""thinking":false"#, Some(ThinkingMode::Off)),
        (r#""thinking_budget":0"#, Some(ThinkingMode::Off)),
        (r#""reasoning_budget":-1"#, None),
        (
            r#""reasoning_effort":"high","think":false"#,
            Some(ThinkingMode::Off),
        ),
        (r#""think":true,"reasoning_effort":"low""#, LOW),
        (r#""think":"high","reasoning_effort":"low""#, HIGH),
    ];

    #[test]
    fn every_api_has_its_words() {
        for (fields, wish) in WISHES {
            let thinking = of(fields);
            assert_eq!(thinking.asked.map(|asked| asked.wish), *wish, "{fields}");
            assert!(thinking.unknown.is_empty(), "{fields}");
        }
    }

    #[test]
    fn what_is_no_word_is_unknown() {
        for (fields, path) in [
            (r#""reasoning_effort":"hot""#, "reasoning_effort"),
            (r#""reasoning_effort":7"#, "reasoning_effort"),
            (r#""reasoning_effort":true"#, "reasoning_effort"),
            (r#""reasoning_effort":{}"#, "reasoning_effort"),
            (r#""reasoning":{"effort":3}"#, "reasoning.effort"),
            (r#""reasoning":{"enabled":"perhaps"}"#, "reasoning.enabled"),
            (
                r#""reasoning":{"max_tokens":"many"}"#,
                "reasoning.max_tokens",
            ),
            (r#""reasoning":[]"#, "reasoning"),
            (r#""think":"x""#, "think"),
            (r#""think":3"#, "think"),
            (r#""enable_thinking":"x""#, "enable_thinking"),
            (r#""thinking":{"type":"x"}"#, "thinking.type"),
        ] {
            let thinking = of(fields);
            assert_eq!(
                (thinking.asked, &*thinking.unknown),
                (None, &[path][..]),
                "{fields}"
            );
        }
        assert!(of(r#""reasoning":{"exclude":true}"#).hidden);
        assert!(of(r#""include_reasoning":false"#).hidden);
        assert!(!of(r#""reasoning":{"exclude":false}"#).hidden);
    }
}
