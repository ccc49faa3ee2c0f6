//! The list that grows while the inspector is on.

use std::time::Duration;

use crucible_documents::{inspector::InspectorDoc, running::RunningInstance};
use tokio::time::sleep;

use super::{asked::answered, rows, text};
use crate::{
    CommandFailure,
    output::{stdout_error, to_json, write_stderr, write_stdout},
};

/// The time between two looks at the list.
const LOOK: Duration = Duration::from_millis(300);

/// The list as it was at the last look.
struct FollowedList {
    session: u64,
    ends_at_ms: Option<u64>,
    /// The numbers of the kept requests that are shown.
    shown: Vec<u64>,
    /// The numbers of those that are not, since they were answered then.
    running: Vec<u64>,
    json: bool,
}

/// Prints each request as it ends, until the inspector is off.
pub(super) async fn follow(
    instance: &RunningInstance,
    state: InspectorDoc,
    json: bool,
) -> Result<(), CommandFailure> {
    // What ended before is listed by `list`.
    let numbers = |ended: bool| {
        let rows = state.requests.iter();
        rows.filter(move |row| row.ended.is_some() == ended)
            .map(|row| row.number)
            .collect()
    };
    let mut list = FollowedList {
        session: state.session,
        ends_at_ms: state.ends_at_ms,
        shown: numbers(true),
        running: numbers(false),
        json,
    };
    if json {
        write_stderr(&beginning(&state));
    } else {
        write_stdout(&format!("{}\n\n{}", beginning(&state), rows::heading()));
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
        if !state.on {
            list.say("The inspector is off, and everything that it kept is dropped.");
            return Ok(());
        }
        list.note_switch(&state);
        list.show_ended(&state)?;
        if stdout_error().is_some() {
            return Ok(());
        }
    }
}

/// What a person should know before the list.
fn beginning(state: &InspectorDoc) -> String {
    let size = text::size(u64::try_from(state.most_bytes).unwrap_or(u64::MAX));
    format!(
        "The inspector is on until {}: the instance keeps the last {} requests with their bodies, at most\n\
         {size}, in its memory only, and drops them all then. Ctrl-C ends this list, not the inspector:\n\
         `crucible inspect --off` does. `crucible inspect show last` shows a request.",
        text::local_time(state.ends_at_ms.unwrap_or_default()),
        state.most_requests,
    )
}

// === impl FollowedList ===

impl FollowedList {
    /// Writes a sentence for a person, which no script reads as a request.
    fn say(&self, sentence: &str) {
        if self.json {
            write_stderr(sentence);
        } else {
            write_stdout(sentence);
        }
    }

    /// Says that somebody switched the inspector meanwhile.
    fn note_switch(&mut self, state: &InspectorDoc) {
        let end = text::local_time(state.ends_at_ms.unwrap_or_default());
        if state.session != self.session {
            self.say(&format!(
                "The inspector was switched off and on again: what it kept before is dropped. It is on until {end}."
            ));
            self.shown.clear();
            self.running.clear();
        } else if state.ends_at_ms != self.ends_at_ms {
            self.say(&format!(
                "The inspector's end was moved: it is on until {end}."
            ));
        }
        self.session = state.session;
        self.ends_at_ms = state.ends_at_ms;
    }

    /// Shows the requests that have ended since the last look, and says how many went before they ended.
    fn show_ended(&mut self, state: &InspectorDoc) -> Result<(), CommandFailure> {
        let is_kept = |number: &u64| state.requests.iter().any(|row| row.number == *number);
        let gone = self
            .running
            .iter()
            .filter(|number| !is_kept(number))
            .count();
        if gone > 0 {
            self.say(&format!(
                "{gone} of the requests that were answered had to make room for newer ones."
            ));
        }
        self.shown.retain(is_kept);
        self.running.clear();
        for row in &state.requests {
            if self.shown.contains(&row.number) {
                continue;
            }
            let end = row.ended.as_ref();
            if !end.is_some_and(|end| end.turn.is_none() || !row.change.is_empty()) {
                self.running.push(row.number);
                continue;
            }
            write_stdout(&if self.json {
                to_json(row)?
            } else {
                rows::row(row, rows::has_twin(row, &state.requests))
            });
            self.shown.push(row.number);
        }
        Ok(())
    }
}
