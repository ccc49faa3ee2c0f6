//! The writer of one request's answer.

use std::sync::Arc;

use bytes::Bytes;

use super::{head::ResponseHead, tool_names::ToolNames, transcoder::ResponseTranslator, whole};
use crate::{
    dialect::chat::{AnswerWriter, ClientTranscoder, event_translator::TranslatingTranscoder},
    error::Error,
};

/// Writes the answer to one request as a response.
#[derive(Debug)]
pub(super) struct ResponsesWriter {
    head: Arc<ResponseHead>,
    names: Arc<ToolNames>,
    /// The client's path of the content of each message.
    origins: Vec<String>,
    /// The most bytes of an answer.
    cap: usize,
}

// === impl ResponsesWriter ===

impl ResponsesWriter {
    pub(super) fn new(
        head: ResponseHead,
        names: ToolNames,
        origins: Vec<String>,
        cap: usize,
    ) -> Self {
        Self {
            head: Arc::new(head),
            names: Arc::new(names),
            origins,
            cap,
        }
    }

    /// Returns the client's path for one of the chat format; `None` where both are the same.
    fn client_path(&self, path: &str) -> Option<String> {
        let name = path.split(['.', '[']).next().unwrap_or_default();
        match name {
            "messages" => {}
            "max_tokens" => return Some("max_output_tokens".to_owned()),
            "reasoning_effort" => return Some("reasoning.effort".to_owned()),
            "response_format" => return Some("text.format".to_owned()),
            // Namespaces and tools that were dropped move the others.
            "tools" => return Some("tools".to_owned()),
            _ => return None,
        }
        let index = path.strip_prefix("messages[");
        let (index, rest) = index
            .and_then(|rest| rest.split_once(']'))
            .unwrap_or_default();
        let origin = index
            .parse()
            .ok()
            .and_then(|at: usize| self.origins.get(at));
        let Some(origin) = origin else {
            return Some("input".to_owned());
        };
        let is_content = origin.ends_with(".content") || origin.ends_with(".output");
        let rest = rest.strip_prefix(".content").filter(|_| is_content);
        let rest = rest.unwrap_or_default().trim_end_matches(".url");
        Some(format!("{origin}{rest}"))
    }
}

impl AnswerWriter for ResponsesWriter {
    fn transcoder(&self) -> Box<dyn ClientTranscoder> {
        let (head, names) = (Arc::clone(&self.head), Arc::clone(&self.names));
        let response = ResponseTranslator::new(head, names, self.cap);
        Box::new(TranslatingTranscoder::new(response))
    }

    fn whole(&self, completion: Bytes) -> Result<Bytes, Error> {
        let text = String::from_utf8_lossy(&completion);
        whole::response(&text, &self.head, &self.names).map(Bytes::from)
    }

    fn respelled(&self, mut error: Error) -> Error {
        let Some(path) = error.param.take() else {
            return error;
        };
        match self.client_path(&path) {
            None => error.param(path),
            Some(client) => {
                let message = error.message.replace(&path, &client);
                error.message = message.into();
                error.param(client)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn paths_of_the_chat_format_become_the_clients() {
        let origins = [
            "input[0]",
            "input[1].content",
            "input[3]",
            "input[4].output",
        ];
        let writer = ResponsesWriter::new(
            ResponseHead::unknown(),
            ToolNames::default(),
            origins.map(str::to_owned).to_vec(),
            1000,
        );
        for (chat, client) in [
            ("messages[0].content", "input[0]"),
            (
                "messages[1].content[2].image_url.url",
                "input[1].content[2].image_url",
            ),
            ("messages[2].tool_calls[1].function.arguments", "input[3]"),
            (
                "messages[3].content[0].image_url.url",
                "input[4].output[0].image_url",
            ),
            ("messages[9].role", "input"),
            ("messages", "input"),
            ("max_tokens", "max_output_tokens"),
            ("tools[3].function.name", "tools"),
            ("temperature", "temperature"),
        ] {
            let error =
                Error::new(ErrorKind::UnsupportedValue, format!("`{chat}` is odd")).param(chat);
            let error = writer.respelled(error);
            assert_eq!(error.param.as_deref(), Some(client));
            assert_eq!(error.message, format!("`{client}` is odd"));
        }
    }
}
