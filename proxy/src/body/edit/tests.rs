use proptest::prelude::*;
use serde_json::{Map, Value};

use super::*;

fn edited(text: &str, edits: &[BodyEdit<'_>]) -> String {
    let body = Bytes::copy_from_slice(text.as_bytes());
    let peek = PeekedBody::of(&body, 64).unwrap();
    String::from_utf8(apply(&body, &peek, edits).to_vec()).unwrap()
}

#[test]
fn other_bytes_stay() {
    assert_eq!(
        edited(
            "{ \"x\" : 1.50e1,\"model\" : \"a\" , \"top_p\":null }",
            &[
                BodyEdit::Set("model", NewValue::Text("b")),
                BodyEdit::Default("top_p", NewValue::Number(0.8)),
                BodyEdit::Default("temperature", NewValue::Raw("0.3")),
            ]
        ),
        "{ \"x\" : 1.50e1,\"model\" : \"b\" , \"top_p\":0.8 ,\"temperature\":0.3}"
    );
}

#[test]
fn nulls_go_wherever_they_stand_unless_they_are_set() {
    let edits = [
        BodyEdit::Set("model", NewValue::Text("b")),
        BodyEdit::Default("top_p", NewValue::Raw("0.8")),
        BodyEdit::Remove("seed"),
        BodyEdit::IncludeUsage,
        BodyEdit::RemoveNulls,
    ];
    for (text, left) in [
        (
            r#"{"a":null,"model":"x","top_p":null,"seed":null,"stream_options":null,"z": null}"#,
            r#"{"model":"b","top_p":0.8,"stream_options":{"include_usage":true}}"#,
        ),
        (
            r#"{ "n" : null , "stop":null, "model":null, "m":{"k":null}}"#,
            r#"{ "model":"b", "m":{"k":null},"top_p":0.8,"stream_options":{"include_usage":true}}"#,
        ),
        (
            r#"{"x":null}"#,
            r#"{"model":"b","top_p":0.8,"stream_options":{"include_usage":true}}"#,
        ),
        (
            r#"{"x":"null","y":[null],"model":"x","n":null}"#,
            r#"{"x":"null","y":[null],"model":"b","top_p":0.8,"stream_options":{"include_usage":true}}"#,
        ),
    ] {
        let sent = edited(text, &edits);
        let value: Value = serde_json::from_str(&sent).unwrap_or_else(|e| panic!("{sent}: {e}"));
        let wanted: Value = serde_json::from_str(left).unwrap();
        assert_eq!(value, wanted, "{text} became {sent}");
    }
    let kept = r#"{"model":"b" , "x":[ 1.0 ]}"#;
    let same = edited(
        kept,
        &[
            BodyEdit::Set("model", NewValue::Text("b")),
            BodyEdit::RemoveNulls,
        ],
    );
    assert_eq!(same, kept);
}

#[test]
fn removing_any_subset_leaves_an_object() {
    let names = ["model", "n", "seed", "stop"];
    let text = r#"{"model":"a" , "n":1, "seed" :2,"stop":3 }"#;
    for mask in 0..16_u8 {
        let edits: Vec<_> = names
            .iter()
            .enumerate()
            .filter(|(i, _)| mask & (1 << i) != 0)
            .map(|(_, name)| BodyEdit::Remove(name))
            .chain([BodyEdit::Default("top_p", NewValue::Number(1.0))])
            .collect();
        let value: Value = serde_json::from_str(&edited(text, &edits)).unwrap();
        assert_eq!(
            value.as_object().unwrap().len(),
            5 - mask.count_ones() as usize
        );
    }
}

#[test]
fn nothing_to_change_is_no_copy() {
    let body = Bytes::from_static(br#"{"model":"a","stream_options":{"include_usage":true}}"#);
    let peek = PeekedBody::of(&body, 64).unwrap();
    let same = apply(
        &body,
        &peek,
        &[
            BodyEdit::Set("model", NewValue::Text("a")),
            BodyEdit::IncludeUsage,
        ],
    );
    assert_eq!(same.as_ptr(), body.as_ptr());
}

#[test]
fn a_name_is_quoted_and_a_new_object_begins_without_a_comma() {
    let odd = "a\"b\\c";
    let set = [BodyEdit::Set("model", NewValue::Text(odd))];
    for text in ["{}", r#"{"model":"a\"b\\d"}"#, r#"{"model":null}"#] {
        let after: Value = serde_json::from_str(&edited(text, &set)).unwrap();
        assert_eq!(after, serde_json::json!({ "model": odd }));
    }
}

#[test]
fn usage_is_asked_for_beside_other_options() {
    assert_eq!(
        edited(
            r#"{"stream_options":{"a":1,"include_usage":false}}"#,
            &[BodyEdit::IncludeUsage]
        ),
        r#"{"stream_options":{"a":1,"include_usage":true}}"#
    );
}

proptest! {
    #[test]
    fn only_named_keys_change(
        others in prop::collection::btree_map("[a-z\\\\\"\u{e9}]{1,6}x", any::<i64>(), 0..6),
        model in prop::option::of("[a-z]{0,5}"),
        temperature in prop::option::of(-500..500_i32),
    ) {
        let mut object = Map::new();
        for (key, value) in others {
            object.insert(key, value.into());
        }
        if let Some(model) = model {
            object.insert("model".to_owned(), model.into());
        }
        if let Some(value) = temperature {
            object.insert("temperature".to_owned(), value.into());
        }
        let text = serde_json::to_string(&object).unwrap();
        let after = edited(&text, &[
            BodyEdit::Set("model", NewValue::Text("new")),
            BodyEdit::Default("temperature", NewValue::Number(0.25)),
        ]);
        object.insert("model".to_owned(), "new".into());
        object.entry("temperature").or_insert(0.25.into());
        // Byte for byte: the key order and every other byte are as they were.
        prop_assert_eq!(after, serde_json::to_string(&object).unwrap());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let body = Bytes::from(bytes);
        if let Ok(peek) = PeekedBody::of(&body, 64) {
            apply(&body, &peek, &[BodyEdit::Remove("model"), BodyEdit::IncludeUsage]);
        }
    }
}
