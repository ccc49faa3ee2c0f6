//! The edits of one chat request for an engine with quirks: each quirk that the request meets is one edit,
//! and a note where the client asked for something else.

use bytes::Bytes;
use crucible_config::checked::RequestDefaults;

use super::{
    choice::{choice_note, left_by},
    completion::only_text,
    messages::{RewrittenMessages, rewrite_messages},
    prompt_events::PromptEvents,
    quirks::OpenAiQuirks,
    response_format::{is_no_format, json_schema_format},
    template_switch::template_switch,
};
use crate::{
    body::{
        edit::{BodyEdit, NewValue},
        peek::PeekedBody,
    },
    dialect::{
        chat::{asks_for_usage, sampling::sampling_defaults, tool_choice::ToolChoice},
        engine::fields::{
            RewrittenField,
            numbers::{asks_for_no_alternatives, rewritten_numbers},
            stop::rewritten_stop,
            tools::{RewrittenTools, rewritten_tools},
        },
    },
    error::Error,
};

/// The members of a request that an engine with some quirks takes in another spelling.
pub(super) struct MemberRewrites<'a> {
    pub(super) messages: RewrittenMessages,
    /// `chat_template_kwargs`, and the path of the wish that it spells.
    template_switch: Option<(String, &'static str)>,
    numbers: Vec<RewrittenField>,
    stop: Option<RewrittenField>,
    /// `response_format`, and its note.
    response_format: Option<(String, &'static str)>,
    /// The choice, where it is no plain word.
    tool_choice: Option<ToolChoice>,
    tools: Option<RewrittenTools>,
    /// The text of a raw prompt that is a list of one.
    prompt: Option<&'a str>,
    /// The request that is rewritten.
    body: &'a Bytes,
    peek: &'a PeekedBody,
    quirks: &'a OpenAiQuirks,
}

/// The edits of one request so far, and what is said about them.
pub(super) struct EditList<'a> {
    rewrites: &'a MemberRewrites<'a>,
    pub(super) edits: Vec<BodyEdit<'a>>,
    pub(super) notes: Vec<String>,
}

// === impl MemberRewrites ===

impl<'a> MemberRewrites<'a> {
    pub(super) fn of(
        body: &'a Bytes,
        peek: &'a PeekedBody,
        quirks: &'a OpenAiQuirks,
    ) -> Result<Self, Error> {
        let response_format = quirks.json_schema_only.then(|| {
            let raw = peek.raw(body, "response_format")?;
            json_schema_format(raw)
        });
        let tool_choice = if quirks.tool_choice_words_only {
            ToolChoice::of(body, peek)?.filter(|choice| choice.is_rewritten)
        } else {
            None
        };
        // Whether a long text is UTF-8 is only looked at where it is read.
        let messages = (!peek.has_plain_messages()).then(|| peek.raw(body, "messages"));
        let template_switch = quirks.template_switch.then(|| template_switch(body, peek));
        let tools = left_by(tool_choice.as_ref()).or_else(|| peek.raw(body, "tools"));
        Ok(Self {
            messages: messages
                .flatten()
                .map_or_else(RewrittenMessages::default, |raw| {
                    rewrite_messages(raw, quirks)
                }),
            template_switch: template_switch.flatten(),
            numbers: rewritten_numbers(body, peek, &quirks.numbers)?,
            stop: peek.raw(body, "stop").and_then(rewritten_stop),
            response_format: response_format.flatten(),
            tools: tools
                .filter(|_| quirks.strict_tools)
                .map_or(Ok(None), rewritten_tools)?,
            tool_choice,
            prompt: quirks
                .single_prompts
                .then(|| peek.raw(body, "prompt").and_then(only_text))
                .flatten(),
            body,
            peek,
            quirks,
        })
    }

    fn raw(&self, name: &str) -> Option<&'a str> {
        self.peek.raw(self.body, name)
    }
}

// === impl EditList ===

impl<'a> EditList<'a> {
    pub(super) fn new(rewrites: &'a MemberRewrites<'a>) -> Self {
        Self {
            rewrites,
            edits: Vec::with_capacity(8),
            notes: Vec::new(),
        }
    }

    fn set(&mut self, name: &'static str, json: &'a str) {
        self.edits.push(BodyEdit::Set(name, NewValue::Raw(json)));
    }

    /// Fills in the sampling values that the request lacks; returns their names.
    pub(super) fn fill_gaps(&mut self, defaults: &RequestDefaults) -> Vec<&'static str> {
        let mut filled = Vec::with_capacity(5);
        for (name, value) in sampling_defaults(defaults) {
            if self.rewrites.raw(name).is_none()
                && let Some(value) = value
            {
                self.edits
                    .push(BodyEdit::Default(name, NewValue::Number(value)));
                filled.push(name);
            }
        }
        filled
    }

    pub(super) fn rewrite_messages(&mut self) {
        let messages = &self.rewrites.messages;
        if let Some(list) = &messages.list {
            self.set("messages", list);
        }
        self.notes.extend_from_slice(&messages.notes);
    }

    pub(super) fn switch_template(&mut self) {
        if let Some((kwargs, path)) = &self.rewrites.template_switch {
            self.set("chat_template_kwargs", kwargs);
            self.notes.push(format!(
                "{path} is sent as chat_template_kwargs.enable_thinking"
            ));
        }
    }

    pub(super) fn rewrite_numbers_and_stop(&mut self) {
        let MemberRewrites { numbers, stop, .. } = self.rewrites;
        for field in numbers.iter().chain(stop) {
            match &field.json {
                Some(json) => self.set(field.name, json),
                None => self.edits.push(BodyEdit::Remove(field.name)),
            }
            self.notes.push(field.note.clone());
        }
    }

    /// Repeats the newer name of the limit under the older one, which is the only one that is read.
    pub(super) fn repeat_limit(&mut self) {
        const NEWER: &str = "max_completion_tokens";
        let MemberRewrites {
            numbers, quirks, ..
        } = self.rewrites;
        if quirks.max_tokens_only
            && self.rewrites.raw("max_tokens").is_none()
            && let Some(limit) = self.rewrites.raw(NEWER)
        {
            let rewritten = numbers.iter().find(|number| number.name == NEWER);
            let limit = rewritten
                .and_then(|number| number.json.as_deref())
                .unwrap_or(limit);
            self.edits
                .push(BodyEdit::Default("max_tokens", NewValue::Raw(limit)));
            self.notes
                .push("max_completion_tokens is sent as max_tokens too".to_owned());
        }
    }

    pub(super) fn rewrite_response_format(&mut self) {
        const NAME: &str = "response_format";
        if let Some((format, note)) = &self.rewrites.response_format {
            self.set(NAME, format);
            self.notes.push((*note).to_owned());
        } else if self.rewrites.quirks.json_schema_only
            && self.rewrites.raw(NAME).is_some_and(is_no_format)
        {
            self.edits.push(BodyEdit::Remove(NAME));
        }
    }

    pub(super) fn rewrite_tool_choice(&mut self) {
        let MemberRewrites {
            tool_choice, tools, ..
        } = self.rewrites;
        if tools.as_ref().is_some_and(|tools| tools.list.is_none()) {
            // There is nothing to choose from.
            self.edits.push(BodyEdit::Remove("tool_choice"));
        } else if let Some(choice) = tool_choice {
            self.set("tool_choice", choice.mode.json());
            self.notes.push(choice_note(choice));
        }
    }

    pub(super) fn rewrite_tools(&mut self) {
        let MemberRewrites {
            tool_choice, tools, ..
        } = self.rewrites;
        match tools {
            Some(RewrittenTools { list: None, .. }) => self.edits.push(BodyEdit::Remove("tools")),
            Some(RewrittenTools {
                list: Some(list), ..
            }) => self.set("tools", list),
            None => {
                if let Some(left) = left_by(tool_choice.as_ref()) {
                    self.set("tools", left);
                }
            }
        }
        let note = tools.as_ref().and_then(|tools| tools.note.clone());
        self.notes.extend(note);
    }

    pub(super) fn drop_no_alternatives(&mut self) {
        let MemberRewrites {
            body, peek, quirks, ..
        } = self.rewrites;
        if quirks.refuses_no_alternatives && asks_for_no_alternatives(body, peek) {
            self.edits.push(BodyEdit::Remove("top_logprobs"));
        }
    }

    /// Writes a raw prompt as one text, and leaves out what stands beside it and is not read.
    pub(super) fn rewrite_prompt(&mut self) {
        let MemberRewrites { prompt, quirks, .. } = self.rewrites;
        if let Some(prompt) = prompt {
            self.set("prompt", prompt);
        }
        for name in quirks.unread {
            let Some(value) = self.rewrites.raw(name) else {
                continue;
            };
            self.edits.push(BodyEdit::Remove(name));
            if !matches!(value, "false" | "1") {
                let product = quirks.kind.profile().product;
                self.notes
                    .push(format!("{name} is dropped: {product} does not read it"));
            }
        }
    }

    /// Asks for the token counts of a stream on the client's behalf; returns whether it had to.
    pub(super) fn ask_for_usage(&mut self) -> bool {
        let MemberRewrites {
            body, peek, quirks, ..
        } = self.rewrites;
        let asks = peek.stream && quirks.stream_usage && !asks_for_usage(body, peek);
        if asks {
            self.edits.push(BodyEdit::IncludeUsage);
        }
        asks
    }

    /// Asks for reports on the reading of the prompt of a stream, unless the client asked for them
    /// itself.
    pub(super) fn ask_for_prompt_events(&mut self) -> PromptEvents {
        const NAME: &str = "return_progress";
        let MemberRewrites { peek, quirks, .. } = self.rewrites;
        if !(peek.stream && quirks.prompt_events) {
            return PromptEvents::Ignored;
        }
        if self.rewrites.raw(NAME) == Some("true") {
            return PromptEvents::Passed;
        }
        self.set(NAME, "true");
        PromptEvents::TakenOut
    }

    pub(super) fn drop_nulls(&mut self) {
        if self.rewrites.quirks.fails_on_nulls {
            self.edits.push(BodyEdit::RemoveNulls);
        }
    }
}
