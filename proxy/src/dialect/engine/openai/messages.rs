//! Messages for engines that speak OpenAI themselves: what these refuse of a conversation, although
//! what it says is plain, is written in their way. Every other byte stays.
//!
//! What llama.cpp's server (b11434) refuses was tried: a message without `content`, a part that is
//! no `text`, a text that is null, a member `name`, `reasoning_content` or `tool_call_id` that is
//! null, a call without a type or without arguments, arguments that are no JSON. LM Studio runs the
//! same templates, and fails on nulls (reported); vLLM reads the arguments too, and any of them may
//! stand behind an address that is only known to speak OpenAI.

use std::{borrow::Cow, collections::HashSet, ops::Range};

use serde_json::{Value, json, value::RawValue};

use super::quirks::OpenAiQuirks;
use crate::{
    body::scan::{self, Member},
    dialect::engine::messages::{
        arguments::{self, Arguments},
        image::Image,
        part::Part,
    },
};

/// Brackets that a message may open, one in the other.
const DEPTH: usize = 512;

/// What became of the messages.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct RewrittenMessages {
    /// `messages` as they have to be; `None` where they may stay.
    pub(super) list: Option<String>,
    pub(super) notes: Vec<String>,
    /// Ids of the tool calls in them.
    pub(super) call_ids: HashSet<String>,
}

/// The list of messages as an engine of this kind takes it.
pub(super) fn rewrite_messages(raw: &str, quirks: &OpenAiQuirks) -> RewrittenMessages {
    let Ok(messages) = serde_json::from_str::<Vec<&RawValue>>(raw) else {
        return RewrittenMessages::default();
    };
    let mut editor = Editor {
        all: raw,
        quirks,
        splices: Vec::new(),
        bent: 0,
        parts: false,
        images: false,
        ids: HashSet::new(),
    };
    for message in messages {
        editor.message(message.get());
    }
    let mut notes = Vec::new();
    if editor.bent > 0 {
        notes.push(arguments::note(editor.bent));
    }
    if editor.parts {
        notes.push("parts of messages that the engine does not know are sent as text".to_owned());
    }
    if editor.images {
        notes.push("images are sent as plain data URLs".to_owned());
    }
    RewrittenMessages {
        list: (!editor.splices.is_empty()).then(|| spliced(raw, editor.splices)),
        notes,
        call_ids: editor.ids,
    }
}

fn spliced(raw: &str, mut splices: Vec<(Range<usize>, String)>) -> String {
    splices.sort_by_key(|(place, _)| place.start);
    let mut out = String::with_capacity(raw.len() + 64);
    let mut from = 0;
    for (place, with) in splices {
        out.push_str(&raw[from..place.start]);
        out.push_str(&with);
        from = place.end;
    }
    out.push_str(&raw[from..]);
    out
}

struct Editor<'a> {
    all: &'a str,
    quirks: &'a OpenAiQuirks,
    splices: Vec<(Range<usize>, String)>,
    /// Of how many calls the arguments were no JSON object.
    bent: usize,
    parts: bool,
    images: bool,
    ids: HashSet<String>,
}

/// An object's members: name, and where key and value stand in it.
struct Object<'a> {
    text: &'a str,
    members: Vec<(Cow<'a, str>, Range<usize>, Range<usize>)>,
}

// === impl Object ===

impl<'a> Object<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let mut members = Vec::with_capacity(8);
        scan::object(text, DEPTH, |member: Member| {
            let key = &text[member.key.clone()];
            let plain = key.trim_matches('"');
            let name = if plain.contains('\\') {
                Cow::Owned(serde_json::from_str(key).unwrap_or_default())
            } else {
                plain.into()
            };
            members.push((name, member.key, member.value));
        })
        .ok()?;
        Some(Self { text, members })
    }

    /// Of two with the same name the last one counts.
    fn get(&self, name: &str) -> Option<&'a str> {
        let mut found = self.members.iter().rev();
        let (_, _, value) = found.find(|(is, ..)| is == name)?;
        Some(&self.text[value.clone()])
    }
}

// === impl Editor ===

impl<'a> Editor<'a> {
    /// Where a piece of the messages stands in them.
    fn place(&self, piece: &str) -> Range<usize> {
        let start = piece.as_ptr().addr() - self.all.as_ptr().addr();
        start..start + piece.len()
    }

    fn set(&mut self, piece: &str, with: String) {
        self.splices.push((self.place(piece), with));
    }

    /// A member more, behind the last one.
    fn add(&mut self, object: &Object<'_>, member: &str) {
        let end = self.place(object.text).end - 1;
        let comma = if object.members.is_empty() { "" } else { "," };
        self.splices.push((end..end, format!("{comma}{member}")));
    }

    fn message(&mut self, text: &'a str) {
        let Some(message) = Object::of(text) else {
            return;
        };
        let assistant = message.get("role") == Some(r#""assistant""#);
        let calls = message.get("tool_calls").filter(|raw| *raw != "null");
        match message.get("content") {
            // As OpenAI's own API writes it beside a call.
            None | Some("null") if assistant && calls.is_some() => {}
            None => self.add(&message, r#""content":"""#),
            Some(null @ "null") => self.set(null, r#""""#.to_owned()),
            Some(parts) if parts.starts_with(['[', '{']) => {
                self.content(&message, parts, assistant);
            }
            Some(_) => {}
        }
        self.drop_nulls(&message, &["content"]);
        self.quote(message.get("tool_call_id"));
        if let Some(calls) = calls
            && let Ok(calls) = serde_json::from_str::<Vec<&RawValue>>(calls)
        {
            for call in calls {
                self.call(call.get());
            }
        }
    }

    /// Members that are null, which is as good as absent.
    fn drop_nulls(&mut self, object: &Object<'_>, but: &[&str]) {
        let start = self.place(object.text).start;
        let goes = |(name, _, value): &(Cow<'_, str>, Range<usize>, Range<usize>)| {
            &object.text[value.clone()] == "null" && !but.contains(&&**name)
        };
        let kept = object.members.iter().filter(|member| !goes(member)).count();
        if kept == 0 {
            return;
        }
        let mut before = 0;
        for (at, member) in object.members.iter().enumerate() {
            if !goes(member) {
                before += 1;
                continue;
            }
            let (_, key, value) = member;
            // With the comma behind it, or, where nothing is left behind it, with the one before.
            let place = if before == kept && at > 0 {
                object.members[at - 1].2.end..value.end
            } else {
                let next = object.members.get(at + 1);
                key.start..next.map_or(value.end, |next| next.1.start)
            };
            self.splices
                .push((start + place.start..start + place.end, String::new()));
        }
    }

    /// Parts, or one without its list, as texts and images; thoughts have a member of their own.
    fn content(&mut self, message: &Object<'a>, raw: &'a str, assistant: bool) {
        let alone = raw.starts_with('{');
        let parts = if alone {
            serde_json::from_str(raw).map(|part| vec![part])
        } else {
            serde_json::from_str::<Vec<&RawValue>>(raw)
        };
        let Ok(parts) = parts else {
            return;
        };
        let mut thoughts = Vec::new();
        let mut sent = Vec::with_capacity(parts.len());
        let mut changed = alone || parts.is_empty();
        for part in parts {
            let value: Value = serde_json::from_str(part.get()).unwrap_or_default();
            let is = |kind: &str| value["type"] == kind;
            let text = |text: String| json!({ "type": "text", "text": text }).to_string();
            let with = match Part::of(&value) {
                Part::Text(_) if is("text") && value["text"].is_string() => None,
                Part::Thinking(said) if assistant => {
                    thoughts.push(said);
                    Some(String::new())
                }
                Part::Text(said) | Part::Thinking(said) => Some(text(said)),
                Part::Nothing => Some(String::new()),
                Part::Image(Some(url)) => self.image(&value, url),
                Part::Image(None) | Part::Sound(_) | Part::Other(_) | Part::NoText(_) => None,
            };
            changed |= with.is_some();
            self.parts |= with.is_some() && !matches!(Part::of(&value), Part::Image(_));
            match with {
                None => sent.push(part.get().to_owned()),
                Some(with) if with.is_empty() => {}
                Some(with) => sent.push(with),
            }
        }
        if !changed {
            return;
        }
        let list = if sent.is_empty() {
            r#""""#.to_owned()
        } else {
            format!("[{}]", sent.join(","))
        };
        self.set(raw, list);
        let known = message
            .get("reasoning_content")
            .filter(|raw| *raw != "null");
        if !thoughts.is_empty() && known.is_none() {
            let thoughts = Value::from(thoughts.join("\n\n"));
            self.add(message, &format!("\"reasoning_content\":{thoughts}"));
        }
    }

    /// An image whose spelling the engine may not know, as a plain data URL.
    fn image(&mut self, part: &Value, url: &str) -> Option<String> {
        let plain = part["type"] == "image_url" && part["image_url"]["url"].is_string();
        let spelt = match Image::of(url) {
            Ok(image) => image.url(),
            Err(_) => None,
        };
        // Declared as something else than it is, and still read by the bytes alone.
        let known = url.starts_with("data:image/")
            && url.split_once(";base64,").is_some_and(|(media, data)| {
                !media.contains(';') && spelt.as_ref().is_none_or(|spelt| spelt.ends_with(data))
            });
        if plain && (known || spelt.is_none()) {
            return None;
        }
        let url = if known {
            url
        } else {
            spelt.as_deref().unwrap_or(url)
        };
        self.images = true;
        Some(json!({ "type": "image_url", "image_url": { "url": url } }).to_string())
    }

    /// A call of a custom tool as the call of a function, which is all that templates know.
    fn custom(&mut self, call: &Object<'a>) -> bool {
        let custom = call.get("custom").and_then(Object::of);
        let Some(custom) = custom.filter(|_| !self.quirks.custom_tool_calls) else {
            return false;
        };
        let Some(name) = custom.get("name") else {
            return false;
        };
        let arguments = Arguments::of(custom.get("input").unwrap_or("{}"));
        let text = Value::from(&*arguments.object);
        let id = call.get("id").filter(|id| id.starts_with('"'));
        let id = id.map_or_else(String::new, |id| format!("\"id\":{id},"));
        self.set(
            call.text,
            format!(r#"{{{id}"type":"function","function":{{"name":{name},"arguments":{text}}}}}"#),
        );
        true
    }

    /// An id that is a number, as a text.
    fn quote(&mut self, id: Option<&str>) {
        let is_number = |id: &&str| id.starts_with(|c: char| c.is_ascii_digit() || c == '-');
        if let Some(id) = id.filter(is_number) {
            self.set(id, format!("\"{id}\""));
        }
    }

    fn call(&mut self, text: &'a str) {
        let Some(call) = Object::of(text) else {
            return;
        };
        let function = call.get("function").and_then(Object::of);
        if function.is_none() && self.custom(&call) {
            return;
        }
        if let Some(id) = call.get("id")
            && let Ok(id) = serde_json::from_str::<String>(id)
        {
            self.ids.insert(id);
        }
        self.drop_nulls(&call, &[]);
        self.quote(call.get("id"));
        let Some(function) = function else {
            return;
        };
        if call.get("type").is_none_or(|raw| raw == "null") {
            self.add(&call, r#""type":"function""#);
        }
        let Some(raw) = function.get("arguments") else {
            self.add(&function, r#""arguments":"{}""#);
            return;
        };
        let arguments = Arguments::of(raw);
        let is_text = raw.starts_with('"');
        self.bent += usize::from(arguments.bent);
        if arguments.bent || !is_text && !self.quirks.argument_objects {
            let text = Value::from(&*arguments.object).to_string();
            self.set(raw, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::engine::openai::quirks::{LLAMA_CPP, LM_STUDIO, OPENAI_COMPATIBLE};

    fn becomes(messages: &str, quirks: &OpenAiQuirks) -> String {
        let list = format!("[ {messages} ]");
        let rewritten = rewrite_messages(&list, quirks);
        let text = rewritten.list.unwrap_or(list);
        serde_json::from_str::<Value>(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let inner = text.strip_prefix("[ ").unwrap().strip_suffix(" ]");
        inner.unwrap().to_owned()
    }

    #[test]
    fn what_every_engine_knows_keeps_its_bytes() {
        for messages in [
            r#"{ "role" : "user","content":"a\u00e9" , "x":1.0}"#,
            r#"{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{ \"n\":12345678901234567890123, \"e\":1.0}"}}]}"#,
            r#"{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]}"#,
            r#"{"role":"user","content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}]}"#,
            r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAAB","detail":"low"}}]}"#,
            r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,QUJD"}}]}"#,
            r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://host/x.png"}}]}"#,
            r#"{"role":"user","content":[{"type":"video_url","video_url":{"url":"x"}}]}"#,
            r#"{"role":"user","content":7},8,"x""#,
        ] {
            for quirks in [&LM_STUDIO, &LLAMA_CPP, &OPENAI_COMPATIBLE] {
                assert_eq!(becomes(messages, quirks), messages, "{:?}", quirks.kind);
            }
        }
    }

    #[test]
    fn what_engines_refuse_is_written_in_their_way() {
        let call = |function: &str| {
            format!(
                r#"{{"role":"assistant","content":"","tool_calls":[{{"type":"function","function":{{"name":"f"{function}}}}}]}}"#
            )
        };
        let own = |text: &str| text.to_owned();
        for (messages, is) in [
            (
                own(r#"{"role":"tool"}"#),
                own(r#"{"role":"tool","content":""}"#),
            ),
            (own("{}"), own(r#"{"content":""}"#)),
            (
                own(
                    r#"{"role":"user","content":[ ]},{"role":"system","content" : null},{"role":"assistant","content":null}"#,
                ),
                own(
                    r#"{"role":"user","content":""},{"role":"system","content" : ""},{"role":"assistant","content":""}"#,
                ),
            ),
            (call(""), call(r#","arguments":"{}""#)),
            (call(r#","arguments":null"#), call(r#","arguments":"{}""#)),
            (call(r#","arguments":"""#), call(r#","arguments":"{}""#)),
            (
                call(r#","arguments":"{\"a\":""#),
                call(r#","arguments":"{\"arguments\":\"{\\\"a\\\":\"}""#),
            ),
            (
                call(r#","arguments":"[1]""#),
                call(r#","arguments":"{\"arguments\":[1]}""#),
            ),
            (
                own(
                    r#"{"role":"assistant","content":"a","tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}"#,
                ),
                own(
                    r#"{"role":"assistant","content":"a","tool_calls":[{"function":{"name":"f","arguments":"{}"},"type":"function"}]}"#,
                ),
            ),
        ] {
            for quirks in [&LM_STUDIO, &LLAMA_CPP, &OPENAI_COMPATIBLE] {
                assert_eq!(becomes(&messages, quirks), is, "{:?}", quirks.kind);
            }
        }
    }

    #[test]
    fn nulls_parts_and_images_are_written_in_their_way() {
        let png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAAB";
        let url = |url: &str| {
            format!(
                r#"{{"role":"user","content":[{{"type":"image_url","image_url":{{"url":"{url}"}}}}]}}"#
            )
        };
        let plain = url(&format!("data:image/png;base64,{png}"));
        let call = |function: &str| {
            format!(
                r#"{{"role":"assistant","content":"","tool_calls":[{{"type":"function","function":{{"name":"f"{function}}}}}]}}"#
            )
        };
        let own = |text: &str| text.to_owned();
        for (messages, is) in [
            (
                own(
                    r#"{"name":null,"role":"user","refusal":null,"content":"a","x":null , "tool_calls": null}"#,
                ),
                own(r#"{"role":"user","content":"a"}"#),
            ),
            (
                own(
                    r#"{"role":"assistant","content":null,"name":null,"tool_calls":[{"id":null,"type":"function","function":{"name":"f","arguments":"{}"},"index":null}]}"#,
                ),
                own(
                    r#"{"role":"assistant","content":null,"tool_calls":[{"type":"function","function":{"name":"f","arguments":"{}"}}]}"#,
                ),
            ),
            (
                own(
                    r#"{"role":"assistant","content":[{"type":"thinking","thinking":"t"},{"type":"refusal","refusal":"no"},{"type":"text","text":"a"},{"type":"text","text":null},"b",null]}"#,
                ),
                own(
                    r#"{"role":"assistant","content":[{"type":"text","text":"no"},{"type":"text","text":"a"},{"type":"text","text":""},{"type":"text","text":"b"}],"reasoning_content":"t"}"#,
                ),
            ),
            (
                own(r#"{"role":"assistant","content":[{"type":"thinking","thinking":"t"}]}"#),
                own(r#"{"role":"assistant","content":"","reasoning_content":"t"}"#),
            ),
            (
                own(
                    r#"{"role":"user","content":[{"type":"input_text","text":"a"},{"type":"output_text","text":"b"}]}"#,
                ),
                own(
                    r#"{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}"#,
                ),
            ),
            (url(&format!("DATA:IMAGE/PNG;BASE64,{png}")), plain.clone()),
            (
                url(&format!("data:application/octet-stream;base64,{png}")),
                plain.clone(),
            ),
            (
                url(&format!("data:image/png;charset=utf-8;base64,{png}")),
                plain.clone(),
            ),
            (url(png), plain.clone()),
            (
                format!(
                    r#"{{"role":"user","content":[{{"type":"input_image","image_url":"data:image/png;base64,{png}"}}]}}"#
                ),
                plain.clone(),
            ),
        ] {
            for quirks in [&LM_STUDIO, &LLAMA_CPP, &OPENAI_COMPATIBLE] {
                assert_eq!(becomes(&messages, quirks), is, "{:?}", quirks.kind);
            }
        }
        let object = call(r#","arguments":{"n":1.0}"#);
        assert_eq!(becomes(&object, &LLAMA_CPP), object);
        let text = call(r#","arguments":"{\"n\":1.0}""#);
        for quirks in [&LM_STUDIO, &OPENAI_COMPATIBLE] {
            assert_eq!(becomes(&object, quirks), text);
        }
    }

    #[test]
    fn forms_of_other_clients_become_those_that_templates_know() {
        let custom = r#"{"role":"assistant","content":"","tool_calls":[{"id":"c","type":"custom","custom":{"name":"p","input":"a b"}}]}"#;
        for (messages, is) in [
            (
                r#"{"role":"user","content":{"type":"text","text":"a"}}"#,
                r#"{"role":"user","content":[{"type":"text","text":"a"}]}"#,
            ),
            (
                r#"{"role":"tool","content":"a","tool_call_id":7}"#,
                r#"{"role":"tool","content":"a","tool_call_id":"7"}"#,
            ),
            (
                r#"{"role":"assistant","content":"","tool_calls":[{"id":7,"type":"function","function":{"name":"f","arguments":"{}"}}]}"#,
                r#"{"role":"assistant","content":"","tool_calls":[{"id":"7","type":"function","function":{"name":"f","arguments":"{}"}}]}"#,
            ),
            (
                r#"{"role":"user","content":[{"type":"tool_result","content":"a"}]}"#,
                r#"{"role":"user","content":[{"type":"text","text":"a"}]}"#,
            ),
            (
                custom,
                r#"{"role":"assistant","content":"","tool_calls":[{"id":"c","type":"function","function":{"name":"p","arguments":"{\"arguments\":\"a b\"}"}}]}"#,
            ),
        ] {
            for quirks in [&LM_STUDIO, &LLAMA_CPP] {
                assert_eq!(becomes(messages, quirks), is, "{:?}", quirks.kind);
            }
        }
        assert_eq!(becomes(custom, &OPENAI_COMPATIBLE), custom);
    }

    #[test]
    fn what_was_bent_is_said_once_and_the_ids_are_known() {
        let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{"}});
        let messages = json!([
            {"role": "assistant", "content": "", "tool_calls": [call("a"), call("b")]},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        ]);
        let rewritten = rewrite_messages(&messages.to_string(), &LLAMA_CPP);
        assert_eq!(rewritten.notes.len(), 2, "{:?}", rewritten.notes);
        assert_eq!(rewritten.call_ids, ["a", "b"].map(str::to_owned).into());
    }
}
