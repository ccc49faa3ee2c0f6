//! The members of an embeddings request.

use serde_json::value::RawValue;

use super::vectors::VectorEncoding;
use crate::{
    body::peek::found,
    dialect::chat::{
        ChatRequest,
        field_error::{invalid_type, missing, unsupported},
    },
    error::Error,
};

/// The most texts of one request: 16 times what OpenAI documents, since clients of Ollama send all their documents
/// at once.
const MOST_INPUTS: usize = 32_768;

/// A request for vectors, with the texts as they stand in its body.
#[derive(Debug)]
pub(crate) struct EmbeddingRequest<'a> {
    /// The JSON of each text, or of each list of tokens.
    pub(crate) inputs: Vec<&'a str>,
    /// Whether the inputs are lists of tokens instead of texts.
    pub(crate) are_tokens: bool,
    /// Whether the request has one input that stands in no list.
    pub(crate) is_single: bool,
    /// The encoding of the vectors that the client asks for.
    pub(crate) encoding: VectorEncoding,
    /// The length of the vectors that the client asks for.
    pub(crate) dimensions: Option<u64>,
}

// === impl EmbeddingRequest ===

impl<'a> EmbeddingRequest<'a> {
    /// Reads the members that Crucible needs; all others are the engine's matter.
    ///
    /// # Errors
    /// `missing_field`, `invalid_type` and `unsupported_value`, each with the path of the field.
    pub(crate) fn read(request: &'a ChatRequest) -> Result<Self, Error> {
        let ChatRequest { body, peek, .. } = request;
        let raw = peek.raw(body, "input").ok_or_else(|| missing("input"))?;
        let mut this = Self {
            inputs: Vec::new(),
            are_tokens: false,
            is_single: true,
            encoding: encoding(request)?,
            dimensions: dimensions(request)?,
        };
        if raw.starts_with('"') {
            not_empty(raw, "input")?;
            this.inputs.push(raw);
            return Ok(this);
        }
        let list: Vec<&RawValue> = serde_json::from_str(raw).map_err(|_| {
            let expected = "a string, a list of strings, or lists of tokens";
            invalid_type("input", expected, found(raw))
        })?;
        let Some(first) = list.first() else {
            return Err(unsupported("input", "`input` must not be an empty list"));
        };
        match first.get().as_bytes().first() {
            Some(b'"') => this.is_single = false,
            Some(b'[') => (this.is_single, this.are_tokens) = (false, true),
            _ => {
                tokens(raw, "input")?;
                this.are_tokens = true;
                this.inputs.push(raw);
                return Ok(this);
            }
        }
        if list.len() > MOST_INPUTS {
            let message = format!(
                "`input` has {} texts; send at most {MOST_INPUTS} at a time",
                list.len()
            );
            return Err(unsupported("input", message));
        }
        for (at, input) in list.into_iter().map(RawValue::get).enumerate() {
            let path = || format!("input[{at}]");
            if this.are_tokens {
                tokens(input, &path())?;
            } else if input.starts_with('"') {
                not_empty(input, path)?;
            } else {
                let expected = "a string, as the first one is";
                return Err(invalid_type(path(), expected, found(input)));
            }
            this.inputs.push(input);
        }
        Ok(this)
    }

    /// Refuses lists of tokens on behalf of an engine that takes texts alone.
    ///
    /// # Errors
    /// `unsupported_value`, where the inputs are such lists.
    pub(crate) fn need_texts(&self, product: &str) -> Result<(), Error> {
        if !self.are_tokens {
            return Ok(());
        }
        let message = format!(
            "{product} takes texts and no lists of tokens; send the text itself (LangChain: \
             check_embedding_ctx_length=False)"
        );
        Err(unsupported("input", message))
    }

    /// Estimates the tokens of one input: a quarter of its bytes, or the length of its list.
    pub(crate) fn estimate(&self, input: &str) -> u64 {
        if self.are_tokens {
            return input.bytes().filter(|byte| *byte == b',').count() as u64 + 1;
        }
        (input.len() as u64).saturating_sub(2).div_ceil(4)
    }
}

/// Returns the path of an input of a request with or without a list.
pub(super) fn path(is_single: bool, at: usize) -> String {
    if is_single {
        "input".to_owned()
    } else {
        format!("input[{at}]")
    }
}

fn not_empty(raw: &str, path: impl InputPath) -> Result<(), Error> {
    if raw != "\"\"" {
        return Ok(());
    }
    let path = path.text();
    let message = format!("`{path}` must not be empty: there is nothing to make a vector of");
    Err(unsupported(&path, message))
}

/// A path that is written only where it is needed.
trait InputPath {
    fn text(self) -> String;
}

impl InputPath for &str {
    fn text(self) -> String {
        self.to_owned()
    }
}

impl<F: FnOnce() -> String> InputPath for F {
    fn text(self) -> String {
        self()
    }
}

/// Checks a list of tokens: whole numbers, at least one.
fn tokens(raw: &str, path: &str) -> Result<(), Error> {
    let expected = "a list of tokens, which are whole numbers";
    match serde_json::from_str::<Vec<u32>>(raw) {
        Ok(list) if list.is_empty() => Err(unsupported(
            path,
            format!("`{path}` must not be an empty list"),
        )),
        Ok(_) => Ok(()),
        Err(_) if raw.starts_with('[') => {
            Err(invalid_type(path, expected, "a list with something else"))
        }
        Err(_) => Err(invalid_type(path, expected, found(raw))),
    }
}

fn encoding(request: &ChatRequest) -> Result<VectorEncoding, Error> {
    const NAME: &str = "encoding_format";
    let ChatRequest { body, peek, .. } = request;
    match peek.typed::<String>(body, NAME, "a string")?.as_deref() {
        None | Some("float") => Ok(VectorEncoding::Float),
        Some("base64") => Ok(VectorEncoding::Base64),
        Some(other) => {
            let shown: String = other.chars().take(40).collect();
            let message = format!("`{NAME}` must be \"float\" or \"base64\", found \"{shown}\"");
            Err(unsupported(NAME, message))
        }
    }
}

fn dimensions(request: &ChatRequest) -> Result<Option<u64>, Error> {
    const NAME: &str = "dimensions";
    let ChatRequest { body, peek, .. } = request;
    let count = peek.typed::<u64>(body, NAME, "a whole number of at least 1")?;
    if count == Some(0) {
        return Err(unsupported(NAME, "`dimensions` must be at least 1"));
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dialect::chat::RequestTask, dialect::engine::testing::request, error::ErrorKind};

    fn read(members: &str) -> Result<(Vec<String>, bool, bool), Error> {
        let request = request(RequestTask::Embedding, members);
        let read = EmbeddingRequest::read(&request)?;
        let inputs = read
            .inputs
            .iter()
            .map(|input| (*input).to_owned())
            .collect();
        Ok((inputs, read.are_tokens, read.is_single))
    }

    #[test]
    fn every_form_of_the_input_is_read() {
        for (input, inputs, are_tokens, is_single) in [
            (r#""a b""#, &[r#""a b""#][..], false, true),
            (r#"["a", "b"]"#, &[r#""a""#, r#""b""#], false, false),
            ("[1, 2]", &["[1, 2]"], true, true),
            ("[[1],[2,3]]", &["[1]", "[2,3]"], true, false),
        ] {
            let members = format!(r#""input":{input}"#);
            let inputs = inputs.iter().map(|i| (*i).to_owned()).collect();
            assert_eq!(
                read(&members).unwrap(),
                (inputs, are_tokens, is_single),
                "{input}"
            );
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        use ErrorKind::{InvalidType, MissingField, UnsupportedValue};
        for (members, kind, param) in [
            (r#""x":1"#, MissingField, "input"),
            (r#""input":null"#, MissingField, "input"),
            (r#""input":7"#, InvalidType, "input"),
            (r#""input":{}"#, InvalidType, "input"),
            (r#""input":"""#, UnsupportedValue, "input"),
            (r#""input":[]"#, UnsupportedValue, "input"),
            (r#""input":["a",""]"#, UnsupportedValue, "input[1]"),
            (r#""input":["a",7]"#, InvalidType, "input[1]"),
            (r#""input":["a",[7]]"#, InvalidType, "input[1]"),
            (r#""input":[7,"a"]"#, InvalidType, "input"),
            (r#""input":[1.5]"#, InvalidType, "input"),
            (r#""input":[null]"#, InvalidType, "input"),
            (r#""input":[[1],[]]"#, UnsupportedValue, "input[1]"),
            (r#""input":[[1],["a"]]"#, InvalidType, "input[1]"),
            (r#""input":[[1],"a"]"#, InvalidType, "input[1]"),
            (r#""input":[-1]"#, InvalidType, "input"),
            (
                r#""input":"a","encoding_format":"int8""#,
                UnsupportedValue,
                "encoding_format",
            ),
            (
                r#""input":"a","encoding_format":7"#,
                InvalidType,
                "encoding_format",
            ),
            (
                r#""input":"a","dimensions":0"#,
                UnsupportedValue,
                "dimensions",
            ),
            (r#""input":"a","dimensions":"8""#, InvalidType, "dimensions"),
            (r#""input":"a","dimensions":-8"#, InvalidType, "dimensions"),
        ] {
            let error = read(members).unwrap_err();
            assert_eq!(
                (error.kind, error.param.as_deref()),
                (kind, Some(param)),
                "{members}"
            );
            assert!(error.message.contains(param), "{error}");
        }
        let many = format!(r#""input":[{}"a"]"#, r#""a","#.repeat(MOST_INPUTS));
        assert!(read(&many).unwrap_err().message.contains("32769 texts"));
    }
}
