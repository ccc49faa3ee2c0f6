//! The JSON scanner and the splice: any body is refused, or edited without touching another byte.

use bytes::Bytes;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::body::{
    edit::{BodyEdit, NewValue, apply},
    peek::PeekedBody,
    scan::{self, JsonFault, JsonMember},
    surrogates,
};

/// The default of `limits.json_depth`; `serde_json` gives up at 128, so it judges whatever passes.
const DEPTH: usize = 64;

/// The edits of a request on its way to an engine, alone and together.
const EDITS: [&[BodyEdit<'static>]; 7] = [
    &[],
    &[BodyEdit::Set(
        "model",
        NewValue::Text("engine/\"m\"\\\u{e9}"),
    )],
    &[BodyEdit::Default("temperature", NewValue::Number(0.25))],
    &[BodyEdit::Remove("seed"), BodyEdit::Remove("model")],
    &[BodyEdit::IncludeUsage],
    &[BodyEdit::RemoveNulls],
    &[
        BodyEdit::Set("model", NewValue::Text("m")),
        BodyEdit::Default("temperature", NewValue::Raw("0.3")),
        BodyEdit::Remove("seed"),
        BodyEdit::IncludeUsage,
        BodyEdit::RemoveNulls,
    ],
];

/// Asserts that the scanner takes what `serde_json` takes, finds each member where it stands, and that
/// each edit leaves every other member byte for byte and in its order.
///
/// # Panics
///
/// Where one of these does not hold.
pub fn json_splice(data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    let peeked = PeekedBody::of(&body, DEPTH);
    let Ok(text) = std::str::from_utf8(data) else {
        assert!(peeked.is_err(), "a body has to be UTF-8");
        return;
    };
    let members = members(text);
    if members != Err(JsonFault::Depth) {
        let blank = |c| matches!(c, ' ' | '\t' | '\n' | '\r');
        let is_object = text.trim_start_matches(blank).starts_with('{')
            && serde_json::from_str::<IgnoredAny>(text).is_ok();
        assert_eq!(members.is_ok(), is_object, "serde_json judges otherwise");
    }
    assert!(peeked.is_err() || members.is_ok(), "the scanner refuses it");
    let (Ok(peek), Ok(members)) = (peeked, members) else {
        return;
    };
    for (key, value) in &members {
        assert!(serde_json::from_str::<IgnoredAny>(key).is_ok());
        assert!(serde_json::from_str::<IgnoredAny>(value).is_ok());
    }
    look(&body, &peek);
    for edits in EDITS {
        edit(&body, &peek, &members, edits);
    }
}

/// Everything that is read of a body, which must not fail.
fn look(body: &Bytes, peek: &PeekedBody) {
    peek.max_tokens(body);
    peek.num_ctx(body);
    peek.estimated_prompt_tokens();
    peek.has_plain_messages();
    peek.has_tools(body);
    peek.prompt(body);
    let (mended, is_mended) = surrogates::mended(body.clone());
    assert!(is_mended || mended == body);
}

fn edit(body: &Bytes, peek: &PeekedBody, before: &[(&str, &str)], edits: &[BodyEdit<'_>]) {
    let sent = apply(body, peek, edits);
    if edits.is_empty() {
        assert_eq!(sent.as_ptr(), body.as_ptr(), "nothing to change is no copy");
    }
    let text = std::str::from_utf8(&sent).unwrap_or_default();
    let after = members(text).unwrap_or_default();
    let is_kept = |member: &&(&str, &str)| is_kept(member, edits);
    assert!(
        before
            .iter()
            .filter(is_kept)
            .eq(after.iter().filter(is_kept)),
        "{edits:?} changed another member: {text}"
    );
    let again = PeekedBody::of(&sent, DEPTH).map(|peek| apply(&sent, &peek, edits));
    assert!(
        again.is_ok_and(|again| again == sent),
        "{edits:?} twice: {text}"
    );
    for edit in edits {
        assert!(is_done(*edit, &after), "{edit:?} is not done: {text}");
    }
}

/// No edit names this member.
fn is_kept(member: &(&str, &str), edits: &[BodyEdit<'_>]) -> bool {
    let key = serde_json::from_str::<String>(member.0).unwrap_or_default();
    !edits.iter().any(|edit| match edit {
        BodyEdit::Set(name, _) | BodyEdit::Default(name, _) | BodyEdit::Remove(name) => {
            key == *name
        }
        BodyEdit::IncludeUsage => key == "stream_options",
        BodyEdit::RemoveNulls => member.1 == "null",
    })
}

/// The members are as the edit wants them.
fn is_done(edit: BodyEdit<'_>, after: &[(&str, &str)]) -> bool {
    let value = |name: &str| {
        let mut found = after
            .iter()
            .filter(|(key, _)| serde_json::from_str::<String>(key).is_ok_and(|key| key == name));
        found.next().map(|(_, value)| *value)
    };
    let text = |name: &str| {
        let raw = value(name).unwrap_or_default();
        serde_json::from_str::<String>(raw).unwrap_or_default()
    };
    match edit {
        BodyEdit::Set(name, NewValue::Text(new)) => text(name) == new,
        BodyEdit::Set(name, _) | BodyEdit::Default(name, _) => {
            value(name).is_some_and(|raw| raw != "null")
        }
        BodyEdit::Remove(name) => value(name).is_none(),
        BodyEdit::IncludeUsage => value("stream_options").is_some_and(|raw| {
            // Options that are no object stay for the engine to refuse.
            serde_json::from_str::<serde_json::Map<String, Value>>(raw).map_or(true, |options| {
                options.get("include_usage") == Some(&true.into())
            })
        }),
        BodyEdit::RemoveNulls => after.iter().all(|(_, value)| *value != "null"),
    }
}

fn members(text: &str) -> Result<Vec<(&str, &str)>, JsonFault> {
    let mut all = Vec::new();
    scan::object(text, DEPTH, |member: JsonMember| {
        all.push((&text[member.key], &text[member.value]));
    })?;
    Ok(all)
}
