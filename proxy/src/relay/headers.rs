//! The headers of an engine's answer that are read. No header of a client goes to an engine: a
//! request is built anew, with the engine's own token.

use std::time::SystemTime;

use http::{HeaderMap, header};

/// Returns the whole seconds of an engine's `Retry-After` header, a number or a date that is
/// compared with `now`; `None` where it is neither.
pub(crate) fn retry_after(engine: &HeaderMap, now: SystemTime) -> Option<u64> {
    let value = engine.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // However long the number is, it is a number.
        return Some(value.parse().unwrap_or(u64::MAX));
    }
    let at = httpdate::parse_http_date(value).ok()?;
    let wait = at.duration_since(now).unwrap_or_default();
    Some(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_wait_is_a_number_of_seconds_or_a_date() {
        // 784111777 s: the example of RFC 9110.
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(784_111_767_500);
        for (value, wait) in [
            ("7", Some(7)),
            (" 7 ", Some(7)),
            ("0", Some(0)),
            ("86400", Some(86400)),
            ("99999999999999999999999999", Some(u64::MAX)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(10)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(10)),
            ("Sun Nov  6 08:49:37 1994", Some(10)),
            ("Sun, 06 Nov 1994 08:49:27 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
            ("1.5", None),
            ("", None),
            ("Sun, 06 Nov 1994", None),
        ] {
            let mut engine = HeaderMap::new();
            engine.insert(header::RETRY_AFTER, value.parse().unwrap());
            assert_eq!(retry_after(&engine, now), wait, "{value}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
