//! The messages of the chat format, written from `instructions` and the items of `input`.
//!
//! Items are written one after the other, and an item never changes what stands before it, except
//! that an assistant's thoughts, text and calls become one message until an item of another kind
//! follows. A request never ends inside such a message, so its messages are the first ones of the
//! next request's, byte for byte. The system and developer texts at the beginning are one message,
//! because templates take a system message only there.

use std::{borrow::Cow, collections::HashSet};

use super::{
    assistant::AssistantTurn,
    content::{GAP, MessageContent},
    notes::RequestNotes,
};
use crate::{
    body::peek::found,
    dialect::{
        chat::{
            client_object::{ClientObject, elements},
            field_error::{invalid_type, missing, shown, unsupported},
            field_path::member_path,
            json_text::{decoded, inner, quoted},
        },
        responses::tool_names::ToolNames,
    },
    error::Error,
};

/// The messages of a request in the chat format.
#[derive(Debug)]
pub(super) struct Conversation {
    /// The list, as JSON.
    pub(super) messages: String,
    /// For each message the client's path of its content.
    pub(super) origins: Vec<String>,
}

/// Writes the messages of one request.
pub(super) struct ConversationWriter<'a> {
    names: &'a ToolNames,
    notes: &'a mut RequestNotes,
    /// The system texts at the beginning, as the inside of a JSON string; `None` once they are written.
    system: Option<String>,
    system_origin: Option<String>,
    turn: AssistantTurn,
    turn_origin: String,
    /// Whether there are thoughts.
    is_thinking: bool,
    /// The ids of the calls so far.
    calls: HashSet<String>,
    messages: String,
    origins: Vec<String>,
}

// === impl ConversationWriter ===

impl<'a> ConversationWriter<'a> {
    pub(super) fn new(names: &'a ToolNames, notes: &'a mut RequestNotes) -> Self {
        Self {
            names,
            notes,
            system: Some(String::new()),
            system_origin: None,
            turn: AssistantTurn::default(),
            turn_origin: String::new(),
            is_thinking: false,
            calls: HashSet::new(),
            messages: String::new(),
            origins: Vec::new(),
        }
    }

    /// Adds the instructions, a raw JSON string.
    pub(super) fn instructions(&mut self, raw: &str) {
        self.lead(inner(raw), "instructions");
    }

    /// Adds `input`, a text or a list of items.
    pub(super) fn input(&mut self, raw: &'a str) -> Result<(), Error> {
        if raw.starts_with('"') {
            self.begin();
            self.message("input", "user", raw);
            return Ok(());
        }
        if !raw.starts_with('[') {
            return Err(invalid_type("input", "a string or an array", found(raw)));
        }
        for (at, item) in elements(raw, "input")?.into_iter().enumerate() {
            let path = format!("input[{at}]");
            self.item(&ClientObject::of(item, &path)?, &path)?;
        }
        Ok(())
    }

    /// Ends the list.
    pub(super) fn finish(mut self) -> Result<Conversation, Error> {
        self.begin();
        if self.origins.is_empty() {
            return Err(unsupported("input", self.nothing()));
        }
        Ok(Conversation {
            messages: format!("[{}]", self.messages),
            origins: self.origins,
        })
    }

    /// Says why nothing is left of the input.
    fn nothing(&self) -> String {
        let dropped = match &*self.notes.dropped_items() {
            "" if self.is_thinking => {
                "thoughts alone, which are sent only with what follows them".to_owned()
            }
            "" => {
                return "`input` must not be empty: send a text or at least one message".to_owned();
            }
            kinds => {
                format!("items of type {kinds}, which no engine here knows, and they are dropped")
            }
        };
        format!("`input` holds only {dropped}: send a text or at least one message")
    }

    fn item(&mut self, item: &ClientObject<'a>, path: &str) -> Result<(), Error> {
        let kind = item.decoded_text("type", path)?;
        match kind.as_deref() {
            None if item.get("role").is_some() => self.said(item, path),
            Some("message") => self.said(item, path),
            Some("item_reference") => Err(reference(path)),
            None if item.get("id").is_some() => Err(reference(path)),
            None => Err(missing(member_path(path, "type"))),
            Some("reasoning") => self.thought(item, path),
            Some("function_call") => {
                let arguments = arguments(item, path)?;
                self.called(item, path, None, &arguments)
            }
            Some("custom_tool_call") => {
                let input = item.text("input", path)?.unwrap_or(r#""""#);
                let arguments = quoted(&format!(r#"{{"input":{input}}}"#));
                self.called(item, path, None, &arguments)
            }
            Some(kind @ ("local_shell_call" | "shell_call" | "apply_patch_call")) => {
                let action = item.get("action").or_else(|| item.get("operation"));
                let arguments = quoted(action.unwrap_or("{}"));
                let name = kind.trim_end_matches("_call");
                self.called(item, path, Some(name), &arguments)
            }
            Some("function_call_output" | "custom_tool_call_output") => {
                let at = member_path(path, "output");
                let raw = item.get("output").ok_or_else(|| missing(&at))?;
                let output = MessageContent::of(raw, &at, self.notes)?;
                self.answered(item, path, &output.json())
            }
            Some("local_shell_call_output" | "shell_call_output" | "apply_patch_call_output") => {
                self.answered(item, path, &plain_output(item))
            }
            Some(kind) => {
                self.notes.dropped_item(kind);
                Ok(())
            }
        }
    }

    /// Adds a message.
    fn said(&mut self, item: &ClientObject<'a>, path: &str) -> Result<(), Error> {
        let role = item.decoded_text("role", path)?;
        let role = role.ok_or_else(|| missing(member_path(path, "role")))?;
        let at = member_path(path, "content");
        let content = match item.get("content") {
            Some(raw) => MessageContent::of(raw, &at, self.notes)?,
            None if role == "assistant" => MessageContent::Text("".into()),
            None => return Err(missing(&at)),
        };
        match (&*role, &content) {
            ("system" | "developer", MessageContent::Text(text)) if self.system.is_some() => {
                self.lead(text, path);
            }
            ("system" | "developer", _) => {
                self.begin();
                self.message(&at, "system", &content.json());
            }
            ("user", _) => {
                self.begin();
                self.message(&at, "user", &content.json());
            }
            ("assistant", _) => {
                if self.turn.has_content() {
                    self.begin();
                }
                self.open_turn(path).content(content.json());
            }
            (other, _) => {
                let at = member_path(path, "role");
                let other = shown(other);
                return Err(unsupported(
                    &at,
                    format!("`{at}` must be user, assistant, system or developer, found '{other}'"),
                ));
            }
        }
        Ok(())
    }

    /// Adds the thoughts of an assistant, which begin its message. They are dropped where nothing of
    /// the assistant follows.
    fn thought(&mut self, item: &ClientObject<'a>, path: &str) -> Result<(), Error> {
        let content = item.list("content", path)?.unwrap_or_default();
        let summary = item.list("summary", path)?.unwrap_or_default();
        let (name, parts) = if content.is_empty() {
            ("summary", summary)
        } else {
            ("content", content)
        };
        self.is_thinking = true;
        if self.turn.has_content() {
            self.begin();
        }
        for (at, part) in parts.into_iter().enumerate() {
            let path = format!("{path}.{name}[{at}]");
            let part = ClientObject::of(part, &path)?;
            if let Some(text) = part.text("text", &path)? {
                self.open_turn(&path).thought(inner(text));
            }
        }
        Ok(())
    }

    /// Adds a call of a tool, whose name the item gives or which is its kind.
    fn called(
        &mut self,
        item: &ClientObject<'a>,
        path: &str,
        name: Option<&str>,
        arguments: &str,
    ) -> Result<(), Error> {
        let id = call_id(item, path)?;
        let own = item.decoded_text("name", path)?;
        let name = match (name, &own) {
            (Some(name), _) => name,
            (None, Some(name)) if !name.is_empty() => name,
            (None, _) => return Err(missing(member_path(path, "name"))),
        };
        let namespace = item.decoded_text("namespace", path)?;
        let namespace = namespace.as_deref().filter(|name| !name.is_empty());
        let name = self.names.chat_name(namespace, name);
        let call = format!(
            r#"{{"id":{id},"type":"function","function":{{"name":{},"arguments":{arguments}}}}}"#,
            quoted(&name)
        );
        self.calls.insert(decoded(id).into_owned());
        self.open_turn(path).call(&call);
        Ok(())
    }

    /// Adds the result of a call, a content as JSON.
    fn answered(&mut self, item: &ClientObject<'a>, path: &str, output: &str) -> Result<(), Error> {
        let id = call_id(item, path)?;
        if !self.calls.contains(&*decoded(id)) {
            let at = member_path(path, "call_id");
            let shown = shown(&decoded(id));
            return Err(unsupported(
                &at,
                format!(
                    "`{at}` is '{shown}', and no call before it has this id: send the call with its \
                     result"
                ),
            ));
        }
        self.begin();
        let message = format!(r#"{{"role":"tool","tool_call_id":{id},"content":{output}}}"#);
        self.push(&member_path(path, "output"), &message);
        Ok(())
    }

    /// Adds a text to the system message at the beginning.
    fn lead(&mut self, text: &str, path: &str) {
        let Some(system) = &mut self.system else {
            return;
        };
        if self.system_origin.is_none() {
            self.system_origin = Some(path.to_owned());
        } else {
            system.push_str(GAP);
        }
        system.push_str(text);
    }

    /// Ends the system message, and the assistant's.
    fn begin(&mut self) {
        if let Some(system) = self.system.take()
            && let Some(origin) = self.system_origin.take()
        {
            self.message(&origin, "system", &format!("\"{system}\""));
        }
        if let Some(message) = self.turn.take() {
            let origin = std::mem::take(&mut self.turn_origin);
            self.push(&origin, &message);
        }
    }

    /// Returns the assistant's message that is being written.
    fn open_turn(&mut self, path: &str) -> &mut AssistantTurn {
        if self.turn.is_empty() {
            self.begin();
            path.clone_into(&mut self.turn_origin);
        }
        &mut self.turn
    }

    fn message(&mut self, path: &str, role: &str, content: &str) {
        let message = format!(r#"{{"role":"{role}","content":{content}}}"#);
        self.push(path, &message);
    }

    fn push(&mut self, path: &str, message: &str) {
        if !self.messages.is_empty() {
            self.messages.push(',');
        }
        self.messages.push_str(message);
        self.origins.push(path.to_owned());
    }
}

/// Returns the arguments of a call as a raw JSON string.
fn arguments<'a>(item: &ClientObject<'a>, path: &str) -> Result<Cow<'a, str>, Error> {
    match item.get("arguments") {
        None => Ok(r#""{}""#.into()),
        Some(raw) if raw.starts_with('"') => Ok(raw.into()),
        // An object in the place of its text.
        Some(raw) if raw.starts_with('{') => Ok(quoted(raw).into()),
        Some(raw) => Err(invalid_type(
            member_path(path, "arguments"),
            "a string",
            found(raw),
        )),
    }
}

/// Returns an output of another form than a content, as a raw JSON string.
fn plain_output<'a>(item: &ClientObject<'a>) -> Cow<'a, str> {
    let raw = item.get("output").unwrap_or(r#""""#);
    if raw.starts_with('"') {
        raw.into()
    } else {
        quoted(raw).into()
    }
}

/// Returns the raw id of the call that an item makes or answers.
fn call_id<'a>(item: &ClientObject<'a>, path: &str) -> Result<&'a str, Error> {
    let id = match item.text("call_id", path)? {
        // As the items of the local shell have it.
        None => item.text("id", path)?,
        id => id,
    };
    id.filter(|id| !inner(id).is_empty())
        .ok_or_else(|| missing(member_path(path, "call_id")))
}

fn reference(path: &str) -> Error {
    unsupported(
        path,
        format!(
            "`{path}` refers to a stored item, and nothing is stored here: send the item itself \
             (in OpenAI's clients: store=False, and all items of the conversation as input)"
        ),
    )
}
