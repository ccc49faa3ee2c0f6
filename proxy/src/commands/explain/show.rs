//! The document of `explain` as text for a terminal.

use std::fmt::Write as _;

use crucible_documents::{
    ExplainDoc,
    explain::{BasisDoc, CandidateDoc, PredictionDoc},
};

/// Returns the decision, the candidates with their predictions, and the values that would be filled
/// in.
pub(super) fn readable(explained: &ExplainDoc) -> String {
    let mut text = format!(
        "{} on {} ({})\n",
        explained.model.as_deref().unwrap_or_default(),
        explained.engine.as_deref().unwrap_or_default(),
        explained.reason.map_or("", |reason| reason.as_str()),
    );
    for (i, candidate) in explained.candidates.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {}. {}", i + 1, line(candidate));
    }
    if let Some(standby) = &explained.standby {
        let _ = writeln!(
            text,
            "  {}/{} takes over after a wait of {:.1} s",
            standby.engine, standby.model, standby.after_s,
        );
    }
    for (name, filled) in &explained.defaults {
        let from = serde_json::to_value(filled.from).unwrap_or_default();
        let from = from.as_str().unwrap_or_default();
        let _ = writeln!(text, "  {name} = {} (from {from})", filled.value);
    }
    if let Some(prefix) = &explained.prefix {
        let turn = prefix.turn;
        let _ = match &prefix.differs {
            Some(differs) => writeln!(text, "  turn {turn} is read again: {differs}"),
            None => writeln!(text, "  turn {turn} goes on from the turn before"),
        };
    }
    if let Some(context) = &explained.context {
        let _ = write!(
            text,
            "  context needed {}, given {} ({})",
            context.needed, context.given, context.because,
        );
    }
    text
}

/// Returns a candidate in one line, such as `gpu/qwen (exact, first token predicted in 3.2 s: load
/// 3.2 s (1 measured); the end in ...)`.
fn line(candidate: &CandidateDoc) -> String {
    let mut text = format!(
        "{}/{} ({}",
        candidate.engine,
        candidate.model,
        candidate.reason.as_str()
    );
    if let Some(wait) = candidate.predicted_first_token_s {
        // Writing to a String cannot fail.
        let _ = write!(text, ", first token predicted in {wait:.1} s");
        if let Some(prediction) = &candidate.prediction {
            text.push_str(&parts(prediction));
            text.push_str(&end(candidate, prediction));
        }
    }
    text.push(')');
    text
}

/// Returns the parts of a prediction, such as `: queue 1.0 s (prior), load 3.2 s (1 measured)`.
/// Parts that take no time are left out.
fn parts(prediction: &PredictionDoc) -> String {
    let named = [
        ("queue", prediction.queue),
        ("load", prediction.load),
        ("prefill", prediction.prefill),
    ];
    let parts: Vec<String> = named
        .into_iter()
        .filter(|(_, part)| part.s > 0.0)
        .map(|(name, part)| format!("{name} {:.1} s ({})", part.s, basis(part.basis)))
        .collect();
    if parts.is_empty() {
        return String::new();
    }
    format!(": {}", parts.join(", "))
}

/// Returns the predicted end of the answer, such as `; the end in 9.6 s, after 256 tokens (prior)
/// in 6.4 s (12 measured)`.
fn end(candidate: &CandidateDoc, prediction: &PredictionDoc) -> String {
    let Some(end) = candidate.predicted_end_s else {
        return String::new();
    };
    let (tokens, output) = (prediction.answer_tokens, prediction.output);
    format!(
        "; the end in {end:.1} s, after {} tokens ({}) in {:.1} s ({})",
        tokens.count,
        basis(tokens.basis),
        output.s,
        basis(output.basis),
    )
}

fn basis(basis: BasisDoc) -> String {
    match basis {
        BasisDoc::Known => "known".to_owned(),
        BasisDoc::Prior => "prior".to_owned(),
        BasisDoc::Measured { samples } => format!("{samples} measured"),
    }
}
