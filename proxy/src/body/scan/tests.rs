use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::*;

fn members(text: &str) -> Result<Vec<(String, String)>, JsonFault> {
    let mut all = Vec::new();
    object(text, 64, |member: JsonMember| {
        all.push((text[member.key].to_owned(), text[member.value].to_owned()));
    })
    .map(|_| all)
}

fn close(text: &str, max_depth: usize) -> Result<usize, JsonFault> {
    object(text, max_depth, |_: JsonMember| {}).map(|scanned| scanned.close)
}

#[test]
fn brackets_and_nulls_are_counted_member_by_member() {
    let text = r#"{"a":[{"b":null},[]],"c":"[null]","d":null,"e":{"f":[null,null]}}"#;
    let mut counts = Vec::new();
    let scanned = object(text, 64, |member: JsonMember| {
        counts.push((member.brackets, member.nulls));
    });
    assert_eq!(counts, [(3, 1), (0, 0), (0, 1), (2, 2)]);
    assert!(!scanned.unwrap().has_surrogates);
}

#[test]
fn escapes_of_surrogates_are_seen_in_keys_and_values() {
    for (text, seen) in [
        (r#"{"a":"\\ud83d \u00e9 ud83d \n"}"#, false),
        (r#"{"a":"\ud83d\ude00"}"#, true),
        (r#"{"\uDE00":[1]}"#, true),
        (
            r#"{"a":[{"b":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\udfff"}]}"#,
            true,
        ),
    ] {
        let scanned = object(text, 64, |_: JsonMember| {}).unwrap();
        assert_eq!(scanned.has_surrogates, seen, "{text}");
    }
}

#[test]
fn members_are_found_with_their_raw_text() {
    let found =
        members(" { \"a\" : -1.5e3 , \"b\":[1,{\"c\":2}],\"d\":\"\\\"\",\"e\":{} }\n").unwrap();
    let pairs: Vec<(&str, &str)> = found.iter().map(|(k, v)| (&**k, &**v)).collect();
    assert_eq!(
        pairs,
        [
            ("\"a\"", "-1.5e3"),
            ("\"b\"", "[1,{\"c\":2}]"),
            ("\"d\"", "\"\\\"\""),
            ("\"e\"", "{}"),
        ]
    );
    assert_eq!(close("{\"a\":1} ", 64), Ok(6));
    assert_eq!(close("{}", 64), Ok(1));
}

#[test]
fn what_is_no_object_is_a_fault() {
    for text in [
        "",
        " ",
        "7",
        "\"a\"",
        "[]",
        "null",
        "{",
        "}",
        "{]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{\"a\" 1}",
        "{\"a\":1 2}",
        "{\"a\":01}",
        "{\"a\":1.}",
        "{\"a\":+1}",
        "{\"a\":tru}",
        "{\"a\":[1,]}",
        "{\"a\":[1}",
        "{\"a\":[,1]}",
        "{} {}",
        "{}x",
        "{\"a\":\"\u{1}\"}",
        "{\"a\":NaN}",
        "{a:1}",
        "{\"a\":1e}",
        "{\"a\":- 1}",
        "\\",
        "{\"a\":[\\n]}",
        "{\"a\":1\\}",
    ] {
        assert_eq!(members(text), Err(JsonFault::Syntax), "{text}");
    }
}

#[test]
fn depth_counts_open_brackets() {
    assert_eq!(close("{\"a\":[]}", 2), Ok(7));
    assert_eq!(close("{\"a\":[]}", 1), Err(JsonFault::Depth));
}

/// Bytes that matter to the grammar, and some that do not.
fn jsonish() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "{", "}", "[", "]", ",", ":", "\"", "\\", "\\\"", "\\n", "\\u00e9", "\\u12", "\"a\"",
        "\"k\":", "1", "-0.5e-7", "00", "true", "null", "nul", " ", "\n", "\u{1}", "é", "x",
    ]);
    prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat())
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ -~é\\\\\"\n]{0,90}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec(("[a-z\\\\\"]{0,9}", inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(2000)))]

    #[test]
    fn refuses_what_serde_json_refuses(inner in jsonish(), wrapped in any::<bool>()) {
        let text = if wrapped { format!("{{\"a\":{inner}}}") } else { inner };
        let is_object = serde_json::from_str::<IgnoredAny>(&text).is_ok()
            && text.trim_start().starts_with('{');
        prop_assert_eq!(members(&text).is_ok(), is_object, "{}", text);
    }

    #[test]
    fn finds_every_member_of_any_object(
        values in prop::collection::vec(json(), 0..6),
        pretty in any::<bool>(),
    ) {
        let keyed = values.iter().enumerate().map(|(i, v)| (format!("k{i}"), v.clone()));
        let whole = Value::Object(keyed.collect());
        let text = if pretty {
            serde_json::to_string_pretty(&whole).unwrap()
        } else {
            whole.to_string()
        };
        let found: Vec<Value> = members(&text)
            .unwrap()
            .iter()
            .map(|(_, value)| serde_json::from_str(value).unwrap())
            .collect();
        let sent: Vec<Value> = serde_json::from_str::<Value>(&text)
            .unwrap()
            .as_object()
            .unwrap()
            .values()
            .cloned()
            .collect();
        prop_assert_eq!(found, sent);
    }
}
