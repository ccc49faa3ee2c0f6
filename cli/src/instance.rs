//! The running instance at the configured address, which commands ask before they look at the
//! engines themselves.

use std::env;

use clap::Args;
use crucible_config::Config;
use crucible_documents::running::{
    InstanceSearch, KEY_VARIABLE, RunningInstance, find_instance, local_url,
};

use crate::{CommandFailure, output::write_stderr};

/// The address at which clients look for Crucible where nothing else is set.
const USUAL_URL: &str = "http://127.0.0.1:8484";

const KEY_HELP: &str = "Client key, where Crucible wants one [default: $CRUCIBLE_KEY]";

/// The end of a sentence on stderr about an instance that does not answer.
pub const ENGINES_ASKED: &str = "the engines are asked directly, and may answer otherwise";

/// The arguments that say which instance is asked, where it need not be the one of this configuration.
#[derive(Args, Clone, Debug)]
pub(crate) struct InstanceArgs {
    /// Address of Crucible, without /v1 [default: where it listens here]
    #[arg(long, global = true, value_name = "URL")]
    url: Option<String>,
    #[arg(long, global = true, value_name = "KEY", help = KEY_HELP)]
    key: Option<String>,
}

/// Finds the running instance, or returns `None`. Where something else answers at its address, a
/// line on stderr says so.
pub async fn find(config: &Config) -> Option<RunningInstance> {
    match find_instance(config).await {
        InstanceSearch::Running(instance) => return Some(*instance),
        InstanceSearch::KeyWanted(address) => write_stderr(&format!(
            "the instance at {address} wants a client key: set {KEY_VARIABLE} to one of its keys; \
             until then {ENGINES_ASKED}"
        )),
        InstanceSearch::KeyRefused(address) => write_stderr(&format!(
            "the instance at {address} refused the client key in {KEY_VARIABLE}: it is none of its keys; \
             {ENGINES_ASKED}"
        )),
        InstanceSearch::Foreign(address) => write_stderr(&format!(
            "the program at {address} answers, but not as a Crucible of this version: the engines \
             are asked directly"
        )),
        InstanceSearch::Absent => {}
    }
    None
}

/// Writes a line on stderr about an instance that answered with its state, but not to `path`. `instead`
/// says what the command does without that answer.
pub fn warn_unanswered(instance: &RunningInstance, path: &str, instead: &str) {
    write_stderr(&format!(
        "the instance at {} did not answer {path} in time, or not as this version does: {instead}",
        instance.address()
    ));
}

/// Says why a search at this address found no instance to ask; `None` where it found one.
pub(crate) fn why_none(url: &str, search: &InstanceSearch) -> Option<String> {
    match search {
        InstanceSearch::Running(_) => None,
        InstanceSearch::KeyWanted(at) => Some(format!(
            "the Crucible at {at} wants a client key: give --key or set {KEY_VARIABLE}"
        )),
        InstanceSearch::KeyRefused(at) => Some(format!(
            "the Crucible at {at} refused the client key of --key or {KEY_VARIABLE}: it is none of its keys"
        )),
        InstanceSearch::Foreign(at) => Some(format!(
            "the program at {at} is no Crucible of this version"
        )),
        InstanceSearch::Absent => Some(format!(
            "no Crucible answers at {url}; start it with `crucible`"
        )),
    }
}

/// The URL without a path, whatever of `/v1`, `/api` and slashes was typed behind it.
fn bare_url(typed: &str) -> Result<String, CommandFailure> {
    let wrong = || {
        CommandFailure::usage(format!(
            "--url: found {typed:?}, expected the address of Crucible such as {USUAL_URL}"
        ))
    };
    let with_scheme = if typed.contains("://") {
        typed.to_owned()
    } else {
        format!("http://{typed}")
    };
    let url = url::Url::parse(&with_scheme).map_err(|_| wrong())?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong());
    }
    // A word alone is rather a slip than a machine whose Crucible listens at port 80.
    let is_word = url
        .domain()
        .is_some_and(|name| !name.contains('.') && name != "localhost");
    if is_word && url.port().is_none() && !typed.contains("://") {
        return Err(wrong());
    }
    let known = ["/v1", "/api/v0", "/api", "/"];
    let mut path = url.path().to_owned();
    while let Some(rest) = known.iter().find_map(|end| path.strip_suffix(end)) {
        path = rest.to_owned();
    }
    let origin = url.origin().ascii_serialization();
    Ok(format!("{origin}{path}"))
}

// === impl InstanceArgs ===

impl InstanceArgs {
    /// The URL without a path: the one that was given, else where an instance of this configuration listens.
    ///
    /// # Errors
    /// What was given is no address.
    pub(crate) fn url(&self, config: &Config) -> Result<String, CommandFailure> {
        match &self.url {
            Some(url) => bare_url(url),
            None => Ok(local_url(config).unwrap_or_else(|| USUAL_URL.to_owned())),
        }
    }

    /// The client key: the one that was given, else the one of the environment.
    pub(crate) fn key(&self) -> Option<String> {
        self.key.clone().or_else(|| env::var(KEY_VARIABLE).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_as_people_type_it() {
        for typed in [
            "http://127.0.0.1:8484",
            "http://127.0.0.1:8484/",
            "127.0.0.1:8484/v1",
            "http://127.0.0.1:8484/v1/",
            "http://127.0.0.1:8484/v1/v1",
            "http://127.0.0.1:8484/api/v0",
            "http://127.0.0.1:8484//api/",
        ] {
            assert_eq!(bare_url(typed).unwrap(), "http://127.0.0.1:8484", "{typed}");
        }
        for typed in ["garbage", "http//127.0.0.1:8484", ""] {
            assert_eq!(bare_url(typed).unwrap_err().code, 2, "{typed}");
        }
        for typed in ["http://crucible", "crucible:8484", "localhost", "192.0.2.7"] {
            assert!(bare_url(typed).is_ok(), "{typed}");
        }
        assert_eq!(
            bare_url("https://x.example/ai/v1").unwrap(),
            "https://x.example/ai"
        );
        for wrong in ["", "ftp://x", "http://"] {
            assert!(bare_url(wrong).is_err(), "{wrong}");
        }
    }
}
