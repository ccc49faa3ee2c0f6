//! Tests of the whole format: requests, answers, errors and properties.

mod append_only;
mod bad_input;
mod captures;
mod requests;
mod streams;
mod whole;

use bytes::Bytes;
use crucible_config::Config;
use http::HeaderMap;
use serde_json::Value;

use super::of_client;
use crate::{
    dialect::{
        ClientRequest,
        chat::{AnswerWriter, ChatRequest},
    },
    error::Error,
};

/// Reads a request without headers.
fn read(body: &str) -> Result<ChatRequest, Error> {
    read_from(&HeaderMap::new(), body)
}

fn read_from(headers: &HeaderMap, body: &str) -> Result<ChatRequest, Error> {
    of_client(headers).read(ClientRequest {
        headers,
        body: Bytes::copy_from_slice(body.as_bytes()),
        config: &Config::builtin(),
    })
}

/// Returns the chat request that a request becomes.
fn chat(body: &str) -> Value {
    let chat = read(body).expect("a request that is served");
    serde_json::from_slice(&chat.body).expect("JSON")
}

fn writer(body: &str) -> std::sync::Arc<dyn AnswerWriter> {
    read(body)
        .expect("a request that is served")
        .writer
        .expect("a writer")
}

/// Replaces what differs from answer to answer: the ids and the times.
fn normal(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['_', ':']) {
        let (head, tail) = rest.split_at(at + 1);
        out.push_str(head);
        let digits = tail.bytes().take_while(u8::is_ascii_hexdigit).count();
        let is_id = head.ends_with('_') && digits == 32;
        let is_time = head.ends_with("at\":") && digits == 10;
        if is_id {
            out.push_str("ID");
            rest = &tail[digits..];
        } else if is_time {
            out.push_str("NOW");
            rest = &tail[digits..];
        } else {
            rest = tail;
        }
    }
    out.push_str(rest);
    out
}
