use serde_json::json;

use super::*;

fn call(index: u64, id: &Value) -> Value {
    json!({"index": index, "id": id, "function": {"name": "f", "arguments": ""}})
}

fn id_of(value: &Value, at: usize) -> &str {
    value["choices"][0]["message"]["tool_calls"][at]["id"]
        .as_str()
        .unwrap()
}

#[test]
fn the_calls_of_a_whole_answer_have_ids_of_their_own() {
    let taken = HashSet::from(["old".to_owned()]);
    let calls = [
        json!("a"),
        json!("a"),
        json!("old"),
        json!(""),
        json!(null),
        json!("b"),
    ];
    let calls: Vec<_> = calls.iter().map(|id| call(0, id)).collect();
    let mut answer = json!({"choices": [{"message": {"tool_calls": calls}}]});
    assert!(CallIds::new(taken).mend_answer(&mut answer));
    let ids: HashSet<_> = (0..6).map(|at| id_of(&answer, at)).collect();
    assert_eq!(ids.len(), 6, "{answer}");
    assert!(!ids.contains("old") && !ids.contains(""));
    assert_eq!((id_of(&answer, 0), id_of(&answer, 5)), ("a", "b"));
    let mut good = json!({"choices": [{"message": {"tool_calls": [call(0, &json!("a"))]}}]});
    assert!(!CallIds::default().mend_answer(&mut good));
    assert!(!CallIds::default().mend_answer(&mut json!({"choices": 7})));
}

#[test]
fn a_call_in_pieces_keeps_the_id_that_it_got() {
    let event = |call: Value| json!({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]});
    let piece = |index: u64, id: Value| {
        event(json!({"index": index, "id": id, "function": {"arguments": "{"}}))
    };
    let mut ids = CallIds::new(HashSet::from(["x".to_owned()]));
    let of = |event: &Value| event["choices"][0]["delta"]["tool_calls"][0]["id"].clone();
    let mut first = event(call(0, &json!("x")));
    assert!(ids.mend_event(&mut first));
    let given = of(&first);
    assert_ne!(given, "x");
    let mut again = piece(0, json!("x"));
    assert!(ids.mend_event(&mut again));
    assert_eq!(of(&again), json!(null));
    let mut bare = piece(0, json!(null));
    assert!(!ids.mend_event(&mut bare));
    let mut second = event(call(1, &json!("x")));
    assert!(ids.mend_event(&mut second));
    assert!(of(&second) != given && of(&second) != "x");
    let mut third = event(call(2, &json!("y")));
    assert!(!ids.mend_event(&mut third));
    assert!(!ids.mend_event(&mut piece(2, json!(null))));
    let mut none = event(call(3, &json!("")));
    assert!(ids.mend_event(&mut none) && of(&none).is_string());
}

/// The calls that a client puts together, which joins the texts of each number.
fn joined(pieces: &[Value]) -> Vec<(String, String, String)> {
    let mut ids = CallIds::default();
    let mut calls: Vec<(String, String, String)> = Vec::new();
    for piece in pieces {
        let mut event = json!({"choices": [{"delta": {"tool_calls": [piece]}}]});
        ids.mend_event(&mut event);
        let piece = &event["choices"][0]["delta"]["tool_calls"][0];
        let number = usize::try_from(piece["index"].as_u64().unwrap()).unwrap();
        if number >= calls.len() {
            calls.resize(number + 1, Default::default());
        }
        calls[number].0.push_str(text(&piece["id"]));
        calls[number].1.push_str(text(&piece["function"]["name"]));
        let arguments = text(&piece["function"]["arguments"]);
        calls[number].2.push_str(arguments);
    }
    calls
}

#[test]
fn pieces_are_joined_to_the_calls_that_they_belong_to() {
    let call = |of: &[(&str, &str, &str)]| {
        let own = |(id, name, arguments): &(&str, &str, &str)| {
            (
                (*id).to_owned(),
                (*name).to_owned(),
                (*arguments).to_owned(),
            )
        };
        of.iter().map(own).collect::<Vec<_>>()
    };
    let f = |name: &str, arguments: &str| json!({"name": name, "arguments": arguments});
    let more = |arguments: &str| json!({"arguments": arguments});
    let two = call(&[("a", "f", "{}"), ("b", "g", "{}")]);
    for (what, pieces, calls) in [
        (
            "no numbers",
            vec![
                json!({"id": "a", "function": f("f", "{")}),
                json!({"function": more("}")}),
                json!({"id": "b", "function": f("g", "{}")}),
            ],
            two.clone(),
        ),
        (
            "one number for all",
            vec![
                json!({"index": 0, "id": "a", "function": f("f", "{}")}),
                json!({"index": 0, "id": "b", "function": f("g", "{")}),
                json!({"index": 0, "function": more("}")}),
            ],
            two.clone(),
        ),
        (
            "an id and a name in each piece",
            vec![
                json!({"index": 0, "id": "a", "function": f("f", "{")}),
                json!({"index": 0, "id": "a", "function": f("f", "}")}),
                json!({"index": 1, "id": "b", "function": f("g", "{}")}),
            ],
            two.clone(),
        ),
        (
            "another id in each piece",
            vec![
                json!({"index": 0, "id": "a", "function": f("f", "{")}),
                json!({"index": 0, "id": "z", "function": more("}")}),
                json!({"index": 1, "id": "b", "function": {"name": "g", "arguments": {}}}),
            ],
            two,
        ),
        (
            "empty names, numbers from 0",
            vec![
                json!({"index": 0, "id": "a", "function": f("f", "{")}),
                json!({"index": 0, "id": "", "function": f("", "}")}),
            ],
            call(&[("a", "f", "{}")]),
        ),
    ] {
        assert_eq!(joined(&pieces), calls, "{what}");
    }
}

#[test]
fn without_ids_a_name_behind_whole_arguments_begins_a_call() {
    let piece = |name: &str, arguments: &str| json!({"index": 0, "function": {"name": name, "arguments": arguments}});
    let more = |arguments: &str| json!({"index": 0, "function": {"arguments": arguments}});
    for (what, pieces, calls) in [
        (
            "whole calls",
            vec![piece("f", "{}"), piece("f", "{\"a\":1}"), piece("g", "")],
            vec![("f", "{}"), ("f", "{\"a\":1}"), ("g", "")],
        ),
        (
            "calls in pieces",
            vec![
                piece("f", "{\"a\":\"}"),
                more("\"}"),
                piece("g", ""),
                more("{}"),
            ],
            vec![("f", "{\"a\":\"}\"}"), ("g", "{}")],
        ),
        (
            "a name in each piece",
            vec![piece("f", "{"), piece("f", "}"), piece("f", "")],
            vec![("f", "{}")],
        ),
    ] {
        let found = joined(&pieces);
        let ids: HashSet<&String> = found.iter().map(|(id, ..)| id).collect();
        assert_eq!(ids.len(), calls.len(), "{what}: {found:?}");
        let found = found
            .iter()
            .map(|(_, name, arguments)| (&**name, &**arguments));
        assert_eq!(found.collect::<Vec<_>>(), calls, "{what}");
    }
}

#[test]
fn arguments_are_a_text() {
    for (arguments, is) in [
        (json!({"reasoning": "x"}), json!(r#"{"reasoning":"x"}"#)),
        (json!([1]), json!("[1]")),
        (json!("{}"), json!("{}")),
        (json!(null), json!("{}")),
    ] {
        let call = json!({"id": "a", "function": {"name": "f", "arguments": arguments}});
        let mut answer = json!({"choices": [{"message": {"tool_calls": [call]}}]});
        CallIds::default().mend_answer(&mut answer);
        let call = &answer["choices"][0]["message"]["tool_calls"][0];
        assert_eq!(call["function"]["arguments"], is);
    }
}
