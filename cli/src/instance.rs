//! The instance that runs at the configured address, for commands that show its truth.

use crucible_config::Config;
use crucible_documents::running::{InstanceSearch, KEY_VARIABLE, RunningInstance, find_instance};

use crate::output::complain;

/// Finds it; stderr says where the search found something else than an instance that answers.
pub async fn find(config: &Config) -> Option<RunningInstance> {
    match find_instance(config).await {
        InstanceSearch::Running(instance) => return Some(*instance),
        InstanceSearch::KeyWanted(address) => complain(&format!(
            "the instance at {address} wants a client key: set {KEY_VARIABLE} to one of its keys; \
             until then the engines are asked directly, and may answer otherwise"
        )),
        InstanceSearch::Foreign(address) => complain(&format!(
            "the program at {address} answers, but not as a Crucible of this version: the engines \
             are asked directly"
        )),
        InstanceSearch::Absent => {}
    }
    None
}
