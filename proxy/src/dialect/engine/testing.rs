//! Requests for the tests of the tasks that are no chat.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    body::peek::PeekedBody,
    dialect::chat::{ChatRequest, RequestTask},
};

/// A request for model `m` with these members of JSON.
pub(crate) fn request(task: RequestTask, members: &str) -> ChatRequest {
    let body = Bytes::from(format!(r#"{{"model":"m",{members}}}"#));
    let peek = Arc::new(PeekedBody::of(&body, 64).unwrap());
    ChatRequest {
        task,
        body,
        peek,
        notes: Vec::new(),
        writer: None,
        shared: None,
        native: None,
    }
}
