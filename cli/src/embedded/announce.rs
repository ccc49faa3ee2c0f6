//! The text that `try` ends with: the address of Crucible, a command to copy, the page.

use serde_json::json;

/// The shell whose quoting the command to copy uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandShell {
    /// A POSIX shell such as sh, bash or zsh.
    Posix,
    /// PowerShell, version 5 or newer.
    PowerShell,
}

/// The running instance and the engine that answered the first request.
#[derive(Clone, Copy, Debug)]
pub struct ReadyEngine<'a> {
    /// Crucible's own URL without a trailing slash, `http://127.0.0.1:8484`.
    pub url: &'a str,
    /// The model that answered first.
    pub model: &'a str,
    /// The name of the engine that has this model.
    pub engine: &'a str,
}

/// Returns the closing text: a request to copy, the base URL for clients, the page's address, and
/// the way to stop.
pub fn announce(ready: &ReadyEngine<'_>, shell: CommandShell) -> String {
    let ReadyEngine { url, model, engine } = ready;
    format!(
        "Crucible serves {model} ({engine}) and goes on until Ctrl-C.\n\n\
         Ask it:\n  {line}\n\n\
         For clients:  base URL {url}/v1, any API key\n\
         The page:     {url}/\n",
        line = shell.request(url, model),
    )
}

// === impl CommandShell ===

impl CommandShell {
    /// Returns the usual shell of this operating system.
    pub const fn here() -> Self {
        if cfg!(windows) {
            Self::PowerShell
        } else {
            Self::Posix
        }
    }

    /// Returns a request to `url` in one line. PowerShell 5 and 7 disagree on quotes inside
    /// arguments of programs, so there it is PowerShell's own command instead of curl.
    fn request(self, url: &str, model: &str) -> String {
        let body = |stream: bool| {
            let mut body = json!({
                "model": model,
                "messages": [{"role": "user", "content": "What is a crucible?"}],
            });
            if stream {
                body["stream"] = json!(true);
            }
            body.to_string()
        };
        match self {
            Self::Posix => format!(
                "curl -N {url}/v1/chat/completions -H 'Content-Type: application/json' -d '{}'",
                body(true).replace('\'', r"'\''")
            ),
            Self::PowerShell => format!(
                "(Invoke-RestMethod {url}/v1/chat/completions -Method Post -ContentType \
                 application/json -Body '{}').choices[0].message.content",
                body(false).replace('\'', "''")
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: ReadyEngine<'_> = ReadyEngine {
        url: "http://127.0.0.1:8484",
        model: "smollm2-135m-instruct",
        engine: "local",
    };

    #[test]
    fn it_gives_the_curl_line_and_the_page() {
        let text = announce(&READY, CommandShell::Posix);
        assert!(
            text.contains(
                "curl -N http://127.0.0.1:8484/v1/chat/completions -H \
                 'Content-Type: application/json' -d '{\"model\":\"smollm2-135m-instruct\","
            ),
            "{text}"
        );
        assert!(text.contains("\"stream\":true}'"), "{text}");
        assert!(
            text.contains("The page:     http://127.0.0.1:8484/\n"),
            "{text}"
        );
    }

    #[test]
    fn a_quote_in_a_model_name_cannot_end_the_argument() {
        let ready = ReadyEngine {
            model: "it's",
            ..READY
        };
        assert!(announce(&ready, CommandShell::Posix).contains(r#""model":"it'\''s""#));
        assert!(announce(&ready, CommandShell::PowerShell).contains(r#""model":"it''s""#));
    }

    #[test]
    fn powershell_gets_a_command_of_its_own() {
        let text = announce(&READY, CommandShell::PowerShell);
        assert!(
            text.contains("Invoke-RestMethod http://127.0.0.1:8484/v1/"),
            "{text}"
        );
        assert!(!text.contains("curl"), "{text}");
    }
}
