//! The member `stop` without empty texts, which would end every answer before its first character:
//! Ollama (0.33) and llama.cpp's server (b11434) answer nothing at all to them.

use serde_json::value::RawValue;

use super::RewrittenField;

/// Returns `stop` as it has to be sent; `None` where it may stay as it is.
///
/// Lists in a list are joined. What is left of the texts keeps its bytes; where none is left, the
/// key goes, so that the engine's own stops stay. A value that is neither text nor list stays: the
/// engine has the last word.
pub(crate) fn rewritten_stop(raw: &str) -> Option<RewrittenField> {
    let mut texts = Vec::new();
    let mut found = StopFindings::default();
    if raw.starts_with(['"', '[']) {
        read(raw, &mut texts, &mut found);
    }
    let note = match (found.empty, found.other) {
        (false, false) if !found.nested => return None,
        (false, false) => "stop: lists in its list are joined",
        (true, false) => "stop: empty texts are dropped",
        (false, true) => "stop: what is no text is dropped",
        (true, true) => "stop: empty texts and what is no text are dropped",
    };
    Some(RewrittenField {
        name: "stop",
        json: (!texts.is_empty()).then(|| format!("[{}]", texts.join(","))),
        note: note.to_owned(),
    })
}

/// The kinds of values in `stop` beside texts that are not empty.
#[derive(Default)]
struct StopFindings {
    empty: bool,
    nested: bool,
    other: bool,
}

fn read<'a>(raw: &'a str, texts: &mut Vec<&'a str>, found: &mut StopFindings) {
    if raw == "\"\"" {
        found.empty = true;
    } else if raw.starts_with('"') {
        texts.push(raw);
    } else if let Ok(list) = serde_json::from_str::<Vec<&RawValue>>(raw) {
        found.empty |= list.is_empty();
        for value in list {
            found.nested |= value.get().starts_with('[');
            read(value.get(), texts, found);
        }
    } else {
        found.other = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_texts_go_and_the_others_keep_their_bytes() {
        let gone = Some(None);
        for (raw, becomes) in [
            (r#""a""#, None),
            (r#"["a" , "\u0062"]"#, None),
            (r#"[" "]"#, None),
            ("7", None),
            ("{}", None),
            (r#""""#, gone),
            ("[]", gone),
            ("[ ]", gone),
            (r#"[""]"#, gone),
            (r#"["",""]"#, gone),
            ("[null]", gone),
            ("[[]]", gone),
            (r#"["a",""]"#, Some(Some(r#"["a"]"#))),
            (r#"["", "\u0061" ,1.0]"#, Some(Some(r#"["\u0061"]"#))),
            (r#"["a",null]"#, Some(Some(r#"["a"]"#))),
            (r#"[["a","b"],"",["c"]]"#, Some(Some(r#"["a","b","c"]"#))),
        ] {
            let found = rewritten_stop(raw);
            let with = found.as_ref().map(|stop| stop.json.as_deref());
            assert_eq!(with, becomes, "{raw}");
            assert!(found.is_none_or(|stop| stop.note.starts_with("stop: ")));
        }
    }
}
