//! The points in which engines that speak OpenAI's chat completions differ from its documentation and
//! from each other, one constant per kind.
//!
//! Code below this folder asks for a quirk by its name and never for a kind, so that a new kind is one
//! constant here. LM Studio's quirks are reported of 0.3 and 0.4; llama.cpp's were tried with its server
//! of builds b11434 and b11549.

use crucible_config::checked::EngineKind;

use crate::dialect::engine::fields::number_rules::{NoLimit, NumberRules};

/// The deviations of one kind of engine from OpenAI's chat completions.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and any combination is possible"
)]
pub struct OpenAiQuirks {
    /// The kind that deviates so.
    pub kind: EngineKind,
    /// Whether `tool_choice` may only be one of the words `none`, `auto` and `required`: an object is
    /// refused, or taken for `auto`.
    pub(crate) tool_choice_words_only: bool,
    /// Whether a tool that is no function in OpenAI's form, or whose schema holds `true` or null, fails
    /// the request.
    pub(crate) strict_tools: bool,
    /// Whether `response_format` has to be a `json_schema`: `json_object`, a schema beside the type and
    /// a format without a type are refused.
    pub(crate) json_schema_only: bool,
    /// Whether `max_tokens` is the only limit that is read, so that `max_completion_tokens` has to be
    /// repeated under that name.
    pub(crate) max_tokens_only: bool,
    /// Whether members that are null fail some requests.
    pub(crate) fails_on_nulls: bool,
    /// Whether `stream_options.include_usage` is understood; a server that is not known may refuse it.
    pub(crate) stream_usage: bool,
    /// Whether a stream reports on the reading of the prompt where `return_progress` asks for it.
    pub(crate) prompt_events: bool,
    /// Whether thinking is switched off by `chat_template_kwargs.enable_thinking`, a boolean, and by no
    /// other word but `reasoning_effort: "none"`.
    pub(crate) template_switch: bool,
    /// Whether `top_logprobs` 0 without `logprobs` is refused.
    pub(crate) refuses_no_alternatives: bool,
    /// Whether calls of custom tools in a conversation are understood.
    pub(crate) custom_tool_calls: bool,
    /// Whether the arguments of a call in a conversation may be an object instead of a text.
    pub(crate) argument_objects: bool,
    /// Whether the tokens of a prompt are counted without an answer
    /// (`/v1/chat/completions/input_tokens`).
    pub(crate) counts_prompts: bool,
    /// Whether another model may answer than the one that was asked, which the first event names.
    pub(crate) answers_for_others: bool,
    /// Whether texts to be embedded, and raw prompts, may be lists of tokens.
    pub(crate) token_lists: bool,
    /// Whether a text to be embedded is cut to the context without a word.
    pub(crate) cuts_inputs: bool,
    /// Whether a raw prompt has to be one text, and not a list of them.
    pub(crate) single_prompts: bool,
    /// Whether a raw prompt may have a `suffix` behind the place of the answer.
    pub(crate) suffixes: bool,
    /// Members of a raw prompt's request that are not read.
    pub(crate) unread: &'static [&'static str],
    /// Whether documents are ranked.
    pub(crate) reranks: bool,
    /// The numbers that it takes.
    pub(crate) numbers: NumberRules,
}

/// The quirks of LM Studio (reported of 0.3 and 0.4).
pub static LM_STUDIO: OpenAiQuirks = OpenAiQuirks {
    kind: EngineKind::Lmstudio,
    tool_choice_words_only: true,
    strict_tools: true,
    json_schema_only: true,
    max_tokens_only: true,
    fails_on_nulls: true,
    stream_usage: true,
    prompt_events: false,
    template_switch: false,
    refuses_no_alternatives: false,
    custom_tool_calls: false,
    argument_objects: false,
    counts_prompts: false,
    answers_for_others: true,
    token_lists: false,
    cuts_inputs: true,
    single_prompts: true,
    suffixes: false,
    unread: &["echo", "best_of"],
    reranks: false,
    numbers: NumberRules {
        lenient: &[],
        no_limit: NoLimit::MinusOne,
        refuses_zero_limit: true,
        largest_limit: None,
        several_choices: false,
        beyond_f32: false,
        logprobs_count: false,
    },
};

/// The quirks of llama.cpp's server (tried with b11434 and b11549).
pub static LLAMA_CPP: OpenAiQuirks = OpenAiQuirks {
    kind: EngineKind::Llamacpp,
    tool_choice_words_only: true,
    strict_tools: true,
    json_schema_only: false,
    max_tokens_only: false,
    fails_on_nulls: false,
    stream_usage: true,
    prompt_events: true,
    template_switch: true,
    refuses_no_alternatives: true,
    custom_tool_calls: false,
    argument_objects: true,
    counts_prompts: true,
    answers_for_others: false,
    token_lists: true,
    cuts_inputs: false,
    single_prompts: false,
    suffixes: false,
    unread: &["echo", "best_of"],
    reranks: true,
    numbers: NumberRules {
        // It cuts fractions and, but for limits, wraps what is too large.
        lenient: &[
            "max_tokens",
            "max_completion_tokens",
            "n",
            "seed",
            "top_k",
            "top_logprobs",
        ],
        no_limit: NoLimit::MinusOne,
        refuses_zero_limit: false,
        // It keeps limits in 32 bits, and wraps what is larger: 2^63 became 0.
        largest_limit: Some(i32::MAX as i128),
        several_choices: true,
        // It takes the largest for endless.
        beyond_f32: true,
        logprobs_count: true,
    },
};

/// The quirks of any other server with OpenAI's API: a request passes as OpenAI documents it.
pub static OPENAI_COMPATIBLE: OpenAiQuirks = OpenAiQuirks {
    kind: EngineKind::Openai,
    tool_choice_words_only: false,
    strict_tools: false,
    json_schema_only: false,
    max_tokens_only: false,
    fails_on_nulls: false,
    stream_usage: false,
    prompt_events: false,
    template_switch: false,
    refuses_no_alternatives: false,
    custom_tool_calls: true,
    argument_objects: false,
    counts_prompts: false,
    answers_for_others: false,
    token_lists: true,
    cuts_inputs: false,
    single_prompts: false,
    suffixes: true,
    unread: &[],
    reranks: true,
    numbers: NumberRules {
        lenient: &[],
        // vLLM refuses what is below 1.
        no_limit: NoLimit::LeftOut,
        refuses_zero_limit: false,
        largest_limit: None,
        several_choices: true,
        beyond_f32: false,
        logprobs_count: false,
    },
};
