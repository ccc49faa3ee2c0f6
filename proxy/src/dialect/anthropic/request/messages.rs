//! The conversation: `system` and `messages` become the messages of a chat.
//!
//! Each message of the client becomes zero or more chat messages that depend on it alone, so that those of
//! a longer conversation begin with those of the shorter one, byte for byte. Texts keep their JSON.

use std::{collections::HashSet, fmt::Write as _};

use super::{
    blocks::{self, BlockReader, ContentItem},
    content::{ContentWriter, TextJoiner},
    json,
    notes::MessagesNotes,
    settings::RequestSettings,
};
use crate::{
    dialect::chat::{
        client_object::{ClientObject, elements},
        field_error::missing,
        field_path::FieldPath,
        json_text::inner,
    },
    error::Error,
    prefix::{BILLING_BLOCK, begins_with_block},
};

/// Writes the `messages` of a chat request from the client's `system` and `messages`, in their order.
pub(super) struct MessageListWriter<'n> {
    /// The elements of the chat's `messages`, with commas between them.
    out: String,
    reader: BlockReader<'n>,
    /// The JSON of the ids of the calls so far; a result has to name one.
    calls: HashSet<String>,
}

/// What one user message holds besides its texts.
#[derive(Default)]
struct UserParts {
    /// Chat messages of role `tool`, each with a comma behind it.
    results: String,
    /// The images of results, which a tool's message has no place for.
    images: ContentWriter,
    content: ContentWriter,
}

/// What one assistant message holds.
#[derive(Default)]
struct AssistantParts {
    content: ContentWriter,
    thinking: TextJoiner,
    /// The elements of `tool_calls`, with commas between them.
    calls: String,
}

/// Writes the JSON of the chat's `messages`.
///
/// # Errors
/// A role or a block that cannot be served, or a member of the wrong type, by its path.
pub(super) fn conversation(
    system: Option<&str>,
    messages: &str,
    settings: RequestSettings,
    notes: &mut MessagesNotes,
) -> Result<String, Error> {
    let mut writer = MessageListWriter {
        out: String::with_capacity(messages.len() + 256),
        reader: BlockReader {
            notes,
            keeps_cache_control: settings.keeps_cache_control,
        },
        calls: HashSet::new(),
    };
    writer.out.push('[');
    if let Some(system) = system {
        writer.system_prompt(system, settings.drops_billing_block)?;
    }
    let top = FieldPath::Named("messages");
    let all = elements(messages, top)?;
    if all.is_empty() {
        return Err(json::unsupported(
            top,
            "is empty: send at least one message",
        ));
    }
    for (number, message) in all.into_iter().enumerate() {
        let at = FieldPath::Element(&top, number);
        writer.message(&ClientObject::of(message, at)?, at)?;
    }
    writer.out.push(']');
    Ok(writer.out)
}

// === impl MessageListWriter ===

impl MessageListWriter<'_> {
    /// Writes `system` as the first message, without Claude Code's block of accounting where that is
    /// wanted.
    fn system_prompt(&mut self, system: &str, drops_billing_block: bool) -> Result<(), Error> {
        let mut content = ContentWriter::default();
        let mut first = true;
        blocks::for_each(system, FieldPath::Named("system"), |item, at| {
            let is_first = std::mem::replace(&mut first, false);
            let text = match &item {
                ContentItem::Text(text) => Some(*text),
                ContentItem::Block(block) => block.get("text"),
            };
            if is_first && drops_billing_block && text.is_some_and(begins_with_block) {
                self.reader.notes.say(BILLING_BLOCK.note);
                return Ok(());
            }
            self.reader.see(&item);
            match item {
                ContentItem::Text(text) => content.text(text, None),
                ContentItem::Block(block) => self.reader.block(&block, at, &mut content)?,
            }
            Ok(())
        })?;
        if !content.is_empty() {
            self.plain("system", &content);
        }
        Ok(())
    }

    fn message(&mut self, message: &ClientObject<'_>, at: FieldPath<'_>) -> Result<(), Error> {
        let role = message.needs_text("role", at)?;
        let here = FieldPath::Member(&at, "content");
        let content = message.get("content").ok_or_else(|| missing(here))?;
        match role {
            r#""user""# => self.user(content, here),
            r#""assistant""# => self.assistant(content, here),
            r#""system""# | r#""developer""# => {
                let mut written = ContentWriter::default();
                self.reader.content(content, here, &mut written)?;
                if !written.is_empty() {
                    self.plain("system", &written);
                }
                Ok(())
            }
            other => Err(json::unsupported(
                FieldPath::Member(&at, "role"),
                &format!(
                    "is '{}': send user, assistant or system",
                    json::shown(other)
                ),
            )),
        }
    }

    /// Writes the results of tools, each as a message of its own in the client's order, then what the user
    /// says.
    fn user(&mut self, content: &str, at: FieldPath<'_>) -> Result<(), Error> {
        let mut parts = UserParts::default();
        blocks::for_each(content, at, |item, at| {
            self.reader.see(&item);
            match item {
                ContentItem::Text(text) => parts.content.text(text, None),
                ContentItem::Block(block) if block.kind() == "tool_result" => {
                    self.result(&block, at, &mut parts)?;
                }
                ContentItem::Block(block) => {
                    self.reader.block(&block, at, &mut parts.content)?;
                }
            }
            Ok(())
        })?;
        let UserParts {
            results,
            mut images,
            mut content,
        } = parts;
        if results.is_empty() && content.is_empty() {
            let why = "holds nothing that an engine reads: send a text or an image";
            return Err(json::unsupported(at, why));
        }
        self.separate();
        self.out.push_str(results.trim_end_matches(','));
        if !images.is_empty() {
            images.append(&mut content);
            content = images;
        }
        if !content.is_empty() {
            self.plain("user", &content);
        }
        Ok(())
    }

    fn result(
        &mut self,
        block: &ClientObject<'_>,
        at: FieldPath<'_>,
        parts: &mut UserParts,
    ) -> Result<(), Error> {
        let id = block.needs_text("tool_use_id", at)?;
        if !self.calls.contains(id) {
            let why = format!(
                "is '{}', which no `tool_use` of an earlier message has",
                json::shown(id)
            );
            return Err(json::unsupported(
                FieldPath::Member(&at, "tool_use_id"),
                &why,
            ));
        }
        let mut content = ContentWriter::default();
        if let Some(raw) = block.get("content") {
            let here = FieldPath::Member(&at, "content");
            self.reader.content(raw, here, &mut content)?;
        }
        parts.images.take_images(&mut content);
        let said = content.json();
        let failed = block.get("is_error") == Some("true") && !says_error(&said);
        let said = if failed && said.starts_with('"') {
            json::with_quotes(&format!("Error: {}", inner(&said)))
        } else {
            said
        };
        // Writing to a String cannot fail.
        let _ = write!(
            parts.results,
            r#"{{"role":"tool","tool_call_id":{id},"content":{said}}},"#
        );
        Ok(())
    }

    fn assistant(&mut self, content: &str, at: FieldPath<'_>) -> Result<(), Error> {
        let mut parts = AssistantParts::default();
        blocks::for_each(content, at, |item, at| {
            self.reader.see(&item);
            match item {
                ContentItem::Text(text) => parts.content.text(text, None),
                ContentItem::Block(block) => self.assistant_block(&block, at, &mut parts)?,
            }
            Ok(())
        })?;
        self.separate();
        let said = parts.content.json();
        let _ = write!(self.out, r#"{{"role":"assistant","content":{said}"#);
        if !parts.thinking.is_empty() {
            let _ = write!(
                self.out,
                r#","reasoning_content":{}"#,
                parts.thinking.json()
            );
        }
        if !parts.calls.is_empty() {
            let _ = write!(self.out, r#","tool_calls":[{}]"#, parts.calls);
        }
        self.out.push('}');
        Ok(())
    }

    fn assistant_block(
        &mut self,
        block: &ClientObject<'_>,
        at: FieldPath<'_>,
        parts: &mut AssistantParts,
    ) -> Result<(), Error> {
        match &*block.kind() {
            // Whoever signed it: an engine reads the text.
            "thinking" => {
                if let Some(text) = block.get("thinking") {
                    let text = json::text(text, FieldPath::Member(&at, "thinking"))?;
                    parts.thinking.push(text);
                }
            }
            // Sealed by somebody else's model.
            "redacted_thinking" => {}
            "tool_use" => {
                let id = block.needs_text("id", at)?;
                let name = block.needs_text("name", at)?;
                json::bounded(id, FieldPath::Member(&at, "id"))?;
                json::bounded(name, FieldPath::Member(&at, "name"))?;
                self.calls.insert(id.to_owned());
                let arguments = serde_json::Value::from(block.get("input").unwrap_or("{}"));
                let comma = if parts.calls.is_empty() { "" } else { "," };
                let _ = write!(
                    parts.calls,
                    r#"{comma}{{"id":{id},"type":"function","function":{{"name":{name},"arguments":{arguments}}}}}"#
                );
            }
            _ => return self.reader.block(block, at, &mut parts.content),
        }
        Ok(())
    }

    /// Writes a message with a role and a content only.
    fn plain(&mut self, role: &str, content: &ContentWriter) {
        self.separate();
        let _ = write!(
            self.out,
            r#"{{"role":"{role}","content":{}}}"#,
            content.json()
        );
    }

    fn separate(&mut self) {
        if !self.out.ends_with(['[', ',']) {
            self.out.push(',');
        }
    }
}

/// Reports whether the JSON of a text says that something failed, so that `is_error` need not be put
/// into words.
fn says_error(text: &str) -> bool {
    let inside = inner(text).trim_start();
    let begins = |word: &str| {
        let head = inside.get(..word.len());
        head.is_some_and(|head| head.eq_ignore_ascii_case(word))
    };
    begins("error") || begins("<tool_use_error")
}
