//! The trace that a request belongs to, in the headers of W3C's Trace Context (`traceparent`,
//! `tracestate`, the recommendation of 23 November 2021).
//!
//! A valid `traceparent` of the client continues its trace, an invalid one counts as none. Where spans
//! are exported, Crucible's own span takes the place of the client's for the engine, and a request without
//! a trace begins one; else both headers go to the engine as they came.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header `traceparent`.
pub(crate) static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The header `tracestate`.
pub(crate) static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The most bytes of a `tracestate` that are passed on; a longer one is left out.
const LONGEST_STATE: usize = 512;

/// The bit of the flags that asks for the spans of a trace to be recorded.
const SAMPLED: u8 = 1;

/// The place of one request in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TraceContext {
    /// The id of the trace.
    pub(crate) trace: [u8; 16],
    /// The client's span; `None` where the trace begins here.
    pub(crate) parent: Option<[u8; 8]>,
    /// Crucible's span of the request; `None` where no spans are exported.
    pub(crate) own: Option<[u8; 8]>,
    flags: u8,
    state: Option<HeaderValue>,
}

/// The headers that carry a trace to an engine.
#[derive(Clone, Debug)]
pub(crate) struct TraceHeaders {
    parent: HeaderValue,
    state: Option<HeaderValue>,
}

// === impl TraceContext ===

impl TraceContext {
    /// Returns the trace of a request with these headers; `None` where it has none and none begins.
    /// `exported` says whether spans are exported.
    pub(crate) fn of(headers: &HeaderMap, exported: bool) -> Option<Self> {
        let asked = headers.contains_key(&TRACEPARENT).then(|| parsed(headers));
        let mut context = match asked.flatten() {
            Some(context) => context,
            None if exported => Self {
                trace: not_zero(),
                parent: None,
                own: None,
                flags: SAMPLED,
                state: None,
            },
            None => return None,
        };
        context.own = exported.then(not_zero);
        Some(context)
    }

    /// Whether the spans of the trace are to be recorded; the one who began it decides.
    pub(crate) fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Returns the headers `traceparent` and `tracestate` of the request to the engine: its parent is the span of this
    /// request where that is exported, else the span that the client named. `None` where there is neither.
    pub(crate) fn headers(&self) -> Option<TraceHeaders> {
        let span = self.own.or(self.parent)?;
        let mut text = String::with_capacity(55);
        text.push_str("00-");
        push_hex(&mut text, &self.trace);
        text.push('-');
        push_hex(&mut text, &span);
        text.push('-');
        push_hex(&mut text, &[self.flags]);
        Some(TraceHeaders {
            parent: HeaderValue::try_from(text).ok()?,
            state: self.state.clone(),
        })
    }
}

/// Random bytes that are not all zero, as ids of traces and spans have to be.
pub(crate) fn not_zero<const N: usize>() -> [u8; N] {
    let mut id = [0; N];
    rand::fill(&mut id[..]);
    if id.iter().all(|byte| *byte == 0) {
        id[N - 1] = 1;
    }
    id
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(digit.into(), 16));
        }
    }
}

/// Reads the headers; `None` where `traceparent` is not valid, which drops `tracestate` too.
fn parsed(headers: &HeaderMap) -> Option<TraceContext> {
    let mut parents = headers.get_all(&TRACEPARENT).iter();
    let (Some(parent), None) = (parents.next(), parents.next()) else {
        return None;
    };
    let text = parent.to_str().ok()?;
    let mut parts = text.split('-');
    let [version] = hex(parts.next()?)?;
    let (trace, parent) = (hex::<16>(parts.next()?)?, hex::<8>(parts.next()?)?);
    let [flags] = hex(parts.next()?)?;
    // Versions to come may add parts; this one has none.
    let is_known = version == 0 && parts.next().is_none() || (1..=254).contains(&version);
    let is_null = trace == [0; 16] || parent == [0; 8];
    (is_known && !is_null).then(|| TraceContext {
        trace,
        parent: Some(parent),
        own: None,
        flags: if version == 0 { flags } else { flags & SAMPLED },
        state: state(headers),
    })
}

/// Reads exactly `N` bytes in lower-case hexadecimal.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        for digit in pair {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return None,
            };
            *byte = *byte << 4 | value;
        }
    }
    Some(bytes)
}

/// Joins the `tracestate` headers, whose entries may be spread over several.
fn state(headers: &HeaderMap) -> Option<HeaderValue> {
    let parts: Vec<&str> = headers
        .get_all(&TRACESTATE)
        .iter()
        .map(|part| part.to_str().ok())
        .collect::<Option<_>>()?;
    let whole = parts.join(",");
    let fits = !whole.trim().is_empty() && whole.len() <= LONGEST_STATE;
    fits.then(|| HeaderValue::try_from(whole).ok()).flatten()
}

// === impl TraceHeaders ===

impl TraceHeaders {
    /// Adds the headers to a request for an engine.
    pub(crate) fn add_to(&self, headers: &mut HeaderMap) {
        headers.insert(&TRACEPARENT, self.parent.clone());
        if let Some(state) = &self.state {
            headers.insert(&TRACESTATE, state.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn headers(parents: &[&str], states: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for parent in parents {
            headers.append(&TRACEPARENT, parent.parse().unwrap());
        }
        for state in states {
            headers.append(&TRACESTATE, state.parse().unwrap());
        }
        headers
    }

    fn sent(context: &TraceContext) -> (String, Option<String>) {
        let mut sent = HeaderMap::new();
        context.headers().unwrap().add_to(&mut sent);
        let text = |name: &HeaderName| Some(sent.get(name)?.to_str().unwrap().to_owned());
        (text(&TRACEPARENT).unwrap(), text(&TRACESTATE))
    }

    #[test]
    fn a_trace_goes_on_unchanged_where_no_spans_are_exported() {
        let context = TraceContext::of(&headers(&[PARENT], &["a=1,b=2", "c=3"]), false).unwrap();
        let state = Some("a=1,b=2,c=3".to_owned());
        assert_eq!(sent(&context), (PARENT.to_owned(), state));
        assert!(context.is_sampled());
        assert_eq!(TraceContext::of(&headers(&[], &["a=1"]), false), None);
    }

    #[test]
    fn crucibles_own_span_takes_the_place_of_the_clients_where_spans_are_exported() {
        let context = TraceContext::of(&headers(&[PARENT], &["a=1"]), true).unwrap();
        let (parent, state) = sent(&context);
        assert_eq!(state.as_deref(), Some("a=1"));
        assert_eq!((&parent[..36], &parent[52..]), (&PARENT[..36], "-01"));
        assert_ne!(parent, PARENT);
        assert_eq!(context.parent, hex("b7ad6b7169203331"));
        let begun = TraceContext::of(&headers(&[], &[]), true).unwrap();
        assert!(begun.is_sampled() && begun.parent.is_none());
        assert_ne!(begun.trace, [0; 16]);
        let unsampled = PARENT.replace("-01", "-00");
        let unsampled = TraceContext::of(&headers(&[&unsampled], &[]), true).unwrap();
        assert!(!unsampled.is_sampled() && sent(&unsampled).0.ends_with("-00"));
    }

    #[test]
    fn what_is_no_traceparent_is_none() {
        let upper = PARENT.to_uppercase();
        let longer = format!("{PARENT}-x");
        for bad in [
            "",
            "junk",
            &PARENT[..54],
            &upper,
            &longer,
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333g-01",
            "00-0af7651916cd43dd8448eb211c80319cb7ad6b7169203331-01",
        ] {
            assert_eq!(
                TraceContext::of(&headers(&[bad], &["a=1"]), false),
                None,
                "{bad}"
            );
        }
        assert_eq!(
            TraceContext::of(&headers(&[PARENT, PARENT], &[]), false),
            None
        );
        // A version to come may have more parts, and is passed on as this one.
        let later = format!("01{}-more", &PARENT[2..]);
        let later = TraceContext::of(&headers(&[&later], &[]), false).unwrap();
        assert_eq!(sent(&later).0, PARENT);
    }

    #[test]
    fn a_long_state_is_left_out() {
        let long = format!("a={}", "x".repeat(511));
        let context = TraceContext::of(&headers(&[PARENT], &[&long]), false).unwrap();
        assert_eq!(sent(&context), (PARENT.to_owned(), None));
    }
}
