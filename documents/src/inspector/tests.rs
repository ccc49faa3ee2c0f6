//! The names of kept requests, and the documents as JSON.

use super::*;

fn row(id: &str, number: u64, ended: bool) -> InspectedRowDoc {
    let end = InspectedEndDoc {
        took_s: 1.0,
        status: 200,
        outcome: "ok".into(),
        engine: None,
        model: None,
        prompt_tokens: Some(200),
        cached_tokens: Some(150),
        cached_is_estimated: false,
        output_tokens: 3,
        loaded: false,
        turn: Some(1),
    };
    InspectedRowDoc {
        number,
        request_id: id.into(),
        at_ms: 0,
        asked: "POST /v1/chat/completions".into(),
        client: "curl@127.0.0.1".into(),
        ended: ended.then_some(end),
        received_bytes: None,
        sent_bytes: None,
        answer_bytes: 0,
        change: "".into(),
    }
}

#[test]
fn a_request_is_named_by_its_number_last_its_id_or_the_beginning_of_one() {
    let doc = InspectorDoc {
        on: true,
        ends_at_ms: Some(1),
        remaining_s: Some(1.0),
        session: 1,
        most_requests: 64,
        most_running: 256,
        most_bytes: 1,
        most_body_bytes: 1,
        kept_bytes: 0,
        dropped: 0,
        requests: vec![
            row("req_aa1", 1, true),
            row("req_ab2", 2, true),
            row("req_ab2", 3, true),
            row("req_b", 4, false),
        ],
    };
    let number = |name| doc.named(name).map(|row| row.number);
    assert_eq!(number("last"), Some(3));
    assert_eq!(number("req_aa"), Some(1));
    assert_eq!(number("req_ab2"), Some(3));
    assert_eq!(number("req_ab"), Some(3));
    assert_eq!(number("req_a"), None);
    assert_eq!(number("req_b"), Some(4));
    assert_eq!(number(""), None);
    assert_eq!(number("x"), None);
    assert_eq!(number("#2"), Some(2));
    assert_eq!(number("#5"), None);
    assert_eq!(number("#"), None);
    assert_eq!(number("2"), Some(2));
    // Ids of clients that look like other names hide no request.
    let mut doc = doc;
    doc.requests[0].request_id = "last".into();
    doc.requests[1].request_id = "4".into();
    let number = |name| doc.named(name).map(|row| row.number);
    assert_eq!(number("last"), Some(3));
    assert_eq!(number("#1"), Some(1));
    assert_eq!(number("4"), Some(2));
    assert_eq!(number("#4"), Some(4));
    let text = serde_json::to_string(&doc).unwrap();
    assert_eq!(serde_json::from_str::<InspectorDoc>(&text).unwrap(), doc);
    assert_eq!(
        doc.requests[0].ended.as_ref().unwrap().cached_share(),
        Some(0.75)
    );
}
