//! The text of an answer, derived from the request alone: `word0 word1 ...`.
//!
//! Length: `repeat N` in the last user message or `sim-cN` in the model's name, else the
//! request's limit, else 16 tokens; a limit below it ends the answer with `length`. `call tool A`
//! (or `call tools A B`) in the last user message, with tools in the request, calls them.
//! A test may write the answers of a conversation down instead (`conversation.rs`).

use serde_json::{Value, json};

use crate::model_spec::ModelSpec;

/// What an engine understood of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ask {
    /// Text of the last user message, or the prompt.
    pub(crate) last_user: String,
    /// Tokens of the prompt, after truncation.
    pub(crate) prompt_tokens: u64,
    /// The limit that the engine honours.
    pub(crate) limit: Option<u64>,
    pub(crate) stops: Vec<String>,
    pub(crate) tools: bool,
    /// A tool that is called even if the last user message names none.
    pub(crate) forced: Option<String>,
    pub(crate) think: bool,
    /// The text turns in a circle.
    pub(crate) circles: bool,
    /// `Some` asks for JSON; the value is the schema, or null.
    pub(crate) format: Option<Value>,
    /// The answer, where a test wrote it down.
    pub(crate) scripted: Option<Vec<Piece>>,
}

/// A tool call.
#[derive(Clone, Debug)]
pub(crate) struct ToolCall {
    pub(crate) name: String,
    pub(crate) arguments: Value,
}

impl ToolCall {
    fn echo(name: &str, text: &str) -> Self {
        Self {
            name: name.to_owned(),
            arguments: json!({"echo": text}),
        }
    }
}

/// One token, or one call.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    Thinking(String),
    Text(String),
    Call(ToolCall),
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) pieces: Vec<Piece>,
    /// `stop` or `length`; `tool_calls` is a dialect's matter.
    pub(crate) finish: &'static str,
    pub(crate) prompt_tokens: u64,
}

const DEFAULT_LENGTH: u64 = 16;
const LONGEST: u64 = 1_000_000;
const THOUGHTS: u64 = 4;

/// Tokens of a text: a quarter of its ASCII characters and each of the others, at least one. So
/// count most vocabularies (llama.cpp b10488 with Llama 3's: about one for a CJK character).
pub(crate) fn tokens(text: &str) -> u64 {
    let (ascii, others): (Vec<char>, Vec<char>) = text.chars().partition(char::is_ascii);
    let count = ascii.len() / 4 + others.len();
    u64::try_from(count).unwrap_or(u64::MAX).max(1)
}

/// Writes the answer.
pub(crate) fn answer(model: &ModelSpec, ask: &Ask) -> Answer {
    let mut pieces = Vec::new();
    if let Some(scripted) = &ask.scripted
        && ask.format.is_none()
    {
        return Answer {
            pieces: scripted.clone(),
            finish: "stop",
            prompt_tokens: ask.prompt_tokens,
        };
    }
    if ask.think && model.thinks() {
        pieces.extend((0..THOUGHTS).map(|n| Piece::Thinking(spaced("think", n))));
    }
    let mut calls = if ask.tools {
        called_tools(&ask.last_user)
    } else {
        Vec::new()
    };
    if calls.is_empty()
        && let Some(name) = &ask.forced
    {
        calls.push(ToolCall::echo(name, &ask.last_user));
    }
    if !calls.is_empty() {
        pieces.extend(calls.into_iter().map(Piece::Call));
        return Answer {
            pieces,
            finish: "stop",
            prompt_tokens: ask.prompt_tokens,
        };
    }
    let mut finish = "stop";
    let texts = if let Some(schema) = &ask.format {
        let text = instance_of(schema, 0).to_string();
        text.chars()
            .collect::<Vec<_>>()
            .chunks(4)
            .map(|part| part.iter().collect())
            .collect()
    } else {
        words(model, ask, &mut finish)
    };
    pieces.extend(texts.into_iter().map(Piece::Text));
    Answer {
        pieces,
        finish,
        prompt_tokens: ask.prompt_tokens,
    }
}

fn words(model: &ModelSpec, ask: &Ask, finish: &mut &'static str) -> Vec<String> {
    let natural = repeat(&ask.last_user).or_else(|| model.fixed_length());
    let mut length = natural.or(ask.limit).unwrap_or(DEFAULT_LENGTH).min(LONGEST);
    if let Some(limit) = ask.limit
        && limit <= length
    {
        length = limit;
        *finish = "length";
    }
    let mut texts: Vec<String> = Vec::new();
    let mut whole = String::new();
    for n in 0..length {
        let word = spaced("word", if ask.circles { n.min(1) } else { n });
        whole.push_str(&word);
        // An empty stop is found at once: the real Ollama 0.33 and llama.cpp (b11434) answer nothing.
        let stop = ask.stops.iter();
        if let Some(at) = stop.filter_map(|stop| whole.find(stop.as_str())).min() {
            let sent: usize = texts.iter().map(String::len).sum();
            if let Some(rest) = whole.get(sent..at)
                && !rest.is_empty()
            {
                texts.push(rest.to_owned());
            }
            *finish = "stop";
            break;
        }
        texts.push(word);
    }
    texts
}

fn spaced(stem: &str, n: u64) -> String {
    if n == 0 {
        format!("{stem}0")
    } else {
        format!(" {stem}{n}")
    }
}

fn repeat(text: &str) -> Option<u64> {
    let mut words = text.split_whitespace();
    words.find(|word| *word == "repeat")?;
    words.next()?.parse().ok()
}

fn called_tools(text: &str) -> Vec<ToolCall> {
    let named: Vec<&str> = if let Some((_, rest)) = text.split_once("call tools ") {
        rest.split_whitespace().collect()
    } else if let Some((_, rest)) = text.split_once("call tool ") {
        rest.split_whitespace().take(1).collect()
    } else {
        Vec::new()
    };
    named
        .into_iter()
        .map(|name| ToolCall::echo(name, text))
        .collect()
}

/// The smallest value that a JSON schema describes.
fn instance_of(schema: &Value, depth: u8) -> Value {
    if depth > 16 {
        return Value::Null;
    }
    if let Some(first) = schema.get("enum").and_then(|list| list.get(0)) {
        return first.clone();
    }
    let kind = schema
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or("object");
    match kind {
        "string" => json!("word0"),
        "integer" | "number" => json!(1),
        "boolean" => json!(true),
        "array" => json!([]),
        "null" => Value::Null,
        _ => {
            let properties = schema.get("properties").and_then(Value::as_object);
            let fields = properties.into_iter().flatten();
            fields
                .map(|(key, inner)| (key.clone(), instance_of(inner, depth + 1)))
                .collect()
        }
    }
}

/// A unit vector that depends on the text only.
pub(crate) fn embedding(text: &str, dimensions: usize) -> Vec<f64> {
    let mut seed: u32 = 0x811c_9dc5;
    for byte in text.bytes() {
        seed = (seed ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    let mut vector: Vec<f64> = (0..dimensions.clamp(1, 4096))
        .map(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(seed >> 8) / f64::from(1_u32 << 24) - 0.5
        })
        .collect();
    let norm = vector
        .iter()
        .map(|x| x * x)
        .sum::<f64>()
        .sqrt()
        .max(f64::MIN_POSITIVE);
    for x in &mut vector {
        *x /= norm;
    }
    vector
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(answer: &Answer) -> String {
        answer
            .pieces
            .iter()
            .filter_map(|p| {
                if let Piece::Text(t) = p {
                    Some(&**t)
                } else {
                    None
                }
            })
            .collect()
    }

    #[test]
    fn the_limit_sets_the_length_and_a_longer_answer_ends_by_length() {
        let model = ModelSpec::named("m");
        let short = answer(
            &model,
            &Ask {
                limit: Some(3),
                ..Ask::default()
            },
        );
        assert_eq!(
            (text(&short).as_str(), short.finish),
            ("word0 word1 word2", "length")
        );
        let ask = Ask {
            last_user: "please repeat 2 times".into(),
            limit: Some(9),
            ..Ask::default()
        };
        let natural = answer(&model, &ask);
        assert_eq!(
            (text(&natural).as_str(), natural.finish),
            ("word0 word1", "stop")
        );
        assert_eq!(
            answer(&ModelSpec::named("sim-c500"), &Ask::default())
                .pieces
                .len(),
            500
        );
    }

    #[test]
    fn a_stop_text_cuts_before_itself() {
        let ask = Ask {
            stops: vec!["word2".into()],
            ..Ask::default()
        };
        assert_eq!(text(&answer(&ModelSpec::named("m"), &ask)), "word0 word1 ");
    }

    #[test]
    fn json_follows_the_schema() {
        let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}});
        let ask = Ask {
            format: Some(schema),
            ..Ask::default()
        };
        assert_eq!(text(&answer(&ModelSpec::named("m"), &ask)), r#"{"a":1}"#);
    }
}
