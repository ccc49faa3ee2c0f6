//! The token that an engine wants of whoever asks it.

use std::env;

use crucible_config::checked;

use super::EngineError;

/// The engine's own token, from the environment. It is never shown.
pub fn token_of(engine: &checked::EngineConfig) -> Option<String> {
    token_in(&env::var(engine.token_variable()?).ok()?)
}

/// Trims a token. One that was read from a file ends in a line break, which no header can hold.
pub(crate) fn token_in(value: &str) -> Option<String> {
    let value = value.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

/// The advice for an engine that refuses Crucible's access; `None` for other failures.
pub(crate) fn refused_access(
    engine: &checked::EngineConfig,
    error: &EngineError,
) -> Option<String> {
    let EngineError::Refused { status, message } = error else {
        return None;
    };
    if !matches!(status, 401 | 403) {
        return None;
    }
    let token = token_of(engine);
    // Some engines quote the token that they refuse.
    let said = match &token {
        Some(token) => message.replace(token.as_str(), "***"),
        None => message.clone(),
    };
    let what = match (engine.token_variable(), token.is_some()) {
        (Some(name), true) => format!(
            "it refuses the token in {name}: put a valid one there, or name another variable as \
             api_key_env of this engine"
        ),
        (Some(name), false) => format!(
            "it wants a token: put it into the environment variable {name} of Crucible, or into \
             another one that api_key_env of this engine names"
        ),
        (None, _) => "it wants a token: put it into an environment variable of Crucible, and the \
                      variable's name into api_key_env of this engine"
            .to_owned(),
    };
    Some(format!("{what} ({status}: {said})"))
}

#[cfg(test)]
mod tests {
    use crucible_config::{Config, checked::EngineKind};

    use super::*;

    #[test]
    fn space_around_a_token_is_not_part_of_it() {
        for (value, token) in [
            ("sesame", Some("sesame")),
            ("sesame\n", Some("sesame")),
            (" sesame\r\n", Some("sesame")),
            ("", None),
            (" \n", None),
        ] {
            assert_eq!(token_in(value).as_deref(), token, "{value:?}");
        }
    }

    #[test]
    fn a_refused_access_says_which_variable_is_meant_and_never_the_token() {
        let url: url::Url = "http://127.0.0.1:1".parse().unwrap();
        let engine = |kind, variable: Option<&str>| checked::EngineConfig {
            api_key_env: variable.map(str::to_owned),
            ..Config::builtin().discovered(kind, "e", url.clone())
        };
        let refused = |status| EngineError::Refused {
            status,
            message: format!("bad token {}", env::var("PATH").unwrap()),
        };
        for (kind, variable, words) in [
            (
                EngineKind::Lmstudio,
                None,
                "wants a token: put it into the environment variable LM_API_TOKEN",
            ),
            (EngineKind::Llamacpp, None, "variable LLAMA_API_KEY"),
            (
                EngineKind::Openai,
                None,
                "the variable's name into api_key_env",
            ),
            (
                EngineKind::Ollama,
                None,
                "the variable's name into api_key_env",
            ),
            (
                EngineKind::Openai,
                Some("NO_SUCH_TOKEN"),
                "variable NO_SUCH_TOKEN",
            ),
            (
                EngineKind::Lmstudio,
                Some("PATH"),
                "refuses the token in PATH",
            ),
        ] {
            let engine = engine(kind, variable);
            for status in [401, 403] {
                let told = refused_access(&engine, &refused(status)).unwrap();
                assert!(told.contains(words), "{told}");
                assert!(told.contains("api_key_env"), "{told}");
                let shown = told.contains(&env::var("PATH").unwrap());
                assert_eq!(shown, variable != Some("PATH"), "{told}");
            }
            assert_eq!(refused_access(&engine, &refused(500)), None);
            assert_eq!(refused_access(&engine, &EngineError::Timeout), None);
        }
    }
}
