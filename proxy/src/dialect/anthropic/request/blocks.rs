//! Content blocks: what each kind becomes in a chat message.

use super::{content::ContentWriter, json, notes::MessagesNotes};
use crate::{
    body::peek::found,
    dialect::{
        chat::{
            client_object::{ClientObject, elements},
            field_error::{invalid_type, missing},
            field_path::FieldPath,
            json_text::inner,
        },
        engine::messages::image::MessageImage,
    },
    error::Error,
    prefix::CACHE_CONTROL,
};

/// What reading a block needs of the request, and adds to it.
pub(super) struct BlockReader<'n> {
    pub(super) notes: &'n mut MessagesNotes,
    /// Whether `cache_control` goes on to the engine, in the spelling that `OpenAI`-compatible gateways
    /// know.
    pub(super) keeps_cache_control: bool,
}

/// Calls `each` with the blocks of a content and their places. A text alone is one block.
pub(super) fn for_each<'a>(
    content: &'a str,
    at: FieldPath<'_>,
    mut each: impl FnMut(ContentItem<'a>, FieldPath<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    if content.starts_with('"') {
        return each(ContentItem::Text(content), at);
    }
    if !content.starts_with('[') {
        return Err(invalid_type(
            at,
            "a string or an array of blocks",
            found(content),
        ));
    }
    let blocks = elements(content, at)?;
    for (number, block) in blocks.into_iter().enumerate() {
        let at = FieldPath::Element(&at, number);
        each(ContentItem::Block(ClientObject::of(block, at)?), at)?;
    }
    Ok(())
}

/// A content that is one text, or one of its blocks.
pub(super) enum ContentItem<'a> {
    /// The JSON of a text.
    Text(&'a str),
    Block(ClientObject<'a>),
}

// === impl BlockReader ===

impl BlockReader<'_> {
    /// Adds a content to what is written: a text, or every block of a list.
    pub(super) fn content(
        &mut self,
        content: &str,
        at: FieldPath<'_>,
        out: &mut ContentWriter,
    ) -> Result<(), Error> {
        for_each(content, at, |item, at| {
            self.see(&item);
            match item {
                ContentItem::Text(text) => out.text(text, None),
                ContentItem::Block(block) => self.block(&block, at, out)?,
            }
            Ok(())
        })
    }

    /// Notes that a block has a mark for a cache, where such marks are left out.
    pub(super) fn see(&mut self, item: &ContentItem<'_>) {
        if let ContentItem::Block(block) = item
            && !self.keeps_cache_control
            && block.get("cache_control").is_some()
        {
            self.notes.say(CACHE_CONTROL.note);
        }
    }

    /// Adds a block that a user or a tool's result may hold.
    pub(super) fn block(
        &mut self,
        block: &ClientObject<'_>,
        at: FieldPath<'_>,
        out: &mut ContentWriter,
    ) -> Result<(), Error> {
        match &*block.kind() {
            "text" => {
                let text = block.needs_text("text", at)?;
                let kept = block.get("cache_control");
                out.text(text, kept.filter(|_| self.keeps_cache_control));
            }
            "image" => out.image(&image(block, at)?),
            "document" => self.document(block, at, out)?,
            "search_result" => self.search_result(block, at, out)?,
            "tool_reference" => out.text(block.needs_text("tool_name", at)?, None),
            "" => return Err(missing(FieldPath::Member(&at, "type"))),
            other => self.other(other, block, out),
        }
        Ok(())
    }

    /// Adds the text of a block of a kind that is not known here; one without a text is left out.
    pub(super) fn other(&mut self, kind: &str, block: &ClientObject<'_>, out: &mut ContentWriter) {
        let said = ["text", "content"]
            .into_iter()
            .filter_map(|name| block.get(name));
        match said.into_iter().find(|raw| raw.starts_with('"')) {
            Some(text) => out.text(text, None),
            None => self.notes.drop_block(kind),
        }
    }

    /// Adds a document that is text; files have no place in a prompt of text.
    fn document(
        &mut self,
        block: &ClientObject<'_>,
        at: FieldPath<'_>,
        out: &mut ContentWriter,
    ) -> Result<(), Error> {
        let here = FieldPath::Member(&at, "source");
        let source = block.get("source").ok_or_else(|| missing(here))?;
        let source = ClientObject::of(source, here)?;
        for name in ["title", "context"] {
            if let Some(text) = block.get(name) {
                out.text(json::text(text, FieldPath::Member(&at, name))?, None);
            }
        }
        match &*source.kind() {
            "text" => out.text(source.needs_text("data", here)?, None),
            "content" => {
                let at = FieldPath::Member(&here, "content");
                let content = source.get("content").ok_or_else(|| missing(at))?;
                self.content(content, at, out)?;
            }
            "" => return Err(missing(FieldPath::Member(&here, "type"))),
            kind => {
                let media = source.get("media_type").map(json::shown);
                let what = match kind {
                    "base64" => media.unwrap_or_else(|| "a file".to_owned()),
                    "url" => "a file at an address".to_owned(),
                    _ => format!("a source of type {}", json::shown(kind)),
                };
                return Err(json::unsupported(
                    here,
                    &format!(
                        "is {what}, which the engines here cannot read: send its text as a source of type \
                         `text`, or PDF pages as images"
                    ),
                ));
            }
        }
        Ok(())
    }

    fn search_result(
        &mut self,
        block: &ClientObject<'_>,
        at: FieldPath<'_>,
        out: &mut ContentWriter,
    ) -> Result<(), Error> {
        for name in ["title", "source"] {
            if let Some(text) = block.get(name) {
                out.text(json::text(text, FieldPath::Member(&at, name))?, None);
            }
        }
        let at = FieldPath::Member(&at, "content");
        let content = block.get("content").ok_or_else(|| missing(at))?;
        self.content(content, at, out)
    }
}

/// Returns the address of an image, with the escapes of JSON: a data URL, or the client's own.
fn image(block: &ClientObject<'_>, at: FieldPath<'_>) -> Result<String, Error> {
    let here = FieldPath::Member(&at, "source");
    let source = block.get("source").ok_or_else(|| missing(here))?;
    let source = ClientObject::of(source, here)?;
    match &*source.kind() {
        "base64" => {
            let raw = source.needs_text("data", here)?;
            let data: String = serde_json::from_str(raw).unwrap_or_default();
            let media = match source.get("media_type") {
                Some(raw) => inner(json::text(raw, FieldPath::Member(&here, "media_type"))?),
                None => "image/png",
            };
            let url = if data.starts_with("data:") {
                data
            } else {
                format!("data:{media};base64,{data}")
            };
            let at = FieldPath::Member(&here, "data");
            let image = MessageImage::of(&url).map_err(|_| {
                json::unsupported(
                    at,
                    "is no base64: send the bytes of a JPEG, PNG or WebP image",
                )
            })?;
            let plain = || format!("data:{media};base64,{}", image.base64);
            Ok(image.url().unwrap_or_else(plain))
        }
        "url" => Ok(inner(source.needs_text("url", here)?).to_owned()),
        "" => Err(missing(FieldPath::Member(&here, "type"))),
        "file" => Err(json::unsupported(
            here,
            "is a file of Anthropic's servers: send the image as a source of type `base64`",
        )),
        other => Err(json::unsupported(
            here,
            &format!("has type '{}': send base64 or url", json::shown(other)),
        )),
    }
}
