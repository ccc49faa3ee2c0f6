//! `crucible explain`: asks the instance that runs, else the engines what they have; sends nothing.

use std::{fmt::Write as _, io::Read as _};

use bytes::Bytes;
use clap::Args;
use crucible_cli::{
    CommandFailure, CommonArgs, OutputArgs, instance, look, output::say, runtime, sources,
};
use crucible_documents::running::InstanceRefusal;
use crucible_router::verify::probe;
use http::HeaderMap;
use serde_json::{Value, json};

use crate::{admin, dialect::openai, error::Error, guard::AdmittedClient};

/// The arguments of the command.
#[derive(Args, Debug)]
pub(super) struct ExplainArgs {
    /// A model's name, or - for a request body on standard input
    #[arg(value_name = "MODEL | -")]
    subject: String,
    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn run(common: &CommonArgs, args: &ExplainArgs) -> Result<(), CommandFailure> {
    let body = if args.subject == "-" {
        let mut body = Vec::new();
        std::io::stdin()
            .lock()
            .read_to_end(&mut body)
            .map_err(|e| CommandFailure::wrong(format!("standard input: {e}")))?;
        Bytes::from(body)
    } else {
        let body =
            json!({ "model": args.subject, "messages": [{ "role": "user", "content": "" }] });
        Bytes::from(body.to_string())
    };
    let config = sources::load(common)?;
    let runtime = runtime()?;
    let current = config.current();
    let running = runtime.block_on(async {
        let instance = instance::find(&current).await?;
        instance.explain(body.clone()).await
    });
    match running {
        Some(Ok(answer)) => {
            show(&answer, args.output.json);
            return Ok(());
        }
        Some(Err(refusal)) => return Err(refused_by_instance(&refusal, args.output.json)),
        None => {}
    }
    let explained = runtime.block_on(look(&config, async |router| {
        let current = config.current();
        admin::explain(
            router,
            &current,
            &HeaderMap::new(),
            &probe::load(&current.state_dir),
            &body,
            &AdmittedClient::default(),
        )
        .await
    }))?;
    let explained = explained.map_err(|error| refused(&error, args.output.json))?;
    show(&explained, args.output.json);
    Ok(())
}

fn show(explained: &Value, as_json: bool) {
    if as_json {
        say(&explained.to_string());
    } else {
        say(&readable(explained));
    }
}

/// `; the end in 9.6 s, after 256 tokens (prior) in 6.4 s (12 measured)`.
fn end(candidate: &Value) -> String {
    let Some(end) = candidate["predicted_end_s"].as_f64() else {
        return String::new();
    };
    let (tokens, output) = (
        &candidate["prediction"]["answer_tokens"],
        &candidate["prediction"]["output"],
    );
    format!(
        "; the end in {end:.1} s, after {} tokens ({}) in {:.1} s ({})",
        tokens["count"],
        basis(tokens),
        output["s"].as_f64().unwrap_or_default(),
        basis(output),
    )
}

/// What a number rests on.
fn basis(part: &Value) -> String {
    match part["samples"].as_u64() {
        Some(samples) => format!("{samples} measured"),
        None => part["basis"].as_str().unwrap_or_default().to_owned(),
    }
}

/// `: queue 1.0 s (prior), load 3.2 s (1 measured)`; what takes no time is left out.
fn parts(prediction: &Value) -> String {
    let mut text = String::new();
    for name in ["queue", "load", "prefill"] {
        let part = &prediction[name];
        let Some(time) = part["s"].as_f64().filter(|s| *s > 0.0) else {
            continue;
        };
        let basis = basis(part);
        let sign = if text.is_empty() { ':' } else { ',' };
        // Writing to a String cannot fail.
        let _ = write!(text, "{sign} {name} {time:.1} s ({basis})");
    }
    text
}

fn refused(error: &Error, as_json: bool) -> CommandFailure {
    if as_json {
        say(&openai::error_document(error).to_string());
    }
    CommandFailure::wrong(error.to_string())
}

fn refused_by_instance(refusal: &InstanceRefusal, as_json: bool) -> CommandFailure {
    if as_json {
        say(&refusal.body.to_string());
    }
    CommandFailure::wrong(format!("{}: {}", refusal.code, refusal.message))
}

fn readable(explained: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut text = format!(
        "{} on {} ({})\n",
        word(&explained["model"]),
        word(&explained["engine"]),
        word(&explained["reason"]),
    );
    let candidates: &[Value] = explained["candidates"]
        .as_array()
        .map_or(&[], Vec::as_slice);
    for (i, candidate) in candidates.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "  {}. {}/{} ({}",
            i + 1,
            word(&candidate["engine"]),
            word(&candidate["model"]),
            word(&candidate["reason"]),
        );
        if let Some(wait) = candidate["predicted_first_token_s"].as_f64() {
            let _ = write!(text, ", first token predicted in {wait:.1} s");
            text.push_str(&parts(&candidate["prediction"]));
            text.push_str(&end(candidate));
        }
        text.push_str(")\n");
    }
    let standby = &explained["standby"];
    if let Some(after) = standby["after_s"].as_f64() {
        let _ = writeln!(
            text,
            "  {}/{} takes over after a wait of {after:.1} s",
            word(&standby["engine"]),
            word(&standby["model"]),
        );
    }
    if let Some(defaults) = explained["defaults"].as_object() {
        for (name, filled) in defaults {
            let _ = writeln!(
                text,
                "  {name} = {} (from {})",
                filled["value"],
                word(&filled["from"])
            );
        }
    }
    let context = &explained["context"];
    if !context.is_null() {
        let _ = write!(
            text,
            "  context needed {}, given {} ({})",
            context["needed"],
            context["given"],
            word(&context["because"]),
        );
    }
    text
}
