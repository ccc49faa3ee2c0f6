//! The list of models in Anthropic's form: its clients ask the same path as `OpenAI`'s, with a header of
//! their own, and read another document.

use crucible_router::plan::Listed;
use serde_json::{Value, json};

/// The part of the list that a client asks for by its query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ModelPage {
    limit: Option<usize>,
    after: Option<String>,
    before: Option<String>,
}

/// Returns the page of the list. Without a limit all models are one page, because local lists are short.
pub(crate) fn list(listing: &[Listed], page: &ModelPage) -> Value {
    let at = |id: &String| listing.iter().position(|listed| *listed.id == **id);
    let from = page.after.as_ref().and_then(at).map_or(0, |at| at + 1);
    let to = page.before.as_ref().and_then(at).unwrap_or(listing.len());
    let rest = listing.get(from..to.max(from)).unwrap_or_default();
    let limit = page.limit.unwrap_or(rest.len()).min(rest.len());
    let is_backwards = page.before.is_some();
    let shown = if is_backwards {
        &rest[rest.len() - limit..]
    } else {
        &rest[..limit]
    };
    json!({
        "data": shown.iter().map(|listed| model(&listed.id, listed.max_context)).collect::<Vec<_>>(),
        "has_more": shown.len() < rest.len(),
        "first_id": shown.first().map(|listed| &*listed.id),
        "last_id": shown.last().map(|listed| &*listed.id),
    })
}

/// Returns one model, with the longest context of a request where it is known. No engine reports when a
/// model was made, so `created_at` is the beginning of the epoch.
pub(crate) fn model(id: &str, max_context: Option<u64>) -> Value {
    json!({
        "type": "model",
        "id": id,
        "display_name": id,
        "created_at": "1970-01-01T00:00:00Z",
        "lifecycle": "active",
        "max_input_tokens": max_context,
    })
}

// === impl ModelPage ===

impl ModelPage {
    /// Reads `limit`, `after_id` and `before_id` of a query; what cannot be read is not there.
    pub(crate) fn of(query: Option<&str>) -> Self {
        let mut page = Self::default();
        for (name, value) in query
            .unwrap_or_default()
            .split('&')
            .filter_map(|pair| pair.split_once('='))
        {
            let text = || Some(decoded(value));
            match name {
                "limit" => page.limit = value.parse().ok().filter(|limit| *limit > 0),
                "after_id" => page.after = text(),
                "before_id" => page.before = text(),
                _ => {}
            }
        }
        page
    }
}

/// Resolves the escapes of a query, in which `+` is a blank.
fn decoded(value: &str) -> String {
    let mut out = Vec::with_capacity(value.len());
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                let code = digit().and_then(|high| Some(high * 16 + digit()?));
                out.extend(code.and_then(|code| u8::try_from(code).ok()));
            }
            _ => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn page(query: &str) -> Value {
        let listed = |id: &str| Listed {
            engine: "e".into(),
            model: id.into(),
            id: id.into(),
            created: 0,
            owned_by: "e".into(),
            via: Arc::new([]),
            max_context: Some(4096),
        };
        let listing: Vec<Listed> = ["a", "b/c:1", "d", "e"].map(listed).into();
        list(&listing, &ModelPage::of(Some(query)))
    }

    #[test]
    fn a_list_is_read_page_by_page() {
        for (query, ids, has_more) in [
            ("", &["a", "b/c:1", "d", "e"][..], false),
            ("limit=2", &["a", "b/c:1"], true),
            ("limit=2&after_id=b%2Fc%3A1", &["d", "e"], false),
            ("after_id=e", &[], false),
            ("before_id=d&limit=1", &["b/c:1"], true),
            ("after_id=nobody&limit=x", &["a", "b/c:1", "d", "e"], false),
            ("limit=0", &["a", "b/c:1", "d", "e"], false),
            ("after_id=d&before_id=a", &[], false),
        ] {
            let page = page(query);
            let data = page["data"].as_array().unwrap();
            let found: Vec<&str> = data.iter().filter_map(|m| m["id"].as_str()).collect();
            assert_eq!(found, ids, "{query}");
            assert!(data.iter().all(|model| model["max_input_tokens"] == 4096));
            assert_eq!(page["has_more"], has_more, "{query}");
            assert_eq!(page["first_id"], json!(ids.first()), "{query}");
            assert_eq!(page["last_id"], json!(ids.last()), "{query}");
        }
    }
}
