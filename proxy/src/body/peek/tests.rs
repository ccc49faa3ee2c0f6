use std::fmt::Write;

use super::*;

fn peek(text: &str) -> Result<PeekedBody, Error> {
    PeekedBody::of(&Bytes::copy_from_slice(text.as_bytes()), 64)
}

fn kind(text: &str) -> ErrorKind {
    peek(text).unwrap_err().kind
}

#[test]
fn malformed_bodies_are_invalid_json() {
    for text in [
        "",
        "[]",
        "{",
        "{} x",
        "\u{feff}{}",
        "{\"a\":1,}",
        "nul",
        "7",
    ] {
        assert_eq!(kind(text), ErrorKind::InvalidJson, "{text}");
    }
    let bytes = Bytes::from_static(b"{\"a\":\"\xff\"}");
    assert_eq!(
        PeekedBody::of(&bytes, 64).unwrap_err().kind,
        ErrorKind::InvalidJson
    );
}

#[test]
fn hostile_nesting_is_refused_and_strings_do_not_count() {
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(kind(&deep), ErrorKind::InvalidJson);
    let text = format!("{{\"x\":\"\\\"{}\"}}", "[".repeat(1000));
    assert!(peek(&text).is_ok());
}

#[test]
fn escaped_and_doubled_routed_keys_are_found() {
    assert_eq!(
        peek(r#"{"mod\u0065l":"a"}"#).unwrap().model.as_deref(),
        Some("a")
    );
    assert_eq!(
        kind(r#"{"model":"a","mod\u0065l":"b"}"#),
        ErrorKind::DuplicateKey
    );
    assert!(peek(r#"{"x":1,"x":2}"#).is_ok());
}

#[test]
fn wrong_types_name_their_key_and_null_is_absent() {
    let error = peek(r#"{"model":3}"#).unwrap_err();
    assert_eq!(
        (error.kind, error.param.as_deref()),
        (ErrorKind::InvalidType, Some("model"))
    );
    let found = peek(r#"{"model":null,"stream":null}"#).unwrap();
    assert_eq!((found.model, found.stream), (None, false));
}

#[test]
fn lengths_are_read_however_they_are_spelt() {
    for (fields, limit, context) in [
        (r#""max_tokens":4096"#, Some(4096), None),
        (r#""max_tokens":4096.0"#, Some(4096), None),
        (r#""max_tokens":4e3"#, Some(4000), None),
        (r#""max_tokens":4.9"#, Some(4), None),
        (r#""max_tokens":0"#, Some(0), None),
        (r#""max_tokens":-1"#, None, None),
        (r#""max_tokens":null"#, None, None),
        (r#""max_tokens":1e400"#, None, None),
        (r#""max_tokens":"9""#, None, None),
        // The newer name decides, also where it says that there is no limit.
        (
            r#""max_tokens":9,"max_completion_tokens":7.0"#,
            Some(7),
            None,
        ),
        (r#""max_tokens":9,"max_completion_tokens":-1"#, None, None),
        (
            r#""max_tokens":9,"max_completion_tokens":null"#,
            Some(9),
            None,
        ),
        (r#""num_ctx":8192"#, None, Some(8192)),
        (r#""num_ctx":8192.0"#, None, Some(8192)),
        (r#""options":{"num_ctx":8192.0}"#, None, Some(8192)),
        (r#""options":{"num_ctx":null}"#, None, None),
        (
            r#""num_ctx":-1,"options":{"num_ctx":2048}"#,
            None,
            Some(2048),
        ),
        (r#""num_ctx":0"#, None, None),
        (r#""num_ctx":1.5"#, None, None),
    ] {
        let body = format!("{{{fields}}}");
        let found = peek(&body).unwrap();
        let read = (
            found.max_tokens(body.as_bytes()),
            found.num_ctx(body.as_bytes()),
        );
        assert_eq!(read, (limit, context), "{fields}");
    }
}

#[test]
fn a_million_keys_are_one_pass() {
    let mut body = String::from("{");
    for key in 0..1_000_000 {
        let _ = write!(body, "\"k{key}\":0,");
    }
    body.push_str("\"model\":\"m\"}");
    assert_eq!(peek(&body).unwrap().model.as_deref(), Some("m"));
}

#[test]
fn images_are_not_weighed_by_their_bytes() {
    let body = format!(
        r#"{{"messages":[{{"role":"user","content":[{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{}"}}}}]}}]}}"#,
        "A".repeat(100_000)
    );
    let found = peek(&body).unwrap();
    assert!(found.has_images());
    assert!(found.estimated_prompt_tokens() < 600);
}

#[test]
fn words_in_a_text_are_no_image_and_no_answer() {
    let body =
        r#"{"messages":[{"role":"user","content":"\"assistant\" \"image_url\" data:image/png"}]}"#;
    let found = peek(body).unwrap();
    assert!(!found.has_images() && !found.may_be_later_turn());
    let answered = body.replace("user", "assistant");
    assert!(peek(&answered).unwrap().may_be_later_turn());
    let elsewhere = body.replace("{\"mess", "{\"stop\":[\"assistant\"],\"mess");
    assert!(!peek(&elsewhere).unwrap().may_be_later_turn());
}

#[test]
fn the_prompt_walk_sees_last_user_text_and_turn() {
    let body = r#"{"messages":[{"role":"system","content":"s"},{"role":"user","content":"A"},{"role":"assistant","content":null},{"role":"user","content":[{"type":"text","text":"Last ONE"}]}]}"#;
    let prompt = peek(body).unwrap().prompt(body.as_bytes());
    assert_eq!(prompt.last_user, "last one");
    assert!(prompt.later_turn);
    let first = r#"{"messages":[{"role":"system","content":"s"},{"role":"user","content":"A"}]}"#;
    let earlier = peek(first).unwrap().prompt(first.as_bytes());
    assert_eq!(earlier.opening, prompt.opening);
    assert_eq!(earlier.instructions, prompt.instructions);
    // The same text in another form.
    let parts = first.replace(
        "\"A\"",
        r#"[{"type":"text","text":"A","cache_control":{}}]"#,
    );
    let parts = peek(&parts).unwrap().prompt(parts.as_bytes());
    assert_eq!(parts.opening, prompt.opening);
    // An odd message is skipped, and a bare string is a part.
    let odd = first.replace("\"A\"", "[\"A\",{\"text\":null},7]");
    let odd = odd.replace(
        "[{\"role\":\"system\"",
        "[7,{\"role\":9},{\"role\":\"system\"",
    );
    let odd = peek(&odd).unwrap().prompt(odd.as_bytes());
    assert_eq!(odd.opening, prompt.opening);
    let other = first.replace("\"A\"", "\"B\"").replace("\"s\"", "\"t\"");
    let other = peek(&other).unwrap().prompt(other.as_bytes());
    assert_ne!(other.opening, prompt.opening);
    assert_ne!(other.instructions, prompt.instructions);
}
