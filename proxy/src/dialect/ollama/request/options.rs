//! The member `options`: how the answer is sampled, and how the model is loaded.

use super::{
    fields::ClientFields,
    notes::{OllamaNotes, listed, shown},
    written::TranslatedBody,
};
use crate::{
    body::peek::found,
    dialect::chat::field_error::{invalid_type, unsupported},
    error::Error,
};

/// The numbers that the chat format has under the same name, or that engines read beside it.
const NUMBERS: [&str; 13] = [
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "repeat_penalty",
    "repeat_last_n",
    "typical_p",
    "mirostat",
    "mirostat_tau",
    "mirostat_eta",
];

/// The options with which a model is loaded. They are the same for all clients of a model, because Ollama
/// loads it anew for each difference (0.33, `server/sched.go`, `needsReload`).
pub(super) const RUNNER: [&str; 6] = [
    "num_batch",
    "num_gpu",
    "main_gpu",
    "use_mmap",
    "num_thread",
    "draft_num_predict",
];

/// Adds the options of a request to its chat request.
///
/// # Errors
/// An option has the wrong type; its path begins with `options.`.
pub(super) fn write(
    fields: &ClientFields<'_>,
    body: &mut TranslatedBody,
    notes: &mut OllamaNotes,
) -> Result<(), Error> {
    let Some(raw) = fields.object("options")? else {
        return Ok(());
    };
    let options = ClientFields::of(raw, "options")?;
    for name in NUMBERS {
        body.set(name, options.number(name)?);
    }
    body.set("num_ctx", options.number("num_ctx")?);
    body.set("max_tokens", options.number("num_predict")?);
    body.set("stop", stop(&options)?);
    let mut lost = Vec::new();
    for (name, _) in options.members() {
        if is_read(name) {
            continue;
        }
        if RUNNER.contains(&name) {
            notes.say(format!(
                "options.{name} is Crucible's: the load options of a model are the same for all clients"
            ));
        } else {
            lost.push(shown(name));
        }
    }
    if !lost.is_empty() {
        let all = listed(&lost);
        notes.loses(format!("options without a meaning here are dropped: {all}"));
    }
    Ok(())
}

fn is_read(name: &str) -> bool {
    NUMBERS.contains(&name) || matches!(name, "num_ctx" | "num_predict" | "stop")
}

/// Returns `stop`: a list of texts, or one text, which Ollama itself refuses.
fn stop<'a>(options: &ClientFields<'a>) -> Result<Option<&'a str>, Error> {
    match options.get("stop") {
        Some(raw) if !raw.starts_with(['[', '"']) => {
            Err(invalid_type("options.stop", "an array", found(raw)))
        }
        stop => Ok(stop),
    }
}

/// Returns `format` as a `response_format`.
///
/// # Errors
/// The value is neither "json" nor a schema.
pub(super) fn response_format(fields: &ClientFields<'_>) -> Result<Option<String>, Error> {
    const NAME: &str = "format";
    match fields.get(NAME) {
        None | Some("\"\"") => Ok(None),
        Some("\"json\"") => Ok(Some(r#"{"type":"json_object"}"#.to_owned())),
        Some(schema) if schema.starts_with('{') => Ok(Some(format!(
            r#"{{"type":"json_schema","json_schema":{{"name":"output","schema":{schema},"strict":true}}}}"#
        ))),
        Some(word) if word.starts_with('"') => Err(unsupported(
            NAME,
            "`format` must be \"json\" or a JSON schema",
        )),
        Some(raw) => Err(invalid_type(NAME, "\"json\" or an object", found(raw))),
    }
}
