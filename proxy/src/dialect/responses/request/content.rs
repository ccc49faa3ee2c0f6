//! The content of an item: a text, or a list of parts.
//!
//! Parts that are all text become one text, because not every template takes a list; a list with an
//! image stays one.

use std::borrow::Cow;

use super::notes::RequestNotes;
use crate::{
    body::peek::found,
    dialect::chat::{
        client_object::{ClientObject, elements},
        field_error::{invalid_type, missing, unsupported},
        field_path::member_path,
        json_text::inner,
    },
    error::Error,
};

/// What stands between two texts that are joined, as it is escaped in a JSON string.
pub(super) const GAP: &str = "\\n\\n";

/// The content of a message in the chat format.
pub(super) enum MessageContent<'a> {
    /// A text, as the raw inside of a JSON string.
    Text(Cow<'a, str>),
    /// A list of parts, as JSON.
    Parts(String),
}

/// A part in the chat format.
enum ChatPart<'a> {
    Text(&'a str),
    Other(String),
}

// === impl MessageContent ===

impl<'a> MessageContent<'a> {
    /// Reads the content at `path`.
    pub(super) fn of(raw: &'a str, path: &str, notes: &mut RequestNotes) -> Result<Self, Error> {
        let parts = match raw.as_bytes().first() {
            Some(b'"') => return Ok(Self::Text(inner(raw).into())),
            Some(b'[') => elements(raw, path)?,
            Some(b'{') => vec![raw],
            _ => return Err(invalid_type(path, "a string or an array", found(raw))),
        };
        let mut read = Vec::with_capacity(parts.len());
        for (at, part) in parts.into_iter().enumerate() {
            read.extend(ChatPart::of(part, &format!("{path}[{at}]"), notes)?);
        }
        Ok(Self::joined(&read))
    }

    fn joined(parts: &[ChatPart<'a>]) -> Self {
        let texts: Option<Vec<&str>> = parts.iter().map(ChatPart::text).collect();
        if let Some(texts) = texts {
            return Self::Text(match texts[..] {
                [] => "".into(),
                [text] => text.into(),
                _ => texts.join(GAP).into(),
            });
        }
        let parts: Vec<String> = parts.iter().map(ChatPart::json).collect();
        Self::Parts(format!("[{}]", parts.join(",")))
    }

    /// Returns the content as JSON.
    pub(super) fn json(&self) -> String {
        match self {
            Self::Text(inner) => format!("\"{inner}\""),
            Self::Parts(list) => list.clone(),
        }
    }
}

// === impl ChatPart ===

impl<'a> ChatPart<'a> {
    /// Reads a part; `None` for one that no engine could read, which is noted.
    fn of(raw: &'a str, path: &str, notes: &mut RequestNotes) -> Result<Option<Self>, Error> {
        if raw.starts_with('"') {
            return Ok(Some(Self::Text(inner(raw))));
        }
        let part = ClientObject::of(raw, path)?;
        let kind = part.decoded_text("type", path)?;
        let text = |name: &str| {
            let raw = part.text(name, path)?;
            let raw = raw.ok_or_else(|| missing(member_path(path, name)))?;
            Ok(Some(Self::Text(inner(raw))))
        };
        match kind.as_deref() {
            None if part.get("text").is_none() => Err(missing(member_path(path, "type"))),
            None | Some("input_text" | "output_text" | "text" | "summary_text") => text("text"),
            Some("refusal") => text("refusal"),
            Some("input_image" | "image_url") => image(&part, path).map(Some),
            Some("input_audio") => {
                let sound = part.object("input_audio", path)?;
                let sound = sound.ok_or_else(|| missing(member_path(path, "input_audio")))?;
                Ok(Some(Self::Other(format!(
                    r#"{{"type":"input_audio","input_audio":{sound}}}"#
                ))))
            }
            Some("input_file") => Err(unsupported(
                path,
                format!(
                    "`{path}` is a file, which no engine here reads: send its text as input_text, or \
                     its pages as input_image"
                ),
            )),
            Some(kind) => {
                notes.dropped_part(kind);
                Ok(None)
            }
        }
    }

    const fn text(&self) -> Option<&'a str> {
        match self {
            Self::Text(inner) => Some(inner),
            Self::Other(_) => None,
        }
    }

    fn json(&self) -> String {
        match self {
            Self::Text(inner) => format!(r#"{{"type":"text","text":"{inner}"}}"#),
            Self::Other(json) => json.clone(),
        }
    }
}

/// Reads an image, which is an address or a data URL.
fn image<'a>(part: &ClientObject<'a>, path: &str) -> Result<ChatPart<'a>, Error> {
    let at = member_path(path, "image_url");
    let nested = match part.get("image_url") {
        Some(raw) if raw.starts_with('{') => Some(ClientObject::of(raw, &at)?),
        _ => None,
    };
    let url = match &nested {
        // The spelling of the chat format.
        Some(nested) => nested.text("url", &at)?,
        None => part.text("image_url", path)?,
    };
    let Some(url) = url else {
        if part.get("file_id").is_some() {
            let at = member_path(path, "file_id");
            return Err(unsupported(
                &at,
                format!("`{at}` names a stored file, and none is stored here: send `image_url`"),
            ));
        }
        return Err(missing(&at));
    };
    check_image(inner(url), &at)?;
    let detail = nested.as_ref().unwrap_or(part).get("detail");
    let detail = match detail {
        Some(detail @ (r#""low""# | r#""high""# | r#""auto""#)) => format!(r#","detail":{detail}"#),
        _ => String::new(),
    };
    Ok(ChatPart::Other(format!(
        r#"{{"type":"image_url","image_url":{{"url":{url}{detail}}}}}"#
    )))
}

/// Refuses the data URL of an image that is no base64. `url` is the inside of a JSON string.
fn check_image(url: &str, path: &str) -> Result<(), Error> {
    let refused = |found: &str| {
        Err(unsupported(
            path,
            format!(
                "`{path}` must be `data:image/png;base64,` and the image in base64, or an address: {found}"
            ),
        ))
    };
    let is_data = url
        .get(..5)
        .is_some_and(|head| head.eq_ignore_ascii_case("data:"));
    if !is_data {
        return if url.is_empty() {
            refused("it is empty")
        } else {
            Ok(())
        };
    }
    let Some((_, data)) = url.split_once(',') else {
        return refused("a comma is missing");
    };
    // Slashes and blanks may be escaped.
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=-_\\% \r\n\t".contains(&byte);
    if data.is_empty() || !data.bytes().all(is_base64) {
        let (at, _) = data
            .bytes()
            .enumerate()
            .find(|(_, b)| !is_base64(*b))
            .unwrap_or_default();
        return refused(&format!("byte {at} of the data is no base64"));
    }
    Ok(())
}
