//! The words by which engines say that a request itself cannot be served, whatever status they give
//! it.
//!
//! llama.cpp answers most of these with 500, since its parsers throw, and Ollama passes them on or
//! does the same; LM Studio gives them as 400, as a bare string, or as an event inside a 200.

/// One kind of request that an engine cannot serve.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UnservableRequest {
    /// The field of the request at fault, where the words name one.
    pub(super) param: Option<&'static str>,
    /// The sentence for the client, before the engine's own words.
    pub(super) says: &'static str,
    /// Words of which each alone means this, in lower case.
    words: &'static [&'static str],
    /// Groups of words of which all together mean this, where one alone could mean something else.
    together: &'static [&'static [&'static str]],
}

/// All kinds of such requests. The first that fits counts, because an unusable schema is also reported
/// inside a template's error.
const KINDS: &[UnservableRequest] = &[
    UnservableRequest {
        param: Some("response_format"),
        says: "the engine cannot turn the schema or grammar of this request into rules",
        // llama.cpp b11549; Ollama 0.33 ("invalid format"); vLLM and SGLang (xgrammar, outlines).
        words: &[
            "failed to parse grammar",
            "error parsing grammar",
            "failed to initialize samplers",
            "json schema conversion failed",
            "json schema error at",
            "unrecognized schema",
            "invalid json schema",
            "failed to convert json schema",
            "cannot use both json_schema and grammar",
            "cannot specify grammar with tools",
            "cannot use custom grammar constraints with tools",
            "response_format type must be one of",
            "invalid format: ",
            "invalid grammar",
            "grammar error",
            "failed to compile grammar",
        ],
        together: &[],
    },
    UnservableRequest {
        param: Some("messages"),
        says: "this model cannot take an image, audio or video of these messages",
        // llama.cpp b11549; Ollama 0.33; LM Studio 0.4; vLLM.
        words: &[
            "image input is not supported",
            "audio input is not supported",
            "video input is not supported",
            "does not support image",
            "does not support audio",
            "does not support video",
            "does not support vision",
            "does not support multimodal",
            "is not a multimodal model",
            "missing data required for image input",
            "image urls are not currently supported",
            "failed to load image or audio file",
            "invalid image input",
            "image: unknown format",
            "unsupported content[].type",
            "illegal base64 data",
        ],
        together: &[],
    },
    UnservableRequest {
        param: Some("messages"),
        says: "the engine cannot read the tool calls or tools of this request",
        // llama.cpp b11549 quotes them whole.
        words: &[
            "failed to parse tool call arguments",
            "failed to parse tools: ",
            "invalid tool call arguments",
            "invalid tool_choice",
            "missing tool call ",
        ],
        together: &[],
    },
    UnservableRequest {
        param: Some("messages"),
        says: "the model's chat template cannot render these messages",
        // raise_exception of many templates; llama.cpp's engines for Jinja, old and new; LM Studio's;
        // Python's; Go's, of Ollama.
        words: &[
            "roles must alternate",
            "only user and assistant roles are supported",
            "system role not supported",
            "system role is not supported",
            "system message must be at the beginning",
            "no user query found in messages",
            "jinja exception",
            "rendering prompt with jinja template",
            "jinja2.exceptions",
            "unable to generate parser for this template",
            "failed to parse messages: ",
        ],
        together: &[
            &[" at row ", ", column "],
            &["while executing ", " at line ", ", column "],
            &["template: ", ": executing \""],
        ],
    },
    UnservableRequest {
        param: Some("model"),
        says: "this model cannot do what the request asks for",
        // Ollama 0.33.
        words: &[
            "does not support tools",
            "does not support thinking",
            "does not support chat",
            "does not support generate",
            "does not support insert",
            "is not supported for this model",
        ],
        together: &[],
    },
    UnservableRequest {
        param: None,
        says: "the engine cannot use a value of this request",
        // Go's JSON for a number beyond float32 (Ollama 0.33); its options; nlohmann's JSON and
        // llama.cpp's own checks.
        words: &[
            "json: unsupported value",
            "failed to marshal",
            "json: cannot unmarshal",
            "[json.exception.type_error",
            "[json.exception.out_of_range",
            "unknown reasoning format",
        ],
        together: &[
            &["option \"", "must be of type"],
            &["option \"", "must be of an array"],
        ],
    },
];

/// Returns the part of a request that cannot be served by the engine's words, in lower case, and the
/// place where the words begin.
pub(super) fn unservable(lower: &str) -> Option<(&'static UnservableRequest, usize)> {
    let all = |words: &&[&str]| {
        let places = words.iter().map(|word| lower.find(word));
        places.collect::<Option<Vec<_>>>()?.into_iter().min()
    };
    KINDS.iter().find_map(|kind| {
        let one = kind.words.iter().filter_map(|word| lower.find(word)).min();
        let at = one.or_else(|| kind.together.iter().find_map(all))?;
        Some((kind, at))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What engines say of a request that they do not serve, and a part of what the client is told.
    const REFUSED: &[(&str, &str)] = &[
        (
            "audio input is not supported - hint: if this is unexpected, you may need to \
                 provide the mmproj",
            "image, audio or video",
        ),
        (
            "this model does not support images",
            "image, audio or video",
        ),
        (
            "this model is missing data required for image input",
            "image, audio or video",
        ),
        (
            "invalid image input: image: unknown format",
            "image, audio or video",
        ),
        (
            "Jinja Exception: After the optional system message, conversation roles must \
                 alternate user and assistant roles except for tool calls and results",
            "chat template",
        ),
        (
            "Conversation roles must alternate user/assistant/user/assistant/...",
            "chat template",
        ),
        (
            "Error rendering prompt with jinja template: \"Unknown test: sequence\".",
            "chat template",
        ),
        (
            "Cannot subscript null at row 23, column 40:\n {%- set a = b[:c] %}",
            "chat template",
        ),
        (
            "While executing CallExpression at line 79, column 24 in source: x",
            "chat template",
        ),
        (
            "template: :12:5: executing \"\" at <index .x 1>: error calling index",
            "chat template",
        ),
        (
            "Failed to parse messages: Missing 'role' in message: {\"content\":\"x\"}",
            "chat template",
        ),
        (
            "Failed to parse tool call arguments as JSON: [json.exception.parse_error.101]",
            "tool calls",
        ),
        (
            "Failed to parse tools: Missing tool function: {}; tools = [{}]",
            "tool calls",
        ),
        (
            "Unable to generate parser for this template. Automatic parser generation failed: \
                 JSON schema error at #: unrecognized type nope",
            "schema or grammar",
        ),
        (
            "Failed to initialize samplers: failed to parse grammar",
            "schema or grammar",
        ),
        (
            "invalid format: \"nope\"; expected \"json\" or a JSON schema",
            "schema or grammar",
        ),
        (
            "failed to marshal data: json: unsupported value: +Inf",
            "a value",
        ),
        ("option \"num_ctx\" must be of type integer", "a value"),
        ("option \"stop\" must be of an array of strings", "a value"),
        (
            "Multimodal data provided, but model does not support multimodal requests.",
            "an image",
        ),
        ("Unknown reasoning format: foo", "a value"),
        (
            "\"llama\" does not support thinking",
            "this model cannot do",
        ),
    ];

    #[test]
    fn what_engines_say_of_a_request_is_known() {
        for (text, says) in REFUSED {
            let known = unservable(&text.to_lowercase()).map(|(kind, _)| kind.says);
            assert!(known.is_some_and(|k| k.contains(says)), "{text}: {known:?}");
        }
    }

    #[test]
    fn what_engines_say_of_themselves_is_not_taken_for_it() {
        for text in [
            "the engine failed",
            "CUDA error: out of memory",
            "llama-server process has terminated: signal: killed",
            "Engine protocol predict stream returned an error: {code:500}",
            "The model has crashed without additional information. (Exit code: 139)",
            "Channel Error",
            "Loading model",
            "server busy, please try again.  maximum pending requests exceeded",
            "Compute error.",
            "failed to decode the batch: ret = -3",
            "health check failed after executing 3 times",
            "error parsing tool call: raw='{', err=unexpected end of JSON input",
            "context deadline exceeded at row",
            "",
        ] {
            assert_eq!(unservable(&text.to_lowercase()), None, "{text}");
        }
    }
}
