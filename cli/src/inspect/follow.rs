//! The list that grows while the inspector is on.

use std::time::Duration;

use crucible_documents::{inspector::InspectorDoc, running::RunningInstance};
use tokio::time::sleep;

use super::{asked::answered, show};
use crate::{
    CommandFailure,
    output::{stdout_error, to_json, write_stderr, write_stdout},
};

/// The time between two looks at the list.
const LOOK: Duration = Duration::from_millis(300);

/// Prints each request as it ends, until the inspector is off.
pub(super) async fn follow(
    instance: &RunningInstance,
    state: InspectorDoc,
    json: bool,
) -> Result<(), CommandFailure> {
    let session = state.session;
    // What ended before is listed by `list`.
    let shown_before = |state: &InspectorDoc| state.requests.iter().map(|row| row.number).collect();
    let mut shown: Vec<u64> = shown_before(&state);
    shown.retain(|number| {
        let mut rows = state.requests.iter();
        rows.any(|row| row.number == *number && row.ended.is_some())
    });
    if json {
        write_stderr(&beginning(&state));
    } else {
        write_stdout(&format!("{}\n\n{}", beginning(&state), show::heading()));
    }
    loop {
        sleep(LOOK).await;
        let Some(answer) = instance.inspector().await else {
            return Err(CommandFailure::wrong(format!(
                "the instance at {} does not answer any more; where it ended, what it kept is gone",
                instance.address()
            )));
        };
        let state = answered(instance, Some(answer))?;
        if !state.on || state.session != session {
            let end = "The inspector is off, and everything that it kept is dropped.";
            if json {
                write_stderr(end);
            } else {
                write_stdout(end);
            }
            return Ok(());
        }
        let new = state.requests.iter().filter(|row| {
            let is_whole = row
                .ended
                .as_ref()
                .is_some_and(|end| end.turn.is_none() || !row.change.is_empty());
            is_whole && !shown.contains(&row.number)
        });
        let mut numbers = Vec::new();
        for row in new {
            write_stdout(&if json { to_json(row)? } else { show::row(row) });
            numbers.push(row.number);
        }
        shown.extend(numbers);
        // Those that are not kept any more do not come again.
        shown.retain(|number| state.requests.iter().any(|row| row.number == *number));
        if stdout_error().is_some() {
            return Ok(());
        }
    }
}

/// What a person should know before the list.
fn beginning(state: &InspectorDoc) -> String {
    let size = show::size(u64::try_from(state.most_bytes).unwrap_or(u64::MAX));
    format!(
        "The inspector is on until {}: the instance keeps the last {} requests with their bodies, at most\n\
         {size}, in its memory only, and drops them all then. Ctrl-C ends this list, not the inspector:\n\
         `crucible inspect --off` does. `crucible inspect show last` shows a request.",
        show::clock(state.ends_at_ms.unwrap_or_default()),
        state.most_requests,
    )
}
