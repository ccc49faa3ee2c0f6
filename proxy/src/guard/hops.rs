//! The hop rule: a request that has come through this instance before is refused, since two
//! instances that have each other as an engine would pass it on in a circle.

use std::sync::Arc;

use crucible_router::hop;
use http::{HeaderMap, HeaderName};

use crate::error::{Error, ErrorKind};

/// The header with the numbers of the instances that a request came through, by which a request that goes round is
/// found.
pub(crate) static X_CRUCIBLE_HOPS: HeaderName = HeaderName::from_static(hop::HEADER);

/// The numbers of the instances that a request came through, oldest first. It is an error where
/// this instance is one of them, or where there are too many.
pub(crate) fn of(headers: &HeaderMap) -> Result<Arc<[Arc<str>]>, Error> {
    if !headers.contains_key(&X_CRUCIBLE_HOPS) {
        return Ok(Arc::default());
    }
    let values = headers.get_all(&X_CRUCIBLE_HOPS).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let hops: Arc<[Arc<str>]> = texts.flat_map(hop::marks_in).map(Arc::from).collect();
    if hop::goes_round(&hops) {
        return Err(Error::new(
            ErrorKind::BadRequest,
            "this request went round: a Crucible has this one as an engine, which leads back to it; \
             remove the [[engine]] whose address is a Crucible's, on one of the two sides",
        ));
    }
    Ok(hops)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_here_before_is_refused_in_one_header_or_several() {
        let headers = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(&X_CRUCIBLE_HOPS, value.parse().unwrap());
            }
            headers
        };
        assert_eq!(of(&headers(&["a, b", "c"])).unwrap().len(), 3);
        assert!(of(&headers(&[])).unwrap().is_empty());
        for round in [
            vec![hop::own_mark()],
            vec!["a", hop::own_mark()],
            vec!["a"; 9],
        ] {
            let error = of(&headers(&round)).unwrap_err();
            assert_eq!(error.kind, ErrorKind::BadRequest);
        }
    }
}
