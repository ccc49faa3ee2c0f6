//! `crucible check`.

use crucible_config::layers;

use super::{
    Common, Failure,
    output::{complain, say},
    sources,
};

pub(super) fn run(common: &Common) -> Result<(), Failure> {
    let sources = sources::sources(common);
    let loaded = layers::load(&sources).map_err(|problems| {
        let count = problems.0.len();
        let noun = if count == 1 { "problem" } else { "problems" };
        Failure::usage(format!("{problems}\n{count} {noun}"))
    })?;
    if !loaded.warnings.0.is_empty() {
        complain(&loaded.warnings.to_string());
    }
    let place = sources.file.as_ref().map_or_else(
        || "no configuration file; the built-in profile".to_owned(),
        |file| file.display().to_string(),
    );
    let engines = match loaded.config.engines.len() {
        1 => "1 engine".to_owned(),
        count => format!("{count} engines"),
    };
    say(&format!(
        "{place}: fine ({engines} configured, profile {})",
        loaded.config.profile.as_str(),
    ));
    Ok(())
}
