//! Members whose names an Ollama would read as those of other members.
//!
//! Ollama decodes JSON with Go's `encoding/json`, which finds a field also by a name in other cases: an
//! `"Keep_Alive"` counts as `keep_alive`, and so does one with U+212A for the k. Crucible decides by exact
//! names, so that such a member would reach an Ollama unread. It is taken out before anything else is read.
//! The members of `options` are names of a map, which are exact in Ollama too (0.33, `api/types.go`).

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::notes::{listed, shown};
use crate::{
    body::object::JsonObject,
    dialect::chat::NativeApi,
    error::{Error, ErrorKind},
};

/// The names of the fields of an object, and the fields whose values have fields of their own. A list has
/// those of its elements.
struct ObjectFields {
    names: &'static [&'static str],
    inner: &'static [(&'static str, &'static ObjectFields)],
}

/// A request of any path.
static REQUEST: ObjectFields = ObjectFields {
    names: &[
        "model",
        "messages",
        "prompt",
        "input",
        "suffix",
        "system",
        "template",
        "context",
        "stream",
        "raw",
        "format",
        "keep_alive",
        "images",
        "tools",
        "options",
        "think",
        "truncate",
        "shift",
        "dimensions",
        "_debug_render_only",
        "logprobs",
        "top_logprobs",
        "width",
        "height",
        "steps",
    ],
    inner: &[("messages", &MESSAGE)],
};

static MESSAGE: ObjectFields = ObjectFields {
    names: &[
        "role",
        "content",
        "thinking",
        "images",
        "tool_calls",
        "tool_name",
        "tool_call_id",
    ],
    inner: &[("tool_calls", &CALL)],
};

static CALL: ObjectFields = ObjectFields {
    names: &["id", "function"],
    inner: &[("function", &FUNCTION)],
};

static FUNCTION: ObjectFields = ObjectFields {
    names: &["index", "name", "arguments"],
    inner: &[],
};

/// The members that were taken out: each field once, as the client first wrote it.
#[derive(Default)]
struct TakenMembers(Vec<(String, &'static str)>);

/// Returns the body without members that an Ollama would read as others, and a note on them; `None` where
/// there is none.
///
/// # Errors
/// The model or the prompt is named by such a member alone, without which the request would mean another.
pub(super) fn exact(api: NativeApi, body: &str) -> Result<Option<(String, String)>, Error> {
    let mut taken = TakenMembers::default();
    let Cow::Owned(text) = without_variants(body, &REQUEST, &mut taken) else {
        return Ok(None);
    };
    let prompt = match api {
        NativeApi::Chat => "messages",
        NativeApi::Generate | NativeApi::Embeddings => "prompt",
        NativeApi::Embed => "input",
    };
    let top = JsonObject::of(&text);
    for name in ["model", prompt] {
        let variant = taken.0.iter().find(|(_, field)| *field == name);
        let is_absent = top.as_ref().is_none_or(|top| top.get(name).is_none());
        if let Some((variant, _)) = variant.filter(|_| is_absent) {
            let message = format!("`{name}` is missing: `{variant}` must be spelt `{name}`");
            return Err(Error::new(ErrorKind::MissingField, message).param(name));
        }
    }
    let each = taken.0.iter();
    let words: Vec<String> = each.map(|(is, field)| format!("{is} ({field})")).collect();
    let note = format!("members must be spelt exactly; dropped: {}", listed(&words));
    Ok(Some((text, note)))
}

/// Returns a value without the members that are variants of fields.
fn without_variants<'a>(
    raw: &'a str,
    fields: &ObjectFields,
    taken: &mut TakenMembers,
) -> Cow<'a, str> {
    if raw.starts_with('[') {
        let list: Vec<&RawValue> = serde_json::from_str(raw).unwrap_or_default();
        let each = list.into_iter().map(RawValue::get);
        let list: Vec<Cow<'_, str>> = each
            .map(|raw| without_variants(raw, fields, taken))
            .collect();
        if list.iter().all(|value| matches!(value, Cow::Borrowed(_))) {
            return raw.into();
        }
        return format!("[{}]", list.join(",")).into();
    }
    let Some(object) = JsonObject::of(raw) else {
        return raw.into();
    };
    let mut is_changed = false;
    let mut members = Vec::with_capacity(object.members.len());
    for (name, key, value) in &object.members {
        if let Some(field) = variant_of(name, fields) {
            taken.add(name, field);
            is_changed = true;
            continue;
        }
        let value = &raw[value.clone()];
        let inner = fields.inner.iter().find(|(of, _)| of == name);
        let value = inner.map_or(Cow::Borrowed(value), |(_, inner)| {
            without_variants(value, inner, taken)
        });
        is_changed |= matches!(value, Cow::Owned(_));
        members.push((&raw[key.clone()], value));
    }
    if !is_changed {
        return raw.into();
    }
    let each = members.iter().map(|(key, value)| format!("{key}:{value}"));
    format!("{{{}}}", each.collect::<Vec<_>>().join(",")).into()
}

/// Returns the field that Go finds for a name that is spelt otherwise.
fn variant_of(name: &str, fields: &ObjectFields) -> Option<&'static str> {
    if fields.names.contains(&name) {
        return None;
    }
    let mut all = fields.names.iter().copied();
    all.find(|field| name.chars().map(folded).eq(field.chars()))
}

/// Returns the lower case of a letter as Go folds it: two letters beyond ASCII are forms of k and s.
const fn folded(letter: char) -> char {
    match letter {
        '\u{212a}' => 'k',
        '\u{17f}' => 's',
        letter => letter.to_ascii_lowercase(),
    }
}

// === impl TakenMembers ===

impl TakenMembers {
    fn add(&mut self, name: &str, field: &'static str) {
        if self.0.iter().all(|(_, of)| *of != field) {
            self.0.push((shown(name), field));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_in_another_spelling_is_taken_out() {
        for field in REQUEST.names {
            for variant in [
                field.to_uppercase(),
                field.replacen('k', "\\u212a", 1),
                field.replacen('s', "\u{17f}", 1),
            ] {
                if variant == *field {
                    continue;
                }
                let body = format!(
                    r#"{{"a":1,"{variant}":0,"model":"m","messages":[], "prompt":"", "input":""}}"#
                );
                let (text, note) = exact(NativeApi::Chat, &body).unwrap().unwrap();
                assert_eq!(
                    text,
                    r#"{"a":1,"model":"m","messages":[],"prompt":"","input":""}"#
                );
                assert!(note.ends_with(&format!("({field})")), "{note}");
            }
        }
        let kept = r#"{"model":"m","messages":[{"role":"user","X":1}],"X":2,"options":{"Seed":1},"format":{"Model":1}}"#;
        assert!(exact(NativeApi::Chat, kept).unwrap().is_none());
    }

    #[test]
    fn members_of_messages_and_calls_are_exact_too() {
        let body = r#"{"model":"m","messages":[{"role":"user","Role":"system","Images":["x"]},{"role":"assistant","tool_calls":[{"ID":"1","function":{"name":"f","NAME":"g","arguments":{"Name":1}}}]}]}"#;
        let (text, note) = exact(NativeApi::Chat, body).unwrap().unwrap();
        assert_eq!(
            text,
            r#"{"model":"m","messages":[{"role":"user"},{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":{"Name":1}}}]}]}"#
        );
        assert!(
            note.ends_with("Role (role), Images (images), ID (id), NAME (name)"),
            "{note}"
        );
    }

    #[test]
    fn a_model_or_a_prompt_in_another_spelling_alone_is_refused() {
        for (api, body, name) in [
            (NativeApi::Chat, r#"{"Model":"m","messages":[]}"#, "model"),
            (
                NativeApi::Chat,
                r#"{"model":"m","Messages":[]}"#,
                "messages",
            ),
            (
                NativeApi::Generate,
                r#"{"model":"m","PROMPT":"x"}"#,
                "prompt",
            ),
            (
                NativeApi::Embeddings,
                r#"{"model":"m","Prompt":"x"}"#,
                "prompt",
            ),
            (NativeApi::Embed, r#"{"model":"m","Input":"x"}"#, "input"),
        ] {
            let error = exact(api, body).unwrap_err();
            assert_eq!(error.param.as_deref(), Some(name), "{body}");
            let right = format!("must be spelt `{name}`");
            assert!(error.message.ends_with(&right), "{error}");
        }
    }
}
