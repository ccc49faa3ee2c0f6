//! Ids of tool calls, each of which stands for one call of a conversation.
//!
//! Some engines count from 0 in every answer, or give the same id to every call; a client that
//! looks a result up by its id then takes it for another call's.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

/// Calls of one answer that are remembered at most.
const MOST: usize = 4096;

/// The ids that are taken.
#[derive(Debug, Default)]
pub(crate) struct CallIds {
    taken: HashSet<String>,
    /// The calls of a stream by the numbers of their choice and of themselves: the engine's id, and
    /// the one that it got.
    streamed: HashMap<(u64, u64), (String, String)>,
}

// === impl CallIds ===

impl CallIds {
    /// Those of a conversation are taken.
    pub(crate) fn new(taken: HashSet<String>) -> Self {
        Self {
            taken,
            streamed: HashMap::new(),
        }
    }

    /// The id of a new call: the engine's, if it has one that nothing else has.
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

    /// Gives the calls of a whole answer ids of their own; whether any got another one.
    pub(crate) fn mend_answer(&mut self, answer: &mut Value) -> bool {
        let mut mended = false;
        for choice in elements(answer.get_mut("choices")) {
            let message = choice.get_mut("message");
            for call in elements(message.and_then(|m| m.get_mut("tool_calls"))) {
                mended |= self.mend(call, None, true);
            }
        }
        mended
    }

    /// The same for one event of a stream, where a call may come in pieces.
    pub(crate) fn mend_event(&mut self, event: &mut Value) -> bool {
        let mut mended = false;
        for choice in elements(event.get_mut("choices")) {
            let of = choice["index"].as_u64().unwrap_or(0);
            let delta = choice.get_mut("delta");
            for call in elements(delta.and_then(|delta| delta.get_mut("tool_calls"))) {
                let place = call["index"].as_u64().map(|call| (of, call));
                let begins = call["function"]["name"].is_string();
                mended |= self.mend(call, place, begins);
            }
        }
        mended
    }

    /// `begins`: it is the first piece of a call, or all of it.
    fn mend(&mut self, call: &mut Value, place: Option<(u64, u64)>, begins: bool) -> bool {
        let id = call["id"].as_str().unwrap_or_default().to_owned();
        let given = match place.and_then(|place| self.streamed.get(&place)) {
            // A later piece, which repeats the id or has none.
            Some((_, given)) if id.is_empty() || id == *given => return false,
            Some((own, given)) if *own == id => given.clone(),
            _ if !begins && (id.is_empty() || place.is_none()) => return false,
            _ => {
                let given = self.of(Some(&id));
                if let Some(place) = place
                    && self.streamed.len() < MOST
                {
                    self.streamed.insert(place, (id.clone(), given.clone()));
                }
                given
            }
        };
        if given == id {
            return false;
        }
        let Value::Object(call) = call else {
            return false;
        };
        call.insert("id".to_owned(), given.into());
        true
    }
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
        assert_eq!(of(&again), given);
        let mut bare = piece(0, json!(null));
        assert!(!ids.mend_event(&mut bare));
        let mut second = event(call(1, &json!("x")));
        assert!(ids.mend_event(&mut second));
        assert!(of(&second) != given && of(&second) != "x");
        let mut third = event(call(2, &json!("y")));
        assert!(!ids.mend_event(&mut third));
        assert!(!ids.mend_event(&mut piece(2, json!("y"))));
        let mut none = event(call(3, &json!("")));
        assert!(ids.mend_event(&mut none) && of(&none).is_string());
    }
}
