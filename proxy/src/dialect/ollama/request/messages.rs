//! The messages of `/api/chat` as messages of the chat format.
//!
//! What is written for a message depends on it and on the messages before it alone, so that the beginning of
//! a conversation stays the same bytes, whatever follows. Ollama's clients send no ids with their calls, or
//! not always: a call gets the id of its place, and a result takes the call of its tool that is still open.
//!
//! ```text
//! {"role":"assistant","content":"","tool_calls":[{"function":{"name":"f","arguments":{"a":1}}}]}
//! {"role":"assistant","content":"","tool_calls":[{"id":"call_1_0","type":"function",
//!   "function":{"name":"f","arguments":"{\"a\":1}"}}]}
//! ```

use std::fmt::Write as _;

use serde_json::Value;

use super::{
    fields::{ClientFields, decoded, is_empty_text},
    open_calls::OpenCalls,
};
use crate::{
    body::peek::found,
    dialect::{
        chat::field_error::{invalid_type, missing, unsupported},
        engine::messages::image::{ImageError, MessageImage},
    },
    error::Error,
};

/// Writes the messages of one conversation.
#[derive(Default)]
pub(super) struct ChatMessagesWriter {
    out: String,
    /// The messages so far.
    count: usize,
    /// The calls of the last message of the assistant that have no result yet.
    open: OpenCalls,
}

// === impl ChatMessagesWriter ===

impl ChatMessagesWriter {
    /// Adds the message at a place of the client's list.
    ///
    /// # Errors
    /// A member is missing, of the wrong type, or no image.
    pub(super) fn message(&mut self, raw: &str) -> Result<(), Error> {
        let path = format!("messages[{}]", self.count);
        let message = ClientFields::of(raw, &path)?;
        let role = message
            .text("role")?
            .ok_or_else(|| missing(format!("{path}.role")))?;
        let role = decoded(role).to_lowercase();
        self.begin(&role);
        let images = images(&message)?;
        let content = content(&message)?;
        self.content(content, &images);
        if let Some(thinking) = message.filled_text("thinking")? {
            let _ = write!(self.out, r#","reasoning_content":{thinking}"#);
        }
        if let Some(calls) = message.list("tool_calls")?.filter(|list| !list.is_empty()) {
            self.calls(&message.path("tool_calls"), &calls)?;
        }
        if role == "tool" {
            self.result(&message)?;
        }
        self.out.push('}');
        Ok(())
    }

    /// Adds a text of this role, with images.
    pub(super) fn say(&mut self, role: &str, content: &str, images: &[String]) {
        self.begin(role);
        self.content(content, images);
        self.out.push('}');
    }

    /// Returns the list.
    pub(super) fn finish(mut self) -> String {
        if self.out.is_empty() {
            self.out.push('[');
        }
        self.out.push(']');
        self.out
    }

    fn begin(&mut self, role: &str) {
        self.out.push(if self.count == 0 { '[' } else { ',' });
        self.count += 1;
        // Writing to a String cannot fail.
        let _ = write!(self.out, r#"{{"role":{}"#, Value::from(role));
    }

    fn content(&mut self, text: &str, images: &[String]) {
        if images.is_empty() {
            let _ = write!(self.out, r#","content":{text}"#);
            return;
        }
        self.out.push_str(r#","content":["#);
        if let Some(parts) = text.strip_prefix('[').and_then(|raw| raw.strip_suffix(']')) {
            if !parts.trim().is_empty() {
                let _ = write!(self.out, "{parts},");
            }
        } else if !is_empty_text(text) {
            let _ = write!(self.out, r#"{{"type":"text","text":{text}}},"#);
        }
        for image in images {
            let url = Value::from(&**image);
            let _ = write!(
                self.out,
                r#"{{"type":"image_url","image_url":{{"url":{url}}}}},"#
            );
        }
        self.out.pop();
        self.out.push(']');
    }

    fn calls(&mut self, path: &str, calls: &[&str]) -> Result<(), Error> {
        self.open = OpenCalls::default();
        self.out.push_str(r#","tool_calls":["#);
        for (at, raw) in calls.iter().enumerate() {
            let path = format!("{path}[{at}]");
            let call = ClientFields::of(raw, &path)?;
            let function = call
                .object("function")?
                .ok_or_else(|| missing(format!("{path}.function")))?;
            let function = ClientFields::of(function, &call.path("function"))?;
            let name = function
                .text("name")?
                .ok_or_else(|| missing(function.path("name")))?;
            let id = call.filled_text("id")?;
            let id = id.map_or_else(
                || format!("\"call_{}_{at}\"", self.count - 1),
                str::to_owned,
            );
            let arguments = match function.get("arguments") {
                None => r#""{}""#.to_owned(),
                Some(text) if text.starts_with('"') => text.to_owned(),
                Some(object) => Value::from(object).to_string(),
            };
            let comma = if at > 0 { "," } else { "" };
            let _ = write!(
                self.out,
                r#"{comma}{{"id":{id},"type":"function","function":{{"name":{name},"arguments":{arguments}}}}}"#
            );
            self.open.push(id, name);
        }
        self.out.push(']');
        Ok(())
    }

    /// Adds the call that a result belongs to: the one that it names by its id, else the first of its tool
    /// that is open, else the first that is open.
    fn result(&mut self, message: &ClientFields<'_>) -> Result<(), Error> {
        let named = message
            .text("tool_call_id")?
            .filter(|id| !is_empty_text(id));
        let tool = match message.filled_text("tool_name")? {
            None => message.filled_text("name")?,
            tool => tool,
        };
        let call = if let Some(id) = named {
            self.open.with_id(id)
        } else {
            let of_tool = tool.and_then(|tool| self.open.of_tool(tool));
            of_tool.or_else(|| self.open.first())
        };
        let id = match (named, &call) {
            (Some(id), _) => id.to_owned(),
            (None, Some((id, _))) => id.clone(),
            (None, None) => format!("\"call_{}\"", self.count - 1),
        };
        let _ = write!(self.out, r#","tool_call_id":{id}"#);
        let name = tool.map(str::to_owned).or(call.map(|(_, name)| name));
        if let Some(name) = name {
            let _ = write!(self.out, r#","name":{name}"#);
        }
        Ok(())
    }
}

/// Returns the JSON of the content: a text, or parts as OpenAI's clients write them. Ollama takes texts
/// alone.
fn content<'a>(message: &ClientFields<'a>) -> Result<&'a str, Error> {
    match message.get("content") {
        None => Ok("\"\""),
        Some(raw) if raw.starts_with(['"', '[']) => Ok(raw),
        Some(raw) => Err(invalid_type(
            message.path("content"),
            "a string",
            found(raw),
        )),
    }
}

/// Returns the data URLs of the member `images`, a list of base64 texts.
///
/// # Errors
/// An element is no base64.
pub(super) fn images(fields: &ClientFields<'_>) -> Result<Vec<String>, Error> {
    let Some(list) = fields.list("images")? else {
        return Ok(Vec::new());
    };
    let each = list.into_iter().enumerate().map(|(at, raw)| {
        let path = format!("{}[{at}]", fields.path("images"));
        if !raw.starts_with('"') {
            return Err(invalid_type(&path, "a string", found(raw)));
        }
        image(&path, &decoded(raw))
    });
    each.collect()
}

/// Returns the data URL of an image. Bytes of a kind that nobody knows here are left to the engine, which
/// may take sounds in this place too.
fn image(path: &str, base64: &str) -> Result<String, Error> {
    let unknown;
    let image = match MessageImage::of(base64) {
        Err(ImageError::Encoding) if !base64.trim().is_empty() => {
            unknown = format!("data:application/octet-stream;base64,{base64}");
            MessageImage::of(&unknown)
        }
        image => image,
    };
    match image {
        Ok(image) => Ok(image
            .url()
            .unwrap_or_else(|| format!("data:application/octet-stream;base64,{}", image.base64))),
        Err(ImageError::Address) => Err(unsupported(
            path,
            format!(
                "`{path}` is an address, and none is fetched: send the bytes of the image in base64"
            ),
        )),
        Err(ImageError::Encoding) => Err(unsupported(
            path,
            format!("`{path}` is no base64: send the bytes of the image in it"),
        )),
    }
}
