//! A kept request as a command line for curl.

use std::fmt::Write as _;

use super::redaction::KeptHead;

/// The headers that are sent again.
const SENT_AGAIN: [&str; 4] = [
    "anthropic-beta",
    "anthropic-version",
    "content-type",
    "x-crucible-engine",
];

/// The address where the client named none that can be written.
const NOWHERE: &str = "127.0.0.1:8484";

/// Returns the command line. The body goes in by a here-document, so that nothing of it is read by the shell and it may
/// be of any length; the key is the variable `CRUCIBLE_API_KEY`.
pub(super) fn command(head: &KeptHead, body: Option<&str>) -> String {
    let mut host = head.header("host").unwrap_or(NOWHERE);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    if host.is_empty() || !host.chars().all(is_plain) {
        host = NOWHERE;
    }
    let mut line = String::from("curl -N");
    if head.method != "POST" || body.is_none() {
        // Writing to a String cannot fail, here and below.
        let _ = write!(line, " -X {}", quoted(&head.method));
    }
    let _ = write!(
        line,
        " {}",
        quoted(&format!("http://{host}{}", head.target))
    );
    for name in SENT_AGAIN {
        if let Some(value) = head.header(name) {
            let _ = write!(line, " \\\n  -H {}", quoted(&format!("{name}: {value}")));
        }
    }
    if let Some(key) = head.key_header {
        let _ = write!(line, " \\\n  -H \"{key} $CRUCIBLE_API_KEY\"");
    }
    if let Some(body) = body {
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
        headers.insert("host", HeaderValue::from_static("localhost:8484"));
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        headers.insert("x-api-key", HeaderValue::from_static("crk-secret"));
        let uri = "/v1/messages?beta=true".parse().unwrap();
        let head = KeptHead::of(&Method::POST, &uri, &headers);
        assert_eq!(
            command(&head, Some("{\"a\": \"it's $HOME\"}")),
            "curl -N 'http://localhost:8484/v1/messages?beta=true' \\\n  \
             -H 'content-type: application/json' \\\n  \
             -H \"x-api-key: $CRUCIBLE_API_KEY\" \\\n  \
             --data-binary @- <<'BODY'\n{\"a\": \"it's $HOME\"}\nBODY\n"
        );
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
            command(&head, Some(&body))
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
