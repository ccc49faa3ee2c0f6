//! The attempts of a kept request: the engines that were asked for it, one after the other, and what each said.

use crucible_documents::inspector::{InspectedAttemptDoc, InspectedDoc, KeptTextDoc};

use crate::inspect::text::{beginning, plain, size};

/// The characters that are shown of what an engine answered to an attempt that failed.
const FAILED_ANSWER: usize = 300;

/// The attempt of a number, which begins at 1.
fn numbered(request: &InspectedDoc, number: usize) -> Option<&InspectedAttemptDoc> {
    request.attempts.get(number.checked_sub(1)?)
}

/// The body that was sent with the attempt of a number.
pub(super) fn sent(request: &InspectedDoc, number: usize) -> Option<&KeptTextDoc> {
    numbered(request, number).map(|attempt| &attempt.body)
}

/// What the engine answered to the attempt of a number. The client's answer is the same text where it was passed on.
pub(super) fn answer(request: &InspectedDoc, number: usize) -> Option<&KeptTextDoc> {
    let attempt = numbered(request, number)?;
    let passed_on = || request.answer.as_ref().filter(|_| attempt.answer_passed_on);
    attempt.answer.as_ref().or_else(passed_on)
}

/// The line before the answer to one of several attempts: which engine was asked for what, and how that ended.
pub(super) fn heading(request: &InspectedDoc, number: usize) -> String {
    let all = request.attempts.len();
    let Some(attempt) = numbered(request, number) else {
        return format!("-- attempt {number} of {all}");
    };
    let answered = attempt.status.map_or_else(
        || "no answer came".to_owned(),
        |status| format!("answered {status}"),
    );
    let failed = attempt.error.as_ref();
    let failed = failed.map_or_else(String::new, |why| format!(", failed: {}", plain(why)));
    format!(
        "-- attempt {number} of {all}: {}/{} {}, {answered}{failed}",
        plain(&attempt.engine),
        plain(&attempt.model),
        plain(&attempt.path)
    )
}

/// What was sent to engines, one attempt after the other, and how that went.
pub(super) fn overview(request: &InspectedDoc) -> Vec<String> {
    let all = request.attempts.len();
    let numbered = request.attempts.iter().zip(1..);
    numbered
        .flat_map(|(attempt, number)| {
            // One that is alone needs no number.
            let place = (all > 1).then(|| format!(", attempt {number} of {all}"));
            lines(attempt, &place.unwrap_or_default())
        })
        .collect()
}

fn lines(attempt: &InspectedAttemptDoc, number: &str) -> Vec<String> {
    let place = format!("{}/{}", plain(&attempt.engine), plain(&attempt.model));
    let bytes = size(attempt.body.bytes);
    let mut said = vec![format!(
        "sent to    {place} {}, {bytes}{number}",
        plain(&attempt.path)
    )];
    if !attempt.defaults.is_empty() {
        said.push(format!(
            "           filled in: {}",
            attempt.defaults.join(", ")
        ));
    }
    let notes = attempt.notes.iter();
    said.extend(notes.map(|note| format!("           {}", plain(note))));
    said.extend(engine_answer(attempt).map(|answer| format!("           {answer}")));
    let error = attempt.error.iter();
    said.extend(error.map(|error| format!("           failed: {}", plain(error))));
    said
}

/// The engine's answer to an attempt in short; `None` where none came.
fn engine_answer(attempt: &InspectedAttemptDoc) -> Option<String> {
    let status = attempt.status?;
    Some(match &attempt.answer {
        _ if attempt.answer_passed_on => format!("answered {status}, passed on as it came"),
        // Why it failed is read here.
        Some(answer) if attempt.error.is_some() => {
            let (begin, more) = beginning(&answer.text, FAILED_ANSWER);
            format!("answered {status}: {}{more}", plain(begin))
        }
        Some(answer) => format!(
            "answered {status}, {}, other bytes than the client got: --engine-answer",
            size(answer.bytes)
        ),
        None => format!("answered {status} without a body"),
    })
}
