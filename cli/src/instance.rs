//! The running instance at the configured address, which commands ask before they look at the
//! engines themselves.

use crucible_config::Config;
use crucible_documents::running::{InstanceSearch, KEY_VARIABLE, RunningInstance, find_instance};

use crate::output::write_stderr;

/// The end of a sentence on stderr about an instance that does not answer.
pub const ENGINES_ASKED: &str = "the engines are asked directly, and may answer otherwise";

/// Finds the running instance, or returns `None`. Where something else answers at its address, a
/// line on stderr says so.
pub async fn find(config: &Config) -> Option<RunningInstance> {
    match find_instance(config).await {
        InstanceSearch::Running(instance) => return Some(*instance),
        InstanceSearch::KeyWanted(address) => write_stderr(&format!(
            "the instance at {address} wants a client key: set {KEY_VARIABLE} to one of its keys; \
             until then {ENGINES_ASKED}"
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
