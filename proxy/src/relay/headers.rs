//! What is read of an engine's headers. Of a client's, none goes to an engine: a request is built
//! anew, with the engine's own token.

use http::{HeaderMap, header};

/// Seconds of an engine's `Retry-After`, where it is a plain number.
pub(crate) fn retry_after(engine: &HeaderMap) -> Option<u64> {
    engine
        .get(header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_number_of_seconds_is_a_wait() {
        for (value, wait) in [
            ("7", Some(7)),
            (" 7 ", Some(7)),
            ("soon", None),
            ("-1", None),
        ] {
            let mut engine = HeaderMap::new();
            engine.insert(header::RETRY_AFTER, value.parse().unwrap());
            assert_eq!(retry_after(&engine), wait);
        }
    }
}
