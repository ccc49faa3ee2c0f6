//! The reader of the vectors that an engine answers.

use std::{borrow::Cow, fmt::Write as _};

use bytes::Bytes;
use crucible_config::checked::EngineKind;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{
    request::{EmbeddingRequest, path},
    vectors::{EngineVector, VectorEncoding},
};
use crate::{
    dialect::engine::{
        document::{AnswerDocument, DocumentReader},
        engine_error::{error_in_success, overflow_lengths},
    },
    error::{Error, ErrorKind, UpstreamError},
    usage::{LlamaTimings, MOST_TOKENS, OpenAiUsage, ReportedObject, Usage},
};

/// The bytes of JSON that one vector may have: 4096 numbers of 24 characters, and some more.
const LARGEST_VECTOR: usize = 128 * 1024;

/// The form in which an engine answers vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VectorSource {
    /// A list `data`, as OpenAI documents it.
    OpenAi,
    /// The list `embeddings` of Ollama's `/api/embed` (0.33).
    Ollama,
}

/// Reads the vectors of an engine for one request.
#[derive(Debug)]
pub(crate) struct VectorReader {
    kind: EngineKind,
    source: VectorSource,
    /// The client's name of the model.
    model: String,
    encoding: VectorEncoding,
    dimensions: Option<u64>,
    is_single: bool,
    /// The estimated tokens of each input.
    estimates: Vec<u64>,
    /// The inputs of which the engine also got a longer copy, behind the inputs and in this order.
    copied: Vec<usize>,
    /// The tokens of one input that the engine has room for, where that is known.
    context: Option<u64>,
}

/// The members of an answer, in either form.
#[derive(Deserialize)]
struct VectorMembers<'a> {
    #[serde(borrow)]
    data: Option<Vec<VectorDatum<'a>>>,
    #[serde(borrow)]
    embeddings: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    prompt_eval_count: Option<u64>,
    #[serde(borrow)]
    model: Option<Cow<'a, str>>,
}

/// One vector in OpenAI's form.
#[derive(Deserialize)]
struct VectorDatum<'a> {
    index: Option<usize>,
    #[serde(borrow)]
    embedding: &'a RawValue,
}

// === impl VectorReader ===

impl VectorReader {
    /// Makes a reader for the answer of an engine of this kind; `model` is the client's name of it.
    pub(crate) fn new(
        kind: EngineKind,
        source: VectorSource,
        request: &EmbeddingRequest<'_>,
        model: &str,
    ) -> Self {
        let inputs = request.inputs.iter();
        Self {
            kind,
            source,
            model: model.to_owned(),
            encoding: request.encoding,
            dimensions: request.dimensions,
            is_single: request.is_single,
            estimates: inputs.map(|input| request.estimate(input)).collect(),
            copied: Vec::new(),
            context: None,
        }
    }

    /// Sets the inputs of which longer copies are sent, and the tokens that each has room for.
    #[must_use]
    pub(crate) fn with_copies(mut self, copied: Vec<usize>, context: Option<u64>) -> Self {
        (self.copied, self.context) = (copied, context);
        self
    }

    /// Returns the error of an input that is too long, in the client's spelling.
    pub(crate) fn too_long(&self, at: usize, says: &str) -> Error {
        let path = path(self.is_single, at);
        let estimate = self.estimates.get(at).copied().unwrap_or(0);
        let limit = self.context.or_else(|| overflow_lengths::limit(says));
        let limit = limit.map_or_else(String::new, |limit| format!(" of {limit} tokens"));
        let message = format!(
            "`{path}` is longer than the context{limit} that the embedding model '{}' has: about \
             {estimate} tokens. Nothing is cut; split it into shorter texts, or load the model with \
             more context. {says}",
            self.model
        );
        Error::new(
            ErrorKind::ContextLengthExceeded,
            message.trim_end().to_owned(),
        )
        .param(path)
    }

    /// The vectors in the order of the inputs, copies included.
    fn vectors<'a>(&self, members: VectorMembers<'a>) -> Result<Vec<EngineVector<'a>>, Error> {
        let mut raw: Vec<(usize, &RawValue)> = match (members.data, members.embeddings) {
            (Some(data), _) => data
                .into_iter()
                .enumerate()
                .map(|(at, datum)| (datum.index.unwrap_or(at), datum.embedding))
                .collect(),
            (None, Some(list)) => list.into_iter().enumerate().collect(),
            (None, None) => return Err(bad("the engine's answer has no vectors")),
        };
        let asked = self.estimates.len() + self.copied.len();
        if raw.len() != asked {
            let message = format!("the engine answered {} vectors to {asked} texts", raw.len());
            return Err(bad(message));
        }
        raw.sort_by_key(|(index, _)| *index);
        if raw.iter().enumerate().any(|(at, (index, _))| at != *index) {
            return Err(bad("the engine's vectors are numbered twice or not at all"));
        }
        let read = |(at, raw): (usize, &'a RawValue)| {
            EngineVector::read(raw)
                .ok_or_else(|| bad(format!("the engine's vector {at} is no list of numbers")))
        };
        raw.into_iter().map(read).collect()
    }

    /// Refuses a text whose vector is that of its longer copy: the engine has cut both.
    fn refuse_cut(&self, vectors: &[EngineVector<'_>]) -> Result<(), Error> {
        let copies = vectors.iter().skip(self.estimates.len());
        for (at, copy) in self.copied.iter().zip(copies) {
            if vectors
                .get(*at)
                .is_some_and(|vector| vector.is_same_as(copy))
            {
                let product = self.kind.profile().product;
                return Err(self.too_long(*at, &format!("{product} would cut it without a word.")));
            }
        }
        Ok(())
    }

    fn check_length(&self, vectors: &[EngineVector<'_>]) -> Result<(), Error> {
        let Some(asked) = self.dimensions else {
            return Ok(());
        };
        let other = vectors
            .iter()
            .find(|vector| vector.numbers.len() as u64 != asked);
        let Some(other) = other else {
            return Ok(());
        };
        let message = format!(
            "the model '{}' makes vectors of {} numbers here, and none of {asked}: leave \
             `dimensions` out, or ask for {}",
            self.model,
            other.numbers.len(),
            other.numbers.len()
        );
        Err(Error::new(ErrorKind::UnsupportedValue, message).param("dimensions"))
    }

    /// The counts; those of an engine that counts nothing are estimated (LM Studio 0.4 answers 0).
    fn usage(&self, members: &VectorMembers<'_>) -> (Usage, Option<Usage>) {
        let told = match self.source {
            VectorSource::OpenAi => {
                let told = members.usage.map(RawValue::get).unwrap_or_default();
                let told = serde_json::from_str::<ReportedObject<OpenAiUsage>>(told);
                Usage::of_openai(&told.unwrap_or_default().0, &LlamaTimings::default())
            }
            VectorSource::Ollama => members.prompt_eval_count.map(|prompt| Usage {
                prompt: prompt.min(MOST_TOKENS),
                ..Usage::default()
            }),
        };
        let told = told.filter(|told| told.prompt > 0 && self.copied.is_empty());
        let estimated = Usage {
            prompt: self.estimates.iter().sum(),
            ..Usage::default()
        };
        (told.unwrap_or(estimated), told)
    }
}

impl DocumentReader for VectorReader {
    fn limit(&self, event_limit: usize) -> usize {
        let vectors = self.estimates.len() + self.copied.len();
        event_limit.max(vectors.saturating_mul(LARGEST_VECTOR))
    }

    fn read(self: Box<Self>, document: &Bytes) -> Result<AnswerDocument, Error> {
        let members = serde_json::from_slice::<VectorMembers<'_>>(document);
        let has_vectors =
            |members: &VectorMembers<'_>| members.data.is_some() || members.embeddings.is_some();
        let members = match members {
            Ok(members) if has_vectors(&members) => members,
            _ => {
                let own = error_in_success(self.kind, document);
                let own = own.map(|error| self.refused(error));
                return Err(own.unwrap_or_else(|| bad("the engine's answer has no vectors")));
            }
        };
        let (usage, told) = self.usage(&members);
        let named = members.model.as_deref().map(str::to_owned);
        let vectors = self.vectors(members)?;
        self.refuse_cut(&vectors)?;
        self.check_length(&vectors)?;
        let model = match (self.source, &named) {
            (VectorSource::OpenAi, Some(named)) => named,
            _ => &self.model,
        };
        let mut out = String::with_capacity(document.len());
        out.push_str(r#"{"object":"list","data":["#);
        for (at, vector) in vectors.iter().take(self.estimates.len()).enumerate() {
            if at > 0 {
                out.push(',');
            }
            // Writing to a String cannot fail.
            let _ = write!(out, r#"{{"object":"embedding","index":{at},"embedding":"#);
            vector.write(self.encoding, &mut out);
            out.push('}');
        }
        let _ = write!(
            out,
            r#"],"model":{},"usage":{{"prompt_tokens":{tokens},"total_tokens":{tokens}}}}}"#,
            Value::from(model.as_str()),
            tokens = usage.prompt
        );
        Ok(AnswerDocument {
            body: out.into(),
            usage: told,
            model: named,
        })
    }

    /// Names the input that an engine found too long, which is the longest: engines do not say which.
    fn refused(&self, error: Error) -> Error {
        if error.kind != ErrorKind::ContextLengthExceeded {
            return error;
        }
        let lengths = self.estimates.iter().enumerate();
        // Of several that are equally long, the first.
        let longest = lengths.rev().max_by_key(|(_, tokens)| **tokens);
        let at = longest.map_or(0, |(at, _)| at);
        let mut refused = self.too_long(at, &format!("The engine said: {}", error.message));
        refused.upstream = error.upstream;
        refused
    }
}

fn bad(message: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::EngineError, message).upstream(UpstreamError::BadJson)
}

#[cfg(test)]
mod tests;
