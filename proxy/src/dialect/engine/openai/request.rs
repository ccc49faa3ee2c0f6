//! The edits of a chat request for an engine that speaks OpenAI's chat completions itself.
//!
//! Each edit is a function of `EditList`, in the order in which notes are given. A request that needs no
//! edit but the model's name keeps every other byte.

use std::collections::HashSet;

use bytes::Bytes;
use crucible_config::checked::RequestDefaults;

use super::{
    edit_list::{EditList, MemberRewrites},
    prompt_events::PromptEvents,
    quirks::OpenAiQuirks,
};
use crate::{
    body::{
        edit::{self, BodyEdit, NewValue},
        peek::PeekedBody,
    },
    error::Error,
};

/// A body for an engine that speaks OpenAI's chat completions.
#[derive(Clone, Debug)]
pub struct EditedRequest {
    /// The body to send.
    pub body: Bytes,
    /// The names of the sampling values that were filled in.
    pub defaults: Vec<&'static str>,
    /// Sentences for the header `x-crucible-note` about what was changed or left out.
    pub notes: Vec<String>,
    /// Whether usage was asked for on the client's behalf, so that its extra event must be dropped again.
    pub injected_usage: bool,
    /// The treatment of the engine's reports on the reading of the prompt.
    pub(crate) prompt_events: PromptEvents,
    /// Ids of the tool calls in the conversation; a new call gets another id.
    pub call_ids: HashSet<String>,
}

/// Edits a chat request for an engine with these quirks; `model` is the engine's name of the model.
///
/// # Errors
/// Those of `rewritten_numbers` and of `ToolChoice::of`.
pub fn edit(
    body: &Bytes,
    peek: &PeekedBody,
    model: &str,
    defaults: &RequestDefaults,
    quirks: &OpenAiQuirks,
) -> Result<EditedRequest, Error> {
    let rewrites = MemberRewrites::of(body, peek, quirks)?;
    let mut list = EditList::new(&rewrites);
    list.edits
        .push(BodyEdit::Set("model", NewValue::Text(model)));
    let filled = list.fill_gaps(defaults);
    list.rewrite_messages();
    list.switch_template();
    list.rewrite_numbers_and_stop();
    list.repeat_limit();
    list.rewrite_response_format();
    list.rewrite_tool_choice();
    list.rewrite_tools();
    list.drop_no_alternatives();
    list.rewrite_prompt();
    let injected_usage = list.ask_for_usage();
    let prompt_events = list.ask_for_prompt_events();
    list.drop_nulls();
    Ok(EditedRequest {
        body: edit::apply(body, peek, &list.edits),
        defaults: filled,
        notes: list.notes,
        injected_usage,
        prompt_events,
        call_ids: rewrites.messages.call_ids,
    })
}

#[cfg(test)]
mod tests {
    use crucible_config::checked::{DefaultSource, FilledValue};

    use super::*;
    use crate::dialect::engine::openai::quirks::{LLAMA_CPP, LM_STUDIO, OPENAI_COMPATIBLE};

    #[test]
    fn gaps_are_filled_and_zero_is_a_value() {
        let body = Bytes::from_static(
            br#"{"model":"m","stream":true,"temperature":0,"messages":[1],"zz":1.0e2}"#,
        );
        let peek = PeekedBody::of(&body, 64).unwrap();
        let value = |value| {
            Some(FilledValue {
                value,
                from: DefaultSource::Profile,
            })
        };
        let defaults = RequestDefaults {
            temperature: value(0.3),
            top_p: value(0.8),
            frequency_penalty: None,
            presence_penalty: None,
        };
        let edited = edit(&body, &peek, "lib/m", &defaults, &LLAMA_CPP).unwrap();
        assert_eq!(edited.defaults, ["top_p"]);
        assert!(edited.injected_usage);
        assert_eq!(
            edited.body,
            r#"{"model":"lib/m","stream":true,"temperature":0,"messages":[1],"zz":1.0e2,"top_p":0.8,"stream_options":{"include_usage":true},"return_progress":true}"#
        );
    }

    #[test]
    fn what_an_engine_would_refuse_or_misread_is_bent_and_said() {
        let chosen = r#"{"z":1.0,"tools":[{"type":"function","function":{"name":"f"}}, {"type":"function","function": {"name":"g"}}],"tool_choice":{"type":"function","function":{"name":"g"}},"messages":[1]}"#;
        let sent = r#"{"z":1.0,"tools":[{"type":"function","function": {"name":"g"}}],"tool_choice":"required","messages":[1],"model":"m"}"#;
        let said = "tool_choice is sent as required, and only the tools that it allows are offered";
        let json = r#"{"response_format":{"type":"json_object"},"messages":[1]}"#;
        let schema = r#"{"response_format":{"type":"json_schema","json_schema":{"name":"json_object","schema":{"type":"object"}}},"messages":[1],"model":"m"}"#;
        let plain = |text: &str| format!(r#"{},"model":"m"}}"#, &text[..text.len() - 1]);
        for (quirks, text, becomes, note) in [
            (&LM_STUDIO, chosen, sent.to_owned(), Some(said)),
            (&LLAMA_CPP, chosen, sent.to_owned(), Some(said)),
            (&OPENAI_COMPATIBLE, chosen, plain(chosen), None),
            (
                &LM_STUDIO,
                json,
                schema.to_owned(),
                Some("response_format json_object is sent as json_schema"),
            ),
            (&LLAMA_CPP, json, plain(json), None),
            (&OPENAI_COMPATIBLE, json, plain(json), None),
        ] {
            let body = Bytes::copy_from_slice(text.as_bytes());
            let peek = PeekedBody::of(&body, 64).unwrap();
            let edited = edit(&body, &peek, "m", &RequestDefaults::default(), quirks).unwrap();
            assert_eq!(edited.body, becomes, "{:?}", quirks.kind);
            assert_eq!(
                edited.notes.first().map(String::as_str),
                note,
                "{:?} {text}",
                quirks.kind
            );
        }
    }
}
