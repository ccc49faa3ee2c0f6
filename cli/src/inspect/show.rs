//! Kept requests as text for a terminal.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use crucible_documents::inspector::{
    ComparedBodies, InspectedAttemptDoc, InspectedDoc, InspectedEndDoc, KeptTextDoc,
    PieceChangeDoc, PieceChangeKind, TurnDifferenceDoc,
};

use super::{
    rows::{answerer, share},
    text::{local_time, plain, raw, size},
};
use crate::output::client_name;

/// The characters of the answer that are shown among other things.
const ANSWER: usize = 1200;
/// The characters that are shown of what an engine answered to an attempt that failed.
const FAILED_ANSWER: usize = 300;

/// The part of a request that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ShownPart {
    /// What a person wants first.
    All,
    /// The body as the client sent it.
    Received,
    /// The body as it was sent to the engine.
    Sent,
    /// The answer as the engine gave it.
    EngineAnswer,
    /// The answer as it went to the client.
    Answer,
    /// The difference to the previous turn.
    Difference,
    /// A command line for curl.
    Curl,
}

/// A request, or a part of it; the error says why there is no such part.
pub(super) fn request(request: &InspectedDoc, part: ShownPart) -> Result<String, String> {
    match part {
        ShownPart::All => Ok(overview(request)),
        ShownPart::Received | ShownPart::Sent | ShownPart::EngineAnswer | ShownPart::Answer => {
            kept(request, part).map_or_else(
                || Ok(String::new()),
                |kept| kept.map(on_terminal).map_err(str::to_owned),
            )
        }
        ShownPart::Difference => Ok(match &request.difference {
            Some(found) => with_fix(difference(found), request),
            None if request.row.change.is_empty() => {
                "this request belongs to no conversation".to_owned()
            }
            None => plain(&request.row.change),
        }),
        ShownPart::Curl => request
            .curl
            .as_deref()
            .map(raw)
            .ok_or_else(|| no_command(request)),
    }
}

/// The kept text that is shown alone, or why there is none; `None` for a part that is no such text.
pub(super) fn kept(
    request: &InspectedDoc,
    part: ShownPart,
) -> Option<Result<&KeptTextDoc, &'static str>> {
    let (kept, absent) = match part {
        ShownPart::Received => (
            request.received.as_ref(),
            "no body was read of this request",
        ),
        ShownPart::Sent => (
            request.attempts.last().map(|attempt| &attempt.body),
            "nothing was sent to an engine for this request",
        ),
        ShownPart::EngineAnswer => (
            request.attempts.last().and_then(|last| {
                let own = last.answer.as_ref();
                own.or_else(|| request.answer.as_ref().filter(|_| last.answer_passed_on))
            }),
            "no engine has answered this request",
        ),
        ShownPart::Answer => (
            request.answer.as_ref(),
            "no answer has gone to the client yet",
        ),
        ShownPart::All | ShownPart::Difference | ShownPart::Curl => return None,
    };
    Some(kept.ok_or(absent))
}

/// The bytes of a kept text, as they came or went.
pub(super) fn bytes(text: &KeptTextDoc) -> Vec<u8> {
    let odd = text
        .base64
        .as_ref()
        .and_then(|odd| STANDARD.decode(odd).ok());
    odd.unwrap_or_else(|| whole(text).into_bytes())
}

/// A kept text for a person at a terminal.
pub(super) fn on_terminal(text: &KeptTextDoc) -> String {
    let odd = match text.base64 {
        Some(_) => "\n[... this is no UTF-8; redirect the output to have its bytes ...]",
        None => "",
    };
    format!("{}{odd}", raw(&whole(text)))
}

/// Says why no command can send a request again.
fn no_command(request: &InspectedDoc) -> String {
    let why = if request.received.is_some() {
        "the body is too long to be kept whole, so no command can send it again"
    } else {
        "no body was read of this request, so no command can send it again"
    };
    let note = request.curl_note.as_deref();
    note.map_or_else(|| why.to_owned(), plain)
}

/// A text with a line on what is left out of it.
fn whole(text: &KeptTextDoc) -> String {
    let Some(end) = &text.end else {
        return text.text.clone();
    };
    let kept = u64::try_from(text.text.len() + end.len()).unwrap_or(u64::MAX);
    let left_out = text.bytes.saturating_sub(kept);
    format!(
        "{}\n[... {left_out} of {} bytes are not kept ...]\n{end}",
        text.text, text.bytes
    )
}

/// The request at one look: who asked, who answered, what it cost, and why.
fn overview(request: &InspectedDoc) -> String {
    let row = &request.row;
    let mut said = vec![
        format!(
            "request    {} (#{}) at {}",
            plain(&row.request_id),
            row.number,
            local_time(row.at_ms)
        ),
        format!(
            "asked      {} by {}",
            plain(&row.asked),
            plain(client_name(&row.client))
        ),
    ];
    match &row.ended {
        None => said.push("answered   not yet".to_owned()),
        Some(end) => {
            let turn = end
                .turn
                .map_or_else(String::new, |turn| format!(", turn {turn}"));
            let by = end
                .engine
                .as_ref()
                .map_or_else(String::new, |_| format!(" by {}", plain(&answerer(end))));
            said.push(format!(
                "answered   {} {}{by} in {:.1} s{turn}",
                end.status, end.outcome, end.took_s
            ));
            said.push(format!("tokens     {}", tokens(end)));
        }
    }
    said.extend(request.attempts.iter().flat_map(attempt));
    said.extend(
        request
            .notes
            .iter()
            .map(|note| format!("note       {}", plain(note))),
    );
    said.push(match &request.difference {
        Some(found) => format!("\n{}", with_fix(difference(found), request)),
        None if row.change.is_empty() => {
            "\nThe request belongs to no conversation that can be compared.".to_owned()
        }
        None => format!("\nSince the turn before: {}", plain(&row.change)),
    });
    said.push(format!("\n{}", answer(request)));
    said.push(
        "\nMore: --received, --sent, --engine-answer, --answer (as they are), --diff, --curl, --json"
            .to_owned(),
    );
    said.join("\n")
}

/// What was sent to an engine, and how that went.
fn attempt(attempt: &InspectedAttemptDoc) -> Vec<String> {
    let place = format!("{}/{}", plain(&attempt.engine), plain(&attempt.model));
    let bytes = size(attempt.body.bytes);
    let mut said = vec![format!(
        "sent to    {place} {}, {bytes}",
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
        // Of several attempts only the last one's answer can be asked for alone.
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

/// The first characters of a text, and a mark where there are more.
fn beginning(text: &str, most: usize) -> (&str, &'static str) {
    match text.char_indices().nth(most) {
        None => (text, ""),
        Some((end, _)) => (&text[..end], " [...]"),
    }
}

fn tokens(end: &InspectedEndDoc) -> String {
    if end.engine.is_none() {
        return "none: no engine was asked".to_owned();
    }
    let prompt = match (end.prompt_tokens, end.cached_tokens) {
        (None, _) => "the engine did not count the prompt".to_owned(),
        (Some(prompt), None) => format!("{prompt} in the prompt"),
        (Some(prompt), Some(cached)) => {
            let about = if end.cached_is_estimated {
                "about "
            } else {
                ""
            };
            format!(
                "{prompt} in the prompt, {about}{cached} of them cached ({})",
                share(end)
            )
        }
    };
    format!("{prompt}; {} in the answer", end.output_tokens)
}

fn answer(request: &InspectedDoc) -> String {
    let assembled = &request.assembled;
    let mut said = Vec::new();
    for (name, text) in [
        ("thought", &assembled.thinking),
        ("answer", &assembled.text),
    ] {
        if !text.is_empty() {
            let (begin, more) = beginning(text, ANSWER);
            said.push(format!("{name}: {}{more}", raw(begin)));
        }
    }
    let calls = assembled.calls.iter();
    said.extend(
        calls.map(|call| format!("call: {}({})", plain(&call.name), plain(&call.arguments))),
    );
    said.extend(
        assembled
            .error
            .iter()
            .map(|error| format!("error: {}", plain(error))),
    );
    if said.is_empty() {
        said.push("answer: no text".to_owned());
    }
    said.join("\n")
}

/// A difference with what to do about it.
fn with_fix(difference: String, request: &InspectedDoc) -> String {
    match &request.fix {
        Some(fix) => format!("{difference}\nWhat to do: {}", plain(fix)),
        None => difference,
    }
}

/// A difference with its place and its price.
fn difference(difference: &TurnDifferenceDoc) -> String {
    let bodies = match difference.compared {
        ComparedBodies::Sent => "as sent to the engine",
        ComparedBodies::Received => "as the client sent it",
    };
    let mut said = vec![format!(
        "Since the turn before ({}, {bodies}): {}",
        plain(&difference.previous_id),
        plain(&difference.summary)
    )];
    let warning = difference.template_warning.as_deref();
    said.push(match &difference.broken_at {
        None if warning.is_some() => String::new(),
        None => "The prompt goes on from that turn: an engine that still has it reads only what is new.".to_owned(),
        Some(broken) => {
            let place = broken.character.map_or_else(String::new, |at| format!(", character {at}"));
            format!(
                "The engine's cache broke at {}{place}: about {} tokens before it can be reused, about {} are read \
                 again, about {} are new.",
                broken.piece, broken.tokens_before, broken.tokens_read_again, broken.tokens_new
            )
        }
    });
    said.retain(|sentence| !sentence.is_empty());
    said.extend(warning.map(plain));
    said.extend(difference.changes.iter().map(change));
    let counted = difference.changed + difference.added + difference.removed;
    let more = counted.saturating_sub(difference.changes.len());
    if more > 0 {
        said.push(format!("  and {more} more"));
    }
    if !difference.settings.is_empty() {
        said.push(format!("  settings: {}", difference.settings.join(", ")));
    }
    said.join("\n")
}

fn change(change: &PieceChangeDoc) -> String {
    let PieceChangeDoc {
        piece,
        before,
        after,
        ..
    } = change;
    match change.kind {
        PieceChangeKind::Added => format!("  + {piece}: {after}"),
        PieceChangeKind::Removed => format!("  - {piece}: {before}"),
        PieceChangeKind::Changed => {
            let at = change.character.unwrap_or(1);
            format!("  ~ {piece} at character {at}\n      before: {before}\n      now:    {after}")
        }
    }
}

#[cfg(test)]
mod tests;
