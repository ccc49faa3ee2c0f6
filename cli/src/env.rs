//! The command `crucible env`, which prints the environment of an Ollama process for the service
//! manager or shell that starts it.

mod format;
mod render;

use std::path::Path;

use clap::Args;
use crucible_config::{
    Config,
    checked::{EngineConfig, EngineKind},
};
use crucible_router::engine::ollama_recipe::{RecipeHost, recipe};

use self::format::EnvironmentFormat;
use crate::{CommandFailure, CommonArgs, output::write_stdout, sources};

/// The arguments of `crucible env`, which prints the environment that an engine should be started with.
#[derive(Args, Debug)]
pub struct EnvArgs {
    /// For whom
    #[arg(long, value_enum)]
    format: EnvironmentFormat,
}

/// Runs `crucible env`: prints the environment that an Ollama has to be started with, in the form that was
/// asked for.
///
/// # Errors
/// Exit code 2 where no such engine is configured, or it is no Ollama.
pub fn run(common: &CommonArgs, args: &EnvArgs) -> Result<(), CommandFailure> {
    let (common, name) = common.naming();
    let described = || Some(common.engine.last()?.split_once('=')?.0.trim().to_owned());
    let name = name.or_else(described).ok_or_else(|| {
        CommandFailure::usage("--engine is missing: give the name of an engine of kind ollama")
    })?;
    let config = sources::load(&common)?.current();
    let engine = find_engine(&config, &name)?;
    let recipe = recipe(&config, &engine, RecipeHost::read(Path::new("/")));
    write_stdout(render::render(&recipe, args.format).trim_end());
    Ok(())
}

fn find_engine(config: &Config, name: &str) -> Result<EngineConfig, CommandFailure> {
    if let Some(engine) = config.engine(name) {
        if engine.kind.profile().takes_environment {
            return Ok(engine.clone());
        }
        return Err(CommandFailure::usage(format!(
            "--engine {name}: it is no Ollama; only Ollama's process takes settings from its \
             environment"
        )));
    }
    if config.engines.is_empty()
        && name == "ollama"
        && let Ok(url) = "http://127.0.0.1:11434".parse()
    {
        return Ok(config.discovered(EngineKind::Ollama, name, url));
    }
    let known: Vec<&str> = config
        .engines
        .iter()
        .filter(|e| e.kind.profile().takes_environment)
        .map(|e| &*e.name)
        .collect();
    let known = match known.len() {
        0 if config.engines.is_empty() => {
            "none is configured; `ollama` stands for the one that is found".to_owned()
        }
        0 => "no engine of kind ollama is configured".to_owned(),
        _ => format!("engines of kind ollama are: {}", known.join(", ")),
    };
    Err(CommandFailure::usage(format!(
        "--engine {name}: unknown engine; {known}"
    )))
}
