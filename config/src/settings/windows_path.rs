//! A Windows path between double quotes, where TOML takes each backslash for the begin of an escape.

/// A Windows path found between double quotes in a line, with what is needed to tell how to write it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WindowsPathSlip {
    /// The path as it was meant.
    pub(super) path: String,
    /// The key in front of it; empty where there is none.
    pub(super) key: String,
    /// Whether it is all that stands behind the key, and not one of a list.
    pub(super) stands_alone: bool,
}

/// The first such path of a line. A text with a control character is none, and is shown to no terminal.
pub(super) fn slip(line: &str) -> Option<WindowsPathSlip> {
    let mut parts = line.match_indices('"');
    let (start, path) = loop {
        let (at, _) = parts.next()?;
        let rest = &line[at + 1..];
        // The closing quote may be taken for an escaped one: `"C:\models\"`.
        let path = rest.split('"').next().unwrap_or(rest);
        if begins_a_path(path) && !path.contains(char::is_control) {
            break (at, path);
        }
    };
    let (key, between) = line[..start].split_once('=').unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let key = key.trim();
    Some(WindowsPathSlip {
        path: path.to_owned(),
        stands_alone: !key.is_empty() && between.trim().is_empty() && key.chars().all(plain),
        key: if key.chars().all(plain) { key } else { "" }.to_owned(),
    })
}

/// `C:\`, `\\server` or `.\`, `..\` and `~\`.
fn begins_a_path(text: &str) -> bool {
    let mut chars = text.chars();
    let drive =
        chars.next().is_some_and(|c| c.is_ascii_alphabetic()) && chars.as_str().starts_with(":\\");
    drive
        || ["\\\\", ".\\", "..\\", "~\\"]
            .iter()
            .any(|start| text.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_windows_path_is_told_from_other_texts() {
        for (line, expected) in [
            (
                r#"model_path = "C:\Users\me\m.gguf""#,
                Some(("model_path", r"C:\Users\me\m.gguf")),
            ),
            (
                r#"state_dir = "d:\x\"  # mine"#,
                Some(("state_dir", r"d:\x\")),
            ),
            (
                r#"command = ["C:\a b\llama-server.exe", "-v"]"#,
                Some(("command", r"C:\a b\llama-server.exe")),
            ),
            (
                r#"command = ["x", "\\server\share"]"#,
                Some(("command", r"\\server\share")),
            ),
            (
                r#"model_path = "..\m.gguf""#,
                Some(("model_path", r"..\m.gguf")),
            ),
            (r#"{ path = "C:\q" }"#, Some(("", r"C:\q"))),
            (r#"name = "a\qb""#, None),
            ("state_dir = \"C:\\a\u{7}b\"", None),
            (r#"url = "http://x""#, None),
            ("model_path = 'C:\\q'", None),
            ("", None),
        ] {
            let found = slip(line);
            let found = found.as_ref().map(|s| (s.key.as_str(), s.path.as_str()));
            assert_eq!(found, expected, "{line}");
        }
    }
}
