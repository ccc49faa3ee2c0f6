//! The ids of tool calls, made unique within a conversation.
//!
//! Some engines count from 0 in every answer, or give the same id to every call; a client that looks
//! up a result by its id then takes it for another call's. Of an event's
//! `{"tool_calls":[{"index":0,"id":"a"}]}` only the id changes, and only where the conversation has a
//! call `a` already.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

/// The number of calls of one answer that are remembered at most.
const MOST: usize = 4096;

/// The ids of the calls of a conversation, and the calls of the present answer.
#[derive(Debug, Default)]
pub(crate) struct CallIds {
    taken: HashSet<String>,
    /// The calls of a stream by the number of their choice and the engine's of themselves, where it
    /// numbers them; of two that the engine gave one number the later.
    streamed: HashMap<(u64, Option<u64>), StartedCall>,
    /// The number of calls of each choice so far.
    counts: HashMap<u64, u64>,
}

/// A call of a stream whose first piece has come.
#[derive(Clone, Debug)]
struct StartedCall {
    /// The engine's id, and the one that it got.
    own: String,
    given: String,
    name: String,
    /// The number of the call among those of its choice.
    number: u64,
}

// === impl CallIds ===

impl CallIds {
    /// Starts with the ids that the conversation has already.
    pub(crate) fn new(taken: HashSet<String>) -> Self {
        Self {
            taken,
            ..Self::default()
        }
    }

    /// Returns the id of a new call: the engine's where no other call has it, else a random one.
    pub(crate) fn of(&mut self, id: Option<&str>) -> String {
        if let Some(id) = id.filter(|id| !id.is_empty())
            && !self.taken.contains(id)
        {
            if self.taken.len() < MOST {
                self.taken.insert(id.to_owned());
            }
            return id.to_owned();
        }
        format!("call_{:016x}", rand::random::<u64>())
    }

    /// Gives the calls of a whole answer ids of their own, and writes their arguments as the text that
    /// clients read. Reports whether anything changed.
    pub(crate) fn mend_answer(&mut self, answer: &mut Value) -> bool {
        let mut mended = false;
        for choice in elements(answer.get_mut("choices")) {
            let message = choice.get_mut("message");
            for call in elements(message.and_then(|m| m.get_mut("tool_calls"))) {
                let id = text(&call["id"]).to_owned();
                let given = self.of(Some(&id));
                mended |= set(call, "id", (given != id).then(|| given.into()));
                mended |= spell_arguments(call, true);
            }
        }
        mended
    }

    /// Does the same for one event of a stream, in which a call may come in pieces.
    pub(crate) fn mend_event(&mut self, event: &mut Value) -> bool {
        let mut mended = false;
        for choice in elements(event.get_mut("choices")) {
            let of = choice["index"].as_u64().unwrap_or(0);
            let delta = choice.get_mut("delta");
            for call in elements(delta.and_then(|delta| delta.get_mut("tool_calls"))) {
                mended |= self.mend(call, of);
                mended |= spell_arguments(call, false);
            }
        }
        mended
    }

    /// Mends one piece of a call. Clients join the pieces of the same number, and most of them join
    /// every text in these, the id too. So each piece gets a number that belongs to one call alone,
    /// and the id comes once.
    fn mend(&mut self, call: &mut Value, of: u64) -> bool {
        let number = call["index"].as_u64();
        let id = text(&call["id"]).to_owned();
        let name = text(&call["function"]["name"]).to_owned();
        let place = (of, number);
        if let Some(begun) = self.streamed.get(&place) {
            let same = id.is_empty() || id == begun.own || id == begun.given;
            // Without a number, a name is all that tells a new call from a piece of the last one.
            let begins = !name.is_empty() && (!same || number.is_none() && id.is_empty());
            if !begins {
                let begun = begun.clone();
                return later(call, number, &id, &name, &begun);
            }
        }
        if name.is_empty() && id.is_empty() {
            return false;
        }
        let count = self.counts.entry(of).or_default();
        // The engine's own numbers, as long as they tell its calls apart.
        let own = number.filter(|number| *number >= *count);
        let chosen = own.unwrap_or(*count);
        *count = chosen.saturating_add(1);
        let given = self.of(Some(&id));
        if self.streamed.len() < MOST {
            let begun = StartedCall {
                own: id.clone(),
                given: given.clone(),
                name,
                number: chosen,
            };
            self.streamed.insert(place, begun);
        }
        let mut mended = set(call, "id", (given != id).then(|| given.into()));
        mended |= set(
            call,
            "index",
            (number != Some(chosen)).then(|| chosen.into()),
        );
        mended
    }
}

/// Mends a later piece of a call, which needs nothing but its number.
fn later(call: &mut Value, number: Option<u64>, id: &str, name: &str, begun: &StartedCall) -> bool {
    let other = number != Some(begun.number);
    let mut mended = set(call, "index", other.then(|| begun.number.into()));
    let Value::Object(members) = call else {
        return mended;
    };
    if !id.is_empty() {
        members.shift_remove("id");
        mended = true;
        if name == begun.name
            && let Some(Value::Object(function)) = members.get_mut("function")
        {
            function.shift_remove("name");
        }
    }
    mended
}

/// Writes arguments that are no text as the text that they have to be. In a `whole` call absent
/// arguments become `{}`.
fn spell_arguments(call: &mut Value, whole: bool) -> bool {
    let Some(Value::Object(function)) = call.get_mut("function") else {
        return false;
    };
    let text = match function.get("arguments") {
        Some(arguments @ (Value::Object(_) | Value::Array(_))) => arguments.to_string(),
        None | Some(Value::Null) if whole => "{}".to_owned(),
        _ => return false,
    };
    function.insert("arguments".to_owned(), text.into());
    true
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Sets a member of an object where there is a value to set; reports whether it did.
fn set(object: &mut Value, name: &str, value: Option<Value>) -> bool {
    let (Value::Object(members), Some(value)) = (object, value) else {
        return false;
    };
    members.insert(name.to_owned(), value);
    true
}

fn elements(value: Option<&mut Value>) -> impl Iterator<Item = &mut Value> {
    value.and_then(Value::as_array_mut).into_iter().flatten()
}

#[cfg(test)]
mod tests {
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
        let event =
            |call: Value| json!({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]});
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
}
