//! The instance that is asked, and its answers as results of the command.

use crucible_documents::running::{
    InstanceRefusal, InstanceSearch, KEY_VARIABLE, RunningInstance, find_instance_at,
};

use crate::CommandFailure;

/// Finds the running instance, or says in one sentence why there is none to ask.
pub(super) async fn found(
    url: &str,
    key: Option<String>,
) -> Result<RunningInstance, CommandFailure> {
    Err(CommandFailure::wrong(
        match find_instance_at(url, key).await {
            InstanceSearch::Running(instance) => return Ok(*instance),
            InstanceSearch::KeyWanted(address) => format!(
                "the instance at {address} wants a client key: set {KEY_VARIABLE} to one of its keys"
            ),
            InstanceSearch::KeyRefused(address) => format!(
                "the instance at {address} refused the client key of --key or {KEY_VARIABLE}: it is none of its keys"
            ),
            InstanceSearch::Foreign(address) => {
                format!("the program at {address} answers, but not as a Crucible of this version")
            }
            InstanceSearch::Absent => format!(
                "no instance runs at {}; start `crucible serve`, or name the address of one: --url URL",
                url.trim_start_matches("http://")
            ),
        },
    ))
}

/// The answer of an instance, or its refusal as a failure of the command.
pub(super) fn answered<T>(
    instance: &RunningInstance,
    answer: Option<Result<T, InstanceRefusal>>,
) -> Result<T, CommandFailure> {
    let address = instance.address();
    match answer {
        Some(Ok(document)) => Ok(document),
        Some(Err(refusal)) => Err(CommandFailure::wrong(format!(
            "the instance at {address}: {}",
            refusal.message
        ))),
        None => Err(CommandFailure::wrong(format!(
            "the instance at {address} did not answer in time, or not as this version does"
        ))),
    }
}
