//! The messages of `/api/chat`: parts become text and images, arguments of tool calls become objects,
//! and results get the name of their tool.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use serde_json::{Value, value::RawValue};

use crate::{
    body::peek::{PeekedBody, found},
    dialect::{
        chat::field_error::{invalid_type, missing, unsupported},
        engine::messages::{
            arguments::{self, CallArguments},
            image::{ImageError, ImageKind, MessageImage},
            part::MessagePart,
        },
    },
    error::Error,
    prefix::{LATER_SYSTEM, as_user_text},
};

/// A conversation as Ollama reads it.
pub(super) struct OllamaConversation {
    /// The list, as JSON.
    pub(super) text: String,
    /// Ids of the tool calls in the conversation.
    pub(super) call_ids: HashSet<String>,
    /// Sentences for the header `x-crucible-note`.
    pub(super) notes: Vec<String>,
}

/// A message as it is sent to Ollama.
#[derive(Serialize)]
struct OllamaMessage {
    role: String,
    content: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    images: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<SentCall>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<String>,
}

#[derive(Serialize)]
struct SentCall {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    function: SentFunction,
}

#[derive(Serialize)]
struct SentFunction {
    name: String,
    /// The object as raw JSON, so that numbers of any length keep their text.
    arguments: Box<RawValue>,
}

/// The facts that reading one message needs of the messages before it.
#[derive(Default)]
struct ConversationReader {
    /// The names of the tools of the calls so far, by the id of the call.
    names: HashMap<String, String>,
    rewritten_arguments: usize,
    /// Whether system messages behind `begun` are sent as a user's.
    moves_later_system: bool,
    /// Whether a message that is no system message has come.
    begun: bool,
    has_later_system: bool,
}

/// The members of an object. Of two with the same name the last one counts.
type ObjectMembers<'a> = HashMap<String, &'a RawValue>;

/// Translates the messages of a request. `moves_later_system`: a system message behind another one is
/// sent as a user's, because Ollama's templates would join it to those at the front.
pub(super) fn messages(
    body: &[u8],
    peek: &PeekedBody,
    moves_later_system: bool,
) -> Result<OllamaConversation, Error> {
    let raw = peek
        .raw(body, "messages")
        .ok_or_else(|| missing("messages"))?;
    let all: Vec<&RawValue> =
        serde_json::from_str(raw).map_err(|_| invalid_type("messages", "an array", found(raw)))?;
    let mut reader = ConversationReader {
        moves_later_system,
        ..ConversationReader::default()
    };
    let sent = all
        .into_iter()
        .enumerate()
        .map(|(at, message)| reader.message(&format!("messages[{at}]"), message))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(OllamaConversation {
        text: serde_json::to_string(&sent).unwrap_or_default(),
        notes: reader.notes(),
        call_ids: reader.names.into_keys().collect(),
    })
}

// === impl ConversationReader ===

impl ConversationReader {
    fn notes(&self) -> Vec<String> {
        let calls = self.rewritten_arguments;
        let about_calls = (calls > 0).then(|| arguments::note(calls));
        let about_system = self.has_later_system.then(|| LATER_SYSTEM.note.to_owned());
        about_calls.into_iter().chain(about_system).collect()
    }

    fn message(&mut self, path: &str, raw: &RawValue) -> Result<OllamaMessage, Error> {
        let members: ObjectMembers<'_> = serde_json::from_str(raw.get())
            .map_err(|_| invalid_type(path, "an object", found(raw.get())))?;
        let get = |name: &str| {
            let raw = members.get(name)?.get();
            serde_json::from_str::<Value>(raw).ok()
        };
        let mut role = role(path, get("role"))?;
        let tool_calls = self.calls(path, &members)?;
        let mut said = MessageTexts::of(path, get("content"))?;
        let text = |name: &str| match get(name) {
            Some(Value::String(text)) if !text.is_empty() => Some(text),
            _ => None,
        };
        let thought = text("reasoning_content").or_else(|| text("reasoning"));
        let thinking = match (thought, said.thoughts.is_empty()) {
            (None, false) if role == "assistant" => Some(said.thoughts.join("\n\n")),
            (None, false) => {
                said.texts.splice(0..0, said.thoughts);
                None
            }
            (thought, _) => thought,
        };
        let id = members.get("tool_call_id").and_then(|raw| id_of(raw));
        let id = id.filter(|_| role == "tool");
        let name = text("name").filter(|_| role == "tool");
        let tool_name = name.or_else(|| self.names.get(id.as_ref()?).cloned());
        let mut content = said.texts.join("\n\n");
        let is_system = role == "system";
        if is_system && self.begun && self.moves_later_system {
            "user".clone_into(&mut role);
            content = as_user_text(content);
            self.has_later_system = true;
        }
        self.begun |= !is_system;
        Ok(OllamaMessage {
            content,
            thinking,
            images: said.images,
            tool_calls,
            tool_name,
            tool_call_id: id,
            role,
        })
    }

    /// Reads `tool_calls`, else the one call of `function_call`, its name until 2023.
    fn calls(&mut self, path: &str, members: &ObjectMembers<'_>) -> Result<Vec<SentCall>, Error> {
        let there = |name: &str| {
            let raw = members.get(name)?.get();
            (raw != "null").then_some(raw)
        };
        if let Some(raw) = there("tool_calls") {
            let calls: Vec<&RawValue> = serde_json::from_str(raw)
                .map_err(|_| invalid_type(format!("{path}.tool_calls"), "an array", found(raw)))?;
            let calls = calls.into_iter().enumerate();
            return calls
                .map(|(at, call)| self.call(&format!("{path}.tool_calls[{at}]"), call))
                .collect();
        }
        let Some(raw) = there("function_call") else {
            return Ok(Vec::new());
        };
        let path = format!("{path}.function_call");
        let function: ObjectMembers<'_> =
            serde_json::from_str(raw).map_err(|_| invalid_type(&path, "an object", found(raw)))?;
        Ok(vec![SentCall {
            id: None,
            function: self.function(&path, &function)?,
        }])
    }

    fn call(&mut self, path: &str, raw: &RawValue) -> Result<SentCall, Error> {
        let call: ObjectMembers<'_> = serde_json::from_str(raw.get()).unwrap_or_default();
        let of = |name: &str| {
            let inner = call.get(name)?;
            serde_json::from_str::<ObjectMembers<'_>>(inner.get()).ok()
        };
        let function = match (of("function"), of("custom")) {
            (Some(function), _) => self.function(&format!("{path}.function"), &function)?,
            (None, Some(custom)) => self.function(&format!("{path}.custom"), &custom)?,
            (None, None) => return Err(missing(format!("{path}.function.name"))),
        };
        let id = call.get("id").and_then(|raw| id_of(raw));
        if let Some(id) = &id {
            self.names.insert(id.clone(), function.name.clone());
        }
        Ok(SentCall { id, function })
    }

    /// Reads a function with its arguments, or a custom tool with its input.
    fn function(&mut self, path: &str, members: &ObjectMembers<'_>) -> Result<SentFunction, Error> {
        let name = members
            .get("name")
            .and_then(|name| serde_json::from_str::<String>(name.get()).ok())
            .ok_or_else(|| missing(format!("{path}.name")))?;
        let raw = members.get("arguments").or_else(|| members.get("input"));
        let arguments = CallArguments::of(raw.map_or("{}", |raw| raw.get()));
        self.rewritten_arguments += usize::from(arguments.is_rewritten);
        let object = arguments.object.into_owned();
        Ok(SentFunction {
            name,
            arguments: RawValue::from_string(object)
                .map_err(|_| missing(format!("{path}.arguments")))?,
        })
    }
}

fn wrong(path: &str, expected: &str, value: &Value) -> Error {
    invalid_type(path, expected, found(&value.to_string()))
}

/// Returns the role by Ollama's name of it.
fn role(path: &str, role: Option<Value>) -> Result<String, Error> {
    let mut role = match role {
        Some(Value::String(role)) => role.to_lowercase(),
        None => return Err(missing(format!("{path}.role"))),
        Some(other) => return Err(wrong(&format!("{path}.role"), "a string", &other)),
    };
    match &*role {
        "developer" => "system".clone_into(&mut role),
        // OpenAI's name of it until 2023.
        "function" => "tool".clone_into(&mut role),
        _ => {}
    }
    Ok(role)
}

/// Reads an id, which some clients write as a number.
fn id_of(raw: &RawValue) -> Option<String> {
    match serde_json::from_str(raw.get()).ok()? {
        Value::String(id) if !id.is_empty() => Some(id),
        Value::Number(_) => Some(raw.get().to_owned()),
        _ => None,
    }
}

/// The texts, thoughts and images of one message's parts.
#[derive(Default)]
struct MessageTexts {
    texts: Vec<String>,
    thoughts: Vec<String>,
    images: Vec<String>,
}

// === impl MessageTexts ===

impl MessageTexts {
    /// Reads a content: a text, a list of parts, or one part without its list.
    fn of(path: &str, content: Option<Value>) -> Result<Self, Error> {
        let mut said = MessageTexts::default();
        match content {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => said.texts.push(text),
            Some(Value::Array(parts)) => {
                for (at, part) in parts.iter().enumerate() {
                    said.part(&format!("{path}.content[{at}]"), part)?;
                }
            }
            Some(part @ Value::Object(_)) => said.part(&format!("{path}.content"), &part)?,
            Some(other) => {
                let path = format!("{path}.content");
                return Err(wrong(&path, "a string or an array", &other));
            }
        }
        Ok(said)
    }

    fn part(&mut self, path: &str, part: &Value) -> Result<(), Error> {
        match MessagePart::of(part) {
            MessagePart::Nothing => {}
            MessagePart::Text(text) if text.is_empty() => {}
            MessagePart::Text(text) => self.texts.push(text),
            MessagePart::Thinking(text) => self.thoughts.push(text),
            MessagePart::Image(Some(url)) => {
                self.images
                    .push(image(&format!("{path}.image_url.url"), url)?);
            }
            MessagePart::Image(None) => {
                return Err(missing(format!("{path}.image_url.url")));
            }
            MessagePart::Sound(Some(data)) => self.images.push(data.to_owned()),
            MessagePart::Sound(None) => return Err(missing(format!("{path}.input_audio.data"))),
            MessagePart::Other(Some(kind)) => {
                let kind: String = kind.chars().take(64).collect();
                return Err(unsupported(
                    format!("{path}.type"),
                    format!("a part of type '{kind}' cannot be sent to Ollama"),
                ));
            }
            MessagePart::Other(None) => return Err(missing(format!("{path}.type"))),
            MessagePart::NoText(other) => {
                return Err(wrong(&format!("{path}.text"), "a string", other));
            }
        }
        Ok(())
    }
}

/// Returns the bare base64 of an image. An engine never fetches an address for a client.
fn image(path: &str, url: &str) -> Result<String, Error> {
    let refused = |message: &str| Err(unsupported(path, message));
    match MessageImage::of(url) {
        Ok(image) => match image.kind {
            ImageKind::Jpeg | ImageKind::Png | ImageKind::Webp | ImageKind::Claimed => {
                Ok(image.base64.into_owned())
            }
            ImageKind::Other(kind) => refused(&format!(
                "Ollama takes jpeg, png and webp images, and this one is {kind}: convert it"
            )),
            ImageKind::Unknown => {
                refused("the bytes are no image that Ollama takes: send jpeg, png or webp")
            }
        },
        Err(ImageError::Address) => {
            refused("send images as data URLs (jpeg, png or webp, base64): Ollama fetches none")
        }
        Err(ImageError::Encoding) => refused(
            "the image is no base64: send `data:image/png;base64,` and its bytes (jpeg, png or \
             webp)",
        ),
    }
}
