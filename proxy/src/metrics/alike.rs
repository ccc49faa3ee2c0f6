//! The series that requests share which are alike, looked up once.
//!
//! Most requests are as the one before: same endpoint, engine, model and end. To look a series up
//! takes longer than to count in it, and a request counts in about 15.

use std::cell::OnceCell;

use crucible_router::plan::Reason;
use http::StatusCode;
use prometheus::{Histogram, IntCounter};

use super::{
    collectors::Collectors,
    labels::{DefaultParam, NONE, TokenType, flag, status},
    record::RequestRecord,
};
use crate::endpoint::Endpoint;

/// The series of one kind of request; those that few requests have are looked up when one does.
#[derive(Debug)]
pub(super) struct Alike {
    endpoint: Endpoint,
    engine: Option<Box<str>>,
    /// As the label says it.
    model: Box<str>,
    stream: bool,
    code: StatusCode,
    pub(super) requests: IntCounter,
    pub(super) duration: Histogram,
    pub(super) overhead: Histogram,
    first_token: OnceCell<Histogram>,
    first_token_ratio: OnceCell<Histogram>,
    output_speed: OnceCell<Histogram>,
    stream_bytes: OnceCell<IntCounter>,
    stream_flushes: OnceCell<IntCounter>,
    estimated: OnceCell<IntCounter>,
    tokens: [OnceCell<IntCounter>; TokenType::ALL.len()],
    request_tokens: [OnceCell<Histogram>; TokenType::ALL.len()],
    routed: [OnceCell<IntCounter>; Reason::ALL.len()],
    defaults: [OnceCell<IntCounter>; DefaultParam::ALL.len()],
}

// === impl Alike ===

impl Alike {
    pub(super) fn new(v: &Collectors, record: &RequestRecord<'_>, model: &str) -> Self {
        let (endpoint, stream) = (record.endpoint.as_str(), flag(record.stream));
        let engine = record.engine.unwrap_or(NONE);
        let code = status(&record.code);
        let requests = [endpoint, engine, model, stream, code];
        Self {
            endpoint: record.endpoint,
            engine: record.engine.map(Box::from),
            model: model.into(),
            stream: record.stream,
            code: record.code,
            requests: v.requests.with_label_values(&requests),
            duration: v
                .request_duration
                .with_label_values(&[endpoint, engine, stream]),
            overhead: v.overhead.with_label_values(&[endpoint]),
            first_token: OnceCell::new(),
            first_token_ratio: OnceCell::new(),
            output_speed: OnceCell::new(),
            stream_bytes: OnceCell::new(),
            stream_flushes: OnceCell::new(),
            estimated: OnceCell::new(),
            tokens: Default::default(),
            request_tokens: Default::default(),
            routed: Default::default(),
            defaults: Default::default(),
        }
    }

    /// Whether the request counts in these series.
    pub(super) fn is(&self, record: &RequestRecord<'_>, model: &str) -> bool {
        self.endpoint == record.endpoint
            && self.engine.as_deref() == record.engine
            && *self.model == *model
            && self.stream == record.stream
            && self.code == record.code
    }

    fn engine(&self) -> &str {
        self.engine.as_deref().unwrap_or(NONE)
    }

    pub(super) fn first_token(&self, v: &Collectors) -> &Histogram {
        let labels = [self.engine(), &*self.model];
        self.first_token
            .get_or_init(|| v.time_to_first_token.with_label_values(&labels))
    }

    pub(super) fn first_token_ratio(&self, v: &Collectors) -> &Histogram {
        self.first_token_ratio
            .get_or_init(|| v.first_token_ratio.with_label_values(&[self.engine()]))
    }

    pub(super) fn output_speed(&self, v: &Collectors) -> &Histogram {
        let labels = [self.engine(), &*self.model];
        self.output_speed
            .get_or_init(|| v.output_speed.with_label_values(&labels))
    }

    pub(super) fn stream_bytes(&self, v: &Collectors) -> &IntCounter {
        self.stream_bytes
            .get_or_init(|| v.stream_bytes.with_label_values(&[self.engine()]))
    }

    pub(super) fn stream_flushes(&self, v: &Collectors) -> &IntCounter {
        self.stream_flushes
            .get_or_init(|| v.stream_flushes.with_label_values(&[self.engine()]))
    }

    pub(super) fn estimated(&self, v: &Collectors) -> &IntCounter {
        let labels = [self.engine(), &*self.model];
        self.estimated
            .get_or_init(|| v.tokens_estimated.with_label_values(&labels))
    }

    pub(super) fn tokens(&self, v: &Collectors, kind: TokenType) -> &IntCounter {
        let labels = [self.engine(), &*self.model, kind.as_str()];
        self.tokens[kind as usize].get_or_init(|| v.tokens.with_label_values(&labels))
    }

    pub(super) fn request_tokens(&self, v: &Collectors, kind: TokenType) -> &Histogram {
        let labels = [self.engine(), kind.as_str()];
        self.request_tokens[kind as usize]
            .get_or_init(|| v.request_tokens.with_label_values(&labels))
    }

    pub(super) fn routed(&self, v: &Collectors, reason: Reason) -> &IntCounter {
        let labels = [self.engine(), reason.as_str()];
        self.routed[reason as usize].get_or_init(|| v.routed.with_label_values(&labels))
    }

    pub(super) fn default(&self, v: &Collectors, param: DefaultParam) -> &IntCounter {
        let labels = [param.as_str(), self.engine()];
        self.defaults[param as usize].get_or_init(|| v.defaults_injected.with_label_values(&labels))
    }
}
