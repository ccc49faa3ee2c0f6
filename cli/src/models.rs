//! The command `crucible models`, which lists the models of all engines and what is loaded.
//!
//! Where an instance runs, the list is made from its state alone, so that the two never contradict
//! each other. Otherwise it comes from the command's own look at the engines.

use bytesize::ByteSize;
use crucible_documents::{ListedModelDoc, ModelsDoc, StateDoc};

use crate::{
    CommandFailure, CommonArgs, OutputArgs,
    engine_look::look,
    instance,
    output::{table, to_json, write_stderr, write_stdout},
    pools,
    runtime::runtime,
    sources,
};

/// Runs `crucible models`: prints the models of all engines with their sizes, and which of them are loaded.
///
/// # Errors
/// Exit code 1 where no engine is up.
pub fn run(common: &CommonArgs, output: OutputArgs) -> Result<(), CommandFailure> {
    let config = sources::load(common)?;
    let runtime = runtime()?;
    let running = runtime.block_on(instance::find(&config.current()));
    let from_instance = running.is_some();
    let state = match running {
        Some(instance) => instance.state,
        None => runtime.block_on(look(&config, async |router| StateDoc::of(&router.view())))?,
    };
    let models = ModelsDoc::of(&state, from_instance);
    if output.json {
        write_stdout(&to_json(&models)?);
    } else {
        write_stdout(&readable(&models));
        write_stdout(&format!("\n{}", pools::readable(&state)));
        if !from_instance {
            write_stdout(
                "\nNo instance answered at the configured address: loads and waiters are not known.",
            );
        }
    }
    if state.any_up() {
        return Ok(());
    }
    for engine in &state.engines {
        if let Some(error) = &engine.error {
            write_stderr(&format!("{}: {error}", engine.name));
        }
    }
    Err(CommandFailure::wrong("no engine is up"))
}

fn readable(models: &ModelsDoc) -> String {
    let heading = ["engine", "model", "kind", "size", "quantization", "loaded"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(models.models.iter().map(row));
    let engines: Vec<Vec<String>> = models
        .engines
        .iter()
        .map(|engine| {
            vec![
                engine.name.to_string(),
                engine.kind.as_str().to_owned(),
                engine.device.as_str().to_owned(),
                engine.state.as_str().to_owned(),
                engine.version.clone().unwrap_or_default(),
            ]
        })
        .collect();
    format!("{}\n\n{}", table(&engines), table(&rows))
}

fn row(model: &ListedModelDoc) -> Vec<String> {
    let size = model.size_bytes.map(|bytes| ByteSize(bytes).display().si());
    let loaded = match (model.loaded, model.context) {
        (false, _) => String::new(),
        (true, None) => "yes".to_owned(),
        (true, Some(context)) => format!("yes, context {context}"),
    };
    vec![
        model.engine.to_string(),
        model.model.to_string(),
        model.kind.as_str().to_owned(),
        size.map_or_else(String::new, |size| size.to_string()),
        model.quantization.clone().unwrap_or_default(),
        loaded,
    ]
}
