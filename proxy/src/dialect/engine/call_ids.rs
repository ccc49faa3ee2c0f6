//! The tool calls of an answer, mended so that clients can tell them apart and read them.
//!
//! Some engines count the ids of calls from 0 in every answer, give the same id to every call, or
//! give none; a client that looks up a result by its id then takes it for another call's. So a call
//! whose id is empty, or is taken in the conversation, gets a random one. Of an event's
//! `{"tool_calls":[{"index":0,"id":"a"}]}` only the id changes where the conversation has a call
//! `a` already.
//!
//! Two more things are mended on the way: arguments that are a JSON object or list become the text
//! that OpenAI's format asks for, and in a stream the `index` of a call is one that belongs to it
//! alone, because clients join the pieces of the same index.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use serde_json::Value;

use crate::dialect::chat::json_end::JsonEnd;

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
#[derive(Debug)]
struct StartedCall {
    /// The engine's id, and the one that it got.
    own: String,
    given: String,
    name: String,
    /// The end of the arguments so far.
    end: JsonEnd,
    /// The number of the call among those of its choice.
    number: u64,
}

// === impl CallIds ===

impl CallIds {
    /// Starts with the ids of the calls that the conversation has already, as the request's
    /// messages name them.
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

    /// Mends the calls of a whole answer: each gets an id that no other call of the conversation
    /// has, and arguments that are JSON text, `{}` where there are none. Reports whether anything
    /// changed.
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

    /// Mends the calls of one event of a stream, in which a call may come in pieces: id, `index`,
    /// and arguments that are no text. Reports whether anything changed.
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
        if let Some(begun) = self.streamed.get_mut(&place)
            && !begun.ends_before(call)
        {
            begun.end.push(&argument_text(call));
            return later(call, number, &id, &name, begun);
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
            let mut end = JsonEnd::default();
            end.push(&argument_text(call));
            let begun = StartedCall {
                end,
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

// === impl StartedCall ===

impl StartedCall {
    /// Reports whether a piece with this call's number begins another call: it has a name and another id.
    /// Without an id a name tells it where the engine numbers no calls, or where the arguments of this one
    /// are whole already and the piece has another name or arguments of its own.
    fn ends_before(&self, piece: &Value) -> bool {
        let (id, name) = (text(&piece["id"]), text(&piece["function"]["name"]));
        if name.is_empty() {
            return false;
        }
        if !id.is_empty() {
            return id != self.own && id != self.given;
        }
        let is_more = || name != self.name || !argument_text(piece).is_empty();
        piece["index"].is_null() || self.end.is_whole() && is_more()
    }
}

/// Returns the arguments of a call or of a piece of one, as text.
fn argument_text(call: &Value) -> Cow<'_, str> {
    match &call["function"]["arguments"] {
        Value::String(text) => text.into(),
        Value::Null => "".into(),
        other => other.to_string().into(),
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
    }
    if !name.is_empty()
        && name == begun.name
        && let Some(Value::Object(function)) = members.get_mut("function")
    {
        function.shift_remove("name");
        mended = true;
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
mod tests;
