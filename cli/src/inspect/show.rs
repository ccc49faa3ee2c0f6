//! Kept requests as text for a terminal.

mod attempts;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use crucible_documents::inspector::{
    ComparedBodies, InspectedDoc, InspectedEndDoc, KeptTextDoc, PieceChangeDoc, PieceChangeKind,
    TurnDifferenceDoc,
};

use super::{
    rows::{answerer, share},
    text::{beginning, local_time, plain, raw},
};
use crate::output::client_name;

/// The characters of the answer that are shown among other things.
const ANSWER: usize = 1200;

/// The part of a request that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ShownPart {
    /// What a person wants first.
    All,
    /// The body as the client sent it.
    Received,
    /// The body as it was sent to the engine, of the attempt of this number or of the last.
    Sent(Option<usize>),
    /// The answer as the engine gave it, of the attempt of this number or of each.
    EngineAnswer(Option<usize>),
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
        ShownPart::Received
        | ShownPart::Sent(_)
        | ShownPart::EngineAnswer(_)
        | ShownPart::Answer => bodies(request, part).map_or_else(
            || Ok(String::new()),
            |bodies| {
                bodies
                    .map(|bodies| joined(&bodies, on_terminal))
                    .map_err(str::to_owned)
            },
        ),
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

/// A kept text that is shown as it is, behind a line that says whose it is where there are several.
pub(super) struct ShownBody<'a> {
    heading: Option<String>,
    text: Option<&'a KeptTextDoc>,
}

/// The kept texts that are shown alone, or why there are none; `None` for a part that is no such text.
pub(super) fn bodies(
    request: &InspectedDoc,
    part: ShownPart,
) -> Option<Result<Vec<ShownBody<'_>>, &'static str>> {
    let attempts = request.attempts.len();
    let number = |asked: Option<usize>| asked.unwrap_or(attempts);
    let (kept, absent) = match part {
        ShownPart::Received => (
            request.received.as_ref(),
            "no body was read of this request",
        ),
        ShownPart::Sent(asked) => (
            attempts::sent(request, number(asked)),
            match asked {
                Some(_) => "this request has no attempt of that number",
                None => "nothing was sent to an engine for this request",
            },
        ),
        ShownPart::EngineAnswer(None) if attempts > 1 => {
            let several = (1..=attempts).map(|number| ShownBody {
                heading: Some(attempts::heading(request, number)),
                text: attempts::answer(request, number),
            });
            return Some(Ok(several.collect()));
        }
        ShownPart::EngineAnswer(asked) => (
            attempts::answer(request, number(asked)),
            match asked {
                Some(number) if number > attempts => "this request has no attempt of that number",
                Some(_) => "no engine has answered that attempt",
                None => "no engine has answered this request",
            },
        ),
        ShownPart::Answer => (
            request.answer.as_ref(),
            "no answer has gone to the client yet",
        ),
        ShownPart::All | ShownPart::Difference | ShownPart::Curl => return None,
    };
    let alone = kept.map(|text| {
        vec![ShownBody {
            heading: None,
            text: Some(text),
        }]
    });
    Some(alone.ok_or(absent))
}

/// The texts one after the other; one that is alone is written as it is.
fn joined(bodies: &[ShownBody<'_>], write: impl Fn(&KeptTextDoc) -> String) -> String {
    let written = bodies.iter().map(|body| {
        let heading = body.heading.iter().cloned();
        let parts: Vec<String> = heading.chain(body.text.map(&write)).collect();
        parts.join("\n")
    });
    written.collect::<Vec<_>>().join("\n")
}

/// The bytes of the texts, as they came or went; one that is alone is written as it is.
pub(super) fn bytes_of(bodies: &[ShownBody<'_>]) -> Vec<u8> {
    let mut written = Vec::new();
    for body in bodies {
        if let Some(heading) = &body.heading {
            written.extend_from_slice(heading.as_bytes());
            written.push(b'\n');
        }
        written.extend(body.text.map(bytes).unwrap_or_default());
        if body.heading.is_some() && !written.ends_with(b"\n") {
            written.push(b'\n');
        }
    }
    written
}

/// The bytes of a kept text, as they came or went.
fn bytes(text: &KeptTextDoc) -> Vec<u8> {
    let odd = text
        .base64
        .as_ref()
        .and_then(|odd| STANDARD.decode(odd).ok());
    odd.unwrap_or_else(|| whole(text).into_bytes())
}

/// A kept text for a person at a terminal.
fn on_terminal(text: &KeptTextDoc) -> String {
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
    said.extend(attempts::overview(request));
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
