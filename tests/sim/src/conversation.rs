//! Conversations whose answers a test writes down beforehand, for clients that decide by themselves
//! when they ask again: an agent that calls its own tools until it gets a text.
//!
//! A conversation is recognised by a text in a user message. Its turn is the number of tool results
//! after the last such message, so it does not matter how often a client repeats a request:
//!
//! ```json
//! {"when": "count the files", "turns": [
//!     {"calls": {"Bash": {"command": "ls | wc -l"}, "shell": {"command": ["ls"]}}},
//!     {"text": "I counted: {result}"}
//! ]}
//! ```

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::generate::{Piece, ToolCall};
use crate::wire::read;

/// The answers of one conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conversation {
    /// A text that stands in the user message that begins it.
    pub when: String,
    /// The answer after no tool result, after one, and so on; the last one is repeated.
    pub turns: Vec<ConversationTurn>,
}

/// One answer: a text, a call, or a text and a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConversationTurn {
    /// The words of the answer; `{result}` stands for the last tool result.
    #[serde(default)]
    pub text: Option<String>,
    /// Arguments by the name of the tool. The first tool that the request offers is called; a request
    /// that offers none of them belongs to no conversation (clients ask for titles in this way).
    #[serde(default)]
    pub calls: Map<String, Value>,
}

/// The conversations that are written down now.
#[derive(Debug, Default)]
pub(crate) struct Conversations(Mutex<Vec<Conversation>>);

// === impl ConversationTurn ===

impl ConversationTurn {
    fn pieces(&self, offered: &[&str], result: &str) -> Option<Vec<Piece>> {
        let mut pieces = Vec::new();
        if let Some(text) = &self.text {
            let text = text.replace("{result}", result);
            let words = text.split_inclusive(' ');
            pieces.extend(words.map(|word| Piece::Text(word.to_owned())));
        }
        if self.calls.is_empty() {
            return Some(pieces);
        }
        let mut calls = self.calls.iter();
        let (name, arguments) = calls.find(|(name, _)| offered.contains(&name.as_str()))?;
        pieces.push(Piece::Call(ToolCall {
            name: name.clone(),
            arguments: arguments.clone(),
        }));
        Some(pieces)
    }
}

// === impl Conversation ===

impl Conversation {
    /// Where it begins among the messages of a request.
    fn begun(&self, messages: &[Value]) -> Option<usize> {
        let begins = |message: &Value| {
            read::string(message, "role") == Some("user")
                && read::content_text(message.get("content")).contains(&self.when)
        };
        messages.iter().rposition(begins)
    }

    /// The answer after the messages since it began.
    fn answer(&self, since: &[Value], offered: &[&str]) -> Option<Vec<Piece>> {
        let results: Vec<&Value> = since
            .iter()
            .filter(|message| read::string(message, "role") == Some("tool"))
            .collect();
        let turn = self.turns.get(results.len()).or(self.turns.last())?;
        let last = results.last();
        let result = last.map(|message| read::content_text(message.get("content")));
        turn.pieces(offered, result.unwrap_or_default().trim())
    }
}

// === impl Conversations ===

impl Conversations {
    pub(crate) fn set(&self, conversations: Vec<Conversation>) {
        *self.0.lock() = conversations;
    }

    /// The answer to a chat body, where it belongs to a conversation; of two the one that began
    /// later.
    pub(crate) fn answer(&self, body: &Value) -> Option<Vec<Piece>> {
        let messages = body.get("messages")?.as_array()?;
        let tools = body.get("tools").and_then(Value::as_array);
        let offered: Vec<&str> = tools
            .into_iter()
            .flatten()
            .filter_map(|tool| tool.get("function")?.get("name")?.as_str())
            .collect();
        let conversations = self.0.lock();
        let (begun, conversation) = conversations
            .iter()
            .filter_map(|conversation| Some((conversation.begun(messages)?, conversation)))
            .max_by_key(|(begun, _)| *begun)?;
        conversation.answer(messages.split_at(begun).1, &offered)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written_down() -> Conversations {
        let conversations = Conversations::default();
        let greeting = json!({"when": "say hi", "turns": [{"text": "Hello."}]});
        let counting = json!({"when": "count", "turns": [
            {"text": "I look.", "calls": {"shell": {"command": ["ls"]}, "Bash": {"command": "ls"}}},
            {"text": "It said {result}"},
        ]});
        let list = vec![greeting, counting];
        conversations.set(serde_json::from_value(json!(list)).unwrap());
        conversations
    }

    fn asked(messages: &Value, tool: &str) -> Option<String> {
        let tools = json!([{"type": "function", "function": {"name": tool}}]);
        let pieces = written_down().answer(&json!({"messages": messages, "tools": tools}))?;
        let said = pieces.iter().map(|piece| match piece {
            Piece::Text(text) | Piece::Thinking(text) => text.clone(),
            Piece::Call(call) => format!("[{} {}]", call.name, call.arguments),
        });
        Some(said.collect())
    }

    #[test]
    fn the_turn_is_the_number_of_tool_results_since_it_began() {
        let user = json!({"role": "user", "content": [{"type": "text", "text": "please count"}]});
        let first = asked(&json!([user]), "Bash");
        assert_eq!(first.as_deref(), Some(r#"I look.[Bash {"command":"ls"}]"#));
        let earlier = json!({"role": "tool", "content": "of another conversation"});
        let result = json!({"role": "tool", "content": "three\n"});
        let second = asked(&json!([earlier, user, result]), "Bash");
        assert_eq!(second.as_deref(), Some("It said three"));
        let again = asked(&json!([user, earlier, result]), "Bash");
        assert_eq!(again.as_deref(), Some("It said three"));
    }

    #[test]
    fn the_latest_message_decides_and_a_tool_that_is_not_offered_is_not_called() {
        let (hi, count) = (
            json!({"role": "user", "content": "say hi"}),
            json!({"role": "user", "content": "count"}),
        );
        assert_eq!(asked(&json!([count, hi]), "x").as_deref(), Some("Hello."));
        assert_eq!(asked(&json!([hi, count]), "x"), None);
        assert_eq!(asked(&json!([]), "Bash"), None);
    }
}
