//! A kept request as a command line for curl.

use std::fmt::Write as _;

use super::{kept_text::KeptText, redaction::KeptHead};

/// The headers that are sent again.
const SENT_AGAIN: [&str; 4] = [
    "anthropic-beta",
    "anthropic-version",
    "content-type",
    "x-crucible-engine",
];

/// The bodies of which a command can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CurlBody<'a> {
    /// The request had none.
    Absent,
    /// All of it.
    Whole(&'a str),
}

/// Returns the body for a command, or a sentence on why there can be none.
pub(super) fn body<'a>(
    head: &KeptHead,
    received: Option<&'a KeptText>,
) -> Result<CurlBody<'a>, &'static str> {
    match received {
        None if head.has_body => {
            Err("no body was read of this request, so no command can send it again")
        }
        None => Ok(CurlBody::Absent),
        Some(body) if !body.is_whole() => {
            Err("the body is too long to be kept whole, so no command can send it again")
        }
        Some(body) => body
            .whole()
            .map(CurlBody::Whole)
            .ok_or("the body is no UTF-8 text, so no command can have it"),
    }
}

/// Returns a sentence on what the command leaves out; `None` where it is complete.
pub(super) fn left_out(head: &KeptHead) -> Option<&'static str> {
    head.is_cut.then_some(
        "the query is not kept whole, since it may have a secret, so the command sends only what is kept of it",
    )
}

/// Returns the command line, for the Crucible at `address`, which is never the client's `Host`: with the key in it the
/// command would send that to whatever host a client names. The body goes in by a here-document, so that nothing of it
/// is read by the shell and it may be of any length; the key is the variable `CRUCIBLE_API_KEY`.
pub(super) fn command(head: &KeptHead, body: CurlBody<'_>, address: &str) -> String {
    let mut line = String::from("curl -N");
    if head.method != "POST" || body == CurlBody::Absent {
        // Writing to a String cannot fail, here and below.
        let _ = write!(line, " -X {}", quoted(&head.method));
    }
    let _ = write!(
        line,
        " {}",
        quoted(&format!("http://{address}{}", head.sent_again))
    );
    for name in SENT_AGAIN {
        if let Some(value) = head.header(name) {
            let _ = write!(line, " \\\n  -H {}", quoted(&format!("{name}: {value}")));
        }
    }
    if let Some(key) = head.key_header {
        let _ = write!(line, " \\\n  -H \"{key} $CRUCIBLE_API_KEY\"");
    }
    if let CurlBody::Whole(body) = body {
        let end = delimiter(body);
        let _ = write!(line, " \\\n  --data-binary @- <<'{end}'\n{body}\n{end}");
    }
    line.push('\n');
    line
}

/// A word that is no line of the body.
fn delimiter(body: &str) -> String {
    let mut end = "BODY".to_owned();
    while body.lines().any(|line| line == end) {
        end.push('_');
    }
    end
}

/// A text as one word of a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, Method};

    use super::*;

    #[test]
    fn the_command_has_body_and_headers_and_no_key() {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("evil.example.com"));
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        headers.insert("x-api-key", HeaderValue::from_static("crk-secret"));
        let uri = "/v1/messages?beta=true&key=crk-secret".parse().unwrap();
        let head = KeptHead::of(&Method::POST, &uri, &headers);
        assert_eq!(
            command(
                &head,
                CurlBody::Whole("{\"a\": \"it's $HOME\"}"),
                "localhost:8484"
            ),
            "curl -N 'http://localhost:8484/v1/messages?beta=true' \\\n  \
             -H 'content-type: application/json' \\\n  \
             -H \"x-api-key: $CRUCIBLE_API_KEY\" \\\n  \
             --data-binary @- <<'BODY'\n{\"a\": \"it's $HOME\"}\nBODY\n"
        );
        assert!(left_out(&head).is_some_and(|said| said.contains("query")));
    }

    #[test]
    fn a_command_needs_the_whole_body_and_the_lack_of_one_is_told() {
        let head = |length| {
            let headers = [("content-length", HeaderValue::from_static(length))];
            let headers = headers.map(|(name, value)| (http::HeaderName::from_static(name), value));
            KeptHead::of(
                &Method::POST,
                &"/api/chat".parse().unwrap(),
                &headers.into_iter().collect(),
            )
        };
        assert_eq!(body(&head("0"), None), Ok(CurlBody::Absent));
        assert!(body(&head("7"), None).is_err_and(|said| said.starts_with("no body was read")));
        let text = KeptText::of(b"{}");
        assert_eq!(body(&head("2"), Some(&text)), Ok(CurlBody::Whole("{}")));
        let other = KeptText::of(b"\xff");
        assert!(body(&head("1"), Some(&other)).is_err_and(|said| said.contains("UTF-8")));
        let long = KeptText::of(&vec![b'x'; 9 << 20]);
        assert!(body(&head("9"), Some(&long)).is_err_and(|said| said.contains("too long")));
    }

    #[cfg(unix)]
    #[test]
    fn a_shell_hands_over_what_was_kept_and_runs_nothing() {
        use std::process::Command;

        let folder = tempfile::tempdir().unwrap();
        let mut headers = HeaderMap::new();
        let trap = format!(
            "'; touch {0}/broken; $(touch {0}/broken)",
            folder.path().display()
        );
        headers.insert("host", HeaderValue::from_static("a;b"));
        headers.insert("content-type", HeaderValue::from_str(&trap).unwrap());
        let head = KeptHead::of(&Method::POST, &"/v1/it's".parse().unwrap(), &headers);
        let body = format!(
            "{{\"a\": 1}}\nBODY\n{trap}\nBODY_\n`touch {}/broken`",
            folder.path().display()
        );
        let script = format!(
            "curl() {{ printf '%s\\n' \"$@\"; cat; }}\n{}",
            command(&head, CurlBody::Whole(&body), "127.0.0.1:8484")
        );
        let run = Command::new("sh").arg("-c").arg(&script).output().unwrap();
        let out = String::from_utf8(run.stdout).unwrap();
        assert!(run.status.success(), "{out}");
        assert_eq!(
            out,
            format!(
                "-N\nhttp://127.0.0.1:8484/v1/it's\n-H\ncontent-type: {trap}\n--data-binary\n@-\n{body}\n"
            )
        );
        assert!(!folder.path().join("broken").exists());
    }
}
